"""Amazon Bedrock by boto3: each operation, each family of models, and every way to read a reply."""

from __future__ import annotations

import gc
import io
import json
import re
import socket
import threading
from base64 import b64decode, b64encode
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from hypothesis import given, settings
from hypothesis import strategies as st
from spanlog.record.span import LiveSpan
from spanlog_integrations import bedrock
from spanlog_integrations.wire import bedrock as wire

from fixtures import bedrock_routes, eventstream
from fixtures.bedrock_routes import REASONING, REDACTED, SIGNATURE, TEXT, TOOL_CALLS, USAGE
from fixtures.loopback import Loopback, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spanlog.entities import Span, Trace

    from fixtures.loopback import Request

boto3 = pytest.importorskip("boto3")
botocore = pytest.importorskip("botocore")

from botocore.config import Config  # noqa: E402
from botocore.exceptions import ClientError, EventStreamError  # noqa: E402
from botocore.stub import Stubber  # noqa: E402

Json = dict[str, Any]

KEY, SECRET, TOKEN = "AKIA0123456789ABCDEF", "bedrock/secret+key", "bedrock-session-token"
HI = [{"role": "user", "content": [{"text": "Grüß Gott"}]}]
TOOLS = [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": {"type": "object"}}}}]
SESSION = boto3.Session()

CHAT, TEXTS = ("chat", "CHAT_MODEL"), ("text_completion", "LLM")
MESSAGES = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 7}
# The model, what its name begins with and ends with; what it is asked, and what that call is.
FAMILIES: dict[str, tuple[str, Json, tuple[str, str]]] = {
    "anthropic": ("us.anthropic.claude-{}-v1:0", MESSAGES, CHAT),
    "claude 2": ("anthropic.claude-{}-v2", {"prompt": "Hi", "max_tokens_to_sample": 7}, TEXTS),
    "nova": ("amazon.nova-{}-v1:0", {"messages": HI, "inferenceConfig": {"maxTokens": 7}}, CHAT),
    "titan": (
        "amazon.titan-text-{}",
        {"inputText": "Hi", "textGenerationConfig": {"maxTokenCount": 7}},
        TEXTS,
    ),
    "llama": ("meta.llama3-{}-v1:0", {"prompt": "Hi", "max_gen_len": 7}, TEXTS),
    "mistral": ("mistral.mistral-{}", {"prompt": "Hi", "max_tokens": 7}, TEXTS),
    "mistral chat": ("mistral.mistral-{}", MESSAGES, CHAT),
    "command": ("cohere.command-{}-v14", {"prompt": "Hi", "max_tokens": 7}, TEXTS),
    "command r": ("cohere.command-r-{}-v1:0", {"message": "Hi", "max_tokens": 7}, CHAT),
    "jamba": ("ai21.jamba-{}", MESSAGES, CHAT),
    "j2": ("ai21.j2-{}", {"prompt": "Hi", "maxTokens": 7}, TEXTS),
    "deepseek": ("deepseek.r1-{}", {"prompt": "Hi", "max_tokens": 7}, TEXTS),
    "titan embed": ("amazon.titan-embed-{}", {"inputText": "a"}, ("embeddings", "EMBEDDING")),
    "cohere embed": ("cohere.embed-{}", {"texts": ["a", "b"]}, ("embeddings", "EMBEDDING")),
}
STREAMED = [name for name in FAMILIES if name not in ("j2", "titan embed", "cohere embed")]
# Which scenarios a family has, besides those that all have.
SCENARIOS = {
    "anthropic": ["tools", "reasoning", "cached", "citations", "servertools", "refusal"],
    "nova": ["tools", "reasoning", "cached"],
    "mistral chat": ["tools"],
    "command r": ["tools"],
    "jamba": ["tools"],
    "deepseek": ["reasoning"],
}
CASES = [
    (family, scenario)
    for family in STREAMED
    for scenario in ["plain", "length", "long", "guardrail", *SCENARIOS.get(family, ())]
]


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback(_knowledge, bedrock_routes.router) as server:
        yield server


@pytest.fixture
def traced() -> Iterator[None]:
    spanlog.bedrock.autolog()
    yield
    spanlog.bedrock.autolog(disable=True)
    spanlog.bedrock.integration.explicit = False


@pytest.fixture
def make(server: Loopback) -> Callable[..., Any]:
    """Make a client of a service."""

    def make(service: str = "bedrock-runtime", retries: int = 0, **more: Any) -> Any:
        keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET}
        config = Config(retries={"max_attempts": retries})
        facts = {"endpoint_url": server.url, "region_name": "us-east-1", "config": config}
        return SESSION.client(service, **{**facts, **keys, "aws_session_token": TOKEN, **more})

    return make


@pytest.fixture
def client(make: Callable[..., Any], traced: None) -> Any:
    return make()


@pytest.fixture
def agents(make: Callable[..., Any], traced: None) -> Any:
    return make("bedrock-agent-runtime")


@pytest.fixture
def last(traces: Callable[[], list[Trace]]) -> Callable[[], Span]:
    """Give the newest span."""
    return lambda: traces()[-1].data.spans[-1]


def invoke(client: Any, family: str, scenario: str = "plain") -> Any:
    name, asked, _ = FAMILIES[family]
    reply = client.invoke_model(modelId=name.format(scenario), body=json.dumps(asked))
    return json.loads(reply["body"].read())


