"""The wire shape of OpenAI's responses, which some other providers speak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spanlog import semconv

from spanlog_integrations.wire import chat
from spanlog_integrations.wire.reply import failed

if TYPE_CHECKING:
    from spanlog.record.span import LiveSpan

Json = dict[str, Any]

# The types of the events that are a stream's last.
LAST = ("response.completed", "response.incomplete", "response.failed")


def response(span: LiveSpan, reply: Json) -> None:
    """Record what a response says of itself."""
    chat.response(span, reply)
    reason = (reply.get("incomplete_details") or {}).get("reason") or reply.get("status")
    if reason:
        span.set_attribute(semconv.RESPONSE_FINISH_REASONS, [reason])
    if reply.get("error"):
        failed(span, reply["error"])


def fold(events: Sequence[Json]) -> Json:
    """Take the last state of the response that the events tell, and what came after it."""
    reply: Json = {}
    items: dict[int, Json] = {}
    for event in events:
        reply = event.get("response") or reply
        if "output_index" in event:
            _add_to_item(items.setdefault(event["output_index"], {}), event)
    if not reply.get("output"):
        reply = {**reply, "output": [items[index] for index in sorted(items)]}
    return reply


# Where the pieces of an output item's texts go: a list of parts, or the item itself.
_PIECES = {
    "response.output_text.delta": ("content", "text"),
    "response.refusal.delta": ("content", "refusal"),
    "response.reasoning_text.delta": ("content", "text"),
    "response.reasoning_summary_text.delta": ("summary", "text"),
    "response.function_call_arguments.delta": ("", "arguments"),
    "response.custom_tool_call_input.delta": ("", "input"),
    "response.mcp_call_arguments.delta": ("", "arguments"),
    "response.code_interpreter_call_code.delta": ("", "code"),
}


def _add_to_item(item: Json, event: Json) -> None:
    if isinstance(event.get("item"), dict):
        item.update(event["item"])
    elif isinstance(event.get("part"), dict):
        parts = "summary" if "summary_index" in event else "content"
        _part(item, parts, event[f"{parts}_index"]).update(event["part"])
    elif isinstance(event.get("annotation"), dict):
        part = _part(item, "content", event.get("content_index", 0))
        part["annotations"] = [*(part.get("annotations") or ()), event["annotation"]]
    elif place := _PIECES.get(event.get("type", "")):
        parts, text = place
        target = _part(item, parts, event.get(f"{parts}_index", 0)) if parts else item
        target[text] = (target.get(text) or "") + event.get("delta", "")


def _part(item: Json, parts: str, index: int) -> Json:
    listed = item.setdefault(parts, [])
    while len(listed) <= index:
        listed.append({})
    part: Json = listed[index]
    return part
