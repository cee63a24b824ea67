"""Anthropic's SDK: each call in each form, what is recorded of it, and streams put together."""

from __future__ import annotations

import contextlib
import inspect
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from openai_calls import Client
from spanlog_integrations.wire import anthropic

from fixtures import anthropic_routes, bedrock_routes
from fixtures.anthropic_routes import (
    CITED,
    ERRORS,
    REDACTED,
    SERVER_TOOL,
    SIGNATURE,
    TEXT,
    THINKING,
    TOOL_CALLS,
    USAGE,
)
from fixtures.loopback import Loopback, Reply, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

    from spanlog.entities import Span, Trace

pytest.importorskip("anthropic", reason="Anthropic's SDK is not installed")

pytest_plugins = ("openai_calls",)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

Json = dict[str, Any]

KEY = "sk-ant-0123456789abcdef"
HI = [{"role": "user", "content": "Grüß Gott"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"name": "get_weather", "description": "The weather.", "input_schema": SCHEMA}]
SCENARIOS = [
    "plain",
    "tools",
    "thinking",
    "citations",
    "servertools",
    "cached",
    "length",
    "refusal",
    "json",
    "long",
    "toolloop",
]


class Anthropic(Client):
    """A sync or async client of Anthropic."""

    module = "anthropic"

    def new(self) -> Any:
        return self.make("Anthropic", api_key=KEY, base_url=self.url, max_retries=0)

    async def ask(
        self, model: str, path: str = "messages.create", sdk: Any = None, **more: Any
    ) -> Any:
        fields = {"model": model, "max_tokens": 99, "messages": HI, **more}
        return await self.call(path, sdk, **fields)

    def stream(self, model: str, path: str = "messages.stream", **more: Any) -> Any:
        return self.method(path)(model=model, max_tokens=99, messages=HI, **more)

    def whole(self, model: str, **more: Any) -> Json:
        """Return the unstreamed reply, read without the SDK."""
        return self.answer("messages", {"model": model, "messages": HI, **more})


# What a server answers with that the fixtures have not, by the model that is asked.
TOLD: dict[str, Sequence[Json]] = {}


def told(request: Request) -> Reply | None:
    """Answer with the events in `TOLD`."""
    asked = request.json or {}
    if not isinstance(asked, dict) or asked.get("model") not in TOLD:
        return None
    lines = [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in TOLD[asked["model"]]]
    return Reply(200, {"content-type": "text/event-stream"}, [line.encode() for line in lines])


def vertex(request: Request) -> Reply | None:
    """Answer on Vertex AI's routes, where the model is in the path, as on Anthropic's."""
    model = re.search(r"/publishers/anthropic/models/(.+):(streamR|r)awPredict", request.path)
    if not model:
        return None
    body = json.dumps({**request.json, "model": model[1]}).encode()
    return anthropic_routes.router(replace(request, path="/v1/messages", body=body))


@pytest.fixture(scope="module")
def anthropic_server() -> Iterator[Loopback]:
    with Loopback(told, vertex, anthropic_routes.router, bedrock_routes.router) as server:
        yield server


@pytest.fixture
def traced() -> Iterator[None]:
    spanlog.anthropic.autolog()
    yield
    spanlog.anthropic.autolog(disable=True)
    spanlog.anthropic.integration.explicit = False


@pytest.fixture(params=["sync", "async"])
async def client(
    request: pytest.FixtureRequest, anthropic_server: Loopback, traced: None
) -> AsyncIterator[Anthropic]:
    """Give a client, whose calls are traced."""
    anthropic_server.requests.clear()
    client = Anthropic(anthropic_server, is_async=request.param == "async")
    yield client
    closed = client.sdk.close()
    if client.is_async:
        await closed


# Whole replies.


@pytest.mark.parametrize("form", ["create", "with_raw_response.create"])
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_call_is_recorded_as_it_was_sent_and_answered(
    client: Anthropic, last: Callable[[], Span], scenario: str, form: str
) -> None:
    await client.ask(scenario, f"messages.{form}", tools=TOOLS)
    span = last()
    sent = client.server.requests[-1].json
    assert span.inputs == sent
    assert span.inputs == {"model": scenario, "max_tokens": 99, "messages": HI, "tools": TOOLS}
    assert client.masked(span.outputs) == client.whole(scenario, tools=TOOLS)
    assert (span.name, span.span_type) == (f"chat {scenario}", "CHAT_MODEL")
    check_facts(span, scenario)


