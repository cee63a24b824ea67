"""Google's Gen AI SDK: each method and scenario, functions that the SDK runs, and interactions."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import json
import re
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from hypothesis import given
from hypothesis import strategies as st
from spanlog.model import usage
from spanlog.record.span import LiveSpan
from spanlog_integrations import gemini
from spanlog_integrations.seams.http import secrets
from spanlog_integrations.wire import google, interactions

from fixtures import gemini_routes
from fixtures.gemini_routes import ERRORS, REASONING, TEXT, TOOL_CALLS, USAGE
from fixtures.loopback import Loopback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spanlog.entities import Span, Trace

genai = pytest.importorskip("google.genai")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of what is experimental there

KEY = "AIza-0123456789abcdef"
SCENARIOS = [
    "plain",
    "json",
    "tools",
    "n2",
    "refusal",
    "blocked",
    "reasoning",
    "cached",
    "search",
    "image",
    "length",
    "long",
]
OF_INTERACTIONS = ["plain", "json", "tools", "reasoning", "cached", "search", "length", "long"]
FORMS = ["generate_content", "generate_content_stream"]
SENDS = ["send_message", "send_message_stream"]
FIRST = genai.__version__ == "1.0.0"


class Client:
    """A sync or async client, called alike; what a version lacks skips the test."""

    def __init__(self, server: Loopback, *, is_async: bool, **options: Any) -> None:
        self.server = server
        self.is_async = is_async
        http_options = {"base_url": server.url}
        self.whole = genai.Client(**{"api_key": KEY, **options}, http_options=http_options)
        self.sdk = self.whole.aio if is_async else self.whole

    def need(self, name: str) -> Any:
        if not hasattr(self.sdk, name):
            pytest.skip(f"google-genai {genai.__version__} has no {name}")
        return getattr(self.sdk, name)

    async def call(self, method: str, **kwargs: Any) -> Any:
        """Call a method of `models`."""
        if not hasattr(self.sdk.models, method):
            pytest.skip(f"google-genai {genai.__version__} has no {method}")
        return await self.read(getattr(self.sdk.models, method)(**kwargs))

    async def send(self, method: str, model: str, config: Any, message: str = "Hi") -> Any:
        chat = self.sdk.chats.create(model=model, config=config)
        return await self.read(getattr(chat, method)(message))

    async def read(self, result: Any) -> Any:
        """Return a result, of a stream the list of its chunks."""
        while inspect.isawaitable(result):
            result = await result
        if hasattr(result, "__anext__"):
            return [chunk async for chunk in result]
        return list(result) if hasattr(result, "__next__") else result

    def answer(self, path: str, body: Any = None) -> Any:
        """Return what the server answers on a route, read without the SDK."""
        headers = {"content-type": "application/json", "x-goog-api-key": KEY}
        data = json.dumps(body or {}).encode()
        request = urllib.request.Request(f"{self.server.url}/v1beta/{path}", data, headers)
        with urllib.request.urlopen(request) as reply:
            return masked(json.load(reply))


def masked(value: Any) -> Any:
    """Return data without the numbers that are new in each reply."""
    return json.loads(re.sub(r"0\d{7}", "N", json.dumps(value)))


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback(gemini_routes.router) as server:
        yield server


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    gemini.autolog()
    yield
    gemini.autolog(disable=True)
    gemini.integration.explicit = False


@pytest.fixture(params=["sync", "async"])
def client(request: pytest.FixtureRequest, server: Loopback) -> Client:
    server.requests.clear()
    return Client(server, is_async=request.param == "async")


@pytest.fixture
def last(traces: Callable[[], list[Trace]]) -> Callable[[], Span]:
    """Give the span of the last call; it has ended, and is the only one of its trace."""

    def read() -> Span:
        (span,) = traces()[-1].data.spans
        assert span.end_time_ns is not None
        return span

    return read


def text(outputs: Any, index: int = 0, *, thought: bool = False) -> str:
    parts = outputs["candidates"][index]["content"].get("parts", ())
    return "".join(p.get("text", "") for p in parts if bool(p.get("thought")) == thought)


# A call of a model.


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_what_is_recorded_is_what_was_sent_and_the_whole_reply(
    client: Client, last: Callable[[], Span], method: str, scenario: str
) -> None:
    await client.call(method, model=scenario, contents="Grüß Gott")
    span, sent = last(), client.server.requests[-1]
    assert span.inputs == {"model": scenario, **sent.json}
    whole = client.answer(f"models/{scenario}:generateContent")
    if scenario == "refusal" and method == FORMS[1]:  # it says something before it refuses
        assert text(span.outputs) == TEXT["refusal"]
    else:
        assert masked(span.outputs) == whole
    assert (span.name, span.span_type) == (f"chat {scenario}", "CHAT_MODEL")
    facts = span.attributes
    assert facts["gen_ai.operation.name"] == "chat"
    assert facts["gen_ai.provider.name"] == "gcp.gemini"
    assert facts["gen_ai.request.model"] == scenario
    assert facts["gen_ai.response.model"] == span.model == f"{scenario}-2026-01-01"
    assert facts["gen_ai.response.id"] == span.outputs["responseId"]
    assert facts["server.address"] == "127.0.0.1"
    ends = {"length": "MAX_TOKENS", "refusal": "SAFETY", "blocked": "SAFETY"}
    reasons = [ends.get(scenario, "STOP")] * (2 if scenario == "n2" else 1)
    assert facts["gen_ai.response.finish_reasons"] == reasons


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_usage_is_that_of_the_last_chunk_with_thoughts_and_cached_tokens_included(
    client: Client, last: Callable[[], Span], method: str, scenario: str
) -> None:
    await client.call(method, model=scenario, contents="Hi")
    counts, expected = last().usage or {}, USAGE[scenario]
    output = 0 if (scenario, method) == ("refusal", FORMS[0]) else expected.output
    assert counts["input_tokens"] == expected.input
    assert counts.get("output_tokens", 0) == output
    assert counts["total_tokens"] == expected.input + output
    assert counts.get("reasoning_output_tokens", 0) == expected.reasoning
    assert counts.get("cache_read_input_tokens", 0) == expected.cached


async def test_a_streamed_reply_has_the_sdks_own_type_and_says_what_its_chunks_say(
    client: Client, last: Callable[[], Span]
) -> None:
    for scenario in SCENARIOS:
        chunks = await client.call(FORMS[1], model=scenario, contents="Hi")
        outputs = last().outputs
        if not FIRST:  # which knows fewer fields than there are
            genai.types.GenerateContentResponse.model_validate(outputs)
        said = [
            text(json.loads(gemini._said(c)))
            for c in chunks
            if c.candidates and c.candidates[0].index in (0, None)
        ]
        assert scenario == "blocked" or text(outputs) == "".join(said)


async def test_thoughts_are_kept_apart_from_the_text(
    client: Client, last: Callable[[], Span]
) -> None:
    for method in FORMS:
        await client.call(method, model="reasoning", contents="Hi")
        assert text(last().outputs, thought=True) == REASONING
        assert text(last().outputs) == TEXT["reasoning"]


async def test_parameters_and_tools_are_attributes(
    client: Client, last: Callable[[], Span]
) -> None:
    asked = {
        "temperature": ("temperature", 0.5),
        "top_p": ("top_p", 0.25),
        "top_k": ("top_k", 3),
        "max_output_tokens": ("max_tokens", 7),
        "candidate_count": ("choice.count", 2),
        "seed": ("seed", 3),
        "presence_penalty": ("presence_penalty", 0.125),
        "frequency_penalty": ("frequency_penalty", 0.25),
        "stop_sequences": ("stop_sequences", ["x"]),
    }
    tool = {"function_declarations": [{"name": "headers", "description": "d"}]}
    config = {name: value for name, (_, value) in asked.items()} | {"tools": [tool]}
    await client.call("generate_content", model="tools", contents="Hi", config=config)
    facts = last().attributes
    for name, value in asked.values():
        assert facts[f"gen_ai.request.{name}"] == value, name
    (definition,) = facts["gen_ai.tool.definitions"]
    assert definition["functionDeclarations"][0]["name"] == "headers"
    calls = [part["functionCall"] for part in last().outputs["candidates"][0]["content"]["parts"]]
    assert [(call["name"], call["args"]) for call in calls] == list(TOOL_CALLS)


@pytest.mark.parametrize("model", ["models/plain", "tunedModels/plain", "plain"])
async def test_a_model_is_named_without_the_path_to_it(
    client: Client, last: Callable[[], Span], model: str
) -> None:
    await client.call("generate_content", model=model, contents="Hi")
    assert last().name == "chat plain"


async def test_vertex_is_the_same_by_its_own_name(
    server: Loopback, last: Callable[[], Span]
) -> None:
    client = Client(server, is_async=False, vertexai=True)
    for method in FORMS:
        await client.call(method, model="plain", contents="Hi")
        assert "/publishers/google/models/plain:" in server.requests[-1].path
        assert last().name == "chat plain"
        assert last().attributes["gen_ai.provider.name"] == "gcp.vertex_ai"
        assert text(last().outputs) == TEXT["plain"]


async def test_embeddings_and_images_are_calls_of_a_model(
    client: Client, last: Callable[[], Span]
) -> None:
    await client.call(
        "embed_content", model="plain", contents=["a", "b"], config={"output_dimensionality": 4}
    )
    span = last()
    assert (span.name, span.span_type) == ("embeddings plain", "EMBEDDING")
    assert len(span.outputs["embeddings"]) == 2
    assert span.attributes["gen_ai.embeddings.dimension.count"] == 4
    assert span.usage == {"input_tokens": 8, "total_tokens": 8}
    is_async = client.is_async and not FIRST  # which asks for credentials there
    vertex = Client(client.server, is_async=is_async, vertexai=True)
    await vertex.call("generate_images", model="plain", prompt="x", config={"number_of_images": 2})
    span = last()
    assert (span.name, span.span_type) == ("image_generation plain", "LLM")
    assert len(span.outputs["predictions"]) == 2
    assert span.attributes["gen_ai.request.choice.count"] == 2


async def test_other_calls_are_no_spans(client: Client, traces: Callable[[], list[Trace]]) -> None:
    await client.call("count_tokens", model="plain", contents="Hi")
    await client.read(client.sdk.models.list(config={"query_base": True}))
    assert traces() == []
    assert len(client.server.requests) == 2


async def test_a_body_of_the_users_own_is_recorded_as_it_was_sent(
    client: Client, last: Callable[[], Span]
) -> None:
    if "extra_body" not in genai.types.HttpOptions.model_fields:
        pytest.skip("this version has no extra_body")
    more = {"generationConfig": {"seed": 5}, "labels": {"a": "b"}}
    config = {"temperature": 0.5, "http_options": {"extra_body": more, "headers": {"x-me": KEY}}}
    await client.call("generate_content", model="plain", contents="Hi", config=config)
    assert last().inputs == {"model": "plain", **client.server.requests[-1].json}
    assert last().attributes["gen_ai.request.seed"] == 5
    assert KEY not in json.dumps(last().to_dict())


async def test_a_reply_that_is_not_parsed_is_recorded(
    client: Client, last: Callable[[], Span]
) -> None:
    if "should_return_http_response" not in genai.types.GenerateContentConfig.model_fields:
        pytest.skip("this version always parses")
    config = genai.types.GenerateContentConfig(should_return_http_response=True)
    reply = await client.call("generate_content", model="plain", contents="Hi", config=config)
    assert json.loads(reply.sdk_http_response.body) == last().outputs
    assert text(last().outputs) == TEXT["plain"]


async def test_an_unread_stream_is_no_call(
    client: Client, traces: Callable[[], list[Trace]]
) -> None:
    stream = client.sdk.models.generate_content_stream(model="plain", contents="Hi")
    stream = await stream if inspect.isawaitable(stream) else stream
    del stream
    gc.collect()
    assert traces() == []
    assert client.server.requests == []


# Errors.


@pytest.mark.parametrize("method", FORMS)
@pytest.mark.parametrize("word", ERRORS)
async def test_an_error_is_recorded_in_full_and_without_the_key(
    client: Client, last: Callable[[], Span], tmp_path: Path, method: str, word: str
) -> None:
    with pytest.raises(genai.errors.APIError) as caught:
        await client.call(method, model=word, contents="Hi")
    facts = last().attributes
    assert facts["http.response.status_code"] == caught.value.code == ERRORS[word]
    assert facts["error.type"] == caught.value.status
    assert facts["error.body"]["error"]["status"] == caught.value.status
    assert last().status.description.startswith(type(caught.value).__name__)
    spanlog.flush()
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert KEY.encode() not in stored


async def test_an_error_event_fails_the_span_even_where_the_sdk_passes_over_it(
    client: Client, last: Callable[[], Span]
) -> None:
    with contextlib.suppress(genai.errors.APIError):
        await client.call(FORMS[1], model="errorevent", contents="Hi")
    span = last()
    assert span.status.status_code == "ERROR"
    assert span.attributes["error.type"] == "UNAVAILABLE"
    assert TEXT["plain"].startswith(text(span.outputs))


# Functions that the SDK runs.


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"sunny in {city}"


async def get_weather_later(city: str) -> str:
    """Tell the weather of a city, in a while."""
    await asyncio.sleep(0)
    return f"sunny in {city}"


def fail(city: str) -> str:
    """Know no city."""
    raise LookupError(city)


for _function in (get_weather, get_weather_later, fail):  # 1.0 cannot read annotations in text
    _function.__annotations__ = {"city": str, "return": str}


def tree(trace: Trace) -> list[Any]:
    """Return the spans of a trace, each as its type, its name and its parent's name."""
    names = {span.span_id: span.name for span in trace.data.spans}
    assert all(span.end_time_ns for span in trace.data.spans)
    found = [(s.span_type, s.name, names.get(s.parent_id or "")) for s in trace.data.spans]
    return list(dict.fromkeys(found))  # 1.0 runs the function twice where it streams


