"""Mistral's SDK: each call in each form, what is recorded of it, and streams put together."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from openai_calls import HI, KEY
from spanlog_integrations.wire import mistral

from fixtures import asked, openai_routes
from fixtures.loopback import Loopback, Reply, Request
from fixtures.mistral_routes import (
    CHOICES,
    CONNECTOR_TOKENS,
    EXECUTED,
    PAGES,
    REASONING,
    TEXT,
    TOOL_CALLS,
    USAGE,
    router,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from spanlog.entities import Span, Trace

pytest.importorskip("mistralai", reason="Mistral's SDK is not installed")

from mistral_calls import Mistral, package
from pydantic import BaseModel, ValidationError

pytest_plugins = ("openai_calls",)

Json = dict[str, Any]

IS_FIRST = version("mistralai") == "1.0.0"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": SCHEMA}}]
ASKED = {"messages": HI, "tools": TOOLS}
WAV = {"file_name": "fox.wav", "content": b"RIFF\x00\xff\r\n", "content_type": "audio/wav"}
CONNECTOR: Json = {
    "type": "connector",
    "connector_id": "c",
    "authorization": {"type": "api-key", "value": "secret-of-a-connector"},
}
DOCUMENT = {"type": "document_url", "document_url": "https://example.com/bill.pdf"}
# 1.0.0 knows no content in parts, and cannot read tool calls that are streamed.
WHOLE = ["plain", "json", "tools", "n2", "cached", "length", "long", "toolloop"]
WHOLE += [] if IS_FIRST else ["reasoning"]
STREAMED = [word for word in WHOLE if not (IS_FIRST and word in ("tools", "toolloop"))]
ENTRIES = ["plain", "json", "tools", "long", "reasoning", "search", "toolloop"]


# What a server answers that the fixtures have not, by the model that is asked.
TOLD: dict[str, bytes] = {}


def told(request: Request) -> Reply | None:
    """Answer with the body in `TOLD`."""
    body = TOLD.get(str(asked.fields(request).get("model")))
    return None if body is None else Reply(200, {"content-type": "application/json"}, body)


def azure(request: Request) -> Reply | None:
    """Answer on the routes that Azure has, as on Mistral's own."""
    path = request.path.partition("/azure/")[2]
    if not path:
        return None
    route = path.removeprefix("models/").removeprefix("v1/")
    return router(replace(request, path=f"/mistral/v1/{route}"))


@pytest.fixture(scope="module")
def mistral_server() -> Iterator[Loopback]:
    with Loopback(told, azure, router, openai_routes.router) as server:
        yield server


@pytest.fixture(params=["sync", "async"])
async def client(
    request: pytest.FixtureRequest, mistral_server: Loopback
) -> AsyncIterator[Mistral]:
    """Give a client, whose calls are traced."""
    mistral_server.requests.clear()
    client = Mistral(mistral_server, is_async=request.param == "async")
    spanlog.mistral.autolog()
    yield client
    spanlog.mistral.autolog(disable=True)
    spanlog.mistral.integration.explicit = False
    await client.close()


def sent(client: Mistral) -> Json:
    """The body of the last request."""
    body: Json = client.server.requests[-1].json
    return body


