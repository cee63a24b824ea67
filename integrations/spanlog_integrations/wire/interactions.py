"""The wire shape of Google's interactions; the first versions have `outputs` for `steps`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
from spanlog import semconv
from spanlog.instrument import trace_of
from spanlog.model.span import SpanType

from spanlog_integrations.wire import chat
from spanlog_integrations.wire.reply import failed
from spanlog_integrations.wire.usage import google_usage

if TYPE_CHECKING:
    from spanlog.record.span import LiveSpan

Json = dict[str, Any]

_REQUEST = {
    "stream": semconv.REQUEST_STREAM,
    "previous_interaction_id": semconv.REQUEST_PREVIOUS_RESPONSE_ID,
    "service_tier": "gcp.gemini.request.service_tier",
}
_GENERATION = {
    "temperature": semconv.REQUEST_TEMPERATURE,
    "top_p": semconv.REQUEST_TOP_P,
    "top_k": semconv.REQUEST_TOP_K,
    "max_output_tokens": semconv.REQUEST_MAX_TOKENS,
    "presence_penalty": semconv.REQUEST_PRESENCE_PENALTY,
    "frequency_penalty": semconv.REQUEST_FREQUENCY_PENALTY,
    "seed": semconv.REQUEST_SEED,
    "stop_sequences": semconv.REQUEST_STOP_SEQUENCES,
    "thinking_level": semconv.REQUEST_REASONING_LEVEL,
}
_AGENT = {"agent": semconv.AGENT_NAME}
_RESPONSE = {
    "id": semconv.RESPONSE_ID,
    "model": semconv.RESPONSE_MODEL,
    "status": semconv.RESPONSE_STATUS,
    "service_tier": "gcp.gemini.response.service_tier",
}
# The types of the events that are a stream's last.
LAST = ("done", "interaction.completed", "interaction.complete")


def request(span: LiveSpan, body: Mapping[str, Any]) -> None:
    """Record the parameters of a request; one of an agent is a call of that agent."""
    chat.facts(span, body, _REQUEST)
    chat.facts(span, body.get("generation_config"), _GENERATION)
    chat.tools(span, body.get("tools"))
    if agent := body.get("agent"):
        span.name = f"invoke_agent {agent}"
        if span.parent is None:
            trace_of(span).name = span.name
        span.set_span_type(SpanType.AGENT)
        span.set_attribute(semconv.OPERATION_NAME, "invoke_agent")
        chat.facts(span, body, _AGENT)


def response(span: LiveSpan, reply: Json) -> None:
    """Record what a reply says of itself."""
    chat.facts(span, reply, _RESPONSE)
    if status := reply.get("status"):
        span.set_attribute(semconv.RESPONSE_FINISH_REASONS, [status])
    google_usage(span, reply.get("usage"))
    if reply.get("error"):
        failed(span, reply["error"])


def fold(events: Sequence[Json]) -> Json:
    """Rebuild the interaction that a stream of events spells out."""
    reply: Json = {}
    items: dict[int, Json] = {}
    parts = "outputs"
    for event in events:
        told = event.get("interaction") or {}
        reply.update({key: value for key, value in told.items() if value is not None})
        if "index" in event:
            item = items.setdefault(event["index"], {})
            item.update(event.get("step") or event.get("content") or {})
            _add(item, event.get("delta") or {})
            parts = "steps" if event.get("event_type", "").startswith("step") else "outputs"
        elif status := event.get("status"):
            reply["status"] = status
    if items:
        reply[parts] = [_finished(items[index]) for index in sorted(items)]
    return reply


def _add(item: Json, delta: Json) -> None:
    """Add a piece to a step, or to an output of the first versions, which has no content."""
    kind = delta.get("type")
    if kind == "thought_summary":
        _extend(item, "summary", delta.get("content") or {})
    elif kind == "thought_signature":
        item["signature"] = delta.get("signature")
    elif kind == "arguments_delta":
        before = item.get("arguments")
        spelled = before if isinstance(before, str) else ""
        item["arguments"] = spelled + str(delta.get("arguments") or "")
    elif kind == "text_annotation":
        content = item.get("content") or [item]
        annotations = delta.get("annotations") or ()
        content[-1]["annotations"] = [*content[-1].get("annotations", ()), *annotations]
    elif item.get("type") == "model_output":
        _extend(item, "content", delta)
    elif kind == "text":
        item["text"] = item.get("text", "") + str(delta.get("text") or "")
    else:
        item.update({key: value for key, value in delta.items() if key != "type"})


def _extend(item: Json, parts: str, piece: Json) -> None:
    """Add a part to a list of parts; a text goes on with the text before it."""
    listed = item.setdefault(parts, [])
    last = listed[-1] if listed else {}
    if "text" in piece and last.get("type") == piece.get("type"):
        last.update({**piece, "text": last.get("text", "") + piece["text"]})
    elif piece:
        listed.append(dict(piece))


def _finished(item: Json) -> Json:
    """Read the arguments of a call that were spelled out."""
    if isinstance(arguments := item.get("arguments"), str):
        with suppress(orjson.JSONDecodeError):  # cut off
            item["arguments"] = orjson.loads(arguments)
    return item
