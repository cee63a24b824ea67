"""Mistral's SDK: chat, agents, conversations, responses, FIM, embeddings, OCR, moderation, audio.

Sync and async, streamed and not, `parse` and `parse_stream`, `run` with the functions that it
executes, earlier clients, and the SDK's clients for Azure and Google Cloud. Live audio, batches,
files and the like are no calls of a model.

A call has two seams: the method that the program calls is where the span is, and the request that
the method makes is where it is read what goes over the wire.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson
from spanlog.capture import capture, wire
from spanlog.context import current_span
from spanlog.entities import SpanType
from spanlog.patching import Call, Integration, Recording, Target, Wrapper, records
from spanlog.spans import LiveSpan
from spanlog.streams import Watch, Worked

from spanlog_integrations import _chat
from spanlog_integrations._http import Exchange, Route, file, provider_at
from spanlog_integrations.openai import fold_responses, responses_response

Json = dict[str, Any]

_REQUEST = {
    "random_seed": "gen_ai.request.seed",
    "output_dimension": "gen_ai.embeddings.dimension.count",
    "agent_id": "gen_ai.agent.id",
}
_RESPONSE = {"conversation_id": "gen_ai.conversation.id"}
_USAGE = {
    "connector_tokens": "mistral_ai.usage.connector_tokens",
    "prompt_audio_seconds": "mistral_ai.usage.prompt_audio_seconds",
}
_PAGES = {
    "pages_processed": "mistral_ai.ocr.usage.pages_processed",
    "doc_size_bytes": "mistral_ai.ocr.usage.doc_size_bytes",
}
# The types of what the SDK puts in the place of arguments that were not given.
_UNSENT = frozenset({"Unset"})
# The arguments of a method that are not for the model: addresses, headers, retries.
_HTTP_OPTIONS = frozenset({"http_headers", "retries", "server_url", "timeout_ms"})
# What is of an event of a conversation, not of the entry that it is a piece of.
_OF_AN_EVENT = frozenset({"type", "content", "content_index", "arguments", "output_index"})


def request(span: LiveSpan, body: Mapping[str, Any]) -> None:
    """Record the parameters of a request."""
    _chat.request(span, body)
    _chat.facts(span, body, _REQUEST)
    if isinstance(settings := body.get("completion_args"), Mapping):  # of a conversation
        request(span, settings)


def response(span: LiveSpan, reply: Json) -> None:
    """Record what a reply says of itself."""
    usage = reply.get("usage") or {}
    of_connectors = usage.get("connector_tokens") or 0  # which are not among those of the prompt
    asked = {"prompt_tokens": usage["prompt_tokens"] + of_connectors} if of_connectors else {}
    _chat.response(span, {**reply, "usage": {**usage, **asked}})
    _chat.facts(span, reply, _RESPONSE)
    _chat.facts(span, usage, _USAGE)
    _chat.facts(span, reply.get("usage_info"), _PAGES)
    models = [entry["model"] for entry in reply.get("outputs") or () if entry.get("model")]
    if models:
        span.set_attribute("gen_ai.response.model", models[-1])


def fold_conversation(events: Sequence[Json]) -> Json:
    """Rebuild the reply that the events of a conversation tell."""
    reply: Json = {"object": "conversation.response"}
    entries: dict[int, Json] = {}
    for event in events:
        if "output_index" in event:
            _add_to_entry(entries.setdefault(event["output_index"], {}), event)
        else:
            told = {"conversation_id": event.get("conversation_id"), "usage": event.get("usage")}
            reply.update({name: value for name, value in told.items() if value is not None})
    reply["outputs"] = [_finished(entries[index]) for index in sorted(entries)]
    return reply


def _add_to_entry(entry: Json, event: Json) -> None:
    kind = event.get("type", "").rpartition(".")[0]  # "message.output" of "message.output.delta"
    entry.update({"object": "entry", "type": kind, "created_at": event.get("created_at"), **entry})
    entry.update({name: value for name, value in event.items() if name not in _OF_AN_EVENT})
    if (piece := event.get("content")) is not None:
        part = {"type": "text", "text": piece} if isinstance(piece, str) else piece
        part = {**part, "index": event.get("content_index")}
        _chat.extend(entry.setdefault("content", []), [part], "content")
    if isinstance(spelled := event.get("arguments"), str):
        entry["arguments"] = entry.get("arguments", "") + spelled
    elif spelled is not None:
        entry["arguments"] = spelled


def _finished(entry: Json) -> Json:
    """Drop the index of parts, which only the stream needs; a text alone is no part."""
    if parts := entry.get("content"):
        for part in parts:
            part.pop("index", None)
        alone = len(parts) == 1 and parts[0].get("type") == "text"
        entry["content"] = parts[0]["text"] if alone else parts
    return entry


def _fold_transcript(events: Sequence[Json]) -> Json:
    """Take the text from the last event, or as far as it has been spelled out."""
    reply = {name: value for name, value in events[-1].items() if name != "type"}
    if events[-1].get("type") == "transcription.done":
        return reply
    deltas = (event for event in events if event.get("type") == "transcription.text.delta")
    return {"text": "".join(event.get("text") or "" for event in deltas)}


def _fold_speech(events: Sequence[Json]) -> Json:
    """Put the pieces of sound together."""
    sound = b"".join(b64decode(event.get("audio_data") or "") for event in events)
    return {"audio_data": b64encode(sound).decode(), "usage": events[-1].get("usage")}


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
        self.span.set_inputs(_chat.without_secrets(body))
        host = request.url.host
        self.sends(body, provider_at(host) or "mistral_ai", host)

    def heard(self, http: Any) -> None:
        """Take the reply to the request."""
        self._http = http
        events = http.headers.get("content-type", "").startswith("text/event-stream")
        self._streams = events and http.status_code == 200
        if self._streams:
            self.hears(http, streamed=True)

    def reply(self, result: Any) -> Any:
        if self._http is None:
            return super().reply(result)
        if not self._streams:
            self.hears(self._http, streamed=False)
        return result

    def failed(self, error: BaseException) -> None:
        http = self._http
        if self._request is None:  # the method has refused what it was given
            self.span.call = None
            asked = orjson.loads(wire(_for_the_model(self._given), _UNSENT))
            self.span.set_inputs(_chat.without_secrets(asked))
            self.sends(asked, "mistral_ai")
        elif http is not None and http.status_code < 400 and http.is_closed:
            self.holds(http, streamed=False)  # the method has refused the reply
        self.fails(error, http, self._request)


def _for_the_model(arguments: Json) -> Json:
    return {name: value for name, value in arguments.items() if name not in _HTTP_OPTIONS}


class _Request(Recording):
    """The request of a call: the call's span is also its."""

    def __init__(self, call: _Call, request: Any) -> None:
        super().__init__(call.span)
        self._call = call
        self._request = request

    def asked(self) -> None:
        self._call.sent(self._request)

    def reply(self, result: Any) -> Any:
        self._call.heard(result)
        return result

    def failed(self, error: BaseException) -> None:
        """Leave it to the call, which fails with the same error or with another."""