def plain(value: Any) -> Any:
    """A reply without what is empty and without what is told in a whole reply only."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    whole_only = ("completed_at", "closed")
    return {k: plain(v) for k, v in value.items() if v not in (None, "") and k not in whole_only}


def check_usage(span: Span, scenario: str) -> None:
    facts, usage = span.attributes, USAGE[scenario]
    expected = {
        "gen_ai.usage.input_tokens": usage.input,
        "gen_ai.usage.output_tokens": usage.output,
        "gen_ai.usage.total_tokens": usage.total,
    }
    assert {name: facts.get(name) for name in expected} == expected
    assert facts.get("gen_ai.usage.cache_read.input_tokens", 0) == usage.cached


def check_facts(span: Span, scenario: str) -> None:
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mistral_ai",
        "gen_ai.request.model": scenario,
        "gen_ai.response.model": f"{scenario}-2026-01-01",
        "gen_ai.response.id": span.outputs["id"],
        "gen_ai.response.finish_reasons": [c["finish_reason"] for c in span.outputs["choices"]],
        "gen_ai.tool.definitions": span.inputs["tools"],
        "server.address": "127.0.0.1",
    }
    assert {name: span.attributes.get(name) for name in expected} == expected
    assert len(span.attributes["http.response.request_id"]) == 8
    assert (span.name, span.span_type) == (f"chat {scenario}", "CHAT_MODEL")
    check_usage(span, scenario)


# Chat.


@pytest.mark.parametrize("scenario", WHOLE)
async def test_a_call_is_recorded_as_it_was_sent_and_answered(
    client: Mistral, last: Callable[[], Span], scenario: str
) -> None:
    reply = await client.call("chat.complete", model=scenario, **ASKED)
    span = last()
    assert span.inputs == sent(client)
    assert span.inputs["messages"] == HI
    assert client.masked(span.outputs) == client.answer(
        "chat/completions", {"model": scenario, **ASKED}
    )
    assert type(reply).model_validate(span.outputs) == reply
    check_facts(span, scenario)


@pytest.mark.parametrize("scenario", STREAMED)
async def test_a_streams_outputs_are_those_of_the_unstreamed_reply(
    client: Mistral, last: Callable[[], Span], scenario: str
) -> None:
    chunks = await client.call("chat.stream", model=scenario, **ASKED)
    span = last()
    assert span.inputs == sent(client)
    whole = client.answer("chat/completions", {"model": scenario, **ASKED})
    assert plain(client.masked(span.outputs)) == plain(whole)
    assert package().models.ChatCompletionResponse.model_validate(span.outputs)
    check_facts(span, scenario)
    assert span.attributes["gen_ai.request.stream"] is True
    assert span.attributes["spanlog.stream.chunks"] == len(chunks)
    assert 0 < span.attributes["gen_ai.response.time_to_first_chunk"] < 30
    assert span.status.status_code == "OK"


@pytest.mark.parametrize("sending", ["split", "comments", "crlf", "split-crlf-comments", "slow"])
async def test_how_a_stream_is_sent_makes_no_difference(
    client: Mistral, last: Callable[[], Span], sending: str
) -> None:
    await client.call("chat.stream", model=f"n2-{sending}", messages=HI)
    said = [choice["message"]["content"] for choice in last().outputs["choices"]]
    assert said == list(CHOICES)


@pytest.mark.parametrize("form", ["complete", "stream"])
async def test_what_the_model_says_is_recorded(
    client: Mistral, traces: Callable[[], list[Trace]], form: str
) -> None:
    if IS_FIRST:
        pytest.skip("mistralai 1.0.0 cannot read such replies")
    for scenario in ("tools", "reasoning"):
        await client.call(f"chat.{form}", model=scenario, messages=HI)
    tools, thought = (trace.data.spans[0].outputs["choices"][0]["message"] for trace in traces())
    called = [call["function"] for call in tools["tool_calls"]]
    assert [(c["name"], json.loads(c["arguments"])) for c in called] == list(TOOL_CALLS)
    thinking, text = thought["content"]
    assert "".join(part["text"] for part in thinking["thinking"]) == REASONING
    assert text["text"] == TEXT["reasoning"]


async def test_parameters_are_attributes(client: Mistral, last: Callable[[], Span]) -> None:
    await client.call(
        "chat.complete",
        model="plain",
        messages=HI,
        temperature=0.5,
        top_p=0.9,
        max_tokens=99,
        random_seed=7,
        stop=["x", "y"],
    )
    expected = {
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.max_tokens": 99,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ["x", "y"],
    }
    assert {name: last().attributes.get(name) for name in expected} == expected


class Weather(BaseModel):
    city: str


class Refused(BaseModel):
    missing: str


@pytest.mark.parametrize("form", ["parse", "parse_stream"])
async def test_a_parsed_reply_is_one_span(
    client: Mistral, last: Callable[[], Span], form: str
) -> None:
    await client.call(f"chat.{form}", response_format=Weather, model="json", messages=HI)
    assert last().outputs["choices"][0]["message"]["content"] == TEXT["json"]
    assert last().inputs == sent(client)
    assert last().inputs["response_format"]["type"] == "json_schema"
    check_usage(last(), "json")


async def test_a_reply_that_cannot_be_parsed_is_an_error_and_recorded(
    client: Mistral, last: Callable[[], Span]
) -> None:
    client.method("chat.parse")
    with pytest.raises(ValidationError):
        await client.call("chat.parse", response_format=Refused, model="json", messages=HI)
    assert last().outputs["choices"][0]["message"]["content"] == TEXT["json"]
    assert last().status.status_code == "ERROR"


# Other calls.

ROUTES = {
    "agents.complete": ("agents/completions", "invoke_agent", "AGENT", ASKED),
    "agents.stream": ("agents/completions", "invoke_agent", "AGENT", ASKED),
    "fim.complete": ("fim/completions", "text_completion", "LLM", {"prompt": "x", "suffix": "y"}),
    "fim.stream": ("fim/completions", "text_completion", "LLM", {"prompt": "x", "suffix": "y"}),
    "embeddings.create": ("embeddings", "embeddings", "EMBEDDING", {"inputs": ["a", "b"]}),
    "ocr.process": ("ocr", "ocr", "PARSER", {"document": DOCUMENT}),
    "classifiers.moderate": ("moderations", "moderation", "GUARDRAIL", {"inputs": ["a", "b"]}),
    "classifiers.moderate_chat": ("chat/moderations", "moderation", "GUARDRAIL", {"inputs": HI}),
    "classifiers.classify": ("classifications", "classification", "LLM", {"inputs": ["a"]}),
    "responses.create": ("responses", "chat", "CHAT_MODEL", {"input": "Hi"}),
}
USED = {"embeddings.create": "embeddings"}


@pytest.mark.parametrize("path", ROUTES)
async def test_other_calls_are_recorded_as_they_were_sent_and_answered(
    client: Mistral, last: Callable[[], Span], path: str
) -> None:
    route, operation, span_type, fields = ROUTES[path]
    if IS_FIRST and path == "agents.stream":
        pytest.skip("mistralai 1.0.0 asks for something else")
    asks = "agent_id" if path.startswith("agents") else "model"
    reply = await client.call(path, **{asks: "plain"}, **fields)
    span = last()
    assert (span.name, span.span_type) == (f"{operation} plain", span_type)
    assert span.attributes["gen_ai.operation.name"] == operation
    assert span.attributes["gen_ai.response.model"] == "plain-2026-01-01"
    assert span.inputs == sent(client)
    whole = client.answer(route, {**sent(client), "stream": False})
    assert plain(client.masked(span.outputs)) == plain(whole)
    if not isinstance(reply, list):
        assert type(reply).model_validate(span.outputs) == reply
    if "usage" in span.outputs and not path.startswith("responses"):
        check_usage(span, USED.get(path, "plain"))
    if path == "ocr.process":
        assert span.attributes["mistral_ai.ocr.usage.pages_processed"] == PAGES


@pytest.mark.parametrize("form", ["complete", "stream"])
async def test_a_transcription_counts_what_was_heard(
    client: Mistral, last: Callable[[], Span], form: str
) -> None:
    await client.call(f"audio.transcriptions.{form}", model="plain", file=WAV, language="en")
    span = last()
    assert (span.name, span.span_type) == ("transcription plain", "LLM")
    assert (span.inputs["model"], span.inputs["language"]) == ("plain", "en")
    assert span.inputs["file"]["filename"] == "fox.wav"
    assert span.outputs["text"] == TEXT["transcriptions"]
    assert span.outputs["segments"][0]["text"] == TEXT["transcriptions"]
    assert package().models.TranscriptionResponse.model_validate(span.outputs)
    assert span.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert span.attributes["mistral_ai.usage.prompt_audio_seconds"] == 12
    check_usage(span, "transcriptions")


def test_a_transcript_that_breaks_off_is_kept_as_far_as_it_was_told() -> None:
    segment = {"text": "So far", "start": 0.1, "end": 0.9}
    events: list[Json] = [
        {"type": "transcription.language", "audio_language": "en"},
        {"type": "transcription.text.delta", "text": "So"},
        {"type": "transcription.text.delta", "text": " far"},
        {"type": "transcription.segment", **segment},
    ]
    expected = {"text": "So far", "language": "en", "segments": [segment]}
    assert mistral.fold_transcript(events) == expected


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_speech_is_recorded(client: Mistral, last: Callable[[], Span], stream: bool) -> None:
    more = {"voice_id": "v", "stream": stream}
    await client.call("audio.speech.complete", model="plain", input="Hi", **more)
    span = last()
    assert (span.name, span.span_type) == ("speech plain", "LLM")
    assert span.outputs["audio_data"] == client.answer("audio/speech", {})["audio_data"]
    if stream:
        check_usage(span, "speech")


async def test_a_streamed_response_is_put_together(
    client: Mistral, last: Callable[[], Span]
) -> None:
    await client.call("responses.create", model="plain", input="Hi", stream=True)
    (item,) = last().outputs["output"]
    assert item["content"][0]["text"] == openai_routes.TEXT["plain"]
    assert last().usage["total_tokens"] == openai_routes.USAGE["plain"].total


async def test_the_sdks_client_for_azure_is_traced(
    client: Mistral, last: Callable[[], Span]
) -> None:
    url = f"{client.server.url}/azure/"
    http = {"async_client" if client.is_async else "client": client.http}
    if version("mistralai").startswith("1."):
        made = pytest.importorskip("mistralai_azure").MistralAzure
        sdk = made(azure_api_key=KEY, azure_endpoint=url, **http)
    else:
        made = pytest.importorskip("mistralai.azure.client").MistralAzure
        sdk = made(api_key=KEY, server_url=url, **http)
    for form in ("complete", "stream"):
        await client.call(f"chat.{form}", sdk, model="plain", messages=HI)
        assert last().outputs["choices"][0]["message"]["content"] == TEXT["plain"]
        check_usage(last(), "plain")


async def test_calls_of_no_model_make_no_span(
    client: Mistral, traces: Callable[[], list[Trace]]
) -> None:
    await client.call("models.list")
    assert traces() == []


# Conversations.


async def begun(client: Mistral, model: str) -> str:
    """Return the id of a conversation that has been started, without a span."""
    with spanlog.tracing.context(enabled=False):
        started = await client.call("beta.conversations.start", model=model, inputs="Hi")
    conversation: str = started.conversation_id
    return conversation


def check_conversation(span: Span, scenario: str) -> None:
    outputs, facts = span.outputs["outputs"], span.attributes
    assert facts["gen_ai.conversation.id"] == span.outputs["conversation_id"]
    assert facts["gen_ai.response.model"] == f"{scenario}-2026-01-01"
    check_usage(span, scenario)
    if scenario == "search":
        assert facts["mistral_ai.usage.connector_tokens"] == CONNECTOR_TOKENS
        assert (outputs[0]["name"], json.loads(outputs[0]["arguments"])) == EXECUTED
    if scenario == "tools":
        called = [(call["name"], json.loads(call["arguments"])) for call in outputs]
        assert called == list(TOOL_CALLS)


@pytest.mark.parametrize("scenario", ENTRIES)
@pytest.mark.parametrize("form", ["start", "start_stream"])
async def test_the_start_of_a_conversation_is_recorded_as_it_was_sent_and_answered(
    client: Mistral, last: Callable[[], Span], scenario: str, form: str
) -> None:
    settings = {"temperature": 0.5}
    await client.call(
        f"beta.conversations.{form}",
        model=scenario,
        inputs="Hi",
        tools=TOOLS,
        completion_args=settings,
    )
    span = last()
    assert (span.name, span.span_type) == (f"chat {scenario}", "CHAT_MODEL")
    assert span.inputs == sent(client)
    assert span.attributes["gen_ai.request.temperature"] == 0.5
    whole = client.answer("conversations", {**sent(client), "stream": False})
    assert plain(client.masked(span.outputs)) == plain(whole)
    assert package().models.ConversationResponse.model_validate(span.outputs)
    check_conversation(span, scenario)


@pytest.mark.parametrize("form", ["append", "append_stream", "restart", "restart_stream"])
async def test_a_conversation_that_goes_on_is_recorded(
    client: Mistral, last: Callable[[], Span], form: str
) -> None:
    client.method(f"beta.conversations.{form}")
    conversation = await begun(client, "json")
    more = {"from_entry_id": "e"} if form.startswith("restart") else {}
    await client.call(
        f"beta.conversations.{form}", conversation_id=conversation, inputs="Go on", **more
    )
    span = last()
    assert (span.name, span.span_type) == ("chat", "CHAT_MODEL")
    assert span.inputs == sent(client)
    assert span.inputs["inputs"] == "Go on"
    assert span.outputs["outputs"][0]["content"] == TEXT["json"]
    check_conversation(span, "json")


async def test_a_conversation_with_an_agent_is_a_call_of_the_agent(
    client: Mistral, last: Callable[[], Span]
) -> None:
    await client.call("beta.conversations.start", agent_id="plain", inputs="Hi")
    assert (last().name, last().span_type) == ("invoke_agent plain", "AGENT")
    assert last().attributes["gen_ai.agent.id"] == "plain"


async def test_a_conversation_whose_stream_tells_of_an_error_keeps_what_had_come(
    client: Mistral, last: Callable[[], Span]
) -> None:
    await client.call("beta.conversations.start_stream", model="errorevent", inputs="Hi")
    assert last().status.status_code == "ERROR"
    assert last().outputs["outputs"][0]["content"]


async def test_the_secret_of_a_connector_is_not_recorded(
    client: Mistral, last: Callable[[], Span], stored: Callable[[], bytes]
) -> None:
    if version("mistralai").startswith("1."):
        pytest.skip("mistralai 1.x has no connectors")
    await client.call("beta.conversations.start", model="plain", inputs="Hi", tools=[CONNECTOR])
    assert sent(client)["tools"] == [CONNECTOR]
    assert last().inputs["tools"] == [
        {**CONNECTOR, "authorization": {"type": "api-key", "value": "[redacted]"}}
    ]
    assert CONNECTOR["authorization"]["value"].encode() not in stored()


# Runs.


def add(city: str) -> str:
    """Say how it is there.

    Args:
        city: Where.
    """
    if not city:
        raise ValueError("nowhere")
    return f"fine in {city}"


async def add_later(city: str) -> str:
    """Say how it is there.

    Args:
        city: Where.
    """
    return add(city)


def broken(city: str) -> str:
    """Fail.

    Args:
        city: Where.
    """
    raise ValueError(f"no {city}")


async def run(
    client: Mistral, function: Any, *, stream: bool, tools: Any = None, **more: Any
) -> Any:
    """Let the SDK call a function as the model asks it to."""
    context = pytest.importorskip("mistralai.extra.run.context", exc_type=ImportError)
    asked = {"inputs": "Hi", "instructions": "Be brief.", **({"tools": tools} if tools else {})}
    async with context.RunContext(**{"model": "toolloop", **more}) as made:
        made.register_func(function)
        runs = client.sdk.beta.conversations
        if not stream:
            return await runs.run_async(run_ctx=made, **asked)
        events = await runs.run_stream_async(run_ctx=made, **asked)
        return [event async for event in events][-1]


RUNS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
ASYNC = pytest.mark.parametrize("client", ["async"], indirect=True)


@ASYNC
@RUNS
@pytest.mark.parametrize("function", [add, add_later])
async def test_a_run_is_an_agent_with_its_calls_of_models_and_functions(
    client: Mistral, one_trace: Callable[[], Trace], function: Any, stream: bool
) -> None:
    result = await run(client, function, stream=stream)
    root, *inner = one_trace().data.spans
    first, tool, second = sorted(inner, key=lambda span: span.start_time_ns)
    assert [(span.name, span.span_type) for span in (root, first, tool, second)] == [
        ("invoke_agent toolloop", "AGENT"),
        ("chat toolloop", "CHAT_MODEL"),
        (function.__name__, "TOOL"),
        ("chat", "CHAT_MODEL"),
    ]
    assert {span.parent_id for span in inner} == {root.span_id}
    asked = {"model": "toolloop", "inputs": "Hi", "instructions": "Be brief."}
    assert plain(root.inputs) == asked
    assert root.attributes["gen_ai.conversation.id"] == result.conversation_id
    assert [entry["type"] for entry in root.outputs["outputs"]] == [
        "function.call",
        "function.result",
        "message.output",
    ]
    assert root.outputs["outputs"][-1]["content"] == result.output_as_text
    assert tool.inputs == json.loads(first.outputs["outputs"][0]["arguments"])
    assert tool.outputs == f"fine in {tool.inputs['city']}"
    call = first.outputs["outputs"][0]["tool_call_id"]
    assert tool.attributes["gen_ai.tool.call.id"] == call
    expected = USAGE["toolloop"].total + USAGE["toolresult"].total
    assert one_trace().info.token_usage["total_tokens"] == expected


@ASYNC
@RUNS
@pytest.mark.parametrize("goes_on", [False, True], ids=["stops", "goes on"])
async def test_a_function_that_fails_is_an_error_whether_or_not_the_run_goes_on(
    client: Mistral, one_trace: Callable[[], Trace], goes_on: bool, stream: bool
) -> None:
    fails = contextlib.nullcontext() if goes_on else pytest.raises(Exception, match="broken")
    with fails:
        await run(client, broken, stream=stream, continue_on_fn_error=goes_on)
    root, *inner = one_trace().data.spans
    (tool,) = (span for span in inner if span.span_type == "TOOL")
    assert tool.status.status_code == "ERROR"
    assert f"no {tool.inputs['city']}" in tool.status.description
    assert root.status.status_code == ("OK" if goes_on else "ERROR")


@ASYNC
@RUNS
async def test_a_run_records_no_key_and_no_secret_of_a_connector(
    client: Mistral, one_trace: Callable[[], Trace], stored: Callable[[], bytes], stream: bool
) -> None:
    tools = [] if version("mistralai").startswith("1.") else [CONNECTOR]
    with pytest.raises(Exception, match=KEY):
        await run(client, add, stream=stream, model="unauthorized", tools=tools)
    assert {span.status.status_code for span in one_trace().data.spans} == {"ERROR"}
    for secret in (KEY, CONNECTOR["authorization"]["value"]):
        assert secret.encode() not in stored()


@ASYNC
async def test_a_stream_of_a_run_that_is_left_early_ends_its_span(
    client: Mistral, one_trace: Callable[[], Trace]
) -> None:
    context = pytest.importorskip("mistralai.extra.run.context", exc_type=ImportError)
    async with context.RunContext(model="long") as made:
        runs = client.sdk.beta.conversations
        events = await runs.run_stream_async(run_ctx=made, inputs="Hi")
        await events.__anext__()
        assert spanlog.get_current_active_span() is None
        await events.aclose()
    root = one_trace().data.spans[0]
    assert root.end_time_ns is not None
    assert root.attributes["spanlog.stream.completed"] is False


# Errors.


@pytest.mark.parametrize("form", ["chat.complete", "chat.stream", "embeddings.create"])
async def test_an_error_is_recorded_without_the_key_that_it_repeats(
    client: Mistral, last: Callable[[], Span], stored: Callable[[], bytes], form: str
) -> None:
    fields = {"inputs": "x"} if form.startswith("embed") else {"messages": HI}
    unread = IS_FIRST and form == "chat.stream"  # 1.0.0 cannot tell of an error of a stream
    with pytest.raises(Exception, match="without having called `read" if unread else KEY):
        await client.call(form, model="unauthorized", **fields)
    span = last()
    assert span.status.status_code == "ERROR"
    assert span.attributes["http.response.status_code"] == 401
    assert unread or span.attributes["error.body"]
    assert span.inputs == sent(client)
    assert KEY.encode() not in stored()


async def test_what_the_sdk_refuses_to_send_is_recorded(
    client: Mistral, last: Callable[[], Span]
) -> None:
    with pytest.raises(ValidationError):
        await client.call("chat.complete", model="plain", messages=[{"role": "?"}], timeout_ms=9)
    assert client.server.requests == []
    assert last().inputs == {"model": "plain", "messages": [{"role": "?"}]}
    assert last().status.status_code == "ERROR"
    assert last().attributes["gen_ai.request.model"] == "plain"


async def test_a_reply_that_the_sdk_refuses_is_recorded(
    client: Mistral, last: Callable[[], Span]
) -> None:
    TOLD["odd"] = b'{"id": "x", "model": "odd-1", "choices": "none"}'
    with pytest.raises(Exception, match="choices"):
        await client.call("chat.complete", model="odd", messages=HI)
    assert last().outputs == json.loads(TOLD["odd"])
    assert last().status.status_code == "ERROR"
    assert last().attributes["gen_ai.response.model"] == "odd-1"
