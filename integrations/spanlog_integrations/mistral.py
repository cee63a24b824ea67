"""Mistral's SDK: chat, agents, conversations, responses, FIM, embeddings, OCR, moderation, audio.

Sync and async, streamed and not, `parse` and `parse_stream`, `run` with the functions that it
executes, earlier clients, and the SDK's clients for Azure and Google Cloud. Live audio, batches,
files and the like are no calls of a model.

A call has two seams: the method that the program calls is where the span is, and the request that
the method makes is where it is read what goes over the wire.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import orjson
from spanlog import semconv
from spanlog.instrument import Call, Integration, Target, TracedCall, Wrapper, traced
from spanlog.model.capture import capture, wire
from spanlog.model.span import SpanType
from spanlog.record.context import current_span
from spanlog.record.span import LiveSpan
from spanlog.record.streams import Watch, Worked

from spanlog_integrations.seams.http import Exchange, Route, file, secrets
from spanlog_integrations.wire import chat, mistral, responses
from spanlog_integrations.wire.providers import provider_at
from spanlog_integrations.wire.reply import parsed

Json = dict[str, Any]

# The types of what the SDK puts in the place of arguments that were not given.
_UNSENT = frozenset({"Unset"})
# The arguments of a method that are not for the model: addresses, headers, retries.
_NOT_FOR_IT = frozenset({"http_headers", "retries", "run_ctx", "server_url", "timeout_ms"})
# The argument that is not in the body.
_IN_THE_PATH = {"conversation_id": semconv.CONVERSATION_ID}


# A call.


class _Span(LiveSpan):
    """The span of a call; it knows the call for as long as the call's request is still to come."""

    __slots__ = ("call",)

    call: _Call | None


def _waiting() -> _Call | None:
    """Return the call that is being made here, if its request is still to come."""
    span = current_span()
    return span.call if isinstance(span, _Span) else None


class _Call(Exchange):
    """A call of a method that calls a model."""

    span: _Span

    def __init__(self, route: Route, given: Json) -> None:
        super().__init__(route, given.get("model") or given.get("agent_id"), kind=_Span)
        self._given = given
        self._request: Any = None
        self._http: Any = None
        self._streams = False
        self.span.call = self

    def sent(self, request: Any) -> None:
        """Take the request that the method makes."""
        self.span.call = None
        self._request = request
        body = _body(request)
        host = request.url.host
        self._asks(body, provider_at(host) or "mistral_ai", host)

    def heard(self, http: Any) -> None:
        """Take the reply to the request."""
        self._http = http
        events = http.headers.get("content-type", "").startswith("text/event-stream")
        self._streams = events and http.status_code == 200
        if self._streams:
            self.hears(http, streamed=True)

    def on_response(self, result: Any) -> Any:
        if self._http is None:  # something else stands in the place of the request
            self._never_sent()
            return super().on_response(result)
        if not self._streams:
            self.hears(self._http, streamed=False)
        return result

    def on_error(self, error: BaseException) -> None:
        http = self._http
        if self._request is None:  # the method has refused what it was given
            self._never_sent()
        elif http is not None and http.status_code < 400 and http.is_closed:
            self.holds(http, streamed=False)  # the method has refused the reply
        self.fails(error, http, self._request)

    def _asks(self, body: Json, provider: str, host: str | None = None) -> None:
        self.span.set_inputs(body)
        chat.facts(self.span, self._given, _IN_THE_PATH)
        self.sends(body, provider, host)

    def _never_sent(self) -> None:
        self.span.call = None
        self._asks(_for_the_model(self._given), "mistral_ai")


def _for_the_model(arguments: Json) -> Json:
    """Return arguments of a method as they are for the model, as plain data."""
    given = {name: value for name, value in arguments.items() if name not in _NOT_FOR_IT}
    plain: Json = orjson.loads(wire(given, _UNSENT))
    return plain


class _Request(TracedCall):
    """The request of a call: the call's span is also its."""

    def __init__(self, call: _Call, request: Any) -> None:
        super().__init__(call.span)
        self._call = call
        self._request = request

    def on_request(self) -> None:
        self._call.sent(self._request)

    def on_response(self, result: Any) -> Any:
        self._call.heard(result)
        return result

    def on_error(self, error: BaseException) -> None:
        """Leave it to the call, which fails with the same error or with another."""