def invoke_stream(client: Any, family: str, scenario: str = "plain") -> list[Json]:
    name, asked, _ = FAMILIES[family]
    reply = client.invoke_model_with_response_stream(
        modelId=name.format(scenario), body=json.dumps(asked)
    )
    return [json.loads(event["chunk"]["bytes"]) for event in reply["body"]]


def need(client: Any, method: str) -> Any:
    if not hasattr(client, method):
        pytest.skip(f"this version has no {method}")
    return getattr(client, method)


def knows(client: Any, operation: str, path: str) -> bool:
    """Say whether this version's reply to an operation has a member."""
    shape = client.meta.service_model.operation_model(operation).output_shape
    for name in path.split("."):
        shape = getattr(shape, "member", shape)
        if name not in shape.members:
            return False
        shape = shape.members[name]
    return True


def masked(value: Any) -> Any:
    """Leave out of a reply what is new in each, and what only a stream or only a whole one has."""
    text = re.sub(
        r"\d{8}-0000-4000-8000-\d{12}|(?<=_)\d{8}|(?<=-)\d{8}(?=\")", "N", json.dumps(value)
    )
    reply = json.loads(text)
    for name in ("metrics", "usage", "trace", "amazon-bedrock-invocationMetrics"):
        reply.pop(name, None)
    return reply


# Families of models.


@pytest.mark.parametrize("family", FAMILIES)
def test_the_body_of_each_family_is_recorded_as_the_program_reads_it(
    client: Any, server: Loopback, last: Callable[[], Span], family: str
) -> None:
    read = invoke(client, family)
    span = last()
    name, asked, (operation, span_type) = FAMILIES[family]
    model = name.format("plain")
    assert span.outputs == read
    assert span.inputs == {"modelId": model, "body": asked}
    assert server.requests[-1].json == asked
    assert (span.name, span.span_type) == (f"{operation} {model}", span_type)
    facts = span.attributes
    assert facts["gen_ai.operation.name"] == operation
    assert facts["gen_ai.provider.name"] == "aws.bedrock"
    assert facts["gen_ai.request.model"] == model
    assert facts["server.address"] == "127.0.0.1"
    assert facts["http.response.request_id"].startswith("00000000-0000-4000-8000-")
    if "embed" not in family:
        assert facts["gen_ai.request.max_tokens"] == 7
        assert len(facts["gen_ai.response.finish_reasons"]) == 1


@pytest.mark.parametrize(("family", "scenario"), CASES)
def test_a_stream_of_each_family_has_the_outputs_of_the_whole_reply(
    client: Any, traces: Callable[[], list[Trace]], family: str, scenario: str
) -> None:
    whole = masked(invoke(client, family, scenario))
    chunks = invoke_stream(client, family, scenario)
    plain, streamed = (trace.data.spans[-1] for trace in traces())
    found = masked(streamed.outputs)
    for told in (
        whole,
        found,
    ):  # what a family tells only when it streams, or only when it does not
        for name in ("id", "prompt", "tokenCount", "prompt_token_count", "model", "container"):
            told.pop(name, None)
        for generation in told.get("generations", ()):
            generation.pop("id", None)
        for choice in told.get("choices", ()):
            if not choice.get("message", {}).get("tool_calls"):
                choice.get("message", {}).pop("tool_calls", None)
    assert found == whole
    assert (streamed.name, streamed.span_type) == (plain.name, plain.span_type)
    assert streamed.usage == plain.usage
    assert streamed.attributes["gen_ai.request.stream"] is True
    assert streamed.attributes["spanlog.stream.chunks"] == len(chunks)
    assert "gen_ai.response.time_to_first_chunk" in streamed.attributes
    reasons = [span.attributes["gen_ai.response.finish_reasons"] for span in (plain, streamed)]
    assert reasons[0] == reasons[1]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("family", "scenario"),
    [*((family, "plain") for family in STREAMED)]
    + [(family, s) for family in ("anthropic", "nova") for s in ("cached", "reasoning", "tools")],
)
def test_usage_of_each_family_has_one_meaning(
    client: Any, last: Callable[[], Span], family: str, scenario: str, stream: bool
) -> None:
    (invoke_stream if stream else invoke)(client, family, scenario)
    check_usage(last(), scenario)


def check_usage(span: Span, scenario: str) -> None:
    told, usage = USAGE[scenario], span.usage or {}
    cached = told.cached + told.cache_write
    assert usage["input_tokens"] == told.input + cached
    assert usage["output_tokens"] == told.output
    assert usage["total_tokens"] == told.input + cached + told.output
    assert usage.get("cache_read_input_tokens", 0) == told.cached
    assert usage.get("cache_creation_input_tokens", 0) == told.cache_write
    if span.attributes["gen_ai.request.model"].startswith("us.anthropic") and "thinking" in str(
        span.outputs
    ):
        assert usage["reasoning_output_tokens"] == told.reasoning


@pytest.mark.parametrize("family", ["titan embed", "cohere embed"])
def test_embeddings_tell_their_tokens(client: Any, last: Callable[[], Span], family: str) -> None:
    invoke(client, family)
    usage = last().usage or {}
    assert (usage["input_tokens"], usage["total_tokens"]) == (8, 8)


