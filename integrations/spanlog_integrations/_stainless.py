"""The SDKs that Stainless generates: one seam sees every call of OpenAI, Anthropic, Groq, Together.

`_base_client.{Sync,Async}APIClient.request` is entered once for each call, whatever its form:
`create`, `parse`, `.stream()` helpers, raw and streaming responses, retries inside, clients made
before. A table of routes says which calls are calls of a model. A stream is read off the HTTP
response itself, so it is recorded as it was on the wire, whoever consumes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import orjson
from spanlog.capture import capture, wire
from spanlog.context import current_span
from spanlog.patching import Call, Integration, Recording, Target, records
from spanlog.spans import LiveSpan
from spanlog.streams import Watch, watch_body

from spanlog_integrations import _sse

Json = dict[str, Any]

# The headers that a request proves itself with.
_CREDENTIALS = ("authorization", "api-key", "x-api-key", "proxy-authorization")


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
        return (b"data: [DONE]", b'data: {"error"', *marks)


def stainless(library: str, routes: Sequence[Route], provider: Callable[[Any], str]) -> Integration:
    """Return the integration of an SDK.

    Args:
        library: The SDK's package.
        routes: Its routes that call a model.
        provider: Names the provider that a client talks to (`gen_ai.provider.name`).
    """

    @lru_cache(512)
    def find(method: str, url: str) -> Route | None:
        path = url.partition("?")[0]
        fits = (r for r in routes if r.method == method and re.fullmatch(r.path, path))
        return next(fits, None)

    def begin(call: Call) -> Recording | None:
        options = call.argument(1, "options")
        route = find(options.method.lower(), str(options.url))
        streamed = bool(call.kwargs.get("stream"))
        if route is None or (route.streamed_only and not streamed):
            return None
        request = _Request(call.instance, _body(options), route, provider, streamed=streamed)
        request.listen(options)
        return request

    return Integration(
        library,
        library,
        library,
        Target(f"{library}._base_client:SyncAPIClient.request", records(begin)),
        Target(f"{library}._base_client:AsyncAPIClient.request", records(begin)),
    )


class _Request(Recording):
    """A request that calls a model."""

    def __init__(
        self,
        client: Any,
        body: Json,
        route: Route,
        provider: Callable[[Any], str],
        *,
        streamed: bool,
    ) -> None:
        model = body.get("model")
        name = f"{route.operation} {model}" if model else route.operation
        super().__init__(LiveSpan(name, route.span_type, current_span(), capture(body)))
        self._asked = client, body, provider
        self._route = route
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

    def asked(self) -> None:
        client, body, provider = self._asked
        del self._asked
        facts = self.span.set_attribute
        facts("gen_ai.operation.name", self._route.operation)
        if model := body.get("model"):
            facts("gen_ai.request.model", str(model))
        facts("gen_ai.provider.name", provider(client))
        facts("server.address", client.base_url.host)
        self._route.request(self.span, body)

    def reply(self, result: Any) -> Any:
        http = _http_response(result)
        if http is None:
            if request_id := getattr(result, "_request_id", None):
                self.span.set_attribute("http.response.request_id", request_id)
            self._answered(result)
            self.span.end()
            return result
        if request_id := http.headers.get("x-request-id") or http.headers.get("request-id"):
            self.span.set_attribute("http.response.request_id", request_id)
        body = _Body(self._route, http, streamed=self._streamed)
        if http.is_closed:
            content = http.content
            self.span.put_off(lambda span: body.read(span, content, stopped=False))
            self.span.end()
        else:
            watch_body(http, Watch(self.span, body.read_off_the_wire, body.is_over))
        return result

    def _answered(self, reply: Any) -> None:
        route, outputs = self._route, wire(reply)
        self.span.keep_outputs(outputs)
        self.span.put_off(lambda span: _facts(span, route, orjson.loads(outputs)))

    def failed(self, error: BaseException) -> None:
        if self._heard:
            self._answered(self._heard[0])
        facts = {
            "error.type": _code(error) or type(error).__name__,
            "http.response.status_code": getattr(error, "status_code", None),
            "http.response.request_id": getattr(error, "request_id", None),
            "error.body": _error_body(error),
        }
        self.span.set_attributes({name: fact for name, fact in facts.items() if fact is not None})
        self.span.record_exception(error)
        self.span.redact(_secrets(vars(error).get("request")))
        self.span.end()


class _Body:
    """The body of an HTTP response, and how it is read once it has gone by."""

    def __init__(self, route: Route, http: Any, *, streamed: bool) -> None:
        self._route = route
        self._marks = route.marks
        self._request = http.request
        self._response_type = type(http)
        self._content_type = http.headers.get("content-type", "")
        self._encoding = http.headers.get("content-encoding")
        self._is_json = "json" in self._content_type
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
        return bool(whole) and self._has_ended(_sse.parse(newest[start:]))

    def _has_ended(self, events: _sse.Events) -> bool:
        last = events.data[-1] if events.data else {}
        of_the_last = last.get("type") in (*self._route.last, "error") or bool(last.get("error"))
        return events.over or of_the_last

    def read_off_the_wire(self, span: LiveSpan, pieces: list[bytes], stopped: bool) -> None:
        """Make the outputs of the pieces that were received."""
        body = b"".join(pieces)
        if self._encoding and body:
            headers = {"content-encoding": self._encoding}
            body = self._response_type(200, headers=headers, content=body).content
        self.read(span, body, stopped)

    def read(self, span: LiveSpan, body: bytes, stopped: bool) -> None:
        """Make the span's outputs of the body."""
        if self._is_events:
            self._read_events(span, body, stopped)
            return
        if stopped:
            span.set_attribute("spanlog.stream.completed", False)
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

    def _read_events(self, span: LiveSpan, body: bytes, stopped: bool) -> None:
        parsed = _sse.parse(body)
        events = parsed.data
        if stopped and not self._has_ended(parsed):
            span.set_attribute("spanlog.stream.completed", False)
        span.set_attribute("spanlog.stream.chunks", len(events))
        errors = [event for event in events if event.get("error") or event.get("type") == "error"]
        replies = [event for event in events if event not in errors]
        if replies:
            reply = self._route.fold(replies)
            span.set_outputs(reply)
            _facts(span, self._route, reply)
        for event in errors:
            failed(span, event.get("error") or event)
        if errors:
            span.redact(_secrets(self._request))


