"""The wire shape of Anthropic's messages, on Anthropic's own API and on others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import orjson
from spanlog import semconv

from spanlog_integrations.wire import chat
from spanlog_integrations.wire.usage import anthropic_usage

if TYPE_CHECKING:
    from spanlog.record.span import LiveSpan

Json = dict[str, Any]

_REQUEST = {
    "temperature": semconv.REQUEST_TEMPERATURE,
    "top_p": semconv.REQUEST_TOP_P,
    "top_k": semconv.REQUEST_TOP_K,
    "max_tokens": semconv.REQUEST_MAX_TOKENS,
    "max_tokens_to_sample": semconv.REQUEST_MAX_TOKENS,
    "stop_sequences": semconv.REQUEST_STOP_SEQUENCES,
    "stream": semconv.REQUEST_STREAM,
    "service_tier": "anthropic.request.service_tier",
}
_THINKING = {
    "type": "anthropic.request.thinking.type",
    "budget_tokens": "anthropic.request.thinking.budget_tokens",
}
_OUTPUT = {"effort": semconv.REQUEST_REASONING_LEVEL}
_RESPONSE = {"id": semconv.RESPONSE_ID, "model": semconv.RESPONSE_MODEL}

# The pieces that a text of a block is spelled out in; other pieces stand whole.
_TEXTS = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


def request(span: LiveSpan, body: Mapping[str, Any]) -> None:
    """Record the parameters of a request."""
    chat.facts(span, body, _REQUEST)
    chat.facts(span, body.get("thinking"), _THINKING)
    chat.facts(span, body.get("output_config"), _OUTPUT)
    chat.tools(span, body.get("tools"))


def response(span: LiveSpan, reply: Json) -> None:
    """Record what a reply says of itself."""
    chat.facts(span, reply, _RESPONSE)
    if reason := reply.get("stop_reason"):
        span.set_attribute(semconv.RESPONSE_FINISH_REASONS, [reason])
    anthropic_usage(span, reply.get("usage"))


def fold(events: Sequence[Json]) -> Json:
    """Rebuild the message that a stream of events spells out."""
    message: Json = {}
    blocks: dict[int, Json] = {}
    for event in events:
        kind, index = event.get("type"), event.get("index") or 0
        if kind == "message_start":
            message.update(event.get("message") or {})
        elif kind == "content_block_start":
            blocks[index] = {**(event.get("content_block") or {})}
            if blocks[index].get("type") == "fallback":  # another model goes on
                message["model"] = blocks[index]["to"]["model"]
        elif kind == "content_block_delta":
            _add(blocks.setdefault(index, {}), event.get("delta") or {})
        elif kind == "message_delta":
            usage = _updated(message.get("usage"), event.get("usage"))
            rest = {name: event[name] for name in event if name not in ("type", "delta", "usage")}
            message = _updated(_updated(message, event.get("delta")), rest)
            message["usage"] = usage
    message["content"] = [_finished(blocks[index]) for index in sorted(blocks)]
    return message


def _updated(known: Json | None, told: Mapping[str, Any] | None) -> Json:
    """Return what is known with what is told now; null says nothing new."""
    known = known or {}
    news = {k: v for k, v in (told or {}).items() if v is not None or k not in known}
    return {**known, **news}


def _add(block: Json, delta: Json) -> None:
    kind = delta.get("type")
    if kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
    elif text := _TEXTS.get(kind or ""):
        block[text] = (block.get(text) or "") + (delta.get(text) or "")
    else:
        block.update({name: value for name, value in delta.items() if name != "type"})


def _finished(block: Json) -> Json:
    """Read the input of a tool that has been spelled out; as text where it was cut off."""
    spelled = block.pop("partial_json", None)
    if spelled:
        try:
            block["input"] = orjson.loads(spelled)
        except orjson.JSONDecodeError:
            block["input"] = spelled
    return block
