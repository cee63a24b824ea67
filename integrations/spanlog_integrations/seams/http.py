"""Calls of models over HTTP: what is sent and what is answered, read off the wire.

A table of routes says which requests are calls of a model and how their traffic is read. A stream
is read off the HTTP response itself, so it is recorded as it was on the wire, whoever consumes it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import orjson
from spanlog import semconv
from spanlog.instrument import TracedCall
from spanlog.model.capture import wire
from spanlog.record.context import current_span
from spanlog.record.redact import secrets_in
from spanlog.record.span import LiveSpan
from spanlog.record.streams import Watch, watch_body

from spanlog_integrations.wire import chat, eventstream, sse
from spanlog_integrations.wire.reply import failed, parsed

Json = dict[str, Any]

# The headers in which a reply tells by which id the provider knows the request.
_REQUEST_IDS = ("x-request-id", "request-id", "x-amzn-requestid", "mistral-correlation-id")


@dataclass(frozen=True)
class Route:
    """A route of an API that calls a model, and how its traffic is read.

    Args:
        path: A pattern that the whole path of the request matches.
        operation: What the span's name begins with, and its `gen_ai.operation.name`.
        span_type: From `spanlog.entities.SpanType`.
        request: Records facts of the request body; on the caller's thread, so it must be quick.
        response: Records facts of the reply.
        fold: Makes of a stream's events the reply that they spell out.
        last: The types of the events that are a stream's last, where it does not end by "[DONE]".
        method: The HTTP method.
        streamed_only: Only a streamed call is a call of a model.
    """

    path: str
    operation: str
    span_type: str
    request: Callable[[LiveSpan, Mapping[str, Any]], None]
    response: Callable[[LiveSpan, Json], None]
    fold: Callable[[Sequence[Json]], Json]
    last: tuple[str, ...] = ()
    method: str = "post"
    streamed_only: bool = False

    @cached_property
    def marks(self) -> tuple[bytes, ...]:
        """What the bytes of a stream's last event begin with."""
        begins = ("event: {}\n", 'data: {{"type":"{}"', 'data: {{"type": "{}"')
        types = (*self.last, "error")
        marks = (begin.format(type_).encode() for type_ in types for begin in begins)
        return (b"data: [DONE]", b'data: {"error"', b'data: {"object":"error"', *marks)


def finder(routes: Sequence[Route]) -> Callable[[str, str, bool], Route | None]:
    """Return what finds the route of a request, by its method, its path, and if it is streamed."""

    @lru_cache(512)
    def find(method: str, path: str, streamed: bool) -> Route | None:
        path, method = path.partition("?")[0], method.lower()
        fits = (r for r in routes if r.method == method and re.fullmatch(r.path, path))
        return next((r for r in fits if streamed or not r.streamed_only), None)

    return find


class Exchange(TracedCall):
    """A call of a model over HTTP.

    Args:
        route: What is called.
        model: The model that is asked, where it is known.
        inputs: The request's body as JSON, where it is known.
        kind: The class of its span.
    """

    def __init__(
        self,
        route: Route,
        model: Any,
        inputs: bytes | None = None,
        kind: type[LiveSpan] = LiveSpan,
    ) -> None:
        name = f"{route.operation} {model}" if model else route.operation
        super().__init__(kind(name, route.span_type, current_span(), inputs))
        self._route = route

    def sends(self, body: Mapping[str, Any], provider: str, host: str | None = None) -> None:
        """Record facts of the request."""
        facts = self.span.set_attribute
        facts(semconv.OPERATION_NAME, self._route.operation)
        if model := body.get("model"):
            facts(semconv.REQUEST_MODEL, str(model))
        facts(semconv.PROVIDER_NAME, provider)
        if host is not None:
            facts(semconv.SERVER_ADDRESS, host)
        self._route.request(self.span, body)

    def hears(self, http: Any, *, streamed: bool) -> None:
        """Record the HTTP response and end the span, now or when the body has been read."""
        if http.is_closed:
            self.holds(http, streamed=streamed)
            self.span.end()
            return
        body = self._body(http, streamed=streamed)
        watch_body(http, Watch(self.span, body.read_off_the_wire, body.is_over))

    def holds(self, http: Any, *, streamed: bool) -> None:
        """Record an HTTP response whose body has been read."""
        body, content = self._body(http, streamed=streamed), http.content
        self.span._read_later(lambda span: body.read(span, content, stopped=False))

    def _body(self, http: Any, *, streamed: bool) -> Body:
        if found := request_id(http):
            self.span.set_attribute(semconv.HTTP_RESPONSE_REQUEST_ID, found)
        return Body(self._route, http, streamed=streamed)

    def on_error(self, error: BaseException) -> None:
        """Record an error as an SDK raises it, and end the span."""
        self.fails(error, getattr(error, "response", None), vars(error).get("request"))

    def fails(self, error: BaseException, http: Any, request: Any) -> None:
        """Record an error, with its HTTP response and request where there are such, and end."""
        facts = {
            semconv.ERROR_TYPE: _code(error) or type(error).__name__,
            semconv.HTTP_RESPONSE_STATUS_CODE: getattr(error, "status_code", None)
            or getattr(http, "status_code", None),
            semconv.HTTP_RESPONSE_REQUEST_ID: getattr(error, "request_id", None)
            or request_id(http),
            semconv.ERROR_BODY: _error_body(error, http),
        }
        self.span.set_attributes({name: fact for name, fact in facts.items() if fact is not None})
        self.span.record_exception(error)
        self.span._redact(secrets(request))
        self.span.end()