@pytest.mark.parametrize("chunks", [[{"of": "none"}, {"is": "known"}], ["x", {"generation": "y"}]])
def test_chunks_of_an_unknown_family_are_kept_as_they_are(chunks: list[Any]) -> None:
    assert wire.fold_chunks(chunks) == {"chunks": chunks}


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("bedrock:us-east-1:1234:inference-profile/us.anthropic.claude", "us.anthropic.claude"),
        ("bedrock:us-east-1::foundation-model/anthropic.claude-v1:0", "anthropic.claude-v1:0"),
        ("sagemaker:us-east-1:123456789012:endpoint/plain", "plain"),
    ],
)
def test_an_arn_is_kept_whole_and_the_span_is_named_after_its_end(
    client: Any, last: Callable[[], Span], model: str, name: str
) -> None:
    arn = f"arn:aws:{model}"
    client.invoke_model(modelId=arn, body=json.dumps(MESSAGES))["body"].read()
    span = last()
    assert span.name == f"chat {name}"
    assert span.attributes["gen_ai.request.model"] == arn


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_what_a_guardrail_did_to_an_invoked_model_is_a_fact(
    client: Any, last: Callable[[], Span], stream: bool
) -> None:
    (invoke_stream if stream else invoke)(client, "titan", "guardrail")
    assert last().attributes["aws.bedrock.guardrail.action"] == "INTERVENED"


# Every way to read a body.


def _in_parts(body: Any) -> bytes:
    return b"".join(iter(lambda: body.read(7), b""))


def _into(body: Any) -> bytes:
    if not hasattr(type(body), "readinto") or type(body).readinto is getattr(
        io.IOBase, "readinto", 0
    ):
        pytest.skip("this version's bodies cannot be read into a buffer")
    buffer, found = bytearray(11), b""
    while count := body.readinto(buffer):
        found += buffer[:count]
    return found


