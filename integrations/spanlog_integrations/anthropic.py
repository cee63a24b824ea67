"""Anthropic's SDK: messages, and the completions of its first versions.

Sync and async, streamed and not, raw and streaming responses, `.stream()` and `parse`,
`beta.messages` with its tool runner, and the clients of other clouds: Bedrock, Vertex AI, Foundry.
Counting tokens, batches and the like are no calls of a model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanlog.model.span import SpanType

from spanlog_integrations import _anthropic, _chat
from spanlog_integrations._http import Route, provider_at
from spanlog_integrations._stainless import stainless
from spanlog_integrations._usage import anthropic_usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spanlog.record.span import LiveSpan

Json = dict[str, Any]

_CLOUDS = {"Bedrock": "aws.bedrock", "Vertex": "gcp.vertex_ai"}
_REQUEST = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_tokens_to_sample": "gen_ai.request.max_tokens",
    "stop_sequences": "gen_ai.request.stop_sequences",
    "stream": "gen_ai.request.stream",
    "service_tier": "anthropic.request.service_tier",
}
_THINKING = {
    "type": "anthropic.request.thinking.type",
    "budget_tokens": "anthropic.request.thinking.budget_tokens",
}
_OUTPUT = {"effort": "gen_ai.request.reasoning.level"}
_RESPONSE = {"id": "gen_ai.response.id", "model": "gen_ai.response.model"}


def _provider(client: Any) -> str:
    kind = type(client).__name__
    of_a_cloud = (name for cloud, name in _CLOUDS.items() if cloud in kind)
    return next(of_a_cloud, None) or provider_at(client.base_url.host) or "anthropic"


def request(span: LiveSpan, body: Mapping[str, Any]) -> None:
    """Record the parameters of a request."""
    _chat.facts(span, body, _REQUEST)
    _chat.facts(span, body.get("thinking"), _THINKING)
    _chat.facts(span, body.get("output_config"), _OUTPUT)
    _chat.tools(span, body.get("tools"))


def response(span: LiveSpan, reply: Json) -> None:
    """Record what a reply says of itself."""
    _chat.facts(span, reply, _RESPONSE)
    if reason := reply.get("stop_reason"):
        span.set_attribute("gen_ai.response.finish_reasons", [reason])
    anthropic_usage(span, reply.get("usage"))


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
            request,
            response,
            _anthropic.fold,
            last=("message_stop",),
        ),
        Route(
            "/?v1/complete",
            "text_completion",
            SpanType.LLM,
            request,
            response,
            _fold_completion,
        ),
    ],
    _provider,
)
autolog = integration.autolog