class Sent(Exchange):
    """A request that calls a model, and is answered by an HTTP response or by what it holds."""

    def __init__(
        self,
        client: Any,
        body: Json,
        route: Route,
        provider: Callable[[Any], str],
        *,
        streamed: bool,
    ) -> None:
        asked = wire(body, chat.UNSENT)
        super().__init__(route, body.get("model"), asked)
        self._asked = client, body, provider
        self._streamed = streamed
        self._heard: list[Any] = []

    def listen(self, options: Any) -> None:
        """Keep the reply for when `.parse()` refuses it: too long, filtered, not of its type."""
        parse, heard = getattr(options, "post_parser", None), self._heard
        if callable(parse):

            def parser(reply: Any) -> Any:
                heard[:] = [reply]
                return parse(reply)

            options.post_parser = parser

    def on_request(self) -> None:
        """Record facts of the request."""
        client, body, provider = self._asked
        del self._asked
        self.sends(body, provider(client), client.base_url.host)

    def on_response(self, result: Any) -> Any:
        """Record the reply and end the span, now or when the reply has been read."""
        http = _http_response(result)
        if http is not None:
            self.hears(http, streamed=self._streamed)
            return result
        if found := getattr(result, "_request_id", None):
            self.span.set_attribute(semconv.HTTP_RESPONSE_REQUEST_ID, found)
        self._answered(result)
        self.span.end()
        return result

    def _answered(self, reply: Any) -> None:
        route, outputs = self._route, wire(reply)
        self.span._keep_outputs(outputs)
        self.span._read_later(lambda span: _facts(span, route, orjson.loads(outputs)))

    def on_error(self, error: BaseException) -> None:
        """Record an error, and the reply where it is that which `.parse()` refuses."""
        if self._heard:
            self._answered(self._heard[0])
        super().on_error(error)


class Body:
    """The body of an HTTP response, and how it is read once it has gone by."""

    def __init__(self, route: Route, http: Any, *, streamed: bool) -> None:
        self._route = route
        self._marks = route.marks
        self._request = _request(http)
        self._status = http.status_code
        self._response_type = type(http)
        self._content_type = http.headers.get("content-type", "")
        self._encoding = http.headers.get("content-encoding")
        self._is_json = "json" in self._content_type
        framed = self._content_type.startswith(eventstream.CONTENT_TYPE)
        self._parse = eventstream.parse if framed else sse.parse
        self._is_events = not self._is_json and (
            streamed or self._content_type.startswith("text/event-stream")
        )

    def is_over(self, pieces: list[bytes]) -> bool:
        """Say whether the stream's last event has just been received.

        One that came in two pieces is overlooked: then the stream's close tells.
        """
        newest = pieces[-1]
        before = newest.rfind(b"\n\n", 0, -2)
        start = 0 if before < 0 else before + 2
        if not newest.startswith(self._marks, start) or not self._is_events:
            return False
        whole = start or len(pieces) == 1 or pieces[-2].endswith(b"\n\n")
        return bool(whole) and self._has_ended(self._parse(newest[start:]))

    def _has_ended(self, events: sse.Events) -> bool:
        last = events.data[-1] if events.data else {}
        return events.over or _kind(last) in self._route.last or bool(_error(last))

    def read_off_the_wire(self, span: LiveSpan, pieces: list[bytes], stopped: bool) -> None:
        """Make the outputs of the pieces that were received."""
        body = b"".join(pieces)
        if self._encoding and body:
            headers = {"content-encoding": self._encoding}
            try:
                body = self._response_type(200, headers=headers, content=body).content
            except _decoding_errors() as error:  # the program met it past where the body is watched
                span.set_outputs(body)
                failed(span, {"type": type(error).__name__, "message": str(error)})
                return
        self.read(span, body, stopped)

    def read(self, span: LiveSpan, body: bytes, stopped: bool) -> None:
        """Make the span's outputs of the body."""
        span._redact(secrets(self._request))
        if self._status >= 400:
            self._read_error(span, body)
            return
        if self._is_events:
            self._read_events(span, body, stopped)
            return
        if stopped:
            span.set_attribute(semconv.STREAM_COMPLETED, False)
        if not body:
            return
        if not self._is_json:
            text = self._content_type.startswith("text/")
            span.set_outputs(body.decode("utf-8", "replace") if text else body)
            return
        try:
            reply = orjson.loads(body)
        except orjson.JSONDecodeError:  # cut off
            span.set_outputs(body.decode("utf-8", "replace"))
            return
        span.set_outputs(reply)
        _facts(span, self._route, reply)

    def _read_error(self, span: LiveSpan, body: bytes) -> None:
        """Take an error from where it is not the SDK's client that raises it."""
        reply = parsed(body.decode("utf-8", "replace"))
        failed(span, (isinstance(reply, dict) and reply.get("error")) or reply)
        span.set_attribute(semconv.HTTP_RESPONSE_STATUS_CODE, self._status)

    def _read_events(self, span: LiveSpan, body: bytes, stopped: bool) -> None:
        parsed = self._parse(body)
        events = [event for event in parsed.data if event.get("type") != "ping"]
        if stopped and not self._has_ended(parsed):
            span.set_attribute(semconv.STREAM_COMPLETED, False)
        span.set_attribute(semconv.STREAM_CHUNKS, len(events))
        errors = [error for event in events if (error := _error(event))]
        replies = [event for event in events if not _error(event)]
        if replies:
            reply = self._route.fold(replies)
            span.set_outputs(reply)
            _facts(span, self._route, reply)
        for error in errors:
            failed(span, error)