def check_facts(span: Span, scenario: str) -> None:
    """The attributes are those of the reply."""
    facts, usage = span.attributes, USAGE[scenario]
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": scenario,
        "gen_ai.request.max_tokens": 99,
        "gen_ai.response.model": f"{scenario}-20260101",
        "gen_ai.response.id": span.outputs["id"],
        "gen_ai.response.finish_reasons": [span.outputs["stop_reason"]],
        "gen_ai.usage.input_tokens": usage.input + usage.cached + usage.cache_write,
        "gen_ai.usage.output_tokens": usage.output,
        "gen_ai.usage.total_tokens": usage.total,
        "server.address": "127.0.0.1",
    }
    assert {name: facts.get(name) for name in expected} == expected
    assert facts.get("gen_ai.usage.cache_read.input_tokens", 0) == usage.cached
    assert facts.get("gen_ai.usage.cache_creation.input_tokens", 0) == usage.cache_write
    assert facts.get("gen_ai.usage.reasoning.output_tokens", 0) == usage.reasoning


async def test_a_streaming_response_is_recorded(
    client: Anthropic, last: Callable[[], Span]
) -> None:
    make = client.method("messages.with_streaming_response.create")
    body = await client.managed(make(model="tools", max_tokens=99, messages=HI), "read")
    assert client.masked(last().outputs) == client.masked(json.loads(body))
    assert last().attributes["http.response.request_id"].startswith("req_")
    check_facts(last(), "tools")


async def test_parameters_and_tools_are_attributes(
    client: Anthropic, last: Callable[[], Span]
) -> None:
    tier, thinking = "standard_only", {"type": "enabled", "budget_tokens": 2048}
    await client.ask(
        "plain",
        temperature=0.5,
        top_p=0.9,
        top_k=40,
        stop_sequences=["x", "y"],
        system="Be brief.",
        tools=TOOLS,
        thinking=thinking,
        service_tier=tier,
        output_config={"effort": "low"},
    )
    facts = last().attributes
    expected = {
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.top_k": 40,
        "gen_ai.request.stop_sequences": ["x", "y"],
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.tool.definitions": TOOLS,
        "anthropic.request.thinking.type": "enabled",
        "anthropic.request.thinking.budget_tokens": 2048,
        "anthropic.request.service_tier": tier,
    }
    assert {name: facts.get(name) for name in expected} == expected
    assert last().inputs["system"] == "Be brief."
    assert last().inputs == client.server.requests[-1].json


async def test_what_was_not_given_is_not_recorded(
    client: Anthropic, last: Callable[[], Span]
) -> None:
    kinds = (client.package.NotGiven, getattr(client.package, "Omit", client.package.NotGiven))
    for kind in kinds:
        await client.ask("plain", temperature=kind(), system=kind(), tools=kind())
        assert last().inputs == {"model": "plain", "max_tokens": 99, "messages": HI}
    if len(set(kinds)) == 2:  # newer versions leave it out of what is inside, too
        block = {"type": "text", "text": "Hi", "cache_control": kinds[1]()}
        await client.ask(
            "plain",
            messages=[{"role": "user", "content": [block]}],
            tools=[{**TOOLS[0], "description": kinds[0]()}],
        )
        assert last().inputs == client.server.requests[-1].json
        definitions = last().attributes["gen_ai.tool.definitions"]
        assert definitions == [{"name": "get_weather", "input_schema": SCHEMA}]


@pytest.mark.parametrize("scenario", ["tools", "thinking", "citations", "servertools"])
async def test_a_reply_that_is_sent_back_is_recorded_as_it_was_sent(
    client: Anthropic, last: Callable[[], Span], scenario: str
) -> None:
    reply = await client.ask(scenario)
    await client.ask("plain", messages=[*HI, {"role": "assistant", "content": reply.content}, *HI])
    assert last().inputs == client.server.requests[-1].json
    assert (
        client.masked(last().inputs["messages"][1]["content"]) == client.whole(scenario)["content"]
    )