def _calls(route: Route) -> Wrapper:
    """Return the wrapper of a method that calls a model."""
    of_an_agent = replace(route, operation="invoke_agent", span_type=SpanType.AGENT)

    def begin(call: Call) -> TracedCall | None:
        if _waiting() is not None:
            return None  # `parse` calls `complete`
        return _Call(of_an_agent if call.kwargs.get("agent_id") else route, call.kwargs)

    return traced(begin)


def _begin_request(call: Call) -> TracedCall | None:
    made = _waiting()
    return None if made is None else _Request(made, call.argument(1, "request"))


def _body(request: Any) -> Json:
    """Return the body of a request; of a form, its fields, and what its files are."""
    fields = getattr(request.stream, "fields", None)
    if fields is None:
        return _data(request.content)
    body: Json = {}
    for field in fields:
        if hasattr(field, "file"):
            held = file((field.filename, field.file, field.headers.get("Content-Type")))
        else:
            held = {"true": True, "false": False}.get(field.value, field.value)
        body[field.name] = [*body[field.name], held] if field.name in body else [held]
    return {name: all_[0] if len(all_) == 1 else all_ for name, all_ in body.items()}


def _data(content: bytes) -> Json:
    try:
        data = orjson.loads(content)
    except orjson.JSONDecodeError:  # what Python's own writer writes and no standard knows: NaN
        data = json.loads(content)
    return data if isinstance(data, dict) else {"body": data}


# A run, in which the SDK executes the program's functions.


class _Run(TracedCall):
    """A run of a conversation: the requests and the functions that it needs are below it."""

    def __init__(self, context: Any, given: Json) -> None:
        model, agent = context.model, context.agent_id
        asked = {"model": model, "agent_id": agent, **_for_the_model(given)}
        inputs = capture(asked)
        facts = {
            semconv.OPERATION_NAME: "invoke_agent",
            semconv.PROVIDER_NAME: "mistral_ai",
            semconv.REQUEST_MODEL: model,
            semconv.AGENT_ID: agent,
        }
        facts = {name: fact for name, fact in facts.items() if fact}
        name = f"invoke_agent {model or agent}"
        super().__init__(LiveSpan(name, SpanType.AGENT, current_span(), inputs, facts))

    def on_response(self, result: Any) -> Any:
        if hasattr(result, "__anext__"):
            return Worked(result, Watch(self.span, _read_run, keep=self._came, fail=_run_failed))
        self.span._finish(self._came(result))
        return result

    def on_error(self, error: BaseException) -> None:
        _run_failed(self.span, error)

    def _came(self, result: Any) -> bytes | None:
        """Take what came of the run; in a stream that is the last piece."""
        if not hasattr(result, "output_entries"):
            return None
        conversation = result.conversation_id
        self.span.set_attribute(semconv.CONVERSATION_ID, conversation)
        return capture({"conversation_id": conversation, "outputs": result.output_entries})


def _begin_run(call: Call) -> TracedCall:
    given = {"inputs": call.argument(1, "inputs"), **call.kwargs}
    return _Run(call.argument(0, "run_ctx"), given)


def _run_failed(span: LiveSpan, error: BaseException) -> None:
    """End the span with an error, which may be that of a request and repeat its key."""
    span.record_exception(error)
    span._redact(secrets(getattr(getattr(error, "raw_response", None), "request", None)))
    span.end()


def _read_run(span: LiveSpan, pieces: list[bytes | None], stopped: bool) -> None:
    if stopped:
        span.set_attribute(semconv.STREAM_COMPLETED, False)
    span.set_attribute(semconv.STREAM_CHUNKS, len(pieces))
    if pieces and pieces[-1] is not None:
        span._keep_outputs(pieces[-1])