async def run(client: Client, method: str, config: Any) -> Any:
    if method in SENDS:
        return await client.send(method, "toolloop", config)
    return await client.call(method, model="toolloop", contents="Hi", config=config)


@pytest.mark.parametrize("method", [*FORMS, *SENDS])
async def test_a_call_that_runs_functions_is_an_agent_above_its_requests_and_functions(
    client: Client, one_trace: Callable[[], Trace], method: str
) -> None:
    with spanlog.start_span("mine"):
        reply = await run(client, method, {"tools": [get_weather]})
    trace, name = one_trace(), f"{method.removesuffix('_stream')} toolloop"
    assert tree(trace) == [
        ("UNKNOWN", "mine", None),
        ("AGENT", name, "mine"),
        ("CHAT_MODEL", "chat toolloop", name),
        ("TOOL", "get_weather", name),
    ]
    agent, first, tool = trace.data.spans[1:4]
    second = trace.data.spans[-1]
    assert [span.span_type for span in (first, second)] == ["CHAT_MODEL"] * 2
    assert agent.inputs["model"] == "toolloop"
    assert agent.inputs["message" if method in SENDS else "contents"] == "Hi"
    assert agent.inputs["config"] == {"tools": [f"{__name__}.get_weather"]}
    said = f"{TEXT['toolresult']}sunny in Paris"
    assert text(agent.outputs) == text(second.outputs) == said
    assert agent.outputs["modelVersion"] == second.outputs["modelVersion"]
    assert (agent.usage, tool.inputs, tool.outputs) == (None, {"city": "Paris"}, "sunny in Paris")
    assert tool.attributes["gen_ai.tool.name"] == "get_weather"
    assert tool.attributes["gen_ai.tool.description"] == get_weather.__doc__
    assert [first.usage["input_tokens"], second.usage["input_tokens"]] == [50, 70]
    assert usage.total(trace.data.spans) == {
        "input_tokens": 120,
        "output_tokens": 25,
        "total_tokens": 145,
    }
    assert all("automatic_function_calling" not in json.dumps(s.outputs) for s in trace.data.spans)
    if isinstance(reply, list):
        assert agent.attributes["spanlog.stream.chunks"] == len(reply)