# Streams.


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_streams_outputs_are_those_of_the_unstreamed_reply(
    client: Anthropic, last: Callable[[], Span], scenario: str
) -> None:
    chunks = await client.ask(scenario, stream=True, tools=TOOLS)
    span = last()
    assert client.masked(span.outputs) == client.whole(scenario, tools=TOOLS)
    check_facts(span, scenario)
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["spanlog.stream.chunks"] == len(chunks)
    assert 0 < span.attributes["gen_ai.response.time_to_first_chunk"] < 30
    assert "spanlog.stream.completed" not in span.attributes
    assert span.status.status_code == "OK"


@pytest.mark.parametrize("sending", ["split", "comments", "crlf", "split-crlf-comments", "slow"])
async def test_how_a_stream_is_sent_makes_no_difference(
    client: Anthropic, last: Callable[[], Span], sending: str
) -> None:
    await client.ask(f"thinking-{sending}", stream=True)
    assert last().outputs["content"] == client.whole("thinking")["content"]


async def test_what_a_stream_holds_is_what_the_model_said(
    client: Anthropic, traces: Callable[[], list[Trace]]
) -> None:
    for model in ("tools", "thinking", "citations", "servertools"):
        await client.ask(model, stream=True)
    tools, thinking, citations, server = (
        trace.data.spans[0].outputs["content"] for trace in traces()
    )
    assert tuple((call["name"], call["input"]) for call in tools[1:]) == TOOL_CALLS
    assert [block["type"] for block in thinking] == ["thinking", "redacted_thinking", "text"]
    assert (thinking[0]["thinking"], thinking[0]["signature"]) == (THINKING, SIGNATURE)
    assert thinking[1]["data"] == REDACTED
    cited = [cite["cited_text"] for block in citations for cite in block.get("citations", ())]
    assert tuple(cited) == CITED
    assert "".join(block["text"] for block in citations) == TEXT["citations"]
    assert (server[0]["name"], server[0]["input"]) == SERVER_TOOL
    assert server[1]["type"] == "web_search_tool_result"


async def events_of(stream: Any, client: Anthropic) -> list[Any]:
    return [item async for item in stream] if client.is_async else list(stream)


async def until(stream: Any, client: Anthropic, kind: str) -> None:
    """Read with `next()` until an event of this type has come."""
    event = None
    while getattr(event, "type", None) != kind:
        event = await stream.__anext__() if client.is_async else next(stream)


async def use(stream: Any, client: Anthropic, way: str) -> None:
    """Use the helper of `.stream()` in one of its ways."""
    if way == "for":
        assert await events_of(stream, client)
    elif way == "next":
        await until(stream, client, "message_stop")
    elif way == "text_stream":
        assert "".join(await events_of(stream.text_stream, client)) == TEXT["plain"]
    else:
        result = getattr(stream, way)()
        result = await result if client.is_async else result
        assert way != "get_final_text" or result == TEXT["plain"]


WAYS = ["for", "next", "text_stream", "get_final_message", "get_final_text", "until_done"]


@pytest.mark.parametrize("path", ["messages.stream", "beta.messages.stream"])
@pytest.mark.parametrize("way", WAYS)
async def test_the_helper_of_a_stream_works_in_each_way_and_is_one_span(
    client: Anthropic, last: Callable[[], Span], way: str, path: str
) -> None:
    async with entered(client, client.stream("plain", path)) as stream:
        await use(stream, client, way)
    assert client.masked(last().outputs) == client.whole("plain")
    check_facts(last(), "plain")


@contextlib.asynccontextmanager
async def entered(client: Anthropic, manager: Any) -> AsyncIterator[Any]:
    """Enter a context manager, be it async or not."""
    if client.is_async:
        async with manager as opened:
            yield opened
    else:
        with manager as opened:
            yield opened


