"""Groq's SDK: chat, embeddings, transcriptions, translations, speech.

Sync and async, streamed and not, raw and streaming responses, earlier clients.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanlog import semconv
from spanlog.model.span import SpanType

from spanlog_integrations.seams.http import Route
from spanlog_integrations.seams.stainless import stainless
from spanlog_integrations.wire import chat
from spanlog_integrations.wire.providers import provider_at
from spanlog_integrations.wire.reply import failed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanlog.record.span import LiveSpan

Json = dict[str, Any]

# How long it took, in seconds.
_TIMES = {
    name: f"groq.usage.{name}"
    for name in ("queue_time", "prompt_time", "completion_time", "total_time")
}
_OF_GROQ = {"id": semconv.HTTP_RESPONSE_REQUEST_ID}
# What the last chunk tells in `x_groq`, and a whole reply beside it.
_TOLD_LAST = ("usage", "usage_breakdown")


def _provider(client: Any) -> str:
    return provider_at(client.base_url.host) or "groq"


def response(span: LiveSpan, reply: Json) -> None:
    """Record what a reply says of itself."""
    chat.response(span, reply)
    chat.facts(span, reply.get("usage"), _TIMES)
    chat.facts(span, reply.get("x_groq"), _OF_GROQ)
    if error := (reply.get("x_groq") or {}).get("error"):  # why a stream was stopped early
        failed(span, error)


def fold(chunks: Sequence[Json]) -> Json:
    """Rebuild the completion that a stream of chunks spells out."""
    reply = chat.fold(chunks)
    reply.pop("x_groq", None)
    of_groq = {
        name: value
        for chunk in chunks
        for name, value in (chunk.get("x_groq") or {}).items()
        if value is not None
    }
    for name in _TOLD_LAST:
        if told := of_groq.pop(name, None):
            reply[name] = reply.get(name) or told
    return {**reply, "x_groq": of_groq} if of_groq else reply


def _route(path: str, operation: str, span_type: str) -> Route:
    return Route(rf"/?openai/v1/{path}", operation, span_type, chat.request, response, fold)


integration = stainless(
    "groq",
    [
        _route("chat/completions", "chat", SpanType.CHAT_MODEL),
        _route("embeddings", "embeddings", SpanType.EMBEDDING),
        _route("audio/speech", "speech", SpanType.LLM),
        _route("audio/transcriptions", "transcription", SpanType.LLM),
        _route("audio/translations", "translation", SpanType.LLM),
    ],
    _provider,
    tested=("0.13.0", "1.7.0"),
)
autolog = integration.autolog