def _facts(span: LiveSpan, route: Route, reply: Any) -> None:
    if isinstance(reply, dict):
        route.response(span, reply)


def failed(span: LiveSpan, error: Any) -> None:
    """Give a span the error that a provider told of inside a reply."""
    details = error if isinstance(error, Mapping) else {"message": error}
    kind = str(details.get("code") or details.get("type") or "error")
    message = str(details.get("message") or "")
    span.set_attribute("error.type", kind)
    span.set_attribute("error.body", details)
    if span.status.status_code != "ERROR":
        span.set_status_error(f"{kind}: {message}" if message else kind)


def _body(options: Any) -> Json:
    """Return the request's body as it goes over the wire; of files, what they are."""
    data = options.json_data
    body = dict(data) if isinstance(data, Mapping) else {} if data is None else {"body": data}
    body.update(getattr(options, "extra_json", None) or {})
    files = options.files
    for name, file in files.items() if isinstance(files, Mapping) else files or ():
        body[name] = [*body[name], _file(file)] if name in body else [_file(file)]
    return body


def _file(file: Any) -> Json:
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


def _code(error: BaseException) -> str | None:
    code = getattr(error, "code", None)
    return code if isinstance(code, str) else None


def _error_body(error: BaseException) -> Any:
    body = getattr(error, "body", None)
    response = getattr(error, "response", None)
    return body if body is not None or response is None else getattr(response, "text", None)


def _secrets(request: Any) -> list[str]:
    """Return what an HTTP request proved itself with."""
    headers = getattr(request, "headers", None) or {}
    sent = [str(headers.get(name) or "").split() for name in _CREDENTIALS]
    return [words[-1] for words in sent if words and len(words[-1]) >= 4]
