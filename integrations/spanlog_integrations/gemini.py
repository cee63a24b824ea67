"""Google's Gen AI SDK: Gemini and the other models of its Developer API and of Vertex AI.

`generate_content`, chats, embeddings, images, videos, interactions, decisions; sync and async,
streamed and not, clients made before. Where the SDK itself runs the program's functions (automatic
function calling), the call is a span of an agent, with a span of a model for each request below it
and a span of a tool for each run of a function. Live sessions are not covered; counting tokens,
batches, caches, files and the like are no calls of a model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from spanlog import semconv
from spanlog.instrument import Call, Integration, Target, TracedCall, Wrapper, driven, traced
from spanlog.model.capture import capture, wire
from spanlog.model.span import SpanType
from spanlog.record.context import current_span
from spanlog.record.span import LiveSpan
from spanlog.record.streams import Watch, Watched

from spanlog_integrations.seams.http import Exchange, Route, Sent, finder, secrets
from spanlog_integrations.seams.stainless import targets
from spanlog_integrations.wire import google, interactions
from spanlog_integrations.wire.reply import failed

Json = dict[str, Any]


def _method(operation: str, span_type: str) -> Route:
    return Route("", operation, span_type, google.request, google.response, google.fold)


_CHAT = _method("chat", SpanType.CHAT_MODEL)
_EMBEDDINGS = _method("embeddings", SpanType.EMBEDDING)
# The methods of a model that call it.
_METHODS = {
    "generateContent": _CHAT,
    "streamGenerateContent": _CHAT,
    "embedContent": _EMBEDDINGS,
    "batchEmbedContents": _EMBEDDINGS,
    "predict": _method("image_generation", SpanType.LLM),
    "predictLongRunning": _method("video_generation", SpanType.LLM),
}
_PATH = re.compile(r"(?:[^?]*/)?(?:models/)?([^?/:]+):(\w+)(?:\?.*)?")
# What the SDK adds to a reply for its callers.
_ADDED = {"automatic_function_calling_history", "parsed", "sdk_http_response"}
# What of a configuration is not for the model: addresses, headers, retries.
_HTTP_OPTIONS = ("http_options", "httpOptions")


def _of(options: Any, *names: str) -> Any:
    """Return the first of some fields of options, which are a dictionary or an object, if any."""
    held = (
        options if isinstance(options, Mapping) else {n: getattr(options, n, None) for n in names}
    )
    return next((held[name] for name in names if held.get(name) is not None), None)


def _provider(*, vertex: bool) -> str:
    return "gcp.vertex_ai" if vertex else "gcp.gemini"


# A request that calls a model.


def _merged(body: Any, more: Any) -> Any:
    if not isinstance(body, Mapping) or not isinstance(more, Mapping):
        return more
    return {**body, **{key: _merged(body.get(key), value) for key, value in more.items()}}


def _begin(call: Call) -> TracedCall | None:
    found = _PATH.fullmatch(call.argument(1, "path"))
    if found is None or found[2] not in _METHODS:
        return None
    options = [call.argument(3, "http_options"), call.instance._http_options]
    asked = call.argument(2, "request_dict")
    body = {name: value for name, value in asked.items() if not name.startswith("_")}
    more: Json = next(filter(None, (_of(option, "extra_body") for option in options)), {})
    host = urlsplit(next(filter(None, (_of(option, "base_url") for option in options)), ""))
    body = {"model": found[1], **_merged(body, more)}
    return _Request(call.instance, host.hostname or "", found[1], found[2], body)


class _Request(Exchange):
    """A request to a method of a model."""

    def __init__(self, client: Any, host: str, model: str, method: str, body: Json) -> None:
        embeds = method == "predict" and any("content" in one for one in body["instances"])
        route = _EMBEDDINGS if embeds else _METHODS[method]
        super().__init__(route, model, capture(body))
        self._asked = body, _provider(vertex=bool(client.vertexai)), host
        self._client = client
        self._streamed = method.startswith("stream")

    def on_request(self) -> None:
        self.sends(*self._asked)
        del self._asked
        if self._streamed:
            self.span.set_attribute(semconv.REQUEST_STREAM, True)

    def on_response(self, result: Any) -> Any:
        if self._streamed:
            watch = Watch(self.span, _read_stream, keep=_wire, fail=partial(_fail, self._client))
            return Watched(result, watch)
        reply = _wire(result)
        self.span._read_later(lambda span: _read(span, _parsed(reply)))
        self.span.end()
        return result

    def on_error(self, error: BaseException) -> None:
        _fail(self._client, self.span, error)


def _fail(client: Any, span: LiveSpan, error: BaseException) -> None:
    """End a span with an error, without what the client and the request proved themselves with."""
    told = vars(error)
    facts = {
        semconv.ERROR_TYPE: told.get("status") or type(error).__name__,
        semconv.HTTP_RESPONSE_STATUS_CODE: told.get("code"),
        semconv.ERROR_BODY: told.get("details"),
    }
    span.set_attributes({name: fact for name, fact in facts.items() if fact is not None})
    request = _of(told.get("response"), "request", "request_info")
    span._redact([*filter(None, [client.api_key]), *secrets(request)])
    span._fail(error)


def _wire(result: Any) -> bytes | str:
    """Return a reply or a chunk as JSON; the first versions give it as data."""
    body = result if isinstance(result, Mapping) else result.body
    return (body or "{}") if isinstance(body, str) else capture(body)


def _parsed(reply: bytes | str) -> Json:
    """Return JSON as data; the SDK's own parser takes more for JSON than orjson does."""
    try:
        data = json.loads(reply)
    except ValueError:
        data = reply
    return data if isinstance(data, dict) else {"body": data}