def _with(read: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def entered(body: Any) -> bytes:
        with body as raw:
            return read(raw)

    return entered


def _timeout(body: Any) -> bytes:
    body.set_socket_timeout(5)
    return bytes(body.read())


WAYS: dict[str, Callable[[Any], bytes]] = {
    "read": lambda body: body.read(),
    "read(None)": lambda body: body.read(None),
    "read(amt=)": lambda body: body.read(amt=10_000) + body.read(amt=1),
    "in parts": _in_parts,
    "a part and the rest": lambda body: body.read(3) + body.read(0) + body.read(),
    "iter": lambda body: b"".join(body),
    "next": lambda body: next(body) + b"".join(body),
    "iter_chunks": lambda body: b"".join(body.iter_chunks(5)),
    "iter_lines": lambda body: b"\n".join(body.iter_lines()),
    "readlines": lambda body: b"".join(body.readlines()),
    "readline": lambda body: b"".join(iter(body.readline, b"")),
    "readinto": _into,
    "json.load": lambda body: json.dumps(json.load(body)).encode(),
    "set_socket_timeout": _timeout,
    "with": _with(lambda raw: raw.read()),
    "with, in parts": _with(_in_parts),
    "with, stream": _with(lambda raw: b"".join(raw.stream(9))),
    "with, for": _with(lambda raw: b"".join(raw)),
    "with, readlines": _with(lambda raw: b"".join(raw.readlines())),
}


def body_of(client: Any) -> Any:
    """Return a body of several lines."""
    asked = json.dumps(MESSAGES)
    return client.invoke_model(modelId="anthropic.claude-tools", body=asked)["body"]


@pytest.mark.parametrize("way", WAYS)
def test_a_body_is_read_as_without_tracing_and_recorded(
    make: Callable[..., Any], traced: None, last: Callable[[], Span], way: str
) -> None:
    client = make()
    spanlog.bedrock.autolog(disable=True)
    untraced = WAYS[way](body_of(client))
    spanlog.bedrock.autolog()
    body = body_of(client)
    assert last().end_time_ns is None
    found = WAYS[way](body)
    span = last()
    assert type(body).__module__ == "botocore.response"
    assert re.sub(rb"\d{8}", b"N", found) == re.sub(rb"\d{8}", b"N", untraced)
    assert span.outputs == json.loads(found)
    assert span.end_time_ns is not None
    assert "spanlog.stream.completed" not in span.attributes


@given(sizes=st.lists(st.integers(0, 300), max_size=12))
@settings(max_examples=25)
def test_a_body_read_in_any_sizes_is_whole(
    sizes: list[int], make: Callable[..., Any], traced: None, last: Callable[[], Span]
) -> None:
    body = body_of(make())
    found = b"".join([*(body.read(size) for size in sizes), body.read()])
    assert last().outputs == json.loads(found)


def test_a_body_as_long_as_was_asked_for_is_at_its_end(
    client: Any, last: Callable[[], Span]
) -> None:
    body = body_of(client)
    body.read(int(body._content_length))
    assert last().end_time_ns is not None
    assert "spanlog.stream.completed" not in last().attributes


@pytest.mark.parametrize("way", ["close", "drop", "unread close", "unread drop", "with"])
def test_a_body_that_is_left_keeps_what_was_read(
    client: Any, last: Callable[[], Span], way: str
) -> None:
    body = body_of(client)
    part = b""
    if way == "with":
        with body as raw:
            part = raw.read(20)
    elif not way.startswith("unread"):
        part = body.read(20)
    if way.endswith("close"):
        body.close()
    del body
    gc.collect()
    span = last()
    assert span.end_time_ns is not None
    assert span.outputs == (part.decode() or None)
    assert span.attributes["spanlog.stream.completed"] is False


def test_a_body_that_is_cut_off_is_an_error(client: Any, last: Callable[[], Span]) -> None:
    body = client.invoke_model(modelId="anthropic.claude-cut", body=json.dumps(MESSAGES))["body"]
    with pytest.raises(Exception, match=r"."):
        body.read()
    assert last().status.status_code == "ERROR"


def test_a_body_that_ends_too_soon_is_an_error(
    make: Callable[..., Any], traced: None, last: Callable[[], Span]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                head = b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n"
                connection.sendall(head + b'{"generation": "Hi')
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(100_000):
                    pass

        threading.Thread(target=answer).start()
        client = make(endpoint_url=f"http://127.0.0.1:{server.getsockname()[1]}")
        body = client.invoke_model(modelId="a.b", body="{}")["body"]
        with pytest.raises(botocore.exceptions.BotoCoreError):
            body.read()
    span = last()
    assert span.status.status_code == "ERROR"
    assert "ncomplete" in span.status.description


@pytest.mark.parametrize(
    "sent", [b"\xff\x00", b"[1]", b"text", b"", b'{"a": NaN}', b'"text"', b"7"]
)
def test_a_body_that_is_no_object_is_recorded_too(
    make: Callable[..., Any], traced: None, last: Callable[[], Span], sent: bytes
) -> None:
    with Loopback(lambda _: Reply(200, {"content-type": "x"}, sent)) as server:
        client = make(endpoint_url=server.url)
        assert client.invoke_model(modelId="a.b", body=sent)["body"].read() == sent
    span = last()
    told = {b"\xff\x00": "data:application/octet-stream;base64,/wA=", b"[1]": [1], b"": None}
    told |= {b'"text"': "text", b"7": 7}
    assert span.outputs == told.get(sent, sent.decode("latin-1"))
    assert span.status.status_code == "OK"


# Converse.


@pytest.mark.parametrize(
    "scenario", ["plain", "length", "long", "tools", "reasoning", "cached", "guardrail"]
)
def test_converse_and_its_stream_are_recorded_alike(
    client: Any, traces: Callable[[], list[Trace]], scenario: str
) -> None:
    model = f"us.amazon.nova-{scenario}-v1:0"
    reply = need(client, "converse")(modelId=model, messages=HI)
    events = list(client.converse_stream(modelId=model, messages=HI)["stream"])
    plain, streamed = (trace.data.spans[-1] for trace in traces())
    reply.pop("ResponseMetadata")
    assert masked(plain.outputs) == masked(json.loads(json.dumps(reply, default=data_uri)))
    assert (plain.name, plain.span_type) == (streamed.name, streamed.span_type)
    assert plain.name == f"chat {model}"
    if all("SDK_UNKNOWN_MEMBER" not in json.dumps(r, default=str) for r in [reply, *events]):
        assert masked(streamed.outputs) == masked(plain.outputs)
    for span in (plain, streamed):
        if span is streamed or knows(client, "Converse", "usage.cacheReadInputTokens"):
            check_usage(span, scenario)
        facts = span.attributes
        assert facts["gen_ai.response.finish_reasons"] == [span.outputs["stopReason"]]
    assert streamed.attributes["spanlog.stream.chunks"] == len(events)
    if scenario == "guardrail":
        told = streamed.outputs["trace"]["guardrail"]
        assert told["actionReason"] == "Guardrail blocked."
        assert told["inputAssessment"]
        assert ("trace" in plain.outputs) == knows(client, "Converse", "trace")


def data_uri(value: Any) -> str:
    return "data:application/octet-stream;base64," + b64encode(value).decode()


def test_a_stream_tells_reasoning_and_tools_even_to_a_botocore_that_does_not_know_them(
    client: Any, last: Callable[[], Span]
) -> None:
    list(need(client, "converse_stream")(modelId="a.b-reasoning", messages=HI)["stream"])
    first, redacted, text = last().outputs["output"]["message"]["content"]
    told = {"text": REASONING, "signature": SIGNATURE}
    assert first == {"reasoningContent": {"reasoningText": told}}
    assert redacted == {"reasoningContent": {"redactedContent": data_uri(b64decode(REDACTED))}}
    assert text == {"text": TEXT["reasoning"]}
    list(client.converse_stream(modelId="a.b-tools", messages=HI)["stream"])
    _, *calls = last().outputs["output"]["message"]["content"]
    assert tuple((c["toolUse"]["name"], c["toolUse"]["input"]) for c in calls) == TOOL_CALLS


def test_parameters_and_tools_are_facts(client: Any, last: Callable[[], Span]) -> None:
    converse, guardrail = need(client, "converse"), {}
    if knows(client, "Converse", "trace.guardrail"):
        guardrail = {"guardrailConfig": {"guardrailIdentifier": "gr1", "guardrailVersion": "1"}}
    converse(
        modelId="a.b-tools",
        messages=HI,
        system=[{"text": "Be brief."}],
        inferenceConfig={"temperature": 0.5, "topP": 0.25, "maxTokens": 7, "stopSequences": ["x"]},
        additionalModelRequestFields={"top_k": 3},
        toolConfig={"tools": TOOLS},
        **guardrail,
    )
    facts = last().attributes
    told = {"temperature": 0.5, "top_p": 0.25, "top_k": 3, "max_tokens": 7, "stop_sequences": ["x"]}
    assert {name: facts[f"gen_ai.request.{name}"] for name in told} == told
    assert facts["gen_ai.tool.definitions"] == TOOLS
    assert facts.get("aws.bedrock.guardrail.id") == ("gr1" if guardrail else None)


@pytest.mark.parametrize(
    ("family", "asked", "told"),
    [
        ("titan", {"inputText": "x", "textGenerationConfig": {"temperature": 0.5, "topP": 0.25,
         "maxTokenCount": 7, "stopSequences": ["x"]}}, {"top_p": 0.25, "temperature": 0.5}),
        ("command r", {"message": "x", "p": 0.25, "k": 3, "stop_sequences": ["x"],
         "tools": TOOLS}, {"top_p": 0.25, "top_k": 3}),
        ("j2", {"prompt": "x", "topP": 0.25, "maxTokens": 7, "stopSequences": ["x"],
         "numResults": 2}, {"top_p": 0.25, "max_tokens": 7, "choice.count": 2}),
        ("nova", {"messages": HI, "toolConfig": {"tools": TOOLS}, "inferenceConfig":
         {"topK": 3, "stopSequences": ["x"]}}, {"top_k": 3}),
        ("jamba", {**MESSAGES, "stop": "x", "seed": 3, "presence_penalty": 0.1}, {"seed": 3}),
    ],
)  # fmt: skip
def test_parameters_have_one_name_in_all_families(
    client: Any, last: Callable[[], Span], family: str, asked: Json, told: Json
) -> None:
    model = FAMILIES[family][0].format("plain")
    client.invoke_model(modelId=model, body=json.dumps(asked).encode())["body"].read()
    facts = last().attributes
    assert {name: facts[f"gen_ai.request.{name}"] for name in told} == told
    assert facts["gen_ai.request.stop_sequences"] == ["x"]
    assert facts.get("gen_ai.tool.definitions") == (TOOLS if "ool" in json.dumps(asked) else None)


def test_a_prompt_routers_choice_is_the_model_that_answered() -> None:
    span = LiveSpan("x")
    wire.response(span, {"trace": {"promptRouter": {"invokedModelId": "arn:x/nova"}}}, {})
    assert span.model == "arn:x/nova"
    span.end()


def _pieces(kind: str, *pieces: Any) -> list[Json]:
    """Return the pieces of a block."""
    return [{"delta": {kind: piece}} for piece in pieces]


TOOL = {"toolUseId": "1", "name": "n"}
RESULT = {"toolUseId": "1", "status": "success"}
BLOCKS: dict[str, tuple[list[Json], Json]] = {
    "cited text": (
        [*_pieces("text", "A"), *_pieces("citation", {"title": "t"}), *_pieces("text", "B")],
        {"citationsContent": {"content": [{"text": "AB"}], "citations": [{"title": "t"}]}},
    ),
    "result of a tool of the server's": (
        [{"start": {"toolResult": RESULT}}, *_pieces("toolResult", [{"text": "a"}], [{"json": 1}])],
        {"toolResult": {**RESULT, "content": [{"text": "a"}, {"json": 1}]}},
    ),
    "tool without input": (
        [{"start": {"toolUse": TOOL}}],
        {"toolUse": {**TOOL, "input": {}}},
    ),
    "tool that is cut off": (
        [{"start": {"toolUse": TOOL}}, *_pieces("toolUse", {"input": '{"a"'}, {"input": ": "})],
        {"toolUse": {**TOOL, "input": '{"a": '}},
    ),
    "redacted reasoning": (
        _pieces("reasoningContent", *({"redactedContent": text} for text in ("YQ==", "YmM="))),
        {"reasoningContent": {"redactedContent": b"abc"}},
    ),
    "image": (
        [{"start": {"image": {"format": "png"}}}, *_pieces("image", {"source": {"bytes": "aQ=="}})],
        {"image": {"format": "png", "source": {"bytes": "aQ=="}}},
    ),
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_of_every_kind_are_put_together_by_their_index(kind: str) -> None:
    pieces, block = BLOCKS[kind]
    events = [
        {
            f"contentBlock{'Start' if 'start' in piece else 'Delta'}": {
                **piece,
                "contentBlockIndex": index,
            }
        }
        for piece in pieces
        for index in (3, 0)
    ]
    assert wire.fold_message(events)["output"]["message"]["content"] == [block, block]


@given(texts=st.lists(st.text(), min_size=1, max_size=5), data=st.data())
def test_any_text_cut_in_any_pieces_is_put_together(texts: list[str], data: st.DataObject) -> None:
    events: list[Json] = [{"messageStart": {"role": "assistant"}}]
    for index, text in enumerate(texts):
        cut = data.draw(st.integers(0, len(text)))
        for piece in (text[:cut], text[cut:]):
            told = {"contentBlockIndex": index, "delta": {"text": piece}}
            events.append({"contentBlockDelta": told})
    content = wire.fold_message(events)["output"]["message"]["content"]
    assert [block["text"] for block in content] == texts
    assert wire.fold_chunks(events)["output"]["message"]["content"] == [
        {"text": "".join(texts)}  # Nova makes a block of each piece
    ]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["usage", "inputTokens", "choices", "id", "results"]), inner
        )
    ),
    max_leaves=9,
)


