"""Amazon Bedrock by boto3: Converse, InvokeModel, agents, knowledge bases, reranking.

Streamed and not, clients made before, and those of aiobotocore and aioboto3. Every call of AWS
goes through one method; a table of operations says which are calls of a model, and all others go
by untouched. The body of a reply is recorded as far as the program reads it, in whatever way it
does: nothing is read ahead, so that a call has its time, its memory and its errors where it has
them without tracing. Events are recorded as they were on the wire, also those that an old
botocore does not know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson
from spanlog import semconv
from spanlog.instrument import Call, Integration, Target, TracedCall, traced
from spanlog.model.capture import capture, decode
from spanlog.model.span import SpanType
from spanlog.record.context import current_span
from spanlog.record.redact import secrets_in
from spanlog.record.span import LiveSpan
from spanlog.record.streams import Watch, Watched, watch_body

from spanlog_integrations.wire import bedrock
from spanlog_integrations.wire.bedrock import first
from spanlog_integrations.wire.reply import failed, parsed

Json = dict[str, Any]
Message = Any  # botocore.eventstream.EventStreamMessage

# What InvokeModel asks a model for, by the model's name, where it is no text.
_OTHERS = (
    (re.compile("embed"), "embeddings", SpanType.EMBEDDING),
    (re.compile("rerank"), "rerank", SpanType.RERANKER),
    (re.compile("stability|-image|canvas"), "image_generation", SpanType.LLM),
)
# What the body of a request has that asks for a completion.
_COMPLETION = frozenset({"prompt", "inputText"})


@dataclass(frozen=True)
class Operation:
    """An operation that calls a model, and how its traffic is read.

    Args:
        name: What the span's name begins with, and its `gen_ai.operation.name`.
        span_type: From `spanlog.entities.SpanType`.
        payload: The member of the reply that is read later: a stream of events, or a body.
        fold: Makes of a stream's events the reply that they spell out.
        last: Says of the type and content of an event that it is a stream's last.
        about: What the span is named after; by default the model.
        outputs: Makes the span's outputs of the reply; by default they are the reply.
    """

    name: str
    span_type: str
    payload: str = ""
    fold: Callable[[Sequence[Any]], Any] | None = None
    last: Callable[[str, bytes], bool] | None = None
    about: str = ""
    outputs: Callable[[Any], Any] | None = None

    @property
    def is_invoke(self) -> bool:
        """Whether bodies are in the form of the model's family."""
        return self.payload == "body"

    def asked_for(self, model: str, asked: Json) -> tuple[str, str]:
        """Return the operation's name and span type; all sorts of models are invoked."""
        if not self.is_invoke:
            return self.name, self.span_type
        for pattern, name, span_type in _OTHERS:
            if pattern.search(model):
                return name, span_type
        body = asked.get("body")
        keys = body.keys() if isinstance(body, Mapping) else frozenset()
        if keys & _COMPLETION and "messages" not in keys:
            return "text_completion", SpanType.LLM
        return self.name, self.span_type


def _is_metadata(kind: str, _content: bytes) -> bool:
    return kind == "metadata"


def _has_metrics(kind: str, content: bytes) -> bool:
    return kind == "chunk" and b"-bedrock-invocationMetrics" in bedrock.chunk(orjson.loads(content))


_CHAT = ("chat", SpanType.CHAT_MODEL)
_AGENT = ("invoke_agent", SpanType.AGENT, "completion", bedrock.fold_agent)
_GENERATE = ("retrieve_and_generate", SpanType.CHAIN)
_OPERATIONS = {
    "Converse": Operation(*_CHAT),
    "ConverseStream": Operation(*_CHAT, "stream", bedrock.fold_message, _is_metadata),
    "InvokeModel": Operation(*_CHAT, "body"),
    "InvokeModelWithResponseStream": Operation(*_CHAT, "body", bedrock.fold_chunks, _has_metrics),
    "InvokeAgent": Operation(*_AGENT, about="agentId"),
    "InvokeInlineAgent": Operation(*_AGENT, about="agentName"),
    "RetrieveAndGenerate": Operation(*_GENERATE),
    "RetrieveAndGenerateStream": Operation(*_GENERATE, "stream", bedrock.fold_generated),
    "Retrieve": Operation(
        "retrieval", SpanType.RETRIEVER, about="knowledgeBaseId", outputs=bedrock.documents
    ),
    "Rerank": Operation("rerank", SpanType.RERANKER),
}
_SERVICES = frozenset({"bedrock-runtime", "bedrock-agent-runtime"})


def _begin(call: Call) -> TracedCall | None:
    operation = _OPERATIONS.get(call.argument(0, "operation_name"))
    if operation is None or call.instance.meta.service_model.service_name not in _SERVICES:
        return None
    return _Request(call.instance, dict(call.argument(1, "api_params")), operation)