def _read(span: LiveSpan, reply: Json) -> None:
    span.set_outputs(reply)
    google.response(span, reply)


def _read_stream(span: LiveSpan, pieces: list[Any], stopped: bool) -> None:
    chunks = [_parsed(piece) for piece in pieces]
    span.set_attribute(semconv.STREAM_CHUNKS, len(chunks))
    replies = [chunk for chunk in chunks if "error" not in chunk]
    reply = google.fold(replies)
    if stopped and not google.has_ended(reply):
        span.set_attribute(semconv.STREAM_COMPLETED, False)
    if replies:
        _read(span, reply)
    for chunk in chunks:
        if "error" in chunk:  # which the first versions pass over
            failed(span, chunk["error"])


# A call in which the SDK runs the program's functions.


class _AgentSpan(LiveSpan):
    """The span of such a call: what is called for it, as by a chat, is no other such call."""

    __slots__ = ()


def _runs_functions(config: Any) -> bool:
    """Say whether some tools of a configuration are run by the SDK: functions, MCP sessions."""
    settings = _of(config, "automatic_function_calling", "automaticFunctionCalling")
    most = _of(settings, "maximum_remote_calls", "maximumRemoteCalls")
    if _of(settings, "disable") or (most is not None and most <= 0):
        return False
    return any(callable(tool) or hasattr(tool, "call_tool") for tool in _of(config, "tools") or ())


def _agents(name: str) -> Wrapper:
    """Return the wrapper of a method that may run functions."""

    def begin(call: Call) -> TracedCall | None:
        config = call.argument(1, "config") or _of(call.instance, "_config")
        if not _runs_functions(config) or isinstance(current_span(), _AgentSpan):
            return None
        return _Agent(name, call, config)

    return traced(begin)


class _Agent(TracedCall):
    """A call of `generate_content` or of a chat in which the SDK runs functions."""

    def __init__(self, name: str, call: Call, config: Any) -> None:
        model = call.kwargs.get("model") or call.instance._model
        asked = {"model": model, **dict(zip(("message", "config"), call.args, strict=False))}
        asked.update(call.kwargs)
        asked["config"] = {
            key: [tool for tool in value if callable(tool)] if key == "tools" else value
            for key, value in dict(config).items()
            if value is not None and key not in _HTTP_OPTIONS
        }
        super().__init__(_AgentSpan(f"{name} {model}", SpanType.AGENT, current_span(), wire(asked)))
        self._client = (_of(call.instance, "_modules") or call.instance)._api_client
        self._facts = {
            semconv.OPERATION_NAME: "invoke_agent",
            semconv.REQUEST_MODEL: model,
            semconv.PROVIDER_NAME: _provider(vertex=bool(self._client.vertexai)),
        }

    def on_request(self) -> None:
        self.span.set_attributes(self._facts)

    def on_response(self, result: Any) -> Any:
        if hasattr(result, "model_dump_json"):
            self.span._finish(_said(result))
            return result
        fail = partial(_fail, self._client)
        watch = Watch(self.span, _read_agent_stream, keep=_said, fail=fail)
        return driven(result, watch)

    def on_error(self, error: BaseException) -> None:
        _fail(self._client, self.span, error)


def _said(reply: Any) -> bytes:
    """Return a reply without what the SDK has added to it."""
    dump = reply.model_dump_json
    said: str = dump(by_alias=True, exclude_none=True, exclude=_ADDED, warnings=False)
    return said.encode()


