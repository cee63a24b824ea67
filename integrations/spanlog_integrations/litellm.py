"""LiteLLM: completions, responses, messages, embeddings, reranking, images, audio, moderations.

Sync and async, streamed and not, `Router` with its retries and fallbacks, and batches. The
functions are changed in place, so those that a program has imported by name are traced too. What
one of them calls of the others for the same call makes no span of its own; each attempt of a
router, each model of a list of fallbacks and each completion of a batch does. Below them the SDK
that LiteLLM calls may be traced as well: it is the same call, seen closer to the wire.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
from spanlog import semconv
from spanlog.instrument import Call, Integration, Target, TracedCall, traced
from spanlog.model.capture import wire
from spanlog.model.span import SpanType
from spanlog.record.context import carry, current_span
from spanlog.record.redact import secrets_in
from spanlog.record.span import LiveSpan
from spanlog.record.streams import Watch, Worked, watch_body

from spanlog_integrations.seams.arguments import Arguments
from spanlog_integrations.seams.http import causes, request_id, secrets_behind
from spanlog_integrations.wire import anthropic, chat, responses, sse
from spanlog_integrations.wire.providers import provider_name
from spanlog_integrations.wire.usage import counted

Json = dict[str, Any]

# What LiteLLM calls the provider of a stream that comes out of its cache.
_CACHED = "cached_response"
# What LiteLLM tells beside a reply, and where it keeps the provider's id of the request.
_HIDDEN = {
    "response_cost": "litellm.response_cost",
    "cache_hit": "litellm.cache_hit",
    "model_id": "litellm.model_id",
}
_REQUEST_IDS = ("llm_provider-x-request-id", "llm_provider-request-id", "x-request-id")


def _fold(chunks: Sequence[Json]) -> Json:
    """Rebuild the reply that a stream of chunks spells out."""
    return chat.fold([counted(chunk) for chunk in chunks])


@dataclass(frozen=True)
class Operation:
    """What some functions of LiteLLM's do, and how their traffic is read.

    Args:
        name: What the span's name begins with, and its `gen_ai.operation.name`.
        span_type: From `spanlog.entities.SpanType`.
        positional: The names of the arguments that are given without one.
        request: Records facts of the arguments.
        response: Records facts of the reply.
        fold: Makes of a stream's chunks the reply that they spell out.
    """

    name: str
    span_type: str
    positional: tuple[str, ...]
    request: Callable[[LiveSpan, Mapping[str, Any]], None] = chat.request
    response: Callable[[LiveSpan, Json], None] = chat.response
    fold: Callable[[Sequence[Json]], Json] = _fold


def _of_model(name: str, *positional: str, span_type: str = SpanType.LLM) -> Operation:
    return Operation(name, span_type, positional)


_CHAT = _of_model("chat", "model", "messages", span_type=SpanType.CHAT_MODEL)
_EDIT = _of_model("image_generation", "image", "prompt", "model")
_OPERATIONS = {
    "completion": _CHAT,
    "responses": Operation(
        "chat",
        SpanType.CHAT_MODEL,
        ("input", "model"),
        response=responses.response,
        fold=responses.fold,
    ),
    "anthropic_messages": Operation(
        "chat",
        SpanType.CHAT_MODEL,
        ("max_tokens", "messages", "model"),
        anthropic.request,
        anthropic.response,
        anthropic.fold,
    ),
    "text_completion": _of_model("text_completion", "prompt", "model"),
    "embedding": _of_model("embeddings", "model", "input", span_type=SpanType.EMBEDDING),
    "rerank": _of_model("rerank", "model", "query", "documents", span_type=SpanType.RERANKER),
    "image_generation": _of_model("image_generation", "prompt", "model"),
    "image_edit": _EDIT,
    "aimage_edit": _of_model("image_generation", "image", "model", "prompt"),
    "image_variation": _of_model("image_generation", "image", "model"),
    "speech": _of_model("speech", "model", "input", "voice"),
    "transcription": _of_model("transcription", "model", "file"),
    "moderation": _of_model("moderation", "input", "model", span_type=SpanType.GUARDRAIL),
}


def _operation(function: str) -> Operation | None:
    """Return what a function does, by its name; that of an async one begins with "a"."""
    name = function.lstrip("_")
    return _OPERATIONS.get(name) or _OPERATIONS.get(name.removeprefix("a"))


class _Span(LiveSpan):
    """A span of LiteLLM's, that knows what is called below it for the same call.

    Attributes:
        whole: A call of a model, whose parts are none.
        function: Of a router's call, what it calls at each attempt.
    """

    __slots__ = ("function", "whole")

    whole: bool
    function: Any


class _Asked(Arguments):
    """The arguments of a call.

    Attributes:
        provider: The provider that is asked, by LiteLLM's name, where it is known.
        model: The model that is asked, without the provider.
    """

    def __init__(self, call: Call, positional: Sequence[str]) -> None:
        given = {**dict(zip(positional, call.args, strict=False)), **call.kwargs}
        if more := call.args[len(positional) :]:
            given["args"] = more
        super().__init__(given)
        self.provider, self.model = _provider_and_model(given)


def _provider_and_model(given: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Tell provider and model apart as LiteLLM does, without its questions to the environment."""
    model, told = given.get("model"), given.get("custom_llm_provider")
    if not isinstance(model, str):
        return told, None
    litellm = sys.modules["litellm"]
    provider, _, rest = model.partition("/")
    if rest and provider in litellm.provider_list:
        return told or provider, rest
    return told or (litellm.model_cost.get(model) or {}).get("litellm_provider"), model