class _Request(TracedCall):
    """A request that calls a model."""

    def __init__(self, client: Any, asked: Json, operation: Operation) -> None:
        if isinstance(asked.get("body"), (str, bytes, bytearray)):
            asked["body"] = parsed(asked["body"])
        model = first(asked, bedrock.MODEL)
        about = str(asked.get(operation.about) or model or "").rpartition("/")[2]
        name, span_type = operation.asked_for(about, asked)
        span = LiveSpan(f"{name} {about}".rstrip(), span_type, current_span(), capture(asked))
        super().__init__(span)
        self._client = client
        self._operation = operation
        self._facts = {semconv.OPERATION_NAME: name, semconv.REQUEST_MODEL: model}

    def on_request(self) -> None:
        facts = {
            **self._facts,
            semconv.PROVIDER_NAME: "aws.bedrock",
            semconv.REQUEST_STREAM: True if self._operation.fold else None,
            semconv.SERVER_ADDRESS: urlsplit(self._client.meta.endpoint_url).hostname,
        }
        self.span.set_attributes({name: fact for name, fact in facts.items() if fact is not None})
        self.span._read_later(lambda span: bedrock.request(span, span.inputs))

    def on_response(self, result: Any) -> Any:
        about = result.get("ResponseMetadata") or {}
        self._told(about)
        reply = _Reply(self._operation, result, about.get("HTTPHeaders") or {}, self._client)
        later = result.get(self._operation.payload)
        watch = _WATCHES.get(f"{type(later).__module__}.{type(later).__name__}")
        if watch is None:  # all of it is there, or a stub of the program's gave it
            snapshot = capture(reply.rest)
            if reply.rest:
                self.span._read_later(lambda span: reply.read(span, decode(snapshot)))
            self.span.end()
        else:
            watch(later, self.span, reply)
        return result

    def on_error(self, error: BaseException) -> None:
        told = vars(error).get("response")
        reply = dict(told) if isinstance(told, Mapping) else {}
        about = reply.pop("ResponseMetadata", None) or {}
        self._told(about)
        facts = {
            semconv.ERROR_TYPE: first(reply, ("Error.Code",)) or type(error).__name__,
            semconv.HTTP_RESPONSE_STATUS_CODE: about.get("HTTPStatusCode"),
            semconv.ERROR_BODY: reply or None,
        }
        self.span.set_attributes({name: fact for name, fact in facts.items() if fact is not None})
        self.span.record_exception(error)
        self.span._redact(_secrets(self._client))
        self.span.end()

    def _told(self, about: Mapping[str, Any]) -> None:
        """Record what botocore tells of an HTTP exchange."""
        if request_id := about.get("RequestId"):
            self.span.set_attribute(semconv.HTTP_RESPONSE_REQUEST_ID, request_id)
        if retries := about.get("RetryAttempts"):
            self.span.set_attribute(semconv.HTTP_REQUEST_RESEND_COUNT, retries)


def _secrets(client: Any) -> list[str]:
    """Return what a client proves itself with; nothing is refreshed for it."""
    signer = vars(client._request_signer)
    credentials, token = signer.get("_credentials"), signer.get("_auth_token")
    frozen = getattr(getattr(token, "_frozen_token", token), "token", None)
    return secrets_in(vars(credentials) if credentials else {}, {"token": frozen})


class _Reply:
    """A reply, and how what is read of it later is recorded."""

    def __init__(
        self, operation: Operation, result: Mapping[str, Any], headers: Json, client: Any
    ) -> None:
        self._operation = operation
        self._headers = headers
        self._client = client
        later = ("ResponseMetadata", "contentType", operation.payload)
        self.rest = {name: value for name, value in result.items() if name not in later}

    def read(self, span: LiveSpan, reply: Any) -> None:
        """Make the span's outputs of a reply."""
        outputs = self._operation.outputs
        span.set_outputs(outputs(reply) if outputs else reply)
        bedrock.response(span, reply, self._headers)

    # A stream of events.

    def is_over(self, messages: list[Message]) -> bool:
        """Say whether the stream's last event has just been received."""
        newest = messages[-1]
        last, kind = self._operation.last, newest.headers.get(":event-type", "")
        return _is_error(newest) or (last is not None and last(kind, newest.payload))

    def read_events(self, span: LiveSpan, messages: list[Message], stopped: bool) -> None:
        """Make the outputs of the events that were received."""
        if stopped:
            span.set_attribute(semconv.STREAM_COMPLETED, False)
        span.set_attribute(semconv.STREAM_CHUNKS, len(messages))
        events = [_event(message) for message in messages if not _is_error(message)]
        if events and self._operation.fold:
            if self._operation.is_invoke:
                chunks = [event["chunk"] for event in events if "chunk" in event]
                self.read(span, self._operation.fold([parsed(bedrock.chunk(c)) for c in chunks]))
            else:
                self.read(span, {**self.rest, **self._operation.fold(events)})
        for message in filter(_is_error, messages):
            failed(span, _error(message))
            span._redact(_secrets(self._client))

    # A body.

    def _length(self) -> int | None:
        told = self._headers.get("content-length")
        return int(told) if told else None

    def is_whole(self, pieces: list[bytes]) -> bool:
        """Say whether as much was read as there is."""
        return sum(map(len, pieces)) == self._length()

    def read_body(self, span: LiveSpan, pieces: list[bytes], stopped: bool) -> None:
        """Make the outputs of what was read of the body."""
        if stopped:
            span.set_attribute(semconv.STREAM_COMPLETED, False)
        elif self._length() and not self.is_whole(pieces) and span.status.status_code != "ERROR":
            span.set_status_error("IncompleteReadError: the reply was cut off")
        if body := b"".join(pieces):
            self.read(span, parsed(body))