def _read_agent_stream(span: LiveSpan, pieces: list[Any], stopped: bool) -> None:
    span.set_attribute(semconv.STREAM_CHUNKS, len(pieces))
    if stopped:
        span.set_attribute(semconv.STREAM_COMPLETED, False)
    if pieces:
        span.set_outputs(google.fold([_parsed(piece) for piece in pieces]))


class _Tool(TracedCall):
    """A run of a function, or a call of a tool of an MCP server."""

    def __init__(self, name: str, arguments: Any, description: str | None) -> None:
        super().__init__(LiveSpan(name, SpanType.TOOL, current_span(), capture(arguments)))
        self._facts = {
            semconv.OPERATION_NAME: "execute_tool",
            semconv.TOOL_NAME: name,
            semconv.TOOL_DESCRIPTION: description,
        }

    def on_request(self) -> None:
        self.span.set_attributes({k: v for k, v in self._facts.items() if v is not None})

    def on_response(self, result: Any) -> Any:
        if _of(result, "isError", "is_error") is True:  # of an MCP server
            self.span.set_status_error("the tool tells of an error")
        return super().on_response(result)

    def on_error(self, error: BaseException) -> None:
        """Record the function's own error, which the SDK hides behind one of its own."""
        wrapped = type(error).__name__ == "FunctionInvocationError"
        self.span._fail((error.__context__ if wrapped else None) or error)


def _begin_function(call: Call) -> TracedCall:
    function = call.argument(1, "function_to_invoke")
    return _Tool(function.__name__, call.argument(0, "args"), function.__doc__)


def _begin_mcp(call: Call) -> TracedCall:
    asked = call.argument(0, "function_call")
    return _Tool(asked.name or "", asked.args, None)


# Interactions and decisions.


def _route(path: str, operation: str, span_type: str = SpanType.CHAT_MODEL, **more: Any) -> Route:
    readers = interactions.request, interactions.response, interactions.fold
    return Route(rf"(.*/)?{path}", operation, span_type, *readers, last=interactions.LAST, **more)


_ROUTES = (
    _route("interactions", "chat"),
    _route("interactions/[^/]+", "fetch_response", method="get", streamed_only=True),
    _route("decisions", "decision", SpanType.LLM),
)
_find = finder(_ROUTES)


def _provider_of(client: Any) -> str:
    return _provider(vertex="aiplatform" in client.base_url.host)


def _begin_interaction(call: Call) -> TracedCall | None:
    request = call.argument(1, "request")
    streamed = bool(call.argument(3, "stream"))
    route = _find(request.method, request.url.path, streamed)
    if route is None:
        return None
    client, body = SimpleNamespace(base_url=request.url), _parsed(request.content or b"{}")
    return Sent(client, body, route, _provider_of, streamed=streamed)


_SDK = "google.genai"
_REQUESTS = ("request", "request_streamed", "async_request", "async_request_streamed")
_AGENTS = {
    "models:Models": ("generate_content", "generate_content_stream"),
    "models:AsyncModels": ("generate_content", "generate_content_stream"),
    "chats:Chat": ("send_message", "send_message_stream"),
    "chats:AsyncChat": ("send_message", "send_message_stream"),
}
_FUNCTIONS = ("invoke_function_from_dict_args", "invoke_function_from_dict_args_async")

integration = Integration(
    "gemini",
    _SDK,
    "google-genai",
    *(
        Target(f"{_SDK}._api_client:{kind}.{method}", traced(_begin))
        for kind in ("BaseApiClient", "ApiClient")  # the latter in 1.0
        for method in _REQUESTS
    ),
    *(
        Target(f"{_SDK}.{owner}.{method}", _agents(method.removesuffix("_stream")))
        for owner, methods in _AGENTS.items()
        for method in methods
    ),
    *(Target(f"{_SDK}._extra_utils:{name}", traced(_begin_function)) for name in _FUNCTIONS),
    Target(f"{_SDK}._adapters:McpToGenAiToolAdapter.call_tool", traced(_begin_mcp)),
    *targets(f"{_SDK}._interactions", _ROUTES, _provider_of),
    Target(f"{_SDK}._gaos.basesdk:BaseSDK.do_request", traced(_begin_interaction)),
    Target(f"{_SDK}._gaos.basesdk:AsyncBaseSDK.do_request_async", traced(_begin_interaction)),
    tested=("1.0.0", "3.4.0"),
)
autolog = integration.autolog
