"""Groq's SDK: each route in each form, and what is Groq's own in replies and streams."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from hypothesis import given
from hypothesis import strategies as st
from openai_calls import HI, KEY, Client
from spanlog_integrations import groq

from fixtures import asked
from fixtures.groq_routes import (
    CHOICES,
    EXECUTED,
    REASONING,
    TEXT,
    TOOL_CALLS,
    USAGE,
    router,
)
from fixtures.loopback import Loopback, Reply, Request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from spanlog.entities import Span, Trace

pytest_plugins = ("openai_calls",)

Json = dict[str, Any]

WAV = ("fox.wav", b"RIFF\x00\xff\r\n", "audio/wav")
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
SCENARIOS = [word for word in USAGE if word not in ("toolresult", "embeddings")]
TIMES = ("queue_time", "prompt_time", "completion_time", "total_time")


class Groq(Client):
    """A sync or async client of Groq."""

    module = "groq"

    def new(self) -> Any:
        self.url = f"{self.server.url}/openai"
        return self.make("Groq", api_key=KEY, base_url=self.server.url, max_retries=0)

    async def ask(self, model: str, form: str = "create", **more: Any) -> Any:
        fields = {"model": model, "messages": HI, "tools": TOOLS, **more}
        return await self.call(f"chat.completions.{form}", **fields)

    def whole(self, model: str) -> Json:
        """Return the unstreamed reply, read without the SDK."""
        fields = {"model": model, "messages": HI, "tools": TOOLS}
        reply: Json = self.answer("chat/completions", fields)
        return reply


# What a server streams that the fixtures have not, by the model that is asked.
TOLD: dict[str, Sequence[Json]] = {}


def told(request: Request) -> Reply | None:
    """Answer with the chunks in `TOLD`."""
    model = asked.fields(request).get("model")
    if model not in TOLD:
        return None
    lines = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in TOLD[model]]
    return Reply(200, {"content-type": "text/event-stream"}, [*lines, b"data: [DONE]\n\n"])


@pytest.fixture(scope="module")
def groq_server() -> Iterator[Loopback]:
    with Loopback(told, router) as server:
        yield server


@pytest.fixture(params=["sync", "async"])
async def client(request: pytest.FixtureRequest, groq_server: Loopback) -> AsyncIterator[Groq]:
    """Give a client, whose calls are traced."""
    groq_server.requests.clear()
    client = Groq(groq_server, is_async=request.param == "async")
    spanlog.groq.autolog()
    yield client
    spanlog.groq.autolog(disable=True)
    spanlog.groq.integration.explicit = False
    closed = client.sdk.close()
    if client.is_async:
        await closed


def content(reply: Json) -> Json:
    """A reply without what is empty and without what Groq tells in one of the two forms only."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(item) for item in value]
        if not isinstance(value, dict):
            return value
        only_once = ("channel", "service_tier")
        return {k: plain(v) for k, v in value.items() if v not in (None, "") and k not in only_once}

    kept: Json = plain(reply)
    return kept


@pytest.mark.parametrize("form", ["create", "with_raw_response.create"])
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_call_is_recorded_as_it_was_sent_and_answered(
    client: Groq, last: Callable[[], Span], scenario: str, form: str
) -> None:
    await client.ask(scenario, form)
    span = last()
    assert span.inputs == client.server.requests[-1].json
    assert client.masked(span.outputs) == client.whole(scenario)
    assert (span.name, span.span_type) == (f"chat {scenario}", "CHAT_MODEL")
    assert span.attributes["gen_ai.provider.name"] == "groq"
    assert span.attributes["gen_ai.tool.definitions"] == TOOLS
    assert span.attributes["http.response.request_id"].startswith("req_")


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("reports", [False, True], ids=["x_groq", "include_usage"])
async def test_a_stream_is_recorded_as_the_reply_that_was_not_streamed(
    client: Groq, last: Callable[[], Span], scenario: str, reports: bool
) -> None:
    options = {"extra_body": {"stream_options": {"include_usage": True}}} if reports else {}
    await client.ask(scenario, stream=True, **options)
    assert content(client.masked(last().outputs)) == content(client.whole(scenario))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_what_the_model_says_is_recorded(
    client: Groq, traces: Callable[[], list[Trace]], stream: bool
) -> None:
    for scenario in ("n2", "reasoning", "tools", "search"):
        await client.ask(scenario, stream=stream)
    said = [
        [choice["message"] for choice in trace.data.spans[0].outputs["choices"]]
        for trace in traces()
    ]
    assert [message["content"] for message in said[0]] == list(CHOICES)
    assert said[1][0]["reasoning"] == REASONING
    assert said[1][0]["content"] == TEXT["reasoning"]
    called = [call["function"] for call in said[2][0]["tool_calls"]]
    assert [(c["name"], json.loads(c["arguments"])) for c in called] == list(TOOL_CALLS)
    (ran,) = said[3][0]["executed_tools"]
    assert (ran["type"], json.loads(ran["arguments"])) == EXECUTED


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_usage_and_how_long_it_took_are_recorded(
    client: Groq, last: Callable[[], Span], scenario: str, stream: bool
) -> None:
    await client.ask(scenario, stream=stream)
    facts, usage = last().attributes, USAGE[scenario]
    assert facts["gen_ai.usage.input_tokens"] == usage.input
    assert facts["gen_ai.usage.output_tokens"] == usage.output
    assert facts["gen_ai.usage.total_tokens"] == usage.input + usage.output
    assert facts.get("gen_ai.usage.cache_read.input_tokens", 0) == usage.cached
    assert facts.get("gen_ai.usage.reasoning.output_tokens", 0) == usage.reasoning
    assert facts["gen_ai.response.finish_reasons"]
    assert facts["gen_ai.response.model"] == f"{scenario}-2026-01-01"
    for name in TIMES:
        assert facts[f"groq.usage.{name}"] == client.whole(scenario)["usage"][name]