def _is_error(message: Message) -> bool:
    return bool(message.headers.get(":message-type") != "event")


def _event(message: Message) -> Json:
    content = parsed(message.payload)
    if isinstance(content, dict):
        content.pop("p", None)  # padding
    return {message.headers.get(":event-type", ""): content}


def _error(message: Message) -> Json:
    headers, content = message.headers, parsed(message.payload)
    return {
        "code": headers.get(":exception-type") or headers.get(":error-code"),
        "message": headers.get(":error-message") or first(content, ("message",)),
    }


# Bodies and streams are botocore's own objects still; what they read from is watched.


def _watch_events(stream: Any, span: LiveSpan, reply: _Reply) -> None:
    watch = Watch(span, reply.read_events, reply.is_over)
    stream._event_generator = Watched(stream._event_generator, watch)
    stream._raw_stream = Watched(stream._raw_stream, watch)  # which `stream.close()` closes


def _watch_body(body: Any, span: LiveSpan, reply: _Reply) -> None:
    body._raw_stream = _Body(body._raw_stream, Watch(span, reply.read_body, reply.is_whole))


def _watch_aiohttp(body: Any, span: LiveSpan, reply: _Reply) -> None:
    response = getattr(body, "_raw_stream", body)  # before aiobotocore 3 a body is a proxy of it
    watch = Watch(span, reply.read_body, reply.is_whole)
    response.content = _AsyncBody(response.content, watch)


def _watch_httpx(body: Any, span: LiveSpan, reply: _Reply) -> None:
    watch_body(body._raw_stream, Watch(span, reply.read_body, reply.is_whole))


_WATCHES: dict[str, Callable[[Any, LiveSpan, _Reply], None]] = {
    "botocore.eventstream.EventStream": _watch_events,
    "aiobotocore.eventstream.AioEventStream": _watch_events,
    "botocore.response.StreamingBody": _watch_body,
    "aiobotocore.response.StreamingBody": _watch_aiohttp,
    "aiobotocore.response.AioStreamingBody": _watch_aiohttp,
    "aiobotocore.response.AioHttpxStreamingBody": _watch_httpx,
}


@contextmanager
def _errors(watch: Watch) -> Generator[None]:
    try:
        yield
    except BaseException as error:
        watch.failed(error)
        raise


def _passed(watch: Watch, data: bytes, is_over: bool) -> None:
    if data:
        watch.piece(data)
    if is_over:
        watch.completed()


def _reads(name: str, data: Callable[..., bytes] = lambda found, *_: bytes(found)) -> Any:
    """Return the method of this name, with what is read by it being kept.

    Args:
        name: The method.
        data: Returns the bytes that were read, of its result and its arguments.
    """

    def method(self: Watched, *args: Any, **kwargs: Any) -> Any:
        watch, raw = self._self_watch, self.__wrapped__
        with _errors(watch):
            found = getattr(raw, name)(*args, **kwargs)
        _passed(watch, data(found, *args), raw.closed)
        return found

    return method


class _Body(Watched):
    """What a body is read from, urllib3's response: whatever is read of it is kept."""

    __slots__ = ()

    class _Instead(Watched._Instead):
        """What is read is kept."""

        read = _reads("read")
        read1 = _reads("read1")
        readline = _reads("readline")
        readlines = _reads("readlines", lambda lines, *_: b"".join(lines))
        readinto = _reads("readinto", lambda count, buffer: bytes(memoryview(buffer)[:count]))

        def stream(self, *args: Any, **kwargs: Any) -> Any:
            return Watched(self.__wrapped__.stream(*args, **kwargs), self._self_watch)


class _AsyncBody(Watched):
    """What aiobotocore's body is read from, aiohttp's stream."""

    __slots__ = ()

    class _Instead(Watched._Instead):
        """What is read is kept."""

        async def read(self, *args: Any, **kwargs: Any) -> Any:
            watch, raw = self._self_watch, self.__wrapped__
            with _errors(watch):
                data = await raw.read(*args, **kwargs)
            _passed(watch, data, raw.at_eof())
            return data


integration = Integration(
    "bedrock",
    "boto3",
    "boto3",
    Target("botocore.client:BaseClient._make_api_call", traced(_begin)),
    Target("aiobotocore.client:AioBaseClient._make_api_call", traced(_begin)),
    tested=("1.33.0", "1.44.5"),
)
autolog = integration.autolog