@pytest.mark.parametrize("method", [*FORMS, *SENDS])
async def test_an_error_of_a_function_is_seen_though_the_sdk_hides_it(
    client: Client, one_trace: Callable[[], Trace], method: str
) -> None:
    await run(client, method, {"tools": [fail]})
    agent, _, tool = one_trace().data.spans[:3]
    assert tool.status.description == "LookupError: Paris"
    assert "raise LookupError(city)" in tool.events[0].attributes["exception.stacktrace"]
    assert agent.status.status_code == "OK"


@pytest.mark.parametrize("method", [*FORMS, *SENDS])
async def test_async_functions_are_run_and_recorded_where_the_sdk_can(
    client: Client, one_trace: Callable[[], Trace], method: str
) -> None:
    if not client.is_async or not hasattr(
        genai._extra_utils, "invoke_function_from_dict_args_async"
    ):
        pytest.skip("functions must be sync here")
    await run(client, method, {"tools": [get_weather_later]})
    tool = one_trace().data.spans[2]
    assert (tool.span_type, tool.name) == ("TOOL", "get_weather_later")
    assert tool.outputs == "sunny in Paris"


async def test_a_function_of_the_program_may_call_a_model_itself(
    client: Client, one_trace: Callable[[], Trace]
) -> None:
    inner = Client(client.server, is_async=False)

    def ask(city: str) -> str:
        """Ask about a city."""
        config = {"tools": [get_weather]}
        inner.sdk.models.generate_content(model="toolloop", contents="Hi", config=config)
        return city

    ask.__annotations__ = get_weather.__annotations__
    await run(client, "generate_content", {"tools": [ask]})
    spans = {span.span_id: span for span in one_trace().data.spans}
    agents = [span for span in spans.values() if span.span_type == "AGENT"]
    assert len(agents) == 2
    assert spans[agents[1].parent_id or ""].name == "ask"