@given(
    reply=JSON,
    headers=st.dictionaries(st.sampled_from(["x-amzn-bedrock-input-token-count"]), st.text()),
)
def test_any_reply_can_be_read(reply: Any, headers: dict[str, str]) -> None:
    span = LiveSpan("x")
    wire.request(span, {"body": reply})
    wire.response(span, reply, headers)
    span.end()


# How streams end.


@pytest.mark.parametrize("way", ["converse", "invoke"])
def test_a_stream_that_is_left_at_its_last_event_is_complete(
    client: Any, last: Callable[[], Span], way: str
) -> None:
    if way == "converse":
        reply = need(client, "converse_stream")(modelId="a.b", messages=HI)
        stream, mark = reply["stream"], "metadata"
    else:
        asked = {"modelId": "anthropic.claude", "body": json.dumps(MESSAGES)}
        reply = client.invoke_model_with_response_stream(**asked)
        stream, mark = reply["body"], "message_stop"
    for event in stream:
        if mark in str(event):
            break
    span = last()
    assert span.end_time_ns is not None
    assert "spanlog.stream.completed" not in span.attributes
    check_usage(span, "plain")


def test_a_stream_that_is_read_in_two_goes_is_one_span(
    client: Any, last: Callable[[], Span]
) -> None:
    asked = {"modelId": "anthropic.claude-long", "body": json.dumps(MESSAGES)}
    stream = client.invoke_model_with_response_stream(**asked)["body"]
    for number, _ in enumerate(stream):
        if number == 5:
            break
    gc.collect()
    assert last().end_time_ns is None
    list(stream)
    assert last().outputs["content"][0]["text"] == TEXT["long"]