@pytest.mark.parametrize(
    ("path", "operation", "span_type", "fields"),
    [
        ("audio.transcriptions.create", "transcription", "LLM", {"file": WAV}),
        ("audio.translations.create", "translation", "LLM", {"file": WAV}),
        ("audio.speech.create", "speech", "LLM", {"input": "x", "voice": "v"}),
        ("embeddings.create", "embeddings", "EMBEDDING", {"input": ["a", "b"]}),
    ],
)
async def test_other_routes(
    client: Groq,
    last: Callable[[], Span],
    path: str,
    operation: str,
    span_type: str,
    fields: Json,
) -> None:
    reply = await client.call(path, model="plain", **fields)
    span = last()
    assert (span.name, span.span_type) == (f"{operation} plain", span_type)
    route = path.split(".")[1]
    if route in TEXT:
        assert span.outputs["text"] == reply.text == TEXT[route]
        assert span.inputs["file"][0]["filename"] == "fox.wav"
    elif operation == "embeddings":
        assert [item["embedding"] for item in span.outputs["data"]] == [
            item.embedding for item in reply.data
        ]
        assert span.usage["input_tokens"] == USAGE["embeddings"].input
    else:
        assert span.outputs.startswith("data:application/octet-stream;base64,UklGR")  # "RIFF"


async def test_a_stream_that_was_stopped_early_is_an_error_with_what_had_come(
    client: Groq, last: Callable[[], Span]
) -> None:
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    spelled = {"index": 0, "delta": {"content": "So far"}, "finish_reason": None}
    TOLD["stopped"] = [
        {**chunk, "choices": [spelled], "x_groq": {"id": "req_1"}},
        {**chunk, "choices": [], "x_groq": {"id": "req_1", "error": "over capacity"}},
    ]
    await client.ask("stopped", stream=True)
    span = last()
    assert span.outputs["choices"][0]["message"]["content"] == "So far"
    assert span.status.status_code == "ERROR"
    assert "over capacity" in span.status.description


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_no_key_is_in_the_database(
    client: Groq, last: Callable[[], Span], stored: Callable[[], bytes], stream: bool
) -> None:
    with pytest.raises(client.package.AuthenticationError):
        await client.ask("unauthorized", stream=stream)
    assert last().attributes["http.response.status_code"] == 401
    assert KEY.encode() not in stored()


async def test_calls_of_no_model_make_no_span(
    client: Groq, traces: Callable[[], list[Trace]]
) -> None:
    await client.call("models.list")
    assert traces() == []


TEXTS = st.text(max_size=5)


@given(
    st.dictionaries(st.sampled_from(["id", "seed", "debug", "usage"]), TEXTS.filter(bool)),
    st.integers(0, 3),
)
def test_what_is_told_in_any_of_the_chunks_is_kept(told: Json, place: int) -> None:
    pieces: list[Json] = [{"id": "a", "choices": []} for _ in range(4)]
    for number, (name, value) in enumerate(told.items()):
        pieces[(place + number) % 4]["x_groq"] = {name: value}
    reply = groq.fold(pieces)
    kept = {**reply.get("x_groq", {}), "usage": reply.get("usage")}
    assert {name: value for name, value in kept.items() if value} == told