OFF = {
    "no tools": {},
    "declared": {"tools": [{"function_declarations": [{"name": "f"}]}]},
    "disabled": {"tools": [get_weather], "automatic_function_calling": {"disable": True}},
    "no calls": {"tools": [get_weather], "automatic_function_calling": {"maximum_remote_calls": 0}},
}


@pytest.mark.parametrize("why", OFF)
@pytest.mark.parametrize("method", [*FORMS, *SENDS])
@pytest.mark.parametrize("typed", [False, True], ids=["dict", "typed"])
async def test_without_functions_to_run_a_call_is_one_span(
    client: Client, last: Callable[[], Span], method: str, why: str, typed: bool
) -> None:
    if FIRST and method.endswith("stream") and why in ("disabled", "no calls"):
        pytest.skip("this version does not call then, or fails")
    config = genai.types.GenerateContentConfig(**OFF[why]) if typed else OFF[why]
    if method in SENDS:
        await client.send(method, "plain", config)
    else:
        await client.call(method, model="plain", contents="Hi", config=config)
    assert last().name == "chat plain"


async def test_an_error_in_the_loop_fails_the_agent_too_and_is_without_the_key(
    client: Client, one_trace: Callable[[], Trace]
) -> None:
    config = {"tools": [get_weather]}
    for method in FORMS:
        with pytest.raises(genai.errors.APIError):
            await client.call(method, model="unauthorized", contents="x", config=config)
        trace = spanlog.get_trace(spanlog.get_last_active_trace_id() or "")
        assert [span.span_type for span in trace.data.spans] == ["AGENT", "CHAT_MODEL"]
        assert {span.status.status_code.value for span in trace.data.spans} == {"ERROR"}
        assert [s.attributes["http.response.status_code"] for s in trace.data.spans] == [401, 401]
        assert KEY not in json.dumps(trace.to_dict())


