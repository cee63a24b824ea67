"""What LlamaIndex passes around, as plain messages and documents, and the facts in it.

Its objects are known by the names of their classes, which have moved from module to module. Of
what holds keys (models, clients, memories, anything that is a component) only the name is kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from inspect import Parameter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
from spanlog import semconv
from spanlog.model.capture import wire
from spanlog.model.span import SpanType

from spanlog_integrations.seams.http import secrets_behind
from spanlog_integrations.wire import chat
from spanlog_integrations.wire.providers import provider_at, provider_name
from spanlog_integrations.wire.usage import anthropic_usage, google_usage, openai_usage

if TYPE_CHECKING:
    from inspect import BoundArguments

    from spanlog.record.span import LiveSpan

Json = dict[str, Any]

# A value nested deeper is left to the recorder.
_MAX_DEPTH = 20
# Of more numbers than this only the first vector is kept.
_MAX_NUMBERS = 100_000
# The classes that say what an object is for, the most telling first.
_KINDS = {
    "BaseWorkflowAgent": SpanType.AGENT,
    "AgentWorkflow": SpanType.AGENT,
    "BaseAgent": SpanType.AGENT,
    "BaseAgentWorker": SpanType.AGENT,
    "BaseLLM": SpanType.LLM,
    "MultiModalLLM": SpanType.LLM,
    "BaseEmbedding": SpanType.EMBEDDING,
    "BaseSparseEmbedding": SpanType.EMBEDDING,
    "BaseRetriever": SpanType.RETRIEVER,
    "BaseImageRetriever": SpanType.RETRIEVER,
    "BaseNodePostprocessor": SpanType.RERANKER,
    "BaseTool": SpanType.TOOL,
    "NodeParser": SpanType.PARSER,
    "BaseOutputParser": SpanType.PARSER,
}
# What an agent does for someone; what else it does is a step of that.
_ASKS_AN_AGENT = re.compile(r"run(_step)?|a?(stream_)?(chat|query)|a?(run|stream)_step")
_OPERATIONS = {
    SpanType.AGENT: "invoke_agent",
    SpanType.CHAT_MODEL: "chat",
    SpanType.EMBEDDING: "embeddings",
    SpanType.LLM: "text_completion",
    SpanType.RETRIEVER: "retrieval",
    SpanType.TOOL: "execute_tool",
}
_MODELS = (SpanType.CHAT_MODEL, SpanType.LLM, SpanType.EMBEDDING)
_CONNECTS = re.compile(r"llama_index\.(?:llms|embeddings|multi_modal_llms)\.(\w+)")
_UNKNOWN = "unknown"  # what LlamaIndex calls an embedding model that was given no name
_SETTINGS = ("temperature", "max_tokens", "top_p", "reasoning_effort", "dimensions")
# Arguments by the names that say what they are.
_NAMES = {"str_or_query_bundle": "query", "query_bundle": "query", "ev": "event"}
# What a workflow's run is given beside the event that starts it is the runtime's own.
_RUNTIME = frozenset({"init_state", "tags"})
# What an object holds again that the span of a model holds: the provider's own reply.
_RAW = "raw"
_FINISHED = ("stop_reason", "finish_reason", "done_reason", "stopReason")


@lru_cache(1024)
def names(kind: type) -> frozenset[str]:
    """Return the names of a class and of those that it is derived from."""
    return frozenset(base.__name__ for base in kind.__mro__)


@lru_cache(1024)
def span_type(kind: type, method: str) -> str:
    """Return what a method of an object does, by the classes that the object is of."""
    known = names(kind)
    found = next((of for name, of in _KINDS.items() if name in known), SpanType.CHAIN)
    if found == SpanType.AGENT:
        return found if _ASKS_AN_AGENT.fullmatch(method) else SpanType.CHAIN
    if found == SpanType.LLM:
        if "predict" in method or method in ("stream", "astream"):
            return SpanType.CHAIN
        return SpanType.CHAT_MODEL if "chat" in method else SpanType.LLM
    if found == SpanType.EMBEDDING and method == "__call__":
        return SpanType.CHAIN  # as a step of a pipeline, which asks the model
    return found


def inputs(bound: BoundArguments, kind: str) -> Json:
    """Return the arguments of a call of some type, by their names, as plain data."""
    given: Json = {}
    for name, value in bound.arguments.items():
        how = bound.signature.parameters[name].kind
        if how is Parameter.VAR_KEYWORD:
            given.update(value)
        elif how is not Parameter.VAR_POSITIONAL:
            given[_NAMES.get(name, name)] = value
        elif kind == SpanType.LLM:
            given.update(zip(("prompt", "formatted"), value, strict=False))
        elif value:
            given["args"] = value
    return {
        name: plain(value)
        for name, value in given.items()
        if value is not None and name not in _RUNTIME and not _is_context(value)
    }


def _is_context(value: Any) -> bool:
    return type(value).__name__ == "Context"


def plain(value: Any, depth: int = 0) -> Any:
    """Return a value with what is LlamaIndex's in it as plain data."""
    if isinstance(value, (str, int, float, type(None))) or depth > _MAX_DEPTH:
        return value
    if isinstance(value, Mapping):
        return {key: plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        if value and all(type(item) is float for item in value):
            return value
        return [plain(item, depth + 1) for item in value]
    kind = type(value)
    known = names(kind)  # type: ignore[arg-type]  # a class has a hash
    for name, read in _READERS.items():
        if name in known:
            return read(value, depth + 1)
    if is_dataclass(value) and not isinstance(value, type):
        held = {field.name: getattr(value, field.name) for field in fields(value)}
        return _held(held, depth)
    if not kind.__module__.startswith(("llama_index", "workflows")):
        return value  # the program's own, and the providers' replies
    is_model = "BaseModel" in known and "BaseComponent" not in known
    return _held(vars(value), depth) if is_model else kind.__name__


def _held(values: Mapping[str, Any], depth: int) -> Json:
    """Return what an object holds, but for what is empty or its own affair."""
    return {
        name: plain(value, depth + 1)
        for name, value in values.items()
        if not (name.startswith("_") or name == _RAW)
        and value is not None
        and not _is_context(value)
    }


def _event(value: Any, depth: int) -> Any:
    """Return an event of a workflow: its fields, and what it was given beyond them."""
    private = getattr(value, "__pydantic_private__", None) or {}
    held = {**vars(value), **(private.get("_data") or {})}
    result = private.get("_result")
    if result is not None and not held:
        return plain(result, depth)
    return _held(held if result is None else {**held, "result": result}, depth)


def _document(value: Any, depth: int) -> Json:
    """Return a node as `page_content`, `metadata` and `id`; not its vector."""
    metadata = plain(value.metadata, depth)
    return {"page_content": value.get_content(), "metadata": metadata, "id": value.node_id}


def _scored(value: Any, depth: int) -> Json:
    return {**_document(value.node, depth), "score": value.score}


def _message(value: Any, depth: int) -> Json:
    """Return a message in the shape in which models are sent it."""
    blocks = getattr(value, "blocks", None) or []
    called = [block for block in blocks if type(block).__name__ == "ToolCallBlock"]
    said = [block for block in blocks if block not in called]
    texts = all(type(block).__name__ == "TextBlock" for block in said)
    message: Json = {
        "role": getattr(value.role, "value", value.role),
        "content": value.content if texts else plain(said, depth),
    }
    message.update(plain({k: v for k, v in value.additional_kwargs.items() if v}, depth))
    if called:
        message["tool_calls"] = [_tool_call(block) for block in called]
    return message


def _tool_call(block: Any) -> Json:
    function = {"name": block.tool_name, "arguments": block.tool_kwargs}
    return {"id": block.tool_call_id, "type": "function", "function": function}


def _tool_output(value: Any, depth: int) -> Any:
    raw = plain(value.raw_output, depth)
    return value.content if raw is None else raw


def _prompt(value: Any, depth: int) -> Any:
    """Return the texts of a prompt, of which there may be several to choose from."""
    for name in ("template", "message_templates", "default_template"):
        if (held := getattr(value, name, None)) is not None:
            return plain(held, depth)
    return type(value).__name__


def _streaming(value: Any, depth: int) -> Json:
    """Return what is known of an answer while it is still being read."""
    names = ("response", "sources", "source_nodes")
    return {name: plain(held, depth) for name in names if (held := getattr(value, name))}


def replied(value: Any, said: str | None = None) -> Json:
    """Return what a model answered.

    Args:
        value: A `ChatResponse` or a `CompletionResponse`, of a stream the last.
        said: The text that a stream has spelled out.
    """
    message = getattr(value, "message", None)
    if message is None:
        return {"choices": [{"text": value.text if said is None else said}]}
    whole = _message(message, 0)
    if said is not None and isinstance(whole["content"], (str, type(None))):
        whole["content"] = said
    return {"choices": [{"message": whole}]}


_READERS: dict[str, Callable[[Any, int], Any]] = {
    "NodeWithScore": _scored,
    "BaseNode": _document,
    "QueryBundle": lambda value, _: value.query_str,
    "ChatMessage": _message,
    "ChatResponse": lambda value, _: replied(value),
    "CompletionResponse": lambda value, _: replied(value),
    "StreamingAgentChatResponse": _streaming,
    "ToolOutput": _tool_output,
    "ToolMetadata": lambda value, _: {"name": value.name, "description": value.description},
    "BaseTool": lambda value, depth: plain(value.metadata, depth),
    "BasePromptTemplate": _prompt,
    "Event": _event,
}


def vectors(result: Any) -> Any:
    """Return what an embedding model made, of very many vectors the first and how many."""
    if not (isinstance(result, list) and result and isinstance(result[0], list)):
        return result
    all_ = sum(len(vector) for vector in result) <= _MAX_NUMBERS
    return result if all_ else {"count": len(result), "first": result[0]}


def request(span: LiveSpan, by: Any, method: str, given: Mapping[str, Any]) -> None:
    """Record facts of what is asked, and of whom."""
    if (operation := _OPERATIONS.get(span.span_type)) is not None:
        span.set_attribute(semconv.OPERATION_NAME, operation)
    held = getattr(by, "__dict__", {})
    if span.span_type in _MODELS:
        _model(span, by, held)
        settings = {name: held.get(name) for name in _SETTINGS}
        asked = {name: value for name, value in given.items() if value is not None}
        chat.request(span, {**settings, **asked})
        if "stream" in method:
            span.set_attribute(semconv.REQUEST_STREAM, True)
    elif span.span_type == SpanType.AGENT and isinstance(name := held.get("name"), str):
        span.set_attribute(semconv.AGENT_NAME, name)
    elif span.span_type == SpanType.TOOL:
        span.set_attribute(semconv.TOOL_NAME, tool_name(by))
        if description := by.metadata.description:
            span.set_attribute(semconv.TOOL_DESCRIPTION, description)


def tool_name(tool: Any) -> str:
    """Return the name by which a model calls a tool."""
    return tool.metadata.name or type(tool).__name__


def _model(span: LiveSpan, by: Any, held: Mapping[str, Any]) -> None:
    """Record which model is asked, and whose it is."""
    told = (held.get(name) for name in ("model", "model_name", "model_id"))
    model = next((name for name in told if name and isinstance(name, str)), _UNKNOWN)
    if model != _UNKNOWN:
        span.set_attribute(semconv.REQUEST_MODEL, model)
    address = held.get("api_base") or held.get("base_url")
    host = urlsplit(address).hostname if isinstance(address, str) else None
    if host:
        span.set_attribute(semconv.SERVER_ADDRESS, host)
    if provider := (host and provider_at(host)) or _provider(type(by)):  # type: ignore[arg-type]  # a class has a hash
        span.set_attribute(semconv.PROVIDER_NAME, provider)


@lru_cache(1024)
def _provider(kind: type) -> str | None:
    found = (_CONNECTS.match(base.__module__) for base in kind.__mro__)
    name = next((match[1] for match in found if match), None)
    return name and provider_name(name)


def response(span: LiveSpan, raw: bytes, more: bytes) -> None:
    """Record what a reply says of itself, and its usage.

    Args:
        span: The model's span.
        raw: The provider's own reply, as JSON.
        more: What LlamaIndex has read out of it, as JSON.
    """
    _response(span, [orjson.loads(raw)], orjson.loads(more))


def _response(span: LiveSpan, raws: Sequence[Any], more: Mapping[str, Any]) -> None:
    reply: Json = {}
    for raw in raws:
        if isinstance(raw, dict):
            reply.update({k: v for k, v in raw.items() if v not in (None, "", [])})
    usage = reply.pop("usage", None)
    if not all(isinstance(choice, dict) for choice in reply.get("choices") or ()):
        del reply["choices"]
    chat.response(span, reply)
    if reason := next((reply[name] for name in _FINISHED if reply.get(name)), None):
        span.set_attribute(semconv.RESPONSE_FINISH_REASONS, [reason])
    if span.get_attribute(semconv.PROVIDER_NAME) == "anthropic":
        anthropic_usage(span, usage)
    elif isinstance(usage, Mapping):
        openai_usage(span, usage)
    elif isinstance(counts := reply.get("usage_metadata"), Mapping):
        google_usage(span, {_camel(name): count for name, count in counts.items()})
    else:
        openai_usage(span, more)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


class Replies:
    """What a model's stream has spelled out so far.

    Each piece holds all that came before it: the last one is kept, and of each what is new.
    """

    def __init__(self) -> None:
        self._last: Any = None
        self._raws: list[Any] = []

    def keep(self, piece: Any) -> str | None:
        """Keep a piece; return what is new in it."""
        self._last = piece
        # Where a provider tells of usage, it does so after the piece that says why it stopped.
        self._raws = [*self._raws[-1:], getattr(piece, "raw", None)]
        delta: str | None = getattr(piece, "delta", None)
        return delta

    def read(self, span: LiveSpan, deltas: list[str | None], stopped: bool) -> None:
        """Record the reply that the pieces spell out."""
        streamed(span, len(deltas), stopped)
        if self._last is not None:
            told = any(delta is not None for delta in deltas)
            said = "".join(delta or "" for delta in deltas) if told else None
            span.set_outputs(replied(self._last, said))
            raws = [orjson.loads(wire(raw)) for raw in self._raws]
            _response(span, raws, getattr(self._last, "additional_kwargs", None) or {})


def streamed(span: LiveSpan, count: int, stopped: bool) -> None:
    """Record how far a stream was read."""
    if stopped:
        span.set_attribute(semconv.STREAM_COMPLETED, False)
    span.set_attribute(semconv.STREAM_CHUNKS, count)


def failed(span: LiveSpan, error: BaseException) -> None:
    """Give a span an error, without what the request of it proved itself with, and end it."""
    span.record_exception(error)
    span.set_attribute(semconv.ERROR_TYPE, type(error).__name__)
    span._redact(secrets_behind(error))
    span.end()