def _calls(route: Route) -> Wrapper:
    """Return the wrapper of a method that calls a model."""
    of_an_agent = replace(route, operation="invoke_agent", span_type=SpanType.AGENT)

    def begin(call: Call) -> Recording | None:
        if _waiting() is not None:
            return None  # `parse` calls `complete`
        return _Call(of_an_agent if call.kwargs.get("agent_id") else route, call.kwargs)

    return records(begin)


def _begin_request(call: Call) -> Recording | None:
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


class _Run(Recording):
    """A run of a conversation: the requests and the functions that it needs are below it."""

    def __init__(self, context: Any, given: Json) -> None:
        model, agent = context.model, context.agent_id
        inputs = wire({"model": model, "agent_id": agent, **given}, _UNSENT)
        name = f"invoke_agent {model or agent}"
        super().__init__(LiveSpan(name, SpanType.AGENT, current_span(), inputs))
        self._facts = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.provider.name": "mistral_ai",
            "gen_ai.request.model": model,
            "gen_ai.agent.id": agent,
        }

    def asked(self) -> None:
        self.span.set_attributes({name: v for name, v in self._facts.items() if v is not None})

    def reply(self, result: Any) -> Any:
        if hasattr(result, "__anext__"):
            return Worked(result, Watch(self.span, _read_run))
        _answer(self.span, result)
        self.span.end()
        return result


def _begin_run(call: Call) -> Recording:
    given = {"inputs": call.argument(1, "inputs"), **_for_the_model(call.kwargs)}
    given.pop("run_ctx", None)
    return _Run(call.argument(0, "run_ctx"), given)