def test_a_key_in_an_address_is_secret() -> None:
    request = urllib.request.Request("http://host/v1/models/m:generateContent?alt=sse&key=AIza-0")
    request.url = request.full_url  # type: ignore[attr-defined]  # where HTTP libraries have it
    assert secrets(request) == ["AIza-0"]


async def test_a_stream_of_an_agent_that_is_left_ends_with_what_had_come(
    client: Client, one_trace: Callable[[], Trace]
) -> None:
    models = client.sdk.models
    config = {"tools": [get_weather]}
    stream = models.generate_content_stream(model="long-slow", contents="Hi", config=config)
    if client.is_async:
        stream = await stream
        got = [await stream.__anext__() for _ in range(2)]
        assert spanlog.get_current_active_span() is None
        await stream.aclose()
    else:
        got = [next(stream), next(stream)]
        assert spanlog.get_current_active_span() is None
        stream.close()
    del stream
    for _ in range(5):
        gc.collect()
        await asyncio.sleep(0.002)
    agent, model = one_trace().data.spans
    assert [s.attributes["spanlog.stream.completed"] for s in (agent, model)] == [False, False]
    assert text(agent.outputs) == "".join(
        part.text for c in got for part in c.candidates[0].content.parts
    )
    assert text(model.outputs) == text(agent.outputs)


