"""LiteLLM: each function in each form, routers, batches, and all that is recorded of them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import importlib
import inspect
import json
import pickle
import socket
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from hypothesis import given
from hypothesis import strategies as st
from spanlog.instrument import Call

from fixtures import (
    anthropic_routes,
    gemini_routes,
    groq_routes,
    mistral_routes,
    openai_routes,
)
from fixtures.loopback import Loopback, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spanlog.entities import Span, Trace

    from fixtures.loopback import Request

litellm = pytest.importorskip("litellm")
openai = importlib.import_module("openai")
integration = importlib.import_module("spanlog_integrations.litellm")

# As a program takes them that is imported before tracing is turned on.
TAKEN = {name: getattr(litellm, name) for name in ("completion", "acompletion", "embedding")}
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # LiteLLM's own are many
]

KEY = "sk-litellm-secret-key"
HI = [{"role": "user", "content": "Hi"}]
NEW = hasattr(litellm, "responses")
TEXT, USAGE = openai_routes.TEXT, openai_routes.USAGE


IMAGE = {"created": 1, "data": [{"b64_json": "iVBORw=="}]}
RANKED = {
    "id": "rerank-1",
    "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}],
    "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
}


def other_routes(request: Request) -> Reply | None:
    """Answer as Cohere does; and with an image as OpenAI did when LiteLLM 1.53 was made."""
    for path, body in {"/rerank": RANKED, "/images/generations": IMAGE}.items():
        if request.path.endswith(path):
            return Reply(200, {"content-type": "application/json"}, json.dumps(body).encode())
    return None


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    routers = (mistral_routes, groq_routes, gemini_routes, anthropic_routes, openai_routes)
    with Loopback(other_routes, *(routes.router for routes in routers)) as server:
        yield server


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litellm, "suppress_debug_info", True)
    litellm.in_memory_llm_clients_cache.flush_cache()  # an async client belongs to a loop


@pytest.fixture
def traced() -> Iterator[None]:
    spanlog.litellm.autolog()
    yield
    spanlog.litellm.autolog(disable=True)
    spanlog.openai.autolog(disable=True)


def tree(trace: Trace) -> list[Any]:
    """Return the names of a trace's spans, each with those below it."""

    def below(parent: str | None) -> list[Any]:
        found = sorted(trace.data.spans, key=lambda span: span.start_time_ns)
        return [(span.name, below(span.span_id)) for span in found if span.parent_id == parent]

    return below(None)


def settings(server: Loopback) -> dict[str, Any]:
    return {"api_base": f"{server.url}/v1", "api_key": KEY}


async def call(function: str, is_async: bool, **arguments: Any) -> Any:
    """Call a function; of a stream, read all chunks."""
    result = getattr(litellm, "a" * is_async + function)(**arguments)
    result = await result if is_async else result
    if not arguments.get("stream"):
        return result
    return [chunk async for chunk in result] if is_async else list(result)


FUNCTIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "completion": ("chat", "CHAT_MODEL", {"messages": HI}),
    "text_completion": ("text_completion", "LLM", {"prompt": "Hi"}),
    "embedding": ("embeddings", "EMBEDDING", {"input": ["a", "b"]}),
    "speech": ("speech", "LLM", {"input": "Hi", "voice": "alloy"}),
    "transcription": ("transcription", "LLM", {"file": ("a.wav", b"RIFF", "audio/wav")}),
    "image_generation": ("image_generation", "LLM", {"prompt": "fox"}),
}
if NEW:
    FUNCTIONS |= {
        "responses": ("chat", "CHAT_MODEL", {"input": "Hi"}),
        "image_edit": ("image_generation", "LLM", {"prompt": "fox", "image": b"\x89PNG"}),
        "moderation": ("moderation", "GUARDRAIL", {"input": "Hi"}),
    }


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("function", FUNCTIONS)
async def test_a_call_is_one_span_with_its_arguments_and_its_reply(
    server: Loopback, traced: None, one: Callable[[], Span], function: str, is_async: bool
) -> None:
    operation, span_type, given_ = FUNCTIONS[function]
    more = {"user": "me"} if function == "completion" else {}
    await call(function, is_async, model="openai/plain", **given_, **more, **settings(server))
    span = one()
    assert (span.name, span.span_type) == (f"{operation} plain", span_type)
    assert span.attributes["gen_ai.operation.name"] == operation
    assert span.attributes["gen_ai.provider.name"] == "openai"
    assert span.attributes["gen_ai.request.model"] == "plain"
    assert span.attributes["server.address"] == "127.0.0.1"
    inputs = dict(span.inputs)
    if "file" in given_:
        assert inputs.pop("file")["filename"] == "a.wav"
        given_ = {}
    elif "image" in given_:
        assert inputs.pop("image")["content"].startswith("data:")
        given_ = {"prompt": "fox"}
    base = {"model": "openai/plain", "api_base": f"{server.url}/v1", "api_key": "[redacted]"}
    assert inputs == {**base, **given_, **more}
    assert span.status.status_code == "OK"
    if function == "speech":
        assert base64.b64decode(span.outputs.partition(",")[2])
    else:
        assert TEXT.get(function, "") in json.dumps(span.outputs, ensure_ascii=False)
    if function in ("completion", "text_completion", "responses"):
        assert TEXT["plain"] in json.dumps(span.outputs, ensure_ascii=False)
        assert span.model == "plain-2026-01-01"
        assert span.usage["input_tokens"], span.usage["output_tokens"] == USAGE["plain"][:2]
        assert span.attributes["gen_ai.response.id"]
        assert span.attributes["gen_ai.response.finish_reasons"]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_reranking_is_recorded(
    server: Loopback, traced: None, one: Callable[[], Span], is_async: bool
) -> None:
    asked = {"query": "q", "documents": ["a", "b"], "top_n": 2}
    where = {"api_base": f"{server.url}/v2/rerank", "api_key": KEY}
    await call("rerank", is_async, model="cohere/plain", **asked, **where)
    span = one()
    assert (span.name, span.span_type) == ("rerank plain", "RERANKER")
    assert [found["index"] for found in span.outputs["results"]] == [1, 0]
    assert span.attributes["gen_ai.provider.name"] == "cohere"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_moderation_by_the_users_client_is_recorded_without_the_client(
    server: Loopback, traced: None, one: Callable[[], Span], is_async: bool
) -> None:
    make = openai.AsyncOpenAI if is_async else openai.OpenAI
    client = make(base_url=f"{server.url}/v1", api_key=KEY)
    if is_async and not NEW:
        pytest.skip("this version has no such argument")
    await call("moderation", is_async, input="x", model="plain", client=client)
    span = one()
    assert span.inputs == {"input": "x", "model": "plain"}
    assert "results" in span.outputs


@pytest.mark.skipif(not NEW, reason="this version has no messages")
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("provider", ["anthropic", "openai"])
async def test_messages_are_recorded_whatever_model_answers(
    server: Loopback, traced: None, one: Callable[[], Span], provider: str, streamed: bool
) -> None:
    base = server.url if provider == "anthropic" else f"{server.url}/v1"
    result = await litellm.anthropic_messages(
        max_tokens=9,
        messages=HI,
        model=f"{provider}/plain",
        stream=streamed,
        api_base=base,
        api_key=KEY,
    )
    if streamed:
        assert [chunk async for chunk in result]
    span = one()
    text = anthropic_routes.TEXT if provider == "anthropic" else TEXT
    said = [part["text"] for part in span.outputs["content"] if part["type"] == "text"]
    assert "".join(said) == text["plain"]
    assert span.name == "chat plain"
    assert span.attributes["gen_ai.request.max_tokens"] == 9
    assert span.attributes["gen_ai.response.finish_reasons"] == ["end_turn"]
    if provider == "anthropic":
        usage = anthropic_routes.USAGE["plain"]
        assert span.usage["total_tokens"] == usage.total


@pytest.mark.skipif(not NEW, reason="this version has no responses")
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("provider", ["openai", "hosted_vllm"])
async def test_streamed_responses_are_whole_and_one_span(
    server: Loopback, traced: None, one: Callable[[], Span], provider: str, is_async: bool
) -> None:
    function = litellm.aresponses if is_async else litellm.responses
    result = function(model=f"{provider}/plain", input="Hi", stream=True, **settings(server))
    stream = await result if is_async else result
    count = len([e async for e in stream] if is_async else list(stream))
    span = one()
    assert span.name == "chat plain"
    texts = [part["text"] for item in span.outputs["output"] for part in item.get("content", ())]
    assert "".join(texts) == TEXT["plain"]
    assert span.usage["output_tokens"] == USAGE["plain"].output
    assert span.attributes["spanlog.stream.chunks"] == count