@pytest.mark.parametrize("path", ["messages.stream", "beta.messages.stream"])
@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s != "toolloop"])
async def test_the_fold_is_what_the_sdks_own_helper_makes_of_the_stream(
    client: Anthropic, last: Callable[[], Span], scenario: str, path: str
) -> None:
    if client.package.__version__.startswith("0.30") and scenario in NOT_IN_THE_FIRST:
        pytest.skip("this version's helper does not know such blocks")
    final = await client.managed(client.stream(scenario, path), "get_final_message")
    ours, theirs = plain(last().outputs), plain(final.model_dump(by_alias=True))
    if client.package.__version__.startswith("0.30"):  # whose helper reads no usage but output's
        ours["usage"], theirs["usage"] = {}, {}
    assert ours == theirs


NOT_IN_THE_FIRST = ("tools", "thinking", "citations", "servertools", "refusal")


def plain(value: Any) -> Any:
    """Data without nulls and without what the SDK adds to it."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items() if v is not None and k != "parsed_output"}
    return [plain(item) for item in value] if isinstance(value, list) else value


def event(kind: str, **fields: Any) -> Json:
    return {"type": kind, **fields}


def block(index: int, begun: Json, *deltas: Json) -> list[Json]:
    """Return the events of a block."""
    return [
        event("content_block_start", index=index, content_block=begun),
        *(event("content_block_delta", index=index, delta=delta) for delta in deltas),
        event("content_block_stop", index=index),
    ]


def message(model: str, *blocks: list[Json], usage: Json, **more: Any) -> list[Json]:
    """Return the events of a message."""
    started = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "container": {"id": "container_1", "expires_at": "2026-01-01T00:00:00Z", "skills": []},
        "usage": {"input_tokens": 5, "output_tokens": 1, "cache_read_input_tokens": 2},
    }
    delta = {"stop_reason": "end_turn", "stop_sequence": None, "container": None}
    return [
        event("message_start", message=started),
        *(event for events in blocks for event in events),
        event("message_delta", delta={**delta, **more.pop("delta", {})}, usage=usage, **more),
        event("message_stop"),
    ]


CLEARED = {"type": "clear_tool_uses_20250919", "cleared_tool_uses": 1, "cleared_input_tokens": 9}
TOLD |= {
    "told-context": message(
        "told",
        block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"}),
        usage={"output_tokens": 7, "input_tokens": None},
        context_management={"applied_edits": [CLEARED]},
    ),
    "told-container": message(
        "told",
        block(0, {"type": "text", "text": "H"}, {"type": "text_delta", "text": "i"}),
        usage={"output_tokens": 7, "input_tokens": 6, "cache_creation_input_tokens": 4},
        delta={"container": {"id": "container_2", "expires_at": "2026-01-02T00:00:00Z"}},
    ),
    "told-compaction": message(
        "told",
        block(
            0,
            {"type": "compaction", "content": None},
            {"type": "compaction_delta", "content": "In short.", "encrypted_content": "ZW5j"},
        ),
        usage={"output_tokens": 7},
        delta={"stop_reason": "compaction"},
    ),
    "told-fallback": message(
        "told",
        block(0, {"type": "fallback", "from": {"model": "told"}, "to": {"model": "other"}}),
        block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"}),
        usage={"output_tokens": 7},
    ),
    "told-empty-input": message(
        "told",
        block(
            0,
            {"type": "tool_use", "id": "toolu_1", "name": "now", "input": {}},
            {"type": "input_json_delta", "partial_json": ""},
        ),
        usage={"output_tokens": 7},
        delta={"stop_reason": "tool_use"},
    ),
    "told-mcp": message(
        "told",
        block(
            0,
            {"type": "mcp_tool_use", "id": "m_1", "name": "now", "server_name": "s", "input": {}},
            {"type": "input_json_delta", "partial_json": '{"a"'},
            {"type": "input_json_delta", "partial_json": ": 1}"},
        ),
        usage={"output_tokens": 7},
    ),
}


@pytest.mark.parametrize("model", TOLD)
async def test_what_only_the_beta_api_tells_is_put_together_as_the_sdk_does(
    client: Anthropic, last: Callable[[], Span], model: str
) -> None:
    stream = client.stream(model, "beta.messages.stream")
    final = await client.managed(stream, "get_final_message")
    assert plain(last().outputs) == plain(final.model_dump(by_alias=True, mode="json")) | {
        "usage": plain(last().outputs["usage"])
    }
    assert last().model == ("other" if "fallback" in model else "told")


def test_null_says_nothing_new() -> None:
    folded = anthropic.fold(TOLD["told-context"])
    assert folded["usage"]["input_tokens"] == 5
    assert folded["container"]["id"] == "container_1"
    assert folded["stop_sequence"] is None


def test_a_tools_input_that_was_cut_off_is_kept_as_text() -> None:
    started, begun, first, *_ = TOLD["told-mcp"]
    assert anthropic.fold([started, begun, first])["content"][0]["input"] == '{"a"'


# Helpers that call a model, once or often.


async def test_parse_is_one_call(client: Anthropic, last: Callable[[], Span]) -> None:
    pydantic = pytest.importorskip("pydantic")
    trip = pydantic.create_model("Trip", city=(str, ...), days=(int, ...))
    for path in ("messages.parse", "beta.messages.parse"):
        reply = await client.ask("json", path, output_format=trip)
        assert reply.parsed_output.model_dump() == {"city": "Zürich", "days": 3}
        assert last().inputs == client.server.requests[-1].json
        assert last().outputs["content"][0]["text"] == TEXT["json"]
        check_facts(last(), "json")


async def test_a_reply_that_cannot_be_parsed_is_recorded_with_the_error(
    client: Anthropic, last: Callable[[], Span]
) -> None:
    pydantic = pytest.importorskip("pydantic")
    trip = pydantic.create_model("Trip", city=(str, ...), days=(int, ...))
    client.method("messages.parse")
    with pytest.raises(pydantic.ValidationError):
        await client.ask("plain", "messages.parse", output_format=trip)
    assert client.masked(last().outputs) == client.whole("plain")
    assert last().status.status_code == "ERROR"
    assert last().usage["output_tokens"] == USAGE["plain"].output


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_each_call_of_the_tool_runner_is_a_span(
    client: Anthropic, traces: Callable[[], list[Trace]], stream: bool
) -> None:
    run = client.method("beta.messages.tool_runner")
    tool = client.package.beta_async_tool if client.is_async else client.package.beta_tool

    def get_weather(city: str) -> str:
        """Tell the weather.

        Args:
            city: Where.
        """
        with spanlog.start_span("get_weather"):
            return f"Sunny in {city}."

    async def get_weather_later(city: str) -> str:
        """Tell the weather.

        Args:
            city: Where.
        """
        return get_weather(city)

    offered = tool(get_weather_later if client.is_async else get_weather)
    with spanlog.start_span("agent"):
        runner = run(model="toolloop", max_tokens=99, messages=HI, tools=[offered], stream=stream)
        if stream:
            for each in await events_of(runner, client):
                await use(each, client, "until_done")
        else:
            final = runner.until_done()
            final = await final if client.is_async else final
            assert "Sunny in Paris." in final.content[0].text
    (trace,) = traces()
    agent, *spans = trace.data.spans
    names = ["chat toolloop", "get_weather", "chat toolloop"]
    assert [(span.name, span.parent_id) for span in spans] == [(n, agent.span_id) for n in names]
    first, last = spans[0], spans[-1]
    assert first.outputs["stop_reason"] == "tool_use"
    assert "Sunny in Paris." in last.outputs["content"][0]["text"]
    assert "Sunny in Paris." in json.dumps(last.inputs["messages"][-1])
    expected = USAGE["toolloop"].total + USAGE["toolresult"].total
    assert trace.info.token_usage["total_tokens"] == expected


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("scenario", ["plain", "length"])
async def test_completions_of_the_first_versions(
    client: Anthropic, last: Callable[[], Span], scenario: str, stream: bool
) -> None:
    fields = {"prompt": "\n\nHuman: Hi\n\nAssistant:", "max_tokens_to_sample": 9}
    await client.call("completions.create", model=scenario, stream=stream, **fields)
    span = last()
    assert client.masked(span.outputs) == client.answer("complete", {"model": scenario})
    assert span.outputs["completion"].strip() == TEXT[scenario]
    assert (span.name, span.span_type) == (f"text_completion {scenario}", "LLM")
    assert span.attributes["gen_ai.request.max_tokens"] == 9
    assert span.attributes["gen_ai.response.finish_reasons"] == [span.outputs["stop_reason"]]


CALLS_OF_NO_MODEL: dict[str, Json] = {
    "messages.count_tokens": {"model": "plain", "messages": HI},
    "beta.messages.count_tokens": {"model": "plain", "messages": HI},
    "models.list": {},
    "count_tokens": {"text": "Hi"},
}


@pytest.mark.parametrize("path", CALLS_OF_NO_MODEL)
async def test_calls_of_no_model_make_no_span(
    client: Anthropic, traces: Callable[[], list[Trace]], path: str
) -> None:
    await client.call(path, **CALLS_OF_NO_MODEL[path])
    assert traces() == []


# Errors and secrets.


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("model", "status"), ERRORS.items())
async def test_an_error_is_recorded_with_its_status_its_body_and_no_secret(
    client: Anthropic,
    last: Callable[[], Span],
    tmp_path: Path,
    model: str,
    status: int,
    stream: bool,
) -> None:
    with pytest.raises(client.package.APIStatusError) as caught:
        await client.ask(model, stream=stream)
    span = last()
    assert span.attributes["http.response.status_code"] == status
    assert span.attributes["error.type"]
    assert span.attributes["http.response.request_id"].startswith("req_")
    body = json.loads(caught.value.response.text.replace(KEY, "[redacted]"))
    assert span.attributes["error.body"] == body
    assert span.status.description.startswith(
        f"{type(caught.value).__name__}: Error code: {status}"
    )
    assert KEY.encode() not in everything_in(tmp_path)


def everything_in(folder: Path) -> bytes:
    """Return all bytes of the test's database."""
    spanlog.flush()
    return b"".join(path.read_bytes() for path in folder.glob("spanlog.db*"))