async def test_tools_of_mcp_servers_are_recorded(
    server: Loopback, one_trace: Callable[[], Trace]
) -> None:
    mcp = pytest.importorskip("mcp")

    class Session(mcp.ClientSession):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            """Need no server."""

        async def list_tools(self) -> Any:
            tool = mcp.types.Tool(name="add", inputSchema={"type": "object", "properties": {}})
            return mcp.types.ListToolsResult(tools=[tool])

        async def call_tool(self, name: str, arguments: Any) -> Any:
            content = [mcp.types.TextContent(type="text", text="no")]
            return mcp.types.CallToolResult(content=content, isError=True)

    client = Client(server, is_async=True)
    await run(client, "generate_content", {"tools": [Session()]})
    tool = one_trace().data.spans[2]
    assert (tool.span_type, tool.name) == ("TOOL", "add")
    assert tool.outputs["content"][0]["text"] == "no"
    assert tool.status.status_code == "ERROR"


# Interactions.


async def interact(client: Client, *, stream: bool, **asked: Any) -> Any:
    interactions = client.need("interactions")
    return await client.read(interactions.create(input="Hi", **asked, stream=stream))


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("scenario", OF_INTERACTIONS)
async def test_an_interaction_is_recorded_as_it_is_on_the_wire(
    client: Client, last: Callable[[], Span], scenario: str, stream: bool
) -> None:
    await interact(client, model=scenario, stream=stream)
    span, expected = last(), USAGE[scenario]
    assert (span.name, span.span_type) == (f"chat {scenario}", "CHAT_MODEL")
    assert span.inputs == client.server.requests[-1].json
    whole = client.answer("interactions", {"model": scenario, "input": "Hi"})
    assert masked(span.outputs) == whole
    assert span.model == f"{scenario}-2026-01-01"
    facts = span.attributes
    assert facts["gen_ai.provider.name"] == "gcp.gemini"
    assert facts["gen_ai.response.id"] == span.outputs["id"]
    assert facts["gen_ai.response.finish_reasons"] == [whole["status"]]
    counts = span.usage
    assert counts["input_tokens"] == expected.input
    assert counts["output_tokens"] == expected.output
    assert counts["total_tokens"] == expected.total
    assert counts["reasoning_output_tokens"] == expected.reasoning
    assert counts["cache_read_input_tokens"] == expected.cached


async def test_an_agents_interaction_is_a_span_of_an_agent(
    client: Client, traces: Callable[[], list[Trace]]
) -> None:
    await interact(client, agent="plain-research", stream=False)
    (trace,) = traces()
    (span,) = trace.data.spans
    assert (span.name, span.span_type) == ("invoke_agent plain-research", "AGENT")
    assert span.attributes["gen_ai.operation.name"] == "invoke_agent"
    assert span.attributes["gen_ai.agent.name"] == "plain-research"