@pytest.mark.parametrize("family", STREAMED)
def test_an_error_in_a_stream_keeps_what_had_arrived(
    client: Any, last: Callable[[], Span], family: str
) -> None:
    with pytest.raises(EventStreamError, match="throttlingException"):
        invoke_stream(client, family, "long-exc")
    span = last()
    assert span.status.status_code == "ERROR"
    assert span.status.description == (
        "throttlingException: Too many tokens, please wait before trying again."
    )
    assert span.attributes["error.type"] == "throttlingException"
    assert "word0 word1" in json.dumps(span.outputs)
    assert "word199" not in json.dumps(span.outputs)


def test_a_frame_whose_checksum_is_wrong_is_an_error(
    make: Callable[..., Any], traced: None, last: Callable[[], Span]
) -> None:
    chunk = {"bytes": b64encode(b'{"generation": "Hi"}').decode()}
    frame = eventstream.event("chunk", json.dumps(chunk).encode())
    sent = [frame, frame[:-1] + bytes([frame[-1] ^ 1])]
    with Loopback(lambda _: Reply(200, {"content-type": eventstream.CONTENT_TYPE}, sent)) as server:
        asked = {"modelId": "meta.llama", "body": "{}"}
        stream = make(endpoint_url=server.url).invoke_model_with_response_stream(**asked)["body"]
        with pytest.raises(Exception, match=r"[Cc]hecksum"):
            list(stream)
    assert last().status.description.startswith("ChecksumMismatch")
    assert last().outputs == {"generation": "Hi"}


# Agents and knowledge bases.

AGENT = {"agentAliasId": "ALIAS", "sessionId": "session", "inputText": "Hi"}


@pytest.mark.parametrize("scenario", ["plain", "long", "steps", "tools"])
@pytest.mark.parametrize("traces_asked", [True, False], ids=["traces", "no traces"])
def test_an_agent_is_recorded_with_what_it_tells(
    agents: Any, last: Callable[[], Span], scenario: str, traces_asked: bool
) -> None:
    reply = agents.invoke_agent(agentId=f"A-{scenario}", enableTrace=traces_asked, **AGENT)
    events = list(reply["completion"])
    span = last()
    assert (span.name, span.span_type) == (f"invoke_agent A-{scenario}", "AGENT")
    assert span.attributes["gen_ai.agent.id"] == f"A-{scenario}"
    assert span.attributes["gen_ai.conversation.id"] == "session"
    assert span.outputs["sessionId"] == "session"
    said = b"".join(event["chunk"]["bytes"] for event in events if "chunk" in event)
    assert span.outputs["completion"] == said.decode()
    if scenario == "tools":
        calls = span.outputs["returnControl"]["invocationInputs"]
        names = [call["functionInvocationInput"]["function"] for call in calls]
        assert names == [name for name, _ in TOOL_CALLS]
    else:
        assert span.outputs["completion"] == TEXT[scenario]
    if traces_asked:
        assert span.model == "anthropic.claude-plain-v1:0"
        check_usage_of_agent(span, scenario)
        assert len(span.outputs["traces"]) == sum("trace" in event for event in events)
    else:
        assert span.usage is None
        assert "traces" not in span.outputs


def check_usage_of_agent(span: Span, scenario: str) -> None:
    told, usage = USAGE[scenario], span.usage or {}
    assert (usage["input_tokens"], usage["output_tokens"]) == (told.input, told.output)


def test_files_and_citations_of_an_agent_are_kept() -> None:
    file = {"name": "a.csv", "type": "text/csv", "bytes": b64encode(b"a,b").decode()}
    euro = "€".encode()
    events = [
        {"chunk": {"bytes": b64encode(euro[:1]).decode()}},
        {"chunk": {"bytes": b64encode(euro[1:]).decode(), "attribution": {"citations": [1, 2]}}},
        {"chunk": {"bytes": b64encode(b"!").decode(), "attribution": {"citations": [3]}}},
        {"files": {"files": [file]}},
    ]
    assert wire.fold_agent(events) == {
        "completion": "€!",
        "citations": [1, 2, 3],
        "files": [{**file, "bytes": b"a,b"}],
    }