class _Recorded(TracedCall):
    """A call that is recorded; one of which the calls of models are parts is no more than this."""

    span: _Span

    def __init__(self, name: str, span_type: str, operation: Operation, asked: _Asked) -> None:
        about = f"{name} {asked.model}" if asked.model else name
        inputs = wire(asked.inputs, chat.UNSENT)
        facts = {semconv.REQUEST_MODEL: asked.model} if asked.model else None
        span = _Span(about, span_type, current_span(), inputs, facts)
        span.whole, span.function = False, None
        super().__init__(span)
        self._operation = operation

    def on_response(self, result: Any) -> Any:
        if _is_stream(result):
            return Worked(result, self._watch(self._read_events, self._kept))
        http = getattr(result, "response", None)
        if hasattr(type(http), "iter_bytes"):
            self._hear(http)
            return result
        outputs = wire(result)
        self.span._keep_outputs(outputs)
        self.span._read_later(lambda span: self._read(span, orjson.loads(outputs)))
        self.span.end()
        return result

    def _watch(
        self, read: Callable[[LiveSpan, list[bytes]], None], keep: Callable[[Any], bytes]
    ) -> Watch:
        def passed(span: LiveSpan, pieces: list[bytes], stopped: bool) -> None:
            if stopped:
                span.set_attribute(semconv.STREAM_COMPLETED, False)
            read(span, pieces)

        return Watch(self.span, passed, keep=keep, fail=lambda _, error: self.on_error(error))

    def _hear(self, http: Any) -> None:
        """Record a reply in bytes, which is sound."""

        def read(span: LiveSpan, pieces: list[bytes]) -> None:
            span.set_outputs(b"".join(pieces))

        if found := request_id(http):
            self.span.set_attribute(semconv.HTTP_RESPONSE_REQUEST_ID, found)
        if http.is_closed:
            content = http.content
            self.span._read_later(lambda span: read(span, [content]))
            self.span.end()
        else:
            watch_body(http, self._watch(read, bytes))

    def _kept(self, piece: Any) -> bytes:
        """Take a piece as it is now: the next may be the same object."""
        return piece if isinstance(piece, bytes) else wire(piece)

    def _read_events(self, span: LiveSpan, pieces: list[bytes]) -> None:
        span.set_attribute(semconv.STREAM_CHUNKS, len(pieces))
        if events := _events(pieces):
            reply = self._operation.fold(events)
            span.set_outputs(reply)
            self._read(span, reply)

    def _read(self, span: LiveSpan, reply: Any) -> None:
        """Record facts of a reply."""

    def on_error(self, error: BaseException) -> None:
        chain = list(causes(error))
        told = [vars(one) for one in chain]
        facts = {
            semconv.ERROR_TYPE: type(error).__name__,
            semconv.HTTP_RESPONSE_STATUS_CODE: vars(error).get("status_code"),
            semconv.HTTP_RESPONSE_REQUEST_ID: _first(
                request_id(held.get("response")) or held.get("request_id") for held in told
            ),
            semconv.ERROR_BODY: _first(held.get("body") for held in told),
        }
        self.span.set_attributes({name: fact for name, fact in facts.items() if fact is not None})
        self.span.record_exception(error)
        self.span._redact([*secrets_in(vars(sys.modules["litellm"])), *secrets_behind(error)])
        self.span.end()


def _is_stream(result: Any) -> bool:
    return hasattr(type(result), "__anext__") or hasattr(type(result), "__next__")


def _events(pieces: Sequence[bytes]) -> list[Json]:
    """Return what the pieces of a stream say; those of messages are as on the wire."""
    if all(piece.startswith(b"{") for piece in pieces):
        return [orjson.loads(piece) for piece in pieces]
    return sse.parse(b"".join(pieces)).data


def _first(values: Iterator[Any]) -> Any:
    return next((value for value in values if value), None)