async def test_a_stored_interaction_is_a_span_where_it_is_streamed(
    client: Client, traces: Callable[[], list[Trace]]
) -> None:
    get = client.need("interactions").get
    await client.read(get("v1_plain"))
    assert traces() == []
    await client.read(get("v1_plain", stream=True))
    (span,) = traces()[-1].data.spans
    assert span.name == "fetch_response"
    assert span.model


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("word", ERRORS)
async def test_an_error_of_an_interaction_is_recorded_without_the_key(
    client: Client, last: Callable[[], Span], tmp_path: Path, word: str, stream: bool
) -> None:
    client = Client(client.server, is_async=client.is_async)
    client.need("interactions")
    client.whole._api_client._http_options.retry_options = genai.types.HttpRetryOptions(attempts=1)
    with pytest.raises(Exception, match=str(ERRORS[word])):
        await interact(client, model=word, stream=stream)
    span = last()
    assert span.status.status_code == "ERROR"
    assert span.attributes["http.response.status_code"] == ERRORS[word]
    assert span.attributes["error.type"]
    assert "message" in json.dumps(span.attributes["error.body"])
    spanlog.flush()
    assert KEY.encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


async def test_what_tools_prove_themselves_with_is_not_recorded(
    client: Client, last: Callable[[], Span]
) -> None:
    tool = {"type": "mcp_server", "name": "x", "url": "http://x", "headers": {"Authorization": KEY}}
    await interact(client, model="plain", tools=[tool], stream=False)
    assert client.server.requests[-1].json["tools"] == [tool]
    assert last().inputs["tools"] == [{**tool, "headers": {"Authorization": "[redacted]"}}]
    assert KEY not in json.dumps(last().to_dict())


def test_interactions_of_the_first_versions_are_folded() -> None:
    def event(kind: str, **more: Any) -> Any:
        return {"event_type": kind, **more}

    def delta(index: int, **piece: Any) -> Any:
        return event("content.delta", index=index, delta=piece)

    said = {"type": "text", "text": "Hm. So."}
    assert interactions.fold(
        [
            event("interaction.start", interaction={"id": "i", "status": "in_progress"}),
            event("content.start", index=0, content={"type": "thought"}),
            delta(0, type="thought_summary", content={"type": "text", "text": "Hm."}),
            delta(0, type="thought_summary", content={"type": "text", "text": " So."}),
            delta(0, type="thought_signature", signature="s"),
            event("content.start", index=1, content={"type": "text"}),
            delta(1, type="text", text="Hel"),
            delta(1, type="text", text="lo"),
            delta(1, type="text_annotation", annotations=[{"url": "u"}]),
            event("content.start", index=2, content={"type": "function_call"}),
            delta(2, type="function_call", id="c", name="f", arguments={"a": 1}),
            event("interaction.complete", interaction={"status": "completed", "usage": None}),
        ]
    ) == {
        "id": "i",
        "status": "completed",
        "outputs": [
            {"type": "thought", "summary": [said], "signature": "s"},
            {"type": "text", "text": "Hello", "annotations": [{"url": "u"}]},
            {"type": "function_call", "id": "c", "name": "f", "arguments": {"a": 1}},
        ],
    }


# Readers, with what no scenario has.


def test_what_is_told_of_a_candidate_bit_by_bit_is_put_together_and_not_told_twice() -> None:
    def chunk(text: str, **more: Any) -> Any:
        return {"candidates": [{"content": {"parts": [{"text": text}]}, **more}]}

    def grounded(queries: list[str], *uris: str) -> Any:
        return {"webSearchQueries": queries, "groundingChunks": [{"web": {"uri": u}} for u in uris]}

    (candidate,) = google.fold(
        [
            chunk("a", groundingMetadata=grounded(["q"], "1"), safetyRatings=[{"p": "LOW"}]),
            chunk("b", groundingMetadata=grounded(["q"], "1", "2"), logprobsResult={"c": [1]}),
            chunk("", citationMetadata={"citations": [{"uri": "1"}]}, logprobsResult={"c": [1]}),
            chunk("c", citationMetadata={"citations": [{"uri": "2"}]}, safetyRatings=[{"p": "NO"}]),
        ]
    )["candidates"]
    assert candidate == {
        "content": {"parts": [{"text": "abc"}]},
        "groundingMetadata": grounded(["q"], "1", "2"),
        "citationMetadata": {"citations": [{"uri": "1"}, {"uri": "2"}]},
        "safetyRatings": [{"p": "NO"}],
        "logprobsResult": {"c": [1, 1]},
    }