async def test_the_token_of_a_tool_server_is_sent_and_not_recorded(
    client: Anthropic, last: Callable[[], Span], tmp_path: Path
) -> None:
    server = {"type": "url", "name": "s", "url": "https://s.example"}
    servers = [{**server, "authorization_token": KEY}]
    await client.ask("plain", extra_body={"mcp_servers": servers})
    assert client.server.requests[-1].json["mcp_servers"] == servers
    assert last().inputs["mcp_servers"] == [{**server, "authorization_token": "[redacted]"}]
    assert KEY.encode() not in everything_in(tmp_path)


async def test_an_error_in_mid_stream_is_the_spans(
    client: Anthropic, last: Callable[[], Span]
) -> None:
    with pytest.raises(client.package.APIStatusError):
        await client.managed(client.stream("errorevent"), "get_final_message")
    span = last()
    assert span.outputs["content"] == [{"type": "text", "text": TEXT["errorevent"]}]
    assert span.attributes["error.type"] == "overloaded_error"
    assert span.status.description == "overloaded_error: Overloaded"


# Other clouds.

CLOUDS = {
    "AnthropicBedrock": (
        "aws.bedrock",
        {"aws_access_key": KEY, "aws_secret_key": f"{KEY}2", "aws_region": "us-east-1"},
    ),
    "AnthropicVertex": (
        "gcp.vertex_ai",
        {"access_token": KEY, "region": "us-east5", "project_id": "p"},
    ),
    "AnthropicFoundry": ("anthropic", {"api_key": KEY}),
}