def _read_run(span: LiveSpan, pieces: list[Any], stopped: bool) -> None:
    if stopped:
        span.set_attribute("spanlog.stream.completed", False)
    span.set_attribute("spanlog.stream.chunks", len(pieces))
    if pieces and hasattr(pieces[-1], "output_entries"):  # the last is what came of the run
        _answer(span, pieces[-1])


def _answer(span: LiveSpan, result: Any) -> None:
    outputs = {"conversation_id": result.conversation_id, "outputs": result.output_entries}
    span.keep_outputs(wire(outputs, _UNSENT))
    if result.conversation_id:
        span.set_attribute("gen_ai.conversation.id", result.conversation_id)


class _Function(Recording):
    """An execution of a function that the model has called."""

    def __init__(self, asked: Any) -> None:
        arguments = asked.arguments
        inputs = arguments.encode() if isinstance(arguments, str) else capture(arguments)
        super().__init__(LiveSpan(asked.name, SpanType.TOOL, current_span(), inputs))
        self._facts = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": asked.name,
            "gen_ai.tool.call.id": asked.tool_call_id,
        }

    def asked(self) -> None:
        self.span.set_attributes(self._facts)

    def reply(self, result: Any) -> Any:
        self.span.finish(capture(result.result))
        return result

    def failed(self, error: BaseException) -> None:
        """Record the function's own error, which the SDK hides behind one of its own."""
        self.span.fail(error.__cause__ or error)


def _begin_function(call: Call) -> Recording:
    return _Function(call.argument(0, "function_call"))


# Where all that is.


def _route(
    operation: str, span_type: str, fold: Any = _chat.fold, answer: Any = response, last: Any = ()
) -> Route:
    return Route("", operation, span_type, request, answer, fold, last)


_CHAT = _route("chat", SpanType.CHAT_MODEL)
_CONVERSATION = _route(
    "chat",
    SpanType.CHAT_MODEL,
    fold_conversation,
    last=("conversation.response.done", "conversation.response.error"),
)
_RESPONSES = _route(
    "chat",
    SpanType.CHAT_MODEL,
    fold_responses,
    responses_response,
    ("response.completed", "response.incomplete", "response.failed"),
)
_METHODS: Sequence[tuple[str, Sequence[str], Route]] = (
    ("chat:Chat", ("complete", "stream", "parse", "parse_stream"), _CHAT),
    ("agents:Agents", ("complete", "stream"), _CHAT),
    ("conversations:Conversations", ("start", "append", "restart"), _CONVERSATION),
    (
        "conversations:Conversations",
        ("start_stream", "append_stream", "restart_stream"),
        _CONVERSATION,
    ),
    ("responses:Responses", ("create",), _RESPONSES),
    ("fim:Fim", ("complete", "stream"), _route("text_completion", SpanType.LLM)),
    ("embeddings:Embeddings", ("create",), _route("embeddings", SpanType.EMBEDDING)),
    ("ocr:Ocr", ("process",), _route("ocr", SpanType.PARSER)),
    (
        "classifiers:Classifiers",
        ("moderate", "moderate_chat"),
        _route("moderation", SpanType.GUARDRAIL),
    ),
    (
        "classifiers:Classifiers",
        ("classify", "classify_chat"),
        _route("classification", SpanType.LLM),
    ),
    (
        "transcriptions:Transcriptions",
        ("complete", "stream"),
        _route("transcription", SpanType.LLM, _fold_transcript, last=("transcription.done",)),
    ),
    (
        "speech:Speech",
        ("complete",),
        _route("speech", SpanType.LLM, _fold_speech, last=("speech.audio.done",)),
    ),
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
        for method in methods
        for form in ("", "_async")
    ),
    *(
        Target(f"{sdk}.basesdk:BaseSDK.do_request{form}", records(_begin_request))
        for sdk in _SDKS
        for form in ("", "_async")
    ),
    *(
        Target(f"{sdk}.conversations:Conversations.{method}", records(_begin_run))
        for sdk in ("mistralai", "mistralai.client")
        for method in ("run_async", "run_stream_async")
    ),
    Target("mistralai.extra.run.context:create_function_result", records(_begin_function)),
)


def autolog(log_traces: bool = True, disable: bool = False, silent: bool = False) -> None:
    """Trace the calls made with Mistral's SDK.

    Args:
        log_traces: False turns tracing off and puts the SDK's own functions back.
        disable: True does the same; both are there because MLflow has both.
        silent: True keeps warnings about the SDK to itself.

    Raises:
        ImportError: The SDK is not installed.
    """
    integration.autolog(log_traces, disable, silent)