def test_code_and_its_results_stay_parts_of_their_own_and_a_signature_ends_a_text() -> None:
    parts = [
        {"text": "a", "thought": True},
        {"text": "b", "thought": True},
        {"text": "c"},
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"text": "d"},
        {"text": "", "thoughtSignature": "s"},
        {"text": "e"},
        {"text": ""},
    ]
    chunks = [{"candidates": [{"content": {"parts": [p], "role": "model"}}]} for p in parts]
    (candidate,) = google.fold(chunks)["candidates"]
    assert candidate["content"]["parts"] == [
        {"text": "ab", "thought": True},
        *parts[2:5],
        {"text": "d", "thoughtSignature": "s"},
        {"text": "e"},
    ]


def test_embeddings_by_predict_tell_their_tokens_one_by_one() -> None:
    span = LiveSpan("x")
    counted = {"values": [1], "statistics": {"token_count": 4.0}}
    google.response(span, {"predictions": [{"embeddings": counted}] * 2})
    span.end()
    assert span.usage == {"input_tokens": 8, "total_tokens": 8}


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=4),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(st.sampled_from(["x", "yy", "z_1"]), inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)


def leaves(value: Any, path: str = "$") -> Iterator[Any]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def partial(path: str, value: Any) -> list[Any]:
    """Return the pieces in which a value is streamed."""
    if isinstance(value, str):
        pieces = [value[:2], value[2:]]
        return [{"jsonPath": path, "stringValue": piece, "willContinue": True} for piece in pieces]
    named = {bool: "boolValue", int: "numberValue", type(None): "nullValue"}[type(value)]
    return [{"jsonPath": path, named: "NULL_VALUE" if value is None else value}]


@given(st.dictionaries(st.sampled_from("ab"), PLAIN, min_size=1), st.integers(1, 4))
def test_arguments_that_come_in_pieces_are_put_together(arguments: Any, size: int) -> None:
    pieces = [piece for path, value in leaves(arguments) for piece in partial(path, value)]
    calls = [{"name": "f", "willContinue": True}]
    calls += [
        {"partialArgs": pieces[i : i + size], "willContinue": True}
        for i in range(0, len(pieces), size)
    ]
    chunks = [
        {"candidates": [{"content": {"parts": [{"functionCall": call}]}}]} for call in [*calls, {}]
    ]
    (candidate,) = google.fold(chunks)["candidates"]
    assert candidate["content"]["parts"] == [{"functionCall": {"name": "f", "args": arguments}}]


PARTS = st.lists(
    st.builds(lambda t: {"text": t}, st.text(min_size=1))
    | st.builds(lambda t: {"text": t, "thought": True}, st.text(min_size=1))
    | st.just({"functionCall": {"name": "f", "args": {}}}),
    max_size=6,
)


@given(PARTS, st.data())
def test_a_reply_is_the_same_however_it_is_cut(parts: Any, data: st.DataObject) -> None:
    def chunks(cut: Callable[[str], list[str]]) -> list[Any]:
        pieces = [
            {**part, "text": text} if "text" in part else part
            for part in parts
            for text in (cut(part["text"]) if "text" in part else [""])
        ]
        return [{"candidates": [{"content": {"parts": [piece]}}]} for piece in pieces]

    def anywhere(text: str) -> list[str]:
        at = data.draw(st.integers(0, len(text)))
        return [text[:at], text[at:]]

    assert google.fold(chunks(anywhere)) == google.fold(chunks(lambda text: [text]))
