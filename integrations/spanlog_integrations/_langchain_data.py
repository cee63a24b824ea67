"""What LangChain passes around, as plain messages and documents, and the facts in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from spanlog import semconv, spoken
from spanlog.model.capture import capture, decode
from spanlog.model.span import SpanType

from spanlog_integrations.wire import chat
from spanlog_integrations.wire.providers import provider_name
from spanlog_integrations.wire.usage import anthropic_usage, openai_usage

if TYPE_CHECKING:
    from spanlog.record.span import LiveSpan

Json = dict[str, Any]

# What is nested deeper, or is one of more pieces, is left to the recorder.
_MAX_DEPTH = 20
_MAX_PIECES = 100_000
# LangChain's types of messages -> the roles of those who said them.
_ROLES = {"human": "user", "ai": "assistant"}
_ASKED = {
    "ls_model_name": semconv.REQUEST_MODEL,
    "ls_temperature": semconv.REQUEST_TEMPERATURE,
    "ls_max_tokens": semconv.REQUEST_MAX_TOKENS,
    "ls_stop": semconv.REQUEST_STOP_SEQUENCES,
}
_ANSWERED = {
    "id": semconv.RESPONSE_ID,
    "model": semconv.RESPONSE_MODEL,
    "model_id": semconv.RESPONSE_MODEL,
    "model_name": semconv.RESPONSE_MODEL,
    "service_tier": semconv.OPENAI_RESPONSE_SERVICE_TIER,
    "system_fingerprint": semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT,
}
_FINISHED = ("finish_reason", "stop_reason", "done_reason", "stopReason")
_USAGE = {
    "input_tokens": semconv.USAGE_INPUT_TOKENS,
    "output_tokens": semconv.USAGE_OUTPUT_TOKENS,
    "total_tokens": semconv.USAGE_TOTAL_TOKENS,
}
_INPUT_DETAILS = {
    "cache_read": semconv.USAGE_CACHE_READ_INPUT_TOKENS,
    "cache_creation": semconv.USAGE_CACHE_CREATION_INPUT_TOKENS,
    "audio": semconv.USAGE_AUDIO_INPUT_TOKENS,
}
_OUTPUT_DETAILS = {
    "reasoning": semconv.USAGE_REASONING_OUTPUT_TOKENS,
    "audio": semconv.USAGE_AUDIO_OUTPUT_TOKENS,
}
_STEP = {
    "langgraph_node": "langgraph.node",
    "langgraph_step": "langgraph.step",
    "langgraph_checkpoint_ns": "langgraph.checkpoint_ns",
}
# Under which names programs say to which conversation a run belongs.
_SESSIONS = ("session_id", "thread_id", "conversation_id")


def plain(value: Any) -> Any:
    """Return a value with the messages and documents in it as plain data.

    What is neither, and holds neither, is left as it is.
    """
    return _Pieces().plain(value)


class _Pieces:
    """One value that is gone through; what goes round in a circle in it is left to the recorder."""

    def __init__(self) -> None:
        self._above: set[int] = set()
        self._left = _MAX_PIECES

    def plain(self, value: Any) -> Any:
        if isinstance(value, (str, int, float, type(None))):
            return value
        self._left -= 1
        if id(value) in self._above or len(self._above) > _MAX_DEPTH or self._left < 0:
            return value
        self._above.add(id(value))
        try:
            return self._apart(value)
        finally:
            self._above.discard(id(value))

    def _apart(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return value if hasattr(value, "_fields") else [self.plain(item) for item in value]
        if isinstance(value, (dict, Mapping)):
            made = {key: self.plain(item) for key, item in value.items()}
            return _of_constructor(made) if made.get("lc") == 1 else made
        kinds = {kind.__name__ for kind in type(value).__mro__}
        if "BaseMessage" in kinds:
            return message(value)
        if "Document" in kinds:
            return document(vars(value))
        if "PromptValue" in kinds:
            return _prompt(value)
        if "Send" in kinds:
            return {"node": value.node, "arg": self.plain(value.arg)}
        if "Command" in kinds:
            held = {field.name: getattr(value, field.name) for field in fields(value)}
            said = {name: part for name, part in held.items() if part is not None and part != ()}
            return {name: self.plain(part) for name, part in said.items()}
        if is_dataclass(value) and not isinstance(value, type):
            return {f.name: self.plain(getattr(value, f.name)) for f in fields(value)}
        return value


def _of_constructor(made: Json) -> Any:
    """Read what older versions write of an object: how to make it anew."""
    held, kind = made.get("kwargs"), (made.get("id") or [""])[-1]
    if not isinstance(held, Mapping):
        return made
    if "page_content" in held:
        return document(held)
    if kind.endswith(("Message", "MessageChunk")) and "content" in held:
        said = kind.removesuffix("Chunk").removesuffix("Message").lower()
        return {"role": held.get("role") or _ROLES.get(said, said), "content": held["content"]}
    return {"messages": held["messages"]} if "messages" in held else held.get("text", made)


def _prompt(value: Any) -> Any:
    text = getattr(value, "text", None)
    return text if isinstance(text, str) else {"messages": plain(value.to_messages())}


def message(value: Any) -> Json:
    """Return a message in the shape in which models are sent it."""
    kind = value.type.removesuffix("MessageChunk").lower()
    said = {"role": getattr(value, "role", None) or _ROLES.get(kind, kind)}
    said["content"] = value.content
    for name in ("name", "tool_calls", "invalid_tool_calls", "tool_call_id", "status", "artifact"):
        if held := getattr(value, name, None):
            said[name] = held
    if said.get("status") == "success":
        del said["status"]
    more = {k: v for k, v in value.additional_kwargs.items() if v and k not in said}
    return {**said, **more}


def document(held: Mapping[str, Any]) -> Json:
    """Return a document as `page_content`, `metadata` and `id`."""
    names = ("page_content", "metadata", "id")
    return {name: held[name] for name in names if held.get(name) is not None}


def session(metadata: Mapping[str, Any] | None, config: Any) -> str | None:
    """Return the conversation to which a run belongs, where the program says it."""
    configurable = config.get("configurable") if isinstance(config, Mapping) else None
    for held in (metadata or {}, configurable or {}):
        for name in _SESSIONS:
            if isinstance(found := held.get(name), (str, int)):
                return str(found)
    return None


def asks(error: BaseException) -> list[Any]:
    """Return what an interrupt of LangGraph asks someone, of any other error nothing."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    interrupts = error.args[0] if "GraphInterrupt" in kinds and error.args else ()
    return [plain(one) for one in interrupts] if isinstance(interrupts, (list, tuple)) else []