@contextlib.asynccontextmanager
async def of_cloud(client: Anthropic, cloud: str) -> AsyncIterator[Any]:
    """Give a client of a cloud."""
    for module in {"AnthropicBedrock": ("botocore",), "AnthropicVertex": ("google.auth",)}.get(
        cloud, ()
    ):
        pytest.importorskip(module)
    if not hasattr(client.package, cloud):
        pytest.skip(f"this version has no {cloud}")
    facts = CLOUDS[cloud][1]
    sdk = client.make(cloud, base_url=client.url, max_retries=0, **facts)
    yield sdk
    closed = sdk.close()
    if client.is_async:
        await closed


@pytest.mark.parametrize("path", ["messages.create", "beta.messages.create"])
@pytest.mark.parametrize("scenario", ["plain", "tools", "thinking"])
@pytest.mark.parametrize("cloud", CLOUDS)
async def test_clients_of_other_clouds_are_traced_alike(
    client: Anthropic, traces: Callable[[], list[Trace]], cloud: str, scenario: str, path: str
) -> None:
    async with of_cloud(client, cloud) as sdk:
        method = client.method(path, sdk)
        for stream in (False, True):
            reply = method(model=scenario, max_tokens=99, messages=HI, stream=stream)
            reply = await reply if client.is_async else reply
            if stream:
                await client.read(reply)
    spans = [trace.data.spans[0] for trace in traces()]
    whole = client.whole(scenario)
    for span in spans:
        content = json.dumps(client.masked(span.outputs["content"])).replace("bdrk_", "")
        assert json.loads(content) == whole["content"]
        assert span.usage["total_tokens"] == USAGE[scenario].total
        assert span.attributes["gen_ai.provider.name"] == CLOUDS[cloud][0]
        assert span.attributes["gen_ai.request.model"] == scenario
    assert client.masked(spans[0].outputs) == client.masked(spans[1].outputs)


