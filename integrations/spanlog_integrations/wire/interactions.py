"""The wire shape of Google's interactions; the first versions have `outputs` for `steps`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
from spanlog.model.span import SpanType

from spanlog_integrations.wire import chat
from spanlog_integrations.wire.reply import failed
from spanlog_integrations.wire.usage import google_usage

if TYPE_CHECKING:
    from spanlog.record.span import LiveSpan

Json = dict[str, Any]

_REQUEST = {
    "stream": "gen_ai.request.stream",
    "previous_interaction_id": "gen_ai.request.previous_response.id",
    "service_tier": "gcp.gemini.request.service_tier",
}
_GENERATION = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "seed": "gen_ai.request.seed",
    "stop_sequences": "gen_ai.request.stop_sequences",
    "thinking_level": "gen_ai.request.reasoning.level",
}
_AGENT = {"agent": "gen_ai.agent.name"}
_RESPONSE = {
    "id": "gen_ai.response.id",
    "model": "gen_ai.response.model",
    "status": "gen_ai.response.status",
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
            span.trace.name = span.name
        span.set_span_type(SpanType.AGENT)
        span.set_attribute("gen_ai.operation.name", "invoke_agent")
        chat.facts(span, body, _AGENT)


def response(span: LiveSpan, reply: Json) -> None:
    """Record what a reply says of itself."""
    chat.facts(span, reply, _RESPONSE)
    if status := reply.get("status"):
        span.set_attribute("gen_ai.response.finish_reasons", [status])
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