class _Function(TracedCall):
    """An execution of a function that the model has called."""

    def __init__(self, asked: Any) -> None:
        given = asked.arguments
        inputs = capture(parsed(given) if isinstance(given, str) else given)
        facts = {
            semconv.OPERATION_NAME: "execute_tool",
            semconv.TOOL_NAME: asked.name,
            semconv.TOOL_CALL_ID: asked.tool_call_id,
        }
        super().__init__(LiveSpan(asked.name, SpanType.TOOL, current_span(), inputs, facts))
        self._mark = f"Error while executing {asked.name}: "

    def on_response(self, result: Any) -> Any:
        if result.result.startswith(self._mark):  # the run is to go on after an error
            self.span.set_status_error(result.result.removeprefix(self._mark))
        self.span._finish(capture(result.result))
        return result

    def on_error(self, error: BaseException) -> None:
        """Record the function's own error, which the SDK hides behind one of its own."""
        self.span._fail(error.__cause__ or error)


def _begin_function(call: Call) -> TracedCall:
    return _Function(call.argument(0, "function_call"))


# Where all that is.


def _route(
    operation: str,
    span_type: str,
    fold: Any = mistral.fold,
    answer: Any = mistral.response,
    last: tuple[str, ...] = (),
) -> Route:
    return Route("", operation, span_type, mistral.request, answer, fold, last)


_CHAT = _route("chat", SpanType.CHAT_MODEL)
_CONVERSATION = _route(
    "chat",
    SpanType.CHAT_MODEL,
    mistral.fold_conversation,
    last=("conversation.response.done", "conversation.response.error"),
)
_RESPONSES = _route(
    "chat",
    SpanType.CHAT_MODEL,
    responses.fold,
    responses.response,
    responses.LAST,
)
_FIM = _route("text_completion", SpanType.LLM)
_EMBEDDINGS = _route("embeddings", SpanType.EMBEDDING)
_OCR = _route("ocr", SpanType.PARSER)
_MODERATION = _route("moderation", SpanType.GUARDRAIL)
_CLASSIFICATION = _route("classification", SpanType.LLM)
_TRANSCRIPTION = _route(
    "transcription", SpanType.LLM, mistral.fold_transcript, last=("transcription.done",)
)
_SPEECH = _route("speech", SpanType.LLM, mistral.fold_speech, last=("speech.audio.done",))
# The methods, each of which has a form that is called the same with "_async" behind.
_METHODS = (
    ("chat:Chat", "complete stream parse parse_stream", _CHAT),
    ("agents:Agents", "complete stream", _CHAT),
    ("conversations:Conversations", "start append restart", _CONVERSATION),
    ("conversations:Conversations", "start_stream append_stream restart_stream", _CONVERSATION),
    ("responses:Responses", "create", _RESPONSES),
    ("fim:Fim", "complete stream", _FIM),
    ("embeddings:Embeddings", "create", _EMBEDDINGS),
    ("ocr:Ocr", "process", _OCR),
    ("classifiers:Classifiers", "moderate moderate_chat", _MODERATION),
    ("classifiers:Classifiers", "classify classify_chat", _CLASSIFICATION),
    ("transcriptions:Transcriptions", "complete stream", _TRANSCRIPTION),
    ("speech:Speech", "complete", _SPEECH),
)
# Where the packages lie: until 2.0, and since.
_SDKS = (
    *("mistralai", "mistralai_azure", "mistralai_gcp"),
    *("mistralai.client", "mistralai.azure.client", "mistralai.gcp.client"),
)

integration = Integration(
    "mistral",
    "mistralai",
    "mistralai",
    *(
        Target(f"{sdk}.{owner}.{method}{form}", _calls(route))
        for sdk in _SDKS
        for owner, methods, route in _METHODS
        for method in methods.split()
        for form in ("", "_async")
    ),
    *(
        Target(f"{sdk}.basesdk:BaseSDK.do_request{form}", traced(_begin_request))
        for sdk in _SDKS
        for form in ("", "_async")
    ),
    *(
        Target(f"{sdk}.conversations:Conversations.{method}", traced(_begin_run))
        for sdk in ("mistralai", "mistralai.client")
        for method in ("run_async", "run_stream_async")
    ),
    Target("mistralai.extra.run.context:create_function_result", traced(_begin_function)),
    tested=("1.0.0", "3.7.0"),
)
autolog = integration.autolog