class _ModelCall(_Recorded):
    """A call of a model."""

    def __init__(self, operation: Operation, asked: _Asked) -> None:
        super().__init__(operation.name, operation.span_type, operation, asked)
        self.span.whole = not asked.inputs.get("fallbacks")
        self._given = asked
        self._has_provider = False
        self._answered: str | None = None

    def on_request(self) -> None:
        given = self._given
        del self._given
        self.span.set_attribute(semconv.OPERATION_NAME, self._operation.name)
        self._provider(given.provider)
        address = given.inputs.get("api_base") or given.inputs.get("base_url")
        if isinstance(address, str) and (host := urlsplit(address).hostname):
            self.span.set_attribute(semconv.SERVER_ADDRESS, host)
        self._operation.request(self.span, given.inputs)

    def _provider(self, name: Any) -> None:
        """Record the provider that the program names, else the one that LiteLLM tells of."""
        if isinstance(name, str) and name not in ("", _CACHED) and not self._has_provider:
            self._has_provider = True
            self.span.set_attribute(semconv.PROVIDER_NAME, provider_name(name))

    def on_response(self, result: Any) -> Any:
        provider = getattr(result, "custom_llm_provider", None)
        self._provider(provider)
        if provider == _CACHED:
            self.span.set_attribute("litellm.cache_hit", True)
        self._beside(getattr(result, "_hidden_params", None) or {})
        return super().on_response(result)

    def _beside(self, hidden: Mapping[str, Any]) -> None:
        """Record what LiteLLM tells beside the reply."""
        self._provider(hidden.get("custom_llm_provider"))
        chat.facts(self.span, {name: hidden.get(name) for name in _HIDDEN}, _HIDDEN)
        headers = hidden.get("additional_headers") or {}
        if found := _first(headers.get(name) for name in _REQUEST_IDS):
            self.span.set_attribute(semconv.HTTP_RESPONSE_REQUEST_ID, found)

    def _kept(self, piece: Any) -> bytes:
        # A stream's chunks name the model that was asked; the one that answers is told beside.
        if not self._answered and (hidden := getattr(piece, "_hidden_params", None)):
            self._answered = hidden.get("provider_response_model")
        return super()._kept(piece)

    def _read(self, span: LiveSpan, reply: Any) -> None:
        if isinstance(reply, dict):
            self._operation.response(span, counted(reply))
        if self._answered:
            span.set_attribute(semconv.RESPONSE_MODEL, self._answered)

    def on_error(self, error: BaseException) -> None:
        self._provider(vars(error).get("llm_provider"))
        super().on_error(error)


def _model_call(operation: Operation) -> Callable[[Call], TracedCall | None]:
    def begin(call: Call) -> TracedCall | None:
        above = current_span()
        own = isinstance(above, _Span) and (above.whole or call.kwargs.get("acompletion"))
        if own and "litellm_logging_obj" in call.kwargs:
            return None  # LiteLLM itself, for the call above
        return _ModelCall(operation, _Asked(call, operation.positional))

    return begin


def _batch(name: str) -> Callable[[Call], TracedCall]:
    return lambda call: _Recorded(name, SpanType.CHAIN, _CHAT, _Asked(call, _CHAT.positional))


def _routed(call: Call) -> TracedCall | None:
    """Record a router's call; it goes through the same function again for a fallback."""
    function = call.kwargs.get("original_function")
    called = call.kwargs.get("original_generic_function") or function
    operation = _operation(getattr(called, "__name__", ""))
    above = current_span()
    again = isinstance(above, _Span) and above.function == function
    if operation is None or again:
        return None
    group = _Recorded("router", SpanType.CHAIN, operation, _Asked(call, operation.positional))
    group.span.function = function
    return group


def _submit(wrapped: Callable[..., Any], _pool: Any, args: Any, kwargs: Any) -> Any:
    """Take the work that LiteLLM gives to threads under the call that it is part of."""
    if args and isinstance(current_span(), _Span):
        function, *rest = args
        return wrapped(carry(function), *rest, **kwargs)
    return wrapped(*args, **kwargs)


def _functions(module: str, *names: str) -> Iterator[Target]:
    """Return the targets for some functions and their async forms."""
    for name in (*names, *(f"a{name}" for name in names)):
        if operation := _operation(name):
            yield Target(f"{module}:{name}", traced(_model_call(operation)), in_place=True)


_BATCHES = (
    "batch_completion",
    "batch_completion_models",
    "batch_completion_models_all_responses",
)

integration = Integration(
    "litellm",
    "litellm",
    "litellm",
    *_functions(
        "litellm.main",
        "completion",
        "text_completion",
        "embedding",
        "image_generation",
        "speech",
        "transcription",
        "moderation",
    ),
    *_functions("litellm.images.main", "image_generation", "image_edit", "image_variation"),
    *_functions("litellm.rerank_api.main", "rerank"),
    *_functions("litellm.responses.main", "responses"),
    *_functions("litellm.llms.anthropic.pass_through.messages.handler", "anthropic_messages"),
    *_functions(
        "litellm.llms.anthropic.experimental_pass_through.messages.handler", "anthropic_messages"
    ),
    *(
        Target(f"litellm.batch_completion.main:{name}", traced(_batch(name)), in_place=True)
        for name in _BATCHES
    ),
    Target("litellm.router:Router.function_with_fallbacks", traced(_routed)),
    Target("litellm.router:Router.async_function_with_fallbacks", traced(_routed)),
    Target("concurrent.futures.thread:ThreadPoolExecutor.submit", _submit),
    tested=("1.53.1", "1.106.2"),
)
autolog = integration.autolog
