"""OpenAI's SDK: chat, responses, completions, embeddings, images, audio, moderations.

Sync and async, streamed and not, raw and streaming responses, `parse` and `.stream()`, Azure,
module-level and earlier clients, and every server that is called through this SDK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spanlog.entities import SpanType
from spanlog.spans import LiveSpan
from spanlog_integrations import _chat
from spanlog_integrations._stainless import Route, failed, stainless

Json = dict[str, Any]

# Which provider answers at an address that this SDK is often pointed to. The names are
# OpenTelemetry's where it has one.
_PROVIDERS = {
    "openai.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.perplexity.ai": "perplexity",
    "api.together.ai": "together",
    "api.together.xyz": "together",
    "api.x.ai": "x_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "openrouter.ai": "openrouter",
}


def _provider(client: Any) -> str:
    host = client.base_url.host
    found = (name for address, name in _PROVIDERS.items() if host.endswith(address))
    azure = "Azure" in type(client).__name__
    return next(found, "azure.ai.openai" if azure else "openai")


def _responses_response(span: LiveSpan, reply: Json) -> None:
    _chat.response(span, reply)
    reason = (reply.get("incomplete_details") or {}).get("reason") or reply.get("status")
    if reason:
        span.set_attribute("gen_ai.response.finish_reasons", [reason])
    if reply.get("error"):
        failed(span, reply["error"])


def _fold_responses(events: Sequence[Json]) -> Json:
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


# Where the pieces of an output item's texts go: (list of parts, its index) or the item itself.
_PIECES = {
    "response.output_text.delta": ("content", "content_index", "text"),
    "response.refusal.delta": ("content", "content_index", "refusal"),
    "response.reasoning_text.delta": ("content", "content_index", "text"),
    "response.reasoning_summary_text.delta": ("summary", "summary_index", "text"),
    "response.function_call_arguments.delta": (None, None, "arguments"),
    "response.custom_tool_call_input.delta": (None, None, "input"),
    "response.mcp_call_arguments.delta": (None, None, "arguments"),
}


def _add_to_item(item: Json, event: Json) -> None:
    if isinstance(event.get("item"), dict):
        item.update(event["item"])
        return
    place = _PIECES.get(event.get("type", ""))
    if place is None:
        return
    parts, index, text = place
    if parts is not None and index is not None:
        listed = item.setdefault(parts, [])
        while len(listed) <= event.get(index, 0):
            listed.append({})
        item = listed[event.get(index, 0)]
    item[text] = (item.get(text) or "") + event.get("delta", "")


def _fold_events(events: Sequence[Json]) -> Json:
    """Take the last event, which holds the whole; pieces of speech are put together."""
    audio = "".join(event.get("audio") or "" for event in events)
    reply = {key: value for key, value in events[-1].items() if key != "type"}
    return {**reply, "audio": audio} if audio else reply


def _last(event: Json) -> bool:
    return str(event.get("type", "")).endswith((".completed", ".done", ".incomplete", ".failed"))


def _no_facts(span: LiveSpan, body: Mapping[str, Any]) -> None:
    """A request by id has no body to read."""


def _route(path: str, operation: str, span_type: str, fold: Any = _chat.fold) -> Route:
    return Route(
        rf"/?{path}", operation, span_type, _chat.request, _chat.response, fold, over=_last
    )


def _responses(path: str, method: str = "post", *, streamed_only: bool = False) -> Route:
    return Route(
        rf"/?{path}",
        "chat" if method == "post" else "fetch_response",
        SpanType.CHAT_MODEL,
        _chat.request if method == "post" else _no_facts,
        _responses_response,
        _fold_responses,
        over=_last,
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
        _route("images/(generations|edits|variations)", "image_generation", SpanType.LLM, _fold_events),
        _route("audio/speech", "speech", SpanType.LLM, _fold_events),
        _route("audio/transcriptions", "transcription", SpanType.LLM, _fold_events),
        _route("audio/translations", "translation", SpanType.LLM, _fold_events),
        _route("moderations", "moderation", SpanType.GUARDRAIL),
        _route("decisions", "decision", SpanType.LLM),
    ],
    _provider,
)


def autolog(log_traces: bool = True, disable: bool = False, silent: bool = False) -> None:
    """Trace the calls made with OpenAI's SDK.

    Args:
        log_traces: False turns tracing off and puts the SDK's own functions back.
        disable: True does the same; both are there because MLflow has both.
        silent: True keeps warnings about the SDK to itself.

    Raises:
        ImportError: The SDK is not installed.
    """
    integration.autolog(log_traces, disable, silent)
