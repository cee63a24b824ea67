"""OpenAI's SDK: chat, responses, completions, embeddings, images, audio, moderations.

Sync and async, streamed and not, raw and streaming responses, `parse` and `.stream()`, Azure,
module-level and earlier clients, and every server that is called through this SDK.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from spanlog.model.span import SpanType

from spanlog_integrations.seams.http import Route
from spanlog_integrations.seams.stainless import stainless
from spanlog_integrations.wire import chat, responses
from spanlog_integrations.wire.providers import provider_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spanlog.record.span import LiveSpan

Json = dict[str, Any]

# The events that are a stream's last; in chat a stream ends with "[DONE]".
_LAST = (
    *responses.LAST,
    "image_generation.completed",
    "image_edit.completed",
    "transcript.text.done",
    "speech.audio.done",
)
# What an event about an image has and a reply with images has not, or has in another place.
_OF_AN_IMAGE = frozenset(
    {"type", "b64_json", "created_at", "partial_image_index", "sequence_number"}
)


def _provider(client: Any) -> str:
    azure = "Azure" in type(client).__name__
    return provider_at(client.base_url.host) or ("azure.ai.openai" if azure else "openai")


def _fold_images(events: Sequence[Json]) -> Json:
    """Put the finished images together; where there is none yet, the last part of one."""
    done = [event for event in events if event.get("type") in _LAST] or events[-1:]
    reply = {key: value for key, value in done[-1].items() if key not in _OF_AN_IMAGE}
    images = [{"b64_json": event.get("b64_json")} for event in done]
    return {"created": done[-1].get("created_at"), **reply, "data": images}


def _fold_transcript(events: Sequence[Json]) -> Json:
    """Take the text from the last event, or as far as it has been spelled out."""
    reply = {key: value for key, value in events[-1].items() if key not in ("type", "delta")}
    if "text" not in reply:
        reply["text"] = "".join(event.get("delta") or "" for event in events)
    return reply


def _fold_speech(events: Sequence[Json]) -> Json:
    """Put the pieces of sound together."""
    sound = b"".join(b64decode(event.get("audio") or "") for event in events)
    return {"audio": b64encode(sound).decode(), "usage": events[-1].get("usage")}


def _no_facts(span: LiveSpan, body: Mapping[str, Any]) -> None:
    """A request by id has no body to read."""


def _route(path: str, operation: str, span_type: str, fold: Any = chat.fold) -> Route:
    return Route(rf"/?{path}", operation, span_type, chat.request, chat.response, fold, last=_LAST)


def _responses(path: str, method: str = "post", *, streamed_only: bool = False) -> Route:
    return Route(
        rf"/?{path}",
        "chat" if method == "post" else "fetch_response",
        SpanType.CHAT_MODEL,
        chat.request if method == "post" else _no_facts,
        responses.response,
        responses.fold,
        last=_LAST,
        method=method,
        streamed_only=streamed_only,
    )


integration = stainless(
    "openai",
    [
        _route("chat/completions", "chat", SpanType.CHAT_MODEL),
        _responses("responses(/compact)?"),
        _responses("responses/[^/]+", "get", streamed_only=True),
        _route("completions", "text_completion", SpanType.LLM),
        _route("embeddings", "embeddings", SpanType.EMBEDDING),
        _route(
            "images/(generations|edits|variations)", "image_generation", SpanType.LLM, _fold_images
        ),
        _route("audio/speech", "speech", SpanType.LLM, _fold_speech),
        _route("audio/transcriptions", "transcription", SpanType.LLM, _fold_transcript),
        _route("audio/translations", "translation", SpanType.LLM, _fold_transcript),
        _route("moderations", "moderation", SpanType.GUARDRAIL),
        _route("decisions", "decision", SpanType.LLM),
    ],
    _provider,
    tested=("1.0.0", "3.52.0"),
)
autolog = integration.autolog
