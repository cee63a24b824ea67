"""Mistral's wire: what its requests and replies say, and the replies that its streams spell out."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spanlog import semconv

from spanlog_integrations.wire import chat

if TYPE_CHECKING:
    from spanlog.record.span import LiveSpan

Json = dict[str, Any]

_REQUEST = {
    "random_seed": semconv.REQUEST_SEED,
    "output_dimension": semconv.EMBEDDINGS_DIMENSION_COUNT,
    "agent_id": semconv.AGENT_ID,
}
_RESPONSE = {"conversation_id": semconv.CONVERSATION_ID}
_USAGE = {
    "num_cached_tokens": semconv.USAGE_CACHE_READ_INPUT_TOKENS,
    "service_tier": semconv.OPENAI_RESPONSE_SERVICE_TIER,
    "connector_tokens": "mistral_ai.usage.connector_tokens",
    "prompt_audio_seconds": "mistral_ai.usage.prompt_audio_seconds",
}
_PAGES = {
    "pages_processed": "mistral_ai.ocr.usage.pages_processed",
    "doc_size_bytes": "mistral_ai.ocr.usage.doc_size_bytes",
}
# What is of an event of a conversation, not of the entry that it is a piece of.
_OF_AN_EVENT = frozenset({"type", "content", "content_index", "arguments", "output_index"})


def request(span: LiveSpan, body: Mapping[str, Any]) -> None:
    """Record the parameters of a request."""
    chat.request(span, body)
    chat.facts(span, body, _REQUEST)
    if isinstance(settings := body.get("completion_args"), Mapping):  # of a conversation
        request(span, settings)


def response(span: LiveSpan, reply: Json) -> None:
    """Record what a reply says of itself."""
    usage = _whole(reply.get("usage") or {})
    chat.response(span, {**reply, "usage": usage})
    chat.facts(span, reply, _RESPONSE)
    chat.facts(span, usage, _USAGE)
    chat.facts(span, reply.get("usage_info"), _PAGES)
    models = [entry["model"] for entry in reply.get("outputs") or () if entry.get("model")]
    if models:
        span.set_attribute(semconv.RESPONSE_MODEL, models[-1])
    if reason := reply.get("finish_reason"):  # of a transcription
        span.set_attribute(semconv.RESPONSE_FINISH_REASONS, [reason])


def _whole(usage: Json) -> Json:
    """Count all of the input: what connectors put in, and sound, is in the total alone."""
    total, answered = usage.get("total_tokens"), usage.get("completion_tokens")
    if not isinstance(total, int) or not isinstance(answered, int):
        return usage
    return {**usage, "prompt_tokens": max(usage.get("prompt_tokens") or 0, total - answered)}


def fold(chunks: Sequence[Json]) -> Json:
    """Rebuild the completion that a stream of chunks spells out."""
    return chat.fold(chunks, indexed=True)


def fold_conversation(events: Sequence[Json]) -> Json:
    """Rebuild the reply that the events of a conversation tell."""
    reply: Json = {"object": "conversation.response"}
    entries: dict[int, Json] = {}
    for event in events:
        if "output_index" in event:
            _add_to_entry(entries.setdefault(event["output_index"], {}), event)
        else:
            told = {"conversation_id": event.get("conversation_id"), "usage": event.get("usage")}
            reply.update({name: value for name, value in told.items() if value is not None})
    reply["outputs"] = [_finished(entries[index]) for index in sorted(entries)]
    return reply


def _add_to_entry(entry: Json, event: Json) -> None:
    kind = event.get("type", "").rpartition(".")[0]  # "message.output" of "message.output.delta"
    entry.update({"object": "entry", "type": kind, "created_at": event.get("created_at"), **entry})
    entry.update({name: value for name, value in event.items() if name not in _OF_AN_EVENT})
    if (piece := event.get("content")) is not None:
        part = {"type": "text", "text": piece} if isinstance(piece, str) else piece
        part = {**part, "index": event.get("content_index")}
        chat.extend(entry.setdefault("content", []), [part], "content")
    if isinstance(spelled := event.get("arguments"), str):
        entry["arguments"] = entry.get("arguments", "") + spelled
    elif spelled is not None:
        entry["arguments"] = spelled


def _finished(entry: Json) -> Json:
    """Drop the index of parts, which only the stream needs; a text alone is no part."""
    if parts := entry.get("content"):
        for part in parts:
            part.pop("index", None)
        alone = len(parts) == 1 and parts[0].get("type") == "text"
        entry["content"] = parts[0]["text"] if alone else parts
    return entry


def fold_transcript(events: Sequence[Json]) -> Json:
    """Take the transcript from the last event, or as far as it has been spelled out."""
    told: dict[str, list[Json]] = {}
    for event in events:
        kind = str(event.get("type")).removeprefix("transcription.")
        told.setdefault(kind, []).append({k: v for k, v in event.items() if k != "type"})
    if "done" in told:
        return told["done"][-1]
    languages = [event.get("audio_language") for event in told.get("language", ())]
    return {
        "text": "".join(event.get("text") or "" for event in told.get("text.delta", ())),
        "language": languages[-1] if languages else None,
        "segments": told.get("segment", []),
    }


def fold_speech(events: Sequence[Json]) -> Json:
    """Put the pieces of sound together."""
    sound = b"".join(b64decode(event.get("audio_data") or "") for event in events)
    return {"audio_data": b64encode(sound).decode(), "usage": events[-1].get("usage")}
