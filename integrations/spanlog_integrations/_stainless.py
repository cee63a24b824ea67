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
from functools import lru_cache
from typing import Any

import orjson

from spanlog.capture import capture, wire
from spanlog.context import current_span
from spanlog.patching import Call, Integration, Recording, Target, records
from spanlog.spans import LiveSpan
from spanlog.streams import Watch, watch_body
from spanlog_integrations import _sse

Json = dict[str, Any]


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
        over: Says of an event that it is a stream's last.
        method: The HTTP method.
        streamed_only: Only a streamed call is a call of a model.
    """

    path: str
    operation: str
    span_type: str
    request: Callable[[LiveSpan, Mapping[str, Any]], None]
    response: Callable[[LiveSpan, Json], None]
    fold: Callable[[Sequence[Json]], Json]
    over: Callable[[Json], bool] = lambda event: False
    method: str = "post"
    streamed_only: bool = False


def stainless(
    library: str, routes: Sequence[Route], provider: Callable[[Any], str]
) -> Integration:
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
        if route is None or (route.streamed_only and not call.kwargs.get("stream")):
            return None
        return _Request(call.instance, options, route, provider(call.instance))

    return Integration(
        library,
        library,
        library,
        Target(f"{library}._base_client:SyncAPIClient.request", records(begin)),
        Target(f"{library}._base_client:AsyncAPIClient.request", records(begin)),
    )


class _Request(Recording):
    """A request that calls a model."""

    def __init__(self, client: Any, options: Any, route: Route, provider: str) -> None:
        body = _body(options)
        model = body.get("model")
        name = f"{route.operation} {model}" if model else route.operation
        super().__init__(LiveSpan(name, route.span_type, current_span(), capture(body)))
        self.route = route
        self.client = client
        facts = self.span.set_attribute
        facts("gen_ai.operation.name", route.operation)
        facts("gen_ai.provider.name", provider)
        facts("server.address", client.base_url.host)
        if model:
            facts("gen_ai.request.model", str(model))
        route.request(self.span, body)

    def reply(self, result: Any) -> Any:
        http = _http_response(result)
        if http is None:
            if request_id := getattr(result, "_request_id", None):
                self.span.set_attribute("http.response.request_id", request_id)
            self._finish(wire(result))
            return result
        if request_id := http.headers.get("x-request-id") or http.headers.get("request-id"):
            self.span.set_attribute("http.response.request_id", request_id)
        content_type = http.headers.get("content-type", "")
        if http.is_closed:
            body = http.content
            self.span.put_off(lambda span: self._read(span, [body], None, content_type))
            self.span.end()
        else:
            watch_body(
                http, Watch(self.span, lambda s, p, how: self._read(s, p, how, content_type))
            )
        return result

    def failed(self, error: BaseException) -> None:
        facts = {
            "error.type": getattr(error, "code", None) or type(error).__name__,
            "http.response.status_code": getattr(error, "status_code", None),
            "http.response.request_id": getattr(error, "request_id", None),
            "error.body": _error_body(error),
        }
        self.span.set_attributes({name: fact for name, fact in facts.items() if fact is not None})
        self.span.record_exception(error)
        self.span.redact(_secrets(self.client))
        self.span.end()

    def _finish(self, outputs: bytes) -> None:
        self.span.keep_outputs(outputs)
        self.span.put_off(lambda span: self._facts(span, orjson.loads(outputs)))
        self.span.end()

    def _facts(self, span: LiveSpan, reply: Any) -> None:
        if isinstance(reply, dict):
            self.route.response(span, reply)

    def _read(
        self, span: LiveSpan, pieces: list[bytes], stopped: str | None, content_type: str
    ) -> None:
        """Make the outputs of a body that was read off the wire."""
        body = b"".join(pieces)
        if content_type.startswith("text/event-stream"):
            self._read_events(span, body, stopped)
            return
        if stopped:
            span.set_attribute("spanlog.stream.stopped", stopped)
        if not body:
            return
        if "json" not in content_type:
            text = content_type.startswith("text/")
            span.set_outputs(body.decode("utf-8", "replace") if text else body)
            return
        try:
            reply = orjson.loads(body)
        except orjson.JSONDecodeError:  # cut off
            span.set_outputs(body.decode("utf-8", "replace"))
            return
        span.set_outputs(reply)
        self._facts(span, reply)

    def _read_events(self, span: LiveSpan, body: bytes, stopped: str | None) -> None:
        events, over = _sse.parse(body)
        if stopped and not over and not any(map(self.route.over, events[-1:])):
            span.set_attribute("spanlog.stream.stopped", stopped)
        span.set_attribute("spanlog.stream.chunks", len(events))
        errors = [event for event in events if event.get("error") or event.get("type") == "error"]
        replies = [event for event in events if event not in errors]
        if replies:
            reply = self.route.fold(replies)
            span.set_outputs(reply)
            self._facts(span, reply)
        for event in errors:
            failed(span, event.get("error") or event)


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
    body = {**(options.json_data or {}), **(getattr(options, "extra_json", None) or {})}
    files = options.files
    for name, file in (files.items() if isinstance(files, Mapping) else files or ()):
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
    for candidate in (
        getattr(result, "http_response", None),
        getattr(result, "response", None),
        result,
    ):
        if hasattr(type(candidate), "iter_bytes") and hasattr(candidate, "is_closed"):
            return candidate
    return None


def _error_body(error: BaseException) -> Any:
    body = getattr(error, "body", None)
    response = getattr(error, "response", None)
    return body if body is not None or response is None else getattr(response, "text", None)


def _secrets(client: Any) -> list[str]:
    found = (getattr(client, name, None) for name in ("api_key", "auth_token", "admin_api_key"))
    return [secret for secret in found if isinstance(secret, str) and len(secret) >= 4]