FOUND = {
    "content": {"text": "The sky is blue."},
    "location": {"type": "S3", "s3Location": {"uri": "s3://skies/day.txt"}},
    "metadata": {"page": 3},
    "score": 0.5,
}
CITED = {
    "generatedResponsePart": {"textResponsePart": {"span": {"end": 4, "start": 0}, "text": "Blue"}},
    "retrievedReferences": [{"content": {"text": "The sky is blue."}}],
}


def _knowledge(request: Request) -> Reply | None:
    """Answer the requests about knowledge bases, in the form that AWS documents."""
    headers = {"content-type": "application/json", "x-amzn-RequestId": "0" * 8}
    path = request.path.rpartition("/")[2]
    if path == "retrieveAndGenerateStream":
        events = [("output", {"text": "Bl"}), ("output", {"text": "ue"}), ("citation", CITED)]
        events.append(("guardrail", {"action": "NONE"}))
        frames = [eventstream.event(kind, json.dumps(told).encode()) for kind, told in events]
        headers |= {"content-type": eventstream.CONTENT_TYPE}
        return Reply(200, {**headers, "x-amzn-bedrock-knowledge-base-session-id": "s1"}, frames)
    replies: dict[str, Json] = {
        "retrieve": {"retrievalResults": [FOUND], "guardrailAction": "NONE"},
        "rerank": {"results": [{"index": 1, "relevanceScore": 0.5}]},
        "retrieveAndGenerate": {
            "sessionId": "s1",
            "output": {"text": "Blue"},
            "citations": [CITED],
            "guardrailAction": "NONE",
        },
    }
    if path not in replies:
        return None
    return Reply(200, headers, json.dumps(replies[path]).encode())


def test_what_a_knowledge_base_finds_are_documents(agents: Any, last: Callable[[], Span]) -> None:
    agents.retrieve(knowledgeBaseId="KB12345678", retrievalQuery={"text": "sky"})
    span = last()
    assert (span.name, span.span_type) == ("retrieval KB12345678", "RETRIEVER")
    assert span.inputs["retrievalQuery"] == {"text": "sky"}
    known = {"score": 0.5, "location": FOUND["location"]}
    if knows(agents, "Retrieve", "retrievalResults.metadata"):
        known["page"] = 3
    assert span.outputs == [
        {"page_content": "The sky is blue.", "metadata": known, "id": "s3://skies/day.txt"}
    ]
    assert span.attributes["aws.bedrock.knowledge_base.id"] == "KB12345678"


@pytest.mark.parametrize("method", ["retrieve_and_generate", "retrieve_and_generate_stream"])
def test_retrieve_and_generate_is_recorded(
    agents: Any, last: Callable[[], Span], method: str
) -> None:
    configuration = {
        "type": "KNOWLEDGE_BASE",
        "knowledgeBaseConfiguration": {
            "knowledgeBaseId": "KB12345678",
            "modelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova",
        },
    }
    reply = need(agents, method)(
        input={"text": "sky"}, retrieveAndGenerateConfiguration=configuration
    )
    if "stream" in reply:
        assert len(list(reply["stream"])) == 4
    span = last()
    assert (span.name, span.span_type) == ("retrieve_and_generate amazon.nova", "CHAIN")
    assert span.outputs["output"] == {"text": "Blue"}
    assert span.outputs["citations"] == [CITED]
    assert span.outputs["sessionId"] == "s1"
    facts = span.attributes
    assert facts["gen_ai.request.model"].endswith("/amazon.nova")
    if "stream" in reply or knows(agents, "RetrieveAndGenerate", "guardrailAction"):
        assert facts["aws.bedrock.guardrail.action"] == "NONE"


def test_reranking_is_recorded(agents: Any, last: Callable[[], Span]) -> None:
    text = {"type": "TEXT", "textDocument": {"text": "a"}}
    model = {"modelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.rerank-v1:0"}
    need(agents, "rerank")(
        queries=[{"type": "TEXT", "textQuery": {"text": "sky"}}],
        sources=[{"type": "INLINE", "inlineDocumentSource": text}],
        rerankingConfiguration={
            "type": "BEDROCK_RERANKING_MODEL",
            "bedrockRerankingConfiguration": {"modelConfiguration": model},
        },
    )
    span = last()
    assert (span.name, span.span_type) == ("rerank amazon.rerank-v1:0", "RERANKER")
    assert span.outputs == {"results": [{"index": 1, "relevanceScore": 0.5}]}


# Errors, retries, secrets.


