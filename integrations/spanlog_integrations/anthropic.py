"""Anthropic's SDK: messages, and the completions of its first versions.

Sync and async, streamed and not, raw and streaming responses, `.stream()` and `parse`,
`beta.messages` with its tool runner, and the clients of other clouds: Bedrock, Vertex AI, Foundry.
Counting tokens, batches and the like are no calls of a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanlog.model.span import SpanType

from spanlog_integrations.seams.http import Route
from spanlog_integrations.seams.stainless import stainless
from spanlog_integrations.wire import anthropic
from spanlog_integrations.wire.providers import provider_at

if TYPE_CHECKING:
    from collections.abc import Sequence


Json = dict[str, Any]

_CLOUDS = {"Bedrock": "aws.bedrock", "Vertex": "gcp.vertex_ai"}


def _provider(client: Any) -> str:
    kind = type(client).__name__
    of_a_cloud = (name for cloud, name in _CLOUDS.items() if cloud in kind)
    return next(of_a_cloud, None) or provider_at(client.base_url.host) or "anthropic"


def _fold_completion(events: Sequence[Json]) -> Json:
    text = "".join(event.get("completion") or "" for event in events)
    return {**events[-1], "completion": text}


integration = stainless(
    "anthropic",
    [
        Route(
            "/?v1/messages",
            "chat",
            SpanType.CHAT_MODEL,
            anthropic.request,
            anthropic.response,
            anthropic.fold,
            last=("message_stop",),
        ),
        Route(
            "/?v1/complete",
            "text_completion",
            SpanType.LLM,
            anthropic.request,
            anthropic.response,
            _fold_completion,
        ),
    ],
    _provider,
    tested=("0.30.0", "2.11.0"),
)
autolog = integration.autolog