@pytest.mark.parametrize("cloud", CLOUDS)
async def test_no_key_of_a_cloud_is_in_the_database(
    client: Anthropic, last: Callable[[], Span], tmp_path: Path, cloud: str
) -> None:
    async with of_cloud(client, cloud) as sdk:
        with pytest.raises(client.package.APIStatusError):
            await client.ask("unauthorized", sdk=sdk)
    assert last().attributes["http.response.status_code"] in (401, 403)
    assert last().attributes["http.response.request_id"]
    assert "[redacted]" in json.dumps(last().attributes["error.body"])
    assert KEY.encode() not in everything_in(tmp_path)


# The SDK's own spans.


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_the_sdks_own_spans_go_their_own_way_and_ours_is_one(
    client: Anthropic, last: Callable[[], Span], traces: Callable[[], list[Trace]], stream: bool
) -> None:
    otel = pytest.importorskip("opentelemetry.sdk.trace")
    export = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    process = pytest.importorskip("opentelemetry.sdk.trace.export")
    if not hasattr(client.package, "_tracing"):
        pytest.skip("this version has no spans of its own")
    exporter, provider = export.InMemorySpanExporter(), otel.TracerProvider()
    provider.add_span_processor(process.SimpleSpanProcessor(exporter))
    facts = {"api_key": KEY, "base_url": client.url}
    sdk = client.make("Anthropic", open_telemetry={"tracer_provider": provider}, **facts)
    await client.ask("plain", sdk=sdk, stream=stream)
    (theirs,) = exporter.get_finished_spans()
    assert theirs.name == "anthropic.messages.create"
    assert len(traces()) == 1
    assert last().usage["input_tokens"] == theirs.attributes["gen_ai.usage.input_tokens"]
    assert client.masked(last().outputs) == client.whole("plain")
    assert {name for name in last().attributes if name.startswith("anthropic.message")} == set()


async def test_a_stream_that_a_middleware_of_the_programs_made_is_recorded(
    client: Anthropic, last: Callable[[], Span]
) -> None:
    if "middleware" not in inspect.signature(client.package.Anthropic).parameters:
        pytest.skip("this version has no middleware")

    def made(request: Any, sent: Any, body: bytes) -> Any:
        headers = {"content-type": "text/event-stream"}
        return type(sent)(
            raw=type(sent.http_response)(200, headers=headers, content=body),
            cast_to=request.cast_to,
            client=sdk,
            stream=True,
            stream_cls=request.stream_cls,
            options=request.options,
        )

    def replay(request: Any, call_next: Any) -> Any:
        sent = call_next(request)
        return made(request, sent, sent.read())

    async def replay_later(request: Any, call_next: Any) -> Any:
        sent = await call_next(request)
        return made(request, sent, await sent.read())

    facts = {"api_key": KEY, "base_url": client.url}
    between = replay_later if client.is_async else replay
    sdk = client.make("Anthropic", middleware=[between], **facts)
    await client.ask("plain", sdk=sdk, stream=True)
    assert client.masked(last().outputs) == client.whole("plain")