def _decoding_errors() -> tuple[type[Exception], ...]:
    """Return what the HTTP libraries that are in use raise of a body they cannot decompress."""
    used = filter(None, map(sys.modules.get, ("httpx", "httpx2")))
    return tuple(library.DecodingError for library in used)


def _kind(event: Json) -> str:
    return str(event.get("type") or event.get("event_type") or event.get("object") or "")


def _error(event: Json) -> Any:
    """Return the error that an event of a stream tells of, if it tells of one."""
    return event.get("error") or (event if _kind(event).endswith("error") else None)


def _facts(span: LiveSpan, route: Route, reply: Any) -> None:
    if isinstance(reply, dict):
        route.response(span, reply)


def file(file: Any) -> Json:
    """Say what a file is; one that is open is not read."""
    name, content, *rest = file if isinstance(file, tuple) else (None, file)
    known = {
        "filename": name or getattr(content, "name", None),
        "content_type": rest[0] if rest else None,
        "content": content if isinstance(content, (bytes, bytearray, str)) else None,
    }
    return {key: value for key, value in known.items() if value is not None}


def _http_response(result: Any) -> Any:
    """Return the HTTP response behind a stream, a raw or a binary reply; None for a plain one."""
    if hasattr(type(result), "__pydantic_serializer__"):
        return None  # at once: asking a model for an attribute that it lacks is slow
    for candidate in (
        getattr(result, "http_response", None),
        getattr(result, "response", None),
        result,
    ):
        if hasattr(type(candidate), "iter_bytes") and hasattr(candidate, "is_closed"):
            return candidate
    return None


def _request(http: Any) -> Any:
    """Return the request that a response answers; one that a program has made answers none."""
    with suppress(RuntimeError):
        return http.request
    return None


def request_id(http: Any) -> str | None:
    """Return the id by which the provider knows the request, as an HTTP response tells it."""
    headers = getattr(http, "headers", None) or {}
    return next((headers[name] for name in _REQUEST_IDS if name in headers), None)


def _code(error: BaseException) -> str | None:
    code = getattr(error, "code", None)
    return code if isinstance(code, str) else None


def _error_body(error: BaseException, http: Any) -> Any:
    body = getattr(error, "body", None)
    if body is None and getattr(http, "is_closed", False):
        body = http.text
    return parsed(body) if isinstance(body, str) else body


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came of."""
    seen: list[BaseException | None] = [None]
    found: BaseException | None = error
    while found not in seen:
        seen.append(found)
        yield found  # type: ignore[misc]  # None is seen
        found = found and (found.__cause__ or found.__context__)


def secrets(*requests: Any) -> list[str]:
    """Return what HTTP requests proved themselves with; None is no request."""
    headers = [dict(getattr(request, "headers", None) or {}) for request in requests]
    addresses = [{"url": str(getattr(request, "url", ""))} for request in requests]
    return secrets_in(*headers, *addresses)


def secrets_behind(error: BaseException) -> list[str]:
    """Return what the requests proved themselves with that an error came of: it may repeat it."""
    held = map(vars, causes(error))
    return secrets(*(one.get("request") or one.get("_request") for one in held))
