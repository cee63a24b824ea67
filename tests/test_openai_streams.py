"""OpenAI's SDK, streamed: the span holds what the unstreamed reply would have held."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from fixtures.loopback import Loopback, Reply
from fixtures.openai_routes import AUDIO, CHOICES, REASONING, TEXT, TOOL_CALLS, USAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openai_calls import Client
    from spanlog.entities import Span, Trace

pytest_plugins = ("openai_calls",)

CHAT = "chat.completions.create"
WAV = ("fox.wav", b"RIFF\x00\xff\r\n", "audio/wav")
PNG = ("fox.png", b"\x89PNG\r\n\x1a\n", "image/png")
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}]


CHAT_SCENARIOS = ["plain", "json", "tools", "n2", "refusal", "reasoning", "cached", "logprobs"]
CHAT_SCENARIOS += ["audio", "length", "long", "toolloop"]
SCENARIOS = [
    *(("chat/completions", scenario) for scenario in CHAT_SCENARIOS),
    *(("completions", scenario) for scenario in ("plain", "n2", "logprobs", "length", "long")),
    *(("responses", s) for s in CHAT_SCENARIOS if s not in ("n2", "audio")),
]


def usage_body(route: str) -> dict[str, Any]:
    """What makes a stream tell of usage."""
    return {} if route == "responses" else {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize(("route", "scenario"), SCENARIOS)
async def test_a_streams_outputs_are_those_of_the_unstreamed_reply(
    client: Client, last: Callable[[], Span], route: str, scenario: str
) -> None:
    path, at, _, _, fields = client.ROUTES[route]
    more = {"tools": TOOLS} if "chat" in route and scenario == "toolloop" else {}
    extra = {**usage_body(route), **more}
    chunks = await client.call(path, model=scenario, stream=True, **fields, extra_body=extra)
    span = last()
    whole = client.answer(at, {"model": scenario, **fields, **more})
    for choice in whole.get("choices", ()):
        choice.get("message", {}).pop("annotations", None)  # which chunks do not tell of
    assert client.masked(span.outputs) == whole
    usage = USAGE[scenario if scenario != "toolloop" or more else "plain"]
    assert span.usage["input_tokens"] == usage.input
    assert span.usage["output_tokens"] == usage.output
    assert span.usage["total_tokens"] == usage.total
    assert span.attributes["spanlog.stream.chunks"] == len(chunks)
    assert 0 < span.attributes["gen_ai.response.time_to_first_chunk"] < 30
    assert "spanlog.stream.completed" not in span.attributes
    assert span.status.status_code == "OK"


@pytest.mark.parametrize("sending", ["split", "comments", "crlf", "split-crlf-comments", "slow"])
@pytest.mark.parametrize("route", ["chat/completions", "responses"])
async def test_how_a_stream_is_sent_makes_no_difference(
    client: Client, last: Callable[[], Span], route: str, sending: str
) -> None:
    path, at, _, _, fields = client.ROUTES[route]
    extra = usage_body(route)
    model = f"tools-{sending}"
    chunks = await client.call(path, model=model, stream=True, **fields, extra_body=extra)
    whole = client.answer(at, {"model": model.replace("slow", "split"), **fields})
    outputs = json.loads(json.dumps(client.masked(last().outputs)).replace("slow", "split"))
    for choice in whole.get("choices", ()):
        del choice["message"]["annotations"]
    assert outputs == whole
    assert last().attributes["spanlog.stream.chunks"] == len(chunks)


async def test_what_a_stream_holds_is_what_the_model_said(
    client: Client, traces: Callable[[], list[Trace]]
) -> None:
    for model in ("n2", "tools", "reasoning", "audio", "refusal", "logprobs"):
        await client.call(CHAT, model=model, messages=client.HI, stream=True)
    spans = [trace.data.spans[0] for trace in traces()]
    n2, tools, reasoning, audio, refusal, logprobs = (
        [choice["message"] | {"logprobs": choice["logprobs"]} for choice in span.outputs["choices"]]
        for span in spans
    )
    assert tuple(message["content"] for message in n2) == CHOICES
    calls = [call["function"] for call in tools[0]["tool_calls"]]
    assert tuple((call["name"], json.loads(call["arguments"])) for call in calls) == TOOL_CALLS
    assert reasoning[0]["reasoning_content"] == REASONING
    assert audio[0]["audio"]["transcript"] == TEXT["audio"]
    assert base64.b64decode(audio[0]["audio"]["data"]) == AUDIO
    assert refusal[0]["refusal"] == TEXT["refusal"]
    assert "".join(each["token"] for each in logprobs[0]["logprobs"]["content"]) == TEXT["logprobs"]
    assert [span.attributes["gen_ai.response.finish_reasons"] for span in spans] == [
        ["stop", "stop"],
        ["tool_calls"],
        *[["stop"]] * 4,
    ]
    assert all(span.usage is None for span in spans)  # none was asked for


async def test_a_stream_whose_last_event_was_received_has_ended_though_it_is_held(
    client: Client, last: Callable[[], Span]
) -> None:
    stream = client.method("responses.create")(model="long", input="Hi", stream=True)
    stream = await stream if client.is_async else stream
    iterator = stream.__aiter__() if client.is_async else iter(stream)
    kind = None
    while kind != "response.completed":
        kind = (await iterator.__anext__() if client.is_async else next(iterator)).type
    span = last()
    assert span.outputs["output"][0]["content"][0]["text"] == TEXT["long"]
    assert "spanlog.stream.completed" not in span.attributes
    closed = stream.close()
    await closed if client.is_async else None


@pytest.mark.parametrize("path", ["chat.completions", "beta.chat.completions"])
@pytest.mark.parametrize("scenario", ["plain", "tools", "n2", "refusal", "logprobs", "json"])
async def test_the_fold_of_a_chat_is_what_the_sdks_own_helper_makes_of_it(
    client: Client, last: Callable[[], Span], path: str, scenario: str
) -> None:
    usage = {"include_usage": True}
    manager = client.method(f"{path}.stream")(
        model=scenario, messages=client.HI, stream_options=usage
    )
    final = await client.managed(manager, "get_final_completion")
    folded = last().outputs
    assert plain(folded) == plain(final.model_dump())


def plain(value: Any) -> Any:
    """Data without nulls and without what the SDK adds to it: what it has parsed."""
    if isinstance(value, dict):
        added = ("parsed", "parsed_arguments", "obfuscation", "index")
        return {k: plain(v) for k, v in value.items() if v is not None and k not in added}
    return [plain(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("scenario", ["plain", "tools", "refusal", "reasoning", "length"])
async def test_the_fold_of_a_response_is_what_the_sdks_own_helper_makes_of_it(
    client: Client, last: Callable[[], Span], scenario: str
) -> None:
    manager = client.method("responses.stream")(model=scenario, input="Hi")
    if scenario == "length":  # no `response.completed`: the helper has no final response
        await client.managed(manager, "until_done")
        assert last().outputs["incomplete_details"] == {"reason": "max_output_tokens"}
        return
    final = await client.managed(manager, "get_final_response")
    assert plain(last().outputs) == plain(final.model_dump())


@pytest.mark.parametrize("path", ["chat.completions", "beta.chat.completions", "responses"])
async def test_parse_is_one_call(client: Client, last: Callable[[], Span], path: str) -> None:
    pydantic = pytest.importorskip("pydantic")
    trip = pydantic.create_model("Trip", city=(str, ...), days=(int, ...))
    fields = {"input": "Hi", "text_format": trip}
    if "chat" in path:
        fields = {"messages": client.HI, "response_format": trip}
    reply = await client.call(f"{path}.parse", model="json", **fields)
    span = last()
    expected = {"city": "Zürich", "days": 3}
    parsed = reply.output_parsed if path == "responses" else reply.choices[0].message.parsed
    assert parsed.model_dump() == expected
    assert TEXT["json"] in json.loads(json.dumps(list(walk(span.outputs))))
    assert "Trip" in json.dumps(span.inputs)


def walk(value: Any) -> Iterator[Any]:
    """All texts in some data."""
    if isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from walk(item)
    elif isinstance(value, str):
        yield value


MEDIA_STREAMS = {
    "images": ("images.generate", {"prompt": "fox"}, "images/generations"),
    "edits": ("images.edit", {"prompt": "fox", "image": PNG}, None),
    "transcriptions": ("audio.transcriptions.create", {"file": WAV}, None),
}


@pytest.mark.parametrize("route", MEDIA_STREAMS)
async def test_streams_of_images_and_transcripts_have_the_shape_of_the_whole_reply(
    client: Client, traces: Callable[[], list[Trace]], route: str
) -> None:
    path, fields, _ = MEDIA_STREAMS[route]
    await client.call(path, model="plain", stream=True, **fields)
    await client.call(path, model="plain", **fields)
    streamed, whole = (trace.data.spans[0] for trace in traces())
    assert streamed.usage == whole.usage
    assert streamed.usage["input_tokens"] == USAGE[route].input
    if route == "transcriptions":
        assert streamed.outputs == whole.outputs
    else:
        assert streamed.outputs["data"][0]["b64_json"] == whole.outputs["data"][0]["b64_json"]
        assert set(streamed.outputs) >= set(whole.outputs)


async def test_a_response_that_is_fetched_as_a_stream_is_recorded_and_fetched_plain_is_not(
    client: Client, traces: Callable[[], list[Trace]]
) -> None:
    path = "responses.retrieve"
    await client.call(path, response_id="resp_tools", stream=True)
    await client.call(path, response_id="resp_tools")
    (span,) = traces()[0].data.spans
    assert len(traces()) == 1
    assert span.name == "fetch_response"
    assert span.outputs["id"] == "resp_tools"
    assert [item["name"] for item in span.outputs["output"]] == [name for name, _ in TOOL_CALLS]


@pytest.mark.parametrize(
    ("model", "said"), [("plain-cut", "Hello"), ("errorevent", "Hello"), ("failed", None)]
)
async def test_a_response_that_fails_in_mid_stream_keeps_what_had_arrived(
    client: Client, last: Callable[[], Span], model: str, said: str | None
) -> None:
    method = client.method("responses.create")
    with contextlib.suppress(Exception):
        stream = method(model=model, input="Hi", stream=True)
        await client.read(await stream if client.is_async else stream)
    span = last()
    assert span.status.status_code == "ERROR"
    assert span.outputs["model"] == f"{model}-2026-01-01"
    if said:
        (item,) = span.outputs["output"]
        assert item["content"][0]["text"].startswith(said)
        assert item["content"][0]["type"] == "output_text"
    if "cut" not in model:
        assert span.attributes["error.type"]
        assert span.attributes["error.body"]["message"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_a_body_that_is_not_encoded_as_it_says_is_recorded_as_it_came(
    client: Client, last: Callable[[], Span], encoding: str
) -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": encoding}
    with Loopback(lambda request: Reply(200, headers, b"data: {}")) as server:
        sdk = client.make(api_key=client.KEY, base_url=server.url, max_retries=0)
        with contextlib.suppress(Exception):
            await client.call(CHAT, sdk, model="plain", messages=client.HI, stream=True)
        for _ in range(2):  # older SDKs do not close a stream that they cannot read
            gc.collect()
            await asyncio.sleep(0.002)
    span = last()
    assert span.status.status_code == "ERROR"
    assert span.outputs == "data:application/octet-stream;base64,ZGF0YToge30="


async def test_a_compressed_stream_is_recorded_as_what_it_holds(
    client: Client, last: Callable[[], Span]
) -> None:
    event = {"id": "1", "model": "m", "choices": [{"index": 0, "delta": {"content": "Hello"}}]}
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    body = gzip.compress(f"data: {json.dumps(event)}\n\ndata: [DONE]\n\n".encode())
    pieces = [body[:20], body[20:]]
    with Loopback(lambda request: Reply(200, headers, pieces)) as server:
        sdk = client.make(api_key=client.KEY, base_url=server.url, max_retries=0)
        await client.call(CHAT, sdk, model="plain", messages=client.HI, stream=True)
    assert last().outputs["choices"][0]["message"]["content"] == "Hello"