# Chat with all providers, streamed and not.


def where(server: Loopback, provider: str, model: str) -> dict[str, Any]:
    bases = {
        "openai": "/v1",
        "groq": "/openai/v1",
        "mistral": "/mistral/v1",
        "anthropic": "",
        "gemini": "/v1beta" if NEW else f"/v1beta/models/{model}",
    }
    return {"model": f"{provider}/{model}", "api_base": server.url + bases[provider]}


PROVIDERS = {
    "openai": (openai_routes, "openai"),
    "groq": (groq_routes, "groq"),
    "mistral": (mistral_routes, "mistral_ai"),
    "anthropic": (anthropic_routes, "anthropic"),
    "gemini": (gemini_routes, "gcp.gemini"),
}
WORDS = ("plain", "tools", "reasoning", "thinking", "cached", "length", "json")


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    ("provider", "word"),
    [
        (name, word)
        for name, (routes, _) in PROVIDERS.items()
        for word in WORDS
        if word in routes.USAGE
    ],
)
async def test_a_completion_says_what_litellm_makes_of_it(
    server: Loopback,
    traced: None,
    one: Callable[[], Span],
    provider: str,
    word: str,
    streamed: bool,
    is_async: bool,
) -> None:
    stream = {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
    asked = {**where(server, provider, word), "messages": HI, "api_key": KEY, **stream}
    try:
        reply = await call("completion", is_async, **asked)
    except (litellm.APIConnectionError, litellm.APIError):  # this version cannot read it
        assert one().status.status_code == "ERROR"
        return
    span = one()
    facts = span.attributes
    if streamed:
        assert facts["spanlog.stream.chunks"] == len(reply)
        assert facts["gen_ai.response.time_to_first_chunk"] > 0
    else:
        assert span.model == reply.model
    text, calls, reason, usage = spelled(reply if streamed else [reply])
    recorded = span.outputs["choices"][0]["message"]
    assert (recorded.get("content") or "") == text
    functions = [call["function"] for call in recorded.get("tool_calls") or ()]
    assert [f["name"] for f in functions if f["name"]] == calls[0]
    assert "".join(f["arguments"] for f in functions) == calls[1]
    if word == "tools":
        assert [json.loads(f["arguments"]) for f in functions]
    assert facts["gen_ai.usage.input_tokens"] == usage.prompt_tokens
    assert facts["gen_ai.usage.output_tokens"] == usage.completion_tokens
    assert facts["gen_ai.usage.total_tokens"] == usage.total_tokens
    if word == "cached" and NEW:
        table = PROVIDERS[provider][0].USAGE["cached"]
        assert facts["gen_ai.usage.cache_read.input_tokens"] == table.cached
        assert facts["gen_ai.usage.input_tokens"] >= table.cached
        if provider == "anthropic":
            assert facts["gen_ai.usage.cache_creation.input_tokens"] == table.cache_write
            assert usage.prompt_tokens == table.input + table.cached + table.cache_write
    assert facts["gen_ai.provider.name"] == PROVIDERS[provider][1]
    assert facts["gen_ai.request.model"] == word
    assert facts["gen_ai.response.finish_reasons"] == [reason]


def spelled(chunks: list[Any]) -> tuple[str, tuple[list[str], str], str, Any]:
    """Return what chunks say: the text, the names and arguments of calls, why it ended, usage."""
    choices = [chunk.choices[0] for chunk in chunks if chunk.choices]
    messages = [getattr(choice, "delta", None) or choice.message for choice in choices]
    calls = [c.function for message in messages for c in getattr(message, "tool_calls", None) or ()]
    return (
        "".join(message.content or "" for message in messages),
        ([call.name for call in calls if call.name], "".join(c.arguments or "" for c in calls)),
        [choice.finish_reason for choice in choices if choice.finish_reason][-1],
        [found for chunk in chunks if (found := getattr(chunk, "usage", None))][-1],
    )


@pytest.mark.parametrize("function", ["completion", "text_completion"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_stream_that_reports_no_usage_has_none(
    server: Loopback, traced: None, one: Callable[[], Span], function: str, is_async: bool
) -> None:
    given_ = FUNCTIONS[function][2]
    asked = {"model": "openai/plain", **given_, **settings(server)}
    result = getattr(litellm, "a" * is_async + function)(**asked, stream=True)
    stream = await result if is_async else result
    assert [c async for c in stream] if is_async else list(stream)
    span = one()
    assert span.usage is None
    assert "usage" not in span.outputs
    assert TEXT["plain"] in json.dumps(span.outputs, ensure_ascii=False)


async def test_all_choices_of_a_stream_are_kept(
    server: Loopback, traced: None, one: Callable[[], Span]
) -> None:
    chunks = await call("completion", False, **where(server, "mistral", "n2"), **_stream())
    spelled: dict[int, str] = {}
    for chunk in chunks:
        for choice in chunk.choices:
            spelled[choice.index] = spelled.get(choice.index, "") + (choice.delta.content or "")
    recorded = [choice["message"]["content"] for choice in one().outputs["choices"]]
    assert recorded == [spelled[index] for index in sorted(spelled)]


def _stream() -> dict[str, Any]:
    return {"messages": HI, "stream": True, "api_key": KEY}


async def test_parameters_and_tools_are_attributes(
    server: Loopback, traced: None, one: Callable[[], Span]
) -> None:
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}]
    asked = {"temperature": 0.5, "max_tokens": 7, "stop": "x", "seed": 3, "tools": tools}
    await call("completion", False, model="openai/tools", messages=HI, **asked, **settings(server))
    facts = one().attributes
    assert facts["gen_ai.request.temperature"] == 0.5
    assert facts["gen_ai.request.max_tokens"] == 7
    assert facts["gen_ai.request.stop_sequences"] == ["x"]
    assert facts["gen_ai.tool.definitions"] == tools
    assert facts["http.response.request_id"].startswith("req_")


def test_a_mocked_reply_is_recorded_with_its_cost_and_without_any_connection(
    traced: None, one: Callable[[], Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(socket.socket, "connect", lambda *args: opened.append(args))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_: opened.append(args))
    reply = litellm.completion("gpt-4o-mini", HI, mock_response="Hello")
    span = one()
    assert span.inputs == {"model": "gpt-4o-mini", "messages": HI, "mock_response": "Hello"}
    assert span.outputs["choices"][0]["message"]["content"] == "Hello"
    assert span.attributes["litellm.response_cost"] == reply._hidden_params["response_cost"] > 0
    assert span.attributes["gen_ai.provider.name"] == "openai"
    assert opened == []


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_reply_out_of_the_cache_is_marked(
    server: Loopback,
    traced: None,
    spans: Callable[[], list[Span]],
    monkeypatch: pytest.MonkeyPatch,
    is_async: bool,
    streamed: bool,
) -> None:
    monkeypatch.setattr(litellm, "cache", litellm.Cache(type="local"))
    asked = {"model": "openai/plain", "messages": HI, "stream": streamed, **settings(server)}
    for _ in range(2):
        result = await call("completion", is_async, **{**asked, "stream": False})
        assert result.choices[0].message.content == TEXT["plain"]
        while not litellm.cache.cache.cache_dict:
            await asyncio.sleep(0)
    if streamed:
        assert await call("completion", is_async, **asked)
    found = spans()
    assert [span.attributes.get("litellm.cache_hit", False) for span in found][:2] == [False, True]
    if streamed:
        assert found[2].attributes["gen_ai.provider.name"] == "openai"


# References, on and off.


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_functions_taken_before_are_traced_and_untraced_again(
    server: Loopback, spans: Callable[[], list[Span]], is_async: bool
) -> None:
    taken = TAKEN["acompletion" if is_async else "completion"]
    again = importlib.import_module("litellm.main")

    async def ask(function: Any) -> None:
        result = function("openai/plain", HI, **settings(server))
        assert (await result if is_async else result).choices

    functions = [taken, getattr(litellm, taken.__name__), getattr(again, taken.__name__)]
    for on in (True, False, True, False):
        spanlog.litellm.autolog(log_traces=on)
        before = len(spans())
        for function in functions:
            await ask(function)
        assert len(spans()) - before == 3 * on


def targets() -> list[Any]:
    found = []
    for target in integration.integration.targets:
        if target.in_place:
            module, _, name = target.at.partition(":")
            function = (
                getattr(importlib.import_module(module), name, None) if _has(module) else None
            )
            if function is not None:
                found.append(function)
    return found


def _has(module: str) -> bool:
    try:
        return importlib.import_module(module) is not None
    except ModuleNotFoundError:
        return False


def test_off_puts_back_exactly_what_was_there_and_nothing_else_is_touched() -> None:
    def look() -> list[Any]:
        return [
            (
                function,
                function.__code__ if not on else None,
                vars(function).keys() - {"__signature__"},
                inspect.signature(function),
                inspect.iscoroutinefunction(function),
                inspect.getsource(function),
                function.__qualname__,
                pickle.dumps(function),
                function.__defaults__,
            )
            for function in targets()
        ] + [dict(vars(litellm)), dict(vars(litellm.Router))]

    on = False
    before, codes = look(), [function.__code__ for function in targets()]
    for _ in range(2):
        spanlog.litellm.autolog()
        spanlog.litellm.autolog()
        changed = [function.__code__ for function in targets()]
        assert all(new is not old for new, old in zip(changed, codes, strict=True))
        on = True
        for now, then in zip(look()[:-1], before[:-1], strict=True):
            if isinstance(now, tuple):
                assert now[2:] == then[2:]
            assert now[0] is then[0] if isinstance(now, tuple) else now == then
        on = False
        spanlog.litellm.autolog(disable=True)
        assert look() == before
        assert all("__signature__" not in vars(function) for function in targets())


# What lies below.


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("function", ["completion", "text_completion", "embedding"])
async def test_over_the_openai_sdk_the_pair_is_one_tree_and_tokens_count_once(
    server: Loopback,
    traced: None,
    traces: Callable[[], list[Trace]],
    function: str,
    streamed: bool,
    is_async: bool,
) -> None:
    if function == "embedding" and streamed:
        pytest.skip("embeddings are not streamed")
    spanlog.openai.autolog()
    operation, _, given_ = FUNCTIONS[function]
    usage = {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
    asked = {"model": "openai/plain", **given_, **usage, **settings(server)}
    with spanlog.start_span("outer"):
        result = getattr(litellm, "a" * is_async + function)(**asked)
        result = await result if is_async else result
        if streamed:
            assert [c async for c in result] if is_async else list(result)
    (trace,) = traces()
    name = f"{operation} plain"
    assert tree(trace) == [("outer", [(name, [(name, [])])])]
    expected = USAGE["embeddings" if function == "embedding" else "plain"]
    assert trace.info.token_usage["total_tokens"] == expected.input + expected.output


async def test_other_calls_of_a_callback_are_spans_of_their_own(
    server: Loopback,
    traced: None,
    traces: Callable[[], list[Trace]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Asking(litellm.integrations.custom_logger.CustomLogger):  # type: ignore[misc,name-defined]
        def log_pre_api_call(self, model: str, messages: Any, kwargs: Any) -> None:
            if model == "plain-outer":
                litellm.completion("openai/plain-inner", HI, **settings(server))

    monkeypatch.setattr(litellm, "callbacks", [Asking()])
    await call("completion", False, model="openai/plain-outer", messages=HI, **settings(server))
    assert [tree(trace) for trace in traces()] == [
        [("chat plain-outer", [("chat plain-inner", [])])]
    ]


# Routers, fallbacks and batches.


def router(server: Loopback, **more: Any) -> Any:
    models = {"a": "broken", "b": "plain"}
    listed = [
        {
            "model_name": name,
            "litellm_params": {"model": f"openai/{model}", "max_retries": 0, **settings(server)},
        }
        for name, model in models.items()
    ]
    how = {"num_retries": 1, "retry_after": 0, "fallbacks": [{"a": ["b"]}], **more}
    return litellm.Router(model_list=listed, **how)


ATTEMPTS = [("router a", [("chat broken", []), ("chat broken", []), ("chat plain", [])])]


@pytest.mark.parametrize("form", ["sync", "async", "sync in a loop"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_each_attempt_of_a_router_is_a_span_under_one_of_the_call(
    server: Loopback,
    traced: None,
    traces: Callable[[], list[Trace]],
    form: str,
    streamed: bool,
) -> None:
    async def ask() -> Any:
        with spanlog.start_span("outer"):
            routed = router(server)
            asked = {"model": "a", "messages": HI, "stream": streamed}
            if form == "async":
                result = await routed.acompletion(**asked)
                return [c async for c in result] if streamed else result
            result = routed.completion(**asked)
            return list(result) if streamed else result

    if form == "sync":
        coroutine = ask()
        with pytest.raises(StopIteration):  # it never waits, and no loop runs
            coroutine.send(None)
    else:
        asyncio.run(ask())
    gc.collect()
    (trace,) = traces()
    assert tree(trace) == [("outer", ATTEMPTS)]
    by_name = {span.name: span for span in trace.data.spans}
    routed, answered = by_name["router a"], by_name["chat plain"]
    assert routed.span_type == "CHAIN"
    assert routed.inputs["messages"] == HI
    assert KEY not in json.dumps(routed.inputs)
    for span in (routed, answered):
        assert span.outputs["choices"][0]["message"]["content"] == TEXT["plain"]
    assert by_name["chat broken"].status.status_code == "ERROR"
    assert by_name["chat broken"].attributes["http.response.status_code"] == 500


async def test_a_router_that_fails_is_a_failed_span(
    server: Loopback, traced: None, traces: Callable[[], list[Trace]]
) -> None:
    with pytest.raises(openai.APIError):
        await router(server, fallbacks=[], num_retries=0).acompletion(model="a", messages=HI)
    (trace,) = traces()
    assert tree(trace) == [("router a", [("chat broken", [])])]
    assert trace.info.state == "ERROR"


@pytest.mark.parametrize("method", ["embedding", "aembedding", "atext_completion"])
async def test_other_calls_of_a_router_are_recorded_alike(
    server: Loopback, traced: None, traces: Callable[[], list[Trace]], method: str
) -> None:
    given_ = {"prompt": "Hi"} if "text" in method else {"input": "Hi"}
    result = getattr(router(server), method)(model="b", **given_)
    assert await result if inspect.isawaitable(result) else result
    (trace,) = traces()
    operation = "text_completion" if "text" in method else "embeddings"
    assert tree(trace) == [("router b", [(f"{operation} plain", [])])]


@pytest.mark.skipif(not NEW, reason="this version has no responses")
async def test_responses_of_a_router_are_recorded(
    server: Loopback, traced: None, traces: Callable[[], list[Trace]]
) -> None:
    await router(server).aresponses(model="b", input="Hi")
    stream = await router(server).aresponses(model="b", input="Hi", stream=True)
    assert [event async for event in stream]
    assert [tree(trace) for trace in traces()] == [[("router b", [("chat plain", [])])]] * 2
    for trace in traces():
        for span in trace.data.spans:
            assert TEXT["plain"] in json.dumps(span.outputs, ensure_ascii=False)


@pytest.mark.parametrize("is_async", [False, True] if NEW else [False])
async def test_each_model_of_a_list_of_fallbacks_is_a_span(
    server: Loopback, traced: None, traces: Callable[[], list[Trace]], is_async: bool
) -> None:
    more = {"messages": HI, "fallbacks": ["openai/plain"], **settings(server)}
    await call("completion", is_async, model="openai/bad", **more)
    (trace,) = traces()
    assert tree(trace) == [("chat bad", [("chat bad", []), ("chat plain", [])])]
    assert trace.info.token_usage["total_tokens"] == sum(USAGE["plain"][:2])


def test_each_completion_of_a_batch_is_a_span(
    server: Loopback, traced: None, traces: Callable[[], list[Trace]]
) -> None:
    results = litellm.batch_completion("openai/plain", [HI, HI, HI], **settings(server))
    assert len(results) == 3
    (trace,) = traces()
    assert tree(trace) == [("batch_completion plain", [("chat plain", [])] * 3)]
    batch = next(span for span in trace.data.spans if span.parent_id is None)
    assert batch.span_type == "CHAIN"
    assert len(batch.outputs) == 3
    assert trace.info.token_usage["total_tokens"] == 3 * sum(USAGE["plain"][:2])


# The program sees no difference.


HEARD = {  # which of the callbacks there are for each outcome
    (False, "plain"): {"pre", "success"},
    (False, "bad"): {"pre", "failure"},
    (True, "plain"): {"pre", "async_success"},
    (True, "bad"): {"pre", "async_failure"},
}


@pytest.mark.parametrize(("is_async", "model"), HEARD)
async def test_the_users_callbacks_are_called_as_ever(
    server: Loopback, monkeypatch: pytest.MonkeyPatch, is_async: bool, model: str
) -> None:
    heard: list[str] = []

    class Logger(litellm.integrations.custom_logger.CustomLogger):  # type: ignore[misc,name-defined]
        def log_pre_api_call(self, model: str, messages: Any, kwargs: Any) -> None:
            heard.append("pre")

        def log_success_event(self, kwargs: Any, response_obj: Any, *times: Any, **_: Any) -> None:
            heard.append("success")

        def log_failure_event(self, kwargs: Any, response_obj: Any, *times: Any, **_: Any) -> None:
            heard.append("failure")

        async def async_log_success_event(self, kwargs: Any, *args: Any, **_: Any) -> None:
            heard.append("async_success")

        async def async_log_failure_event(self, kwargs: Any, *args: Any, **_: Any) -> None:
            heard.append("async_failure")

    logger = Logger()
    logger.name = f"{is_async} {model}"  # LiteLLM takes those with equal attributes for one
    for on in (False, True):
        spanlog.litellm.autolog(log_traces=on)
        monkeypatch.setattr(litellm, "callbacks", [logger])
        heard.clear()
        with contextlib.suppress(litellm.BadRequestError):
            asked = {"model": f"openai/{model}", "messages": HI, **settings(server)}
            await call("completion", is_async, **asked)
        while not set(heard) >= HEARD[is_async, model]:
            await asyncio.sleep(0.01)
        assert litellm.callbacks == [logger]
    spanlog.litellm.autolog(disable=True)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("model", "status"), [("bad", 400), ("unauthorized", 401), ("limit", 429), ("broken", 500)]
)
async def test_an_error_is_recorded_as_the_user_sees_it(
    server: Loopback,
    traced: None,
    one: Callable[[], Span],
    model: str,
    status: int,
    is_async: bool,
) -> None:
    asked = {"model": f"openai/{model}", "messages": HI, "max_retries": 0, **settings(server)}
    with pytest.raises(openai.APIError) as caught:
        await call("completion", is_async, **asked)
    span = one()
    assert span.attributes["http.response.status_code"] == caught.value.status_code == status
    assert span.attributes["error.type"] == type(caught.value).__name__
    assert span.attributes["gen_ai.provider.name"] == "openai"
    assert span.attributes["error.body"]["message"]
    assert span.status.description.startswith(type(caught.value).__name__)


WAYS = ["argument", "environment", "setting", "header", "fallback", "router"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("provider", ["openai", "gemini", "anthropic"])
async def test_no_key_is_in_the_database(
    server: Loopback,
    traced: None,
    spans: Callable[[], list[Span]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    provider: str,
    way: str,
    streamed: bool,
) -> None:
    asked = {**where(server, provider, "unauthorized"), "messages": HI, "stream": streamed}
    function = litellm.completion
    if way == "argument":
        asked["api_key"] = KEY
    elif way == "environment":
        monkeypatch.setenv(f"{provider.upper()}_API_KEY", KEY)
    elif way == "setting":
        monkeypatch.setattr(litellm, "api_key", KEY)
        monkeypatch.setenv("GEMINI_API_KEY", KEY)
    elif way == "header":
        asked |= {"extra_headers": {"Authorization": f"Bearer {KEY}", "x-api-key": KEY}}
        asked["api_key"] = "another-secret-key"
    elif way == "fallback":
        other = {**where(server, "openai", "plain"), "api_key": KEY}
        asked |= {"api_key": "another-secret-key", "fallbacks": [other]}
    else:
        params = {"model": asked["model"], "api_base": asked["api_base"], "api_key": KEY}
        listed = [{"model_name": "x", "litellm_params": params}]
        function = litellm.Router(model_list=listed, num_retries=0).completion
        asked["model"] = "x"
    try:
        result = function(**asked)
        if streamed:
            list(result or ())
    except Exception as error:
        raised = str(error)
        assert raised
    assert spans()
    spanlog.flush()
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("spanlog.db*"))
    for secret in (KEY, "another-secret-key"):
        assert secret.encode() not in stored


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["model", "api_key", "x", "headers"]), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = ["model", "messages", "fallbacks", "api_key", "extra_headers", "metadata", "api_base", "n"]


@given(st.lists(VALUES, max_size=3), st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_arguments_of_any_kind_are_recorded_without_objects(
    args: list[Any], kwargs: dict[str, Any]
) -> None:
    kwargs = {**kwargs, "client": object()}
    inputs = integration._Asked(Call(None, tuple(args), kwargs), ("model", "messages")).inputs
    assert inputs.keys() <= {*NAMES, "args"}
