"""Token counts as providers write them, under the names of the OpenTelemetry conventions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from spanlog import semconv

if TYPE_CHECKING:
    from spanlog.record.span import LiveSpan

_CACHED = {
    "cache_read_input_tokens": semconv.USAGE_CACHE_READ_INPUT_TOKENS,
    "cache_creation_input_tokens": semconv.USAGE_CACHE_CREATION_INPUT_TOKENS,
}
_COUNTS = {
    **_CACHED,
    "prompt_tokens": semconv.USAGE_INPUT_TOKENS,
    "input_tokens": semconv.USAGE_INPUT_TOKENS,
    "completion_tokens": semconv.USAGE_OUTPUT_TOKENS,
    "output_tokens": semconv.USAGE_OUTPUT_TOKENS,
    "total_tokens": semconv.USAGE_TOTAL_TOKENS,
    "cached_tokens": semconv.USAGE_CACHE_READ_INPUT_TOKENS,  # Together
    "prompt_cache_hit_tokens": semconv.USAGE_CACHE_READ_INPUT_TOKENS,  # DeepSeek
}
_INPUT_DETAILS = {
    "cached_tokens": semconv.USAGE_CACHE_READ_INPUT_TOKENS,
    "cache_creation_tokens": semconv.USAGE_CACHE_CREATION_INPUT_TOKENS,  # LiteLLM
    "cache_write_tokens": semconv.USAGE_CACHE_CREATION_INPUT_TOKENS,
    "audio_tokens": semconv.USAGE_AUDIO_INPUT_TOKENS,
    "image_tokens": semconv.USAGE_IMAGE_INPUT_TOKENS,
    "text_tokens": semconv.USAGE_TEXT_INPUT_TOKENS,
}
_OUTPUT_DETAILS = {
    "reasoning_tokens": semconv.USAGE_REASONING_OUTPUT_TOKENS,
    "thinking_tokens": semconv.USAGE_REASONING_OUTPUT_TOKENS,  # Anthropic
    "audio_tokens": semconv.USAGE_AUDIO_OUTPUT_TOKENS,
    "image_tokens": semconv.USAGE_IMAGE_OUTPUT_TOKENS,
    "text_tokens": semconv.USAGE_TEXT_OUTPUT_TOKENS,
    "accepted_prediction_tokens": semconv.OPENAI_USAGE_ACCEPTED_PREDICTION_TOKENS,
    "rejected_prediction_tokens": semconv.OPENAI_USAGE_REJECTED_PREDICTION_TOKENS,
}
# Google's names, of generateContent and of interactions. What several names tell is added up:
# those of the output leave out the thoughts, those of the input what was put in by tools.
_GOOGLE = {
    semconv.USAGE_INPUT_TOKENS: (
        "promptTokenCount",
        "toolUsePromptTokenCount",
        "total_input_tokens",
        "total_tool_use_tokens",
    ),
    semconv.USAGE_OUTPUT_TOKENS: (
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "total_output_tokens",
        "total_thought_tokens",
    ),
    semconv.USAGE_TOTAL_TOKENS: ("totalTokenCount", "total_tokens"),
    semconv.USAGE_CACHE_READ_INPUT_TOKENS: ("cachedContentTokenCount", "total_cached_tokens"),
    semconv.USAGE_REASONING_OUTPUT_TOKENS: ("thoughtsTokenCount", "total_thought_tokens"),
}
_GOOGLE_DETAILS = {
    "input": (
        "promptTokensDetails",
        "promptTokenDetails",
        "toolUsePromptTokensDetails",
        "input_tokens_by_modality",
        "tool_use_tokens_by_modality",
    ),
    "output": ("candidatesTokensDetails", "output_tokens_by_modality"),
}
_PARTS = {
    "prompt_tokens_details": _INPUT_DETAILS,
    "input_tokens_details": _INPUT_DETAILS,
    "input_token_details": _INPUT_DETAILS,
    "completion_tokens_details": _OUTPUT_DETAILS,
    "output_tokens_details": _OUTPUT_DETAILS,
}


def openai_usage(span: LiveSpan, usage: Any) -> None:
    """Record usage in OpenAI's shape: input includes cached tokens, output reasoning tokens."""
    if not isinstance(usage, Mapping):
        return
    _count(span, usage, _COUNTS)
    for part, names in _PARTS.items():
        _count(span, usage.get(part) or {}, names)
    if usage.get("type") == "duration":
        span.set_attribute(semconv.OPENAI_USAGE_SECONDS, usage.get("seconds"))


def anthropic_usage(span: LiveSpan, usage: Any) -> None:
    """Record usage in Anthropic's shape: what was read from and written to a cache is apart."""
    if not isinstance(usage, Mapping):
        return
    told = {name: count for name, count in usage.items() if isinstance(count, int)}
    cached = {name: told[name] for name in _CACHED if name in told}
    sums = {}
    if "input_tokens" in told:
        sums["input_tokens"] = told["input_tokens"] + sum(cached.values())
        sums["total_tokens"] = sums["input_tokens"] + told.get("output_tokens", 0)
    _count(span, {**told, **sums}, _COUNTS)
    _count(span, usage.get("output_tokens_details") or {}, _OUTPUT_DETAILS)


def google_usage(span: LiveSpan, usage: Any) -> None:
    """Record usage in Google's shapes."""
    if not isinstance(usage, Mapping):
        return
    for ours, theirs in _GOOGLE.items():
        if told := [usage[name] for name in theirs if isinstance(usage.get(name), int)]:
            span.set_attribute(ours, sum(told))
    for side, theirs in _GOOGLE_DETAILS.items():
        counts: dict[str, int] = {}
        for detail in (detail for name in theirs for detail in usage.get(name) or ()):
            kind = str(detail.get("modality")).lower()
            counts[kind] = counts.get(kind, 0) + (
                detail.get("tokenCount") or detail.get("tokens") or 0
            )
        for kind, count in counts.items():
            span.set_attribute(f"gen_ai.usage.{kind}.{side}_tokens", count)


def _count(span: LiveSpan, counts: Mapping[str, Any], names: Mapping[str, str]) -> None:
    for theirs, ours in names.items():
        if isinstance(count := counts.get(theirs), int):
            span.set_attribute(ours, count)


def counted(reply: dict[str, Any]) -> dict[str, Any]:
    """Leave out usage that is nothing but the zeros it was made with."""
    usage = reply.get("usage")
    there = isinstance(usage, Mapping) and any(isinstance(n, int) and n for n in usage.values())
    return reply if there else {name: v for name, v in reply.items() if name != "usage"}