def asked(interrupts: Sequence[Any]) -> str:
    """Return in words what interrupts ask."""
    return spoken.questions(decode(capture(interrupts)))


def answered(inputs: Any) -> str | None:
    """Return in words what is answered to an interrupt, where that is what a graph is given."""
    resume = getattr(inputs, "resume", None) if type(inputs).__name__ == "Command" else None
    return None if resume is None else spoken.in_words(decode(capture(plain(resume))))


def step(span: LiveSpan, metadata: Mapping[str, Any] | None) -> None:
    """Record which step of which graph a run is."""
    chat.facts(span, metadata, _STEP)


def request(span: LiveSpan, operation: str, told: Mapping[str, Any]) -> None:
    """Record facts of what a model is asked."""
    span.set_attribute(semconv.OPERATION_NAME, operation)
    metadata = told.get("metadata") or {}
    chat.facts(span, metadata, _ASKED)
    if provider := metadata.get("ls_provider"):
        span.set_attribute(semconv.PROVIDER_NAME, provider_name(provider))
    asked = told.get("invocation_params") or {}
    if isinstance(model := asked.get("model") or asked.get("model_name"), str):
        span.set_attribute(semconv.REQUEST_MODEL, model)
    chat.request(span, asked)


def replied(result: Any) -> Json:
    """Return what a model answered, with all its choices."""
    return {"choices": [_choice(made) for made in _generations(result)]}


def response(span: LiveSpan, result: Any) -> None:
    """Record what a reply says of itself, and its usage."""
    made = _generations(result)
    said = [getattr(generation, "message", None) for generation in made]
    told = dict(getattr(result, "llm_output", None) or {})
    for message in said:
        told.update(getattr(message, "response_metadata", None) or {})
    chat.facts(span, {k: v for k, v in told.items() if isinstance(v, str)}, _ANSWERED)
    if reasons := [reason for reason in map(_finish_reason, made) if reason]:
        span.set_attribute(semconv.RESPONSE_FINISH_REASONS, reasons)
    counted = [usage for message in said if (usage := getattr(message, "usage_metadata", None))]
    if any(usage.get("total_cost") == 0 for usage in counted):
        span.set_attribute("langchain.cache_hit", True)  # it cost nothing: no tokens are counted
        return
    openai_usage(span, told.get("token_usage"))
    anthropic_usage(span, told.get("usage"))
    for usage in counted:
        chat.facts(span, usage, _USAGE)
        chat.facts(span, usage.get("input_token_details"), _INPUT_DETAILS)
        chat.facts(span, usage.get("output_token_details"), _OUTPUT_DETAILS)


def _generations(result: Any) -> Sequence[Any]:
    rows = getattr(result, "generations", None) or [[]]
    return [made for row in rows for made in row]


def _choice(made: Any) -> Json:
    said = getattr(made, "message", None)
    choice: Json = {"text": made.text} if said is None else {"message": message(said)}
    reason = _finish_reason(made)
    return {**choice, "finish_reason": reason} if reason else choice


def choice(said: str, span_type: str) -> Json:
    """Return a choice of which only the text is known."""
    if span_type == SpanType.LLM:
        return {"text": said}
    return {"message": {"role": "assistant", "content": said}}


def says(choice: Json) -> bool:
    """Say whether there is anything in a choice."""
    said = choice.get("message", {})
    return bool(choice.get("text") or said.get("content") or said.get("tool_calls"))


def _finish_reason(made: Any) -> str | None:
    said = getattr(getattr(made, "message", None), "response_metadata", None) or {}
    told = {**said, **(getattr(made, "generation_info", None) or {})}
    return next((str(told[name]) for name in _FINISHED if told.get(name)), None)