@pytest.mark.parametrize("scenario", bedrock_routes.ERRORS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_error_of_aws_is_recorded_with_its_status_code_and_id(
    client: Any, last: Callable[[], Span], scenario: str, stream: bool
) -> None:
    status, code = bedrock_routes.ERRORS[scenario]
    with pytest.raises(ClientError) as caught:
        (invoke_stream if stream else invoke)(client, "anthropic", scenario)
    span, told = last(), caught.value.response
    assert span.status.description.startswith(type(caught.value).__name__)
    facts = span.attributes
    assert facts["error.type"] == code == told["Error"]["Code"]
    assert facts["http.response.status_code"] == status
    assert facts["http.response.request_id"] == told["ResponseMetadata"]["RequestId"]
    assert facts["error.body"]["Error"]["Message"] == told["Error"]["Message"].replace(
        KEY, "[redacted]"
    )


def test_an_error_before_anything_is_sent_is_recorded(
    make: Callable[..., Any], traced: None, last: Callable[[], Span]
) -> None:
    with pytest.raises(botocore.exceptions.ParamValidationError):
        make().invoke_model(modelId="a.b", body=7)
    assert last().attributes["error.type"] == "ParamValidationError"
    with pytest.raises(botocore.exceptions.EndpointConnectionError):
        make(endpoint_url="http://127.0.0.1:1").invoke_model(modelId="a.b", body="{}")
    assert last().attributes["error.type"] == "EndpointConnectionError"


def test_retries_are_counted_in_one_span(
    make: Callable[..., Any], traced: None, last: Callable[[], Span]
) -> None:
    invoke(make(retries=2), "llama", f"flaky-{id(last)}")
    assert last().attributes["http.request.resend_count"] == 1


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_no_key_is_in_the_database(
    client: Any, server: Loopback, last: Callable[[], Span], tmp_path: Path, stream: bool
) -> None:
    server.requests.clear()
    with pytest.raises(ClientError, match=KEY):
        (invoke_stream if stream else invoke)(client, "anthropic", "unauthorized")
    assert last().status.status_code == "ERROR"
    (sent,) = server.requests
    signature = re.search("Signature=(.*)", sent.headers["authorization"])
    spanlog.flush()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("spanlog.db*"))
    assert b"unauthorized" in stored
    for secret in (KEY, SECRET, TOKEN, signature[1] if signature else ""):
        assert secret
        assert secret.encode() not in stored


def test_what_a_client_proves_itself_with_is_known(
    make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bedrock._secrets(make()) == [KEY, SECRET, TOKEN]
    assert bedrock._secrets(make(config=Config(signature_version=botocore.UNSIGNED))) == []
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-0123456789")
    client = boto3.Session().client("bedrock-runtime", region_name="us-east-1")
    if client.meta.config.signature_version != "bearer":
        pytest.skip("this version knows no bearer tokens of Bedrock")
    assert bedrock._secrets(client) == ["bedrock-api-key-0123456789"]


# Other calls, stubs.


def test_other_calls_of_aws_make_no_span_and_their_replies_are_left_as_they_are(
    make: Callable[..., Any], traced: None, traces: Callable[[], list[Trace]]
) -> None:
    def aws(request: Request) -> Reply:
        return Reply(200, {"content-type": "application/json"}, b'{"TableNames": ["a"]}')

    assert make("bedrock").list_foundation_models()["modelSummaries"]
    runtime = make()
    if hasattr(runtime, "count_tokens"):
        runtime.count_tokens(modelId="a.b", input={"converse": {"messages": HI}})
    with Loopback(aws) as other:
        tables = make("dynamodb", endpoint_url=other.url).list_tables()
        assert tables["TableNames"] == ["a"]
        body = make("s3", endpoint_url=other.url).get_object(Bucket="bucket", Key="key")["Body"]
        assert type(body._raw_stream).__module__ == "urllib3.response"
        assert json.loads(body.read()) == {"TableNames": ["a"]}
    assert traces() == []


def test_a_stub_of_the_program_is_left_as_it_is(client: Any, last: Callable[[], Span]) -> None:
    body = io.BytesIO(b'{"generation": "Hi"}')
    with Stubber(client) as stubber:
        stubber.add_response("invoke_model", {"body": body, "contentType": "application/json"})
        assert client.invoke_model(modelId="a.b", body="{}")["body"] is body
        assert body.tell() == 0
    assert last().end_time_ns is not None
    assert last().outputs is None


# aiobotocore.


@pytest.mark.parametrize("way", ["read", "in parts", "iter_chunks", "iter_lines", "with", "left"])
@pytest.mark.parametrize("http", ["aiohttp", "httpx"])
async def test_a_body_of_aiobotocore_is_read_as_without_tracing_and_recorded(
    server: Loopback, traced: None, last: Callable[[], Span], http: str, way: str
) -> None:
    aiobotocore = pytest.importorskip("aiobotocore")
    session, config = import_module("aiobotocore.session"), import_module("aiobotocore.config")
    facts: Json = {"endpoint_url": server.url, "region_name": "us-east-1"}
    keys = {"aws_access_key_id": KEY, "aws_secret_access_key": SECRET}
    if http == "httpx":
        if aiobotocore.__version__ < "3" or not (find_spec("httpx2") or find_spec("httpx")):
            pytest.skip("httpx is not installed, or this version can hardly use it")
        facts["config"] = config.AioConfig(
            http_session_cls=import_module("aiobotocore.httpxsession").HttpxSession
        )
    found = b""
    async with session.get_session().create_client("bedrock-runtime", **facts, **keys) as client:
        asked = {"modelId": "anthropic.claude-tools", "body": json.dumps(MESSAGES)}
        body = (await client.invoke_model(**asked))["body"]
        if way == "read":
            found = await body.read()
        elif way == "in parts":
            while part := await body.read(7):
                found += part
        elif way == "with":
            async with body as raw:
                found = await raw.read()
        elif way == "left":
            found = await body.read(20)
        else:
            async for part in getattr(body, way)():
                found += part
        del body
    gc.collect()
    span = last()
    assert span.end_time_ns is not None
    if way != "left":
        assert span.outputs == json.loads(found)
    elif http == "aiohttp":  # by httpx, all that arrives together is read
        assert span.outputs == found.decode()
        assert span.attributes["spanlog.stream.completed"] is False
