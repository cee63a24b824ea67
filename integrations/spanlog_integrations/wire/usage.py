"""Token counts as providers write them, under the names of the OpenTelemetry conventions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spanlog.record.span import LiveSpan

_CACHED = {
    "cache_read_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_creation_input_tokens": "gen_ai.usage.cache_creation.input_tokens",
}
_COUNTS = {
    **_CACHED,
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "input_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "total_tokens": "gen_ai.usage.total_tokens",
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",  # Together
    "prompt_cache_hit_tokens": "gen_ai.usage.cache_read.input_tokens",  # DeepSeek
}
_INPUT_DETAILS = {
    "cached_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_creation_tokens": "gen_ai.usage.cache_creation.input_tokens",  # LiteLLM
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "audio_tokens": "gen_ai.usage.audio.input_tokens",
    "image_tokens": "gen_ai.usage.image.input_tokens",
    "text_tokens": "gen_ai.usage.text.input_tokens",
}
_OUTPUT_DETAILS = {
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "thinking_tokens": "gen_ai.usage.reasoning.output_tokens",  # Anthropic
    "audio_tokens": "gen_ai.usage.audio.output_tokens",
    "image_tokens": "gen_ai.usage.image.output_tokens",
    "text_tokens": "gen_ai.usage.text.output_tokens",
    "accepted_prediction_tokens": "openai.usage.accepted_prediction_tokens",
    "rejected_prediction_tokens": "openai.usage.rejected_prediction_tokens",
}
# Google's names, of generateContent and of interactions. What several names tell is added up:
# those of the output leave out the thoughts, those of the input what was put in by tools.
_GOOGLE = {
    "gen_ai.usage.input_tokens": (
        "promptTokenCount",
        "toolUsePromptTokenCount",
        "total_input_tokens",
        "total_tool_use_tokens",
    ),
    "gen_ai.usage.output_tokens": (
        "candidatesTokenCount",
        "thoughtsTokenCount",
        "total_output_tokens",
        "total_thought_tokens",
    ),
    "gen_ai.usage.total_tokens": ("totalTokenCount", "total_tokens"),
    "gen_ai.usage.cache_read.input_tokens": ("cachedContentTokenCount", "total_cached_tokens"),
    "gen_ai.usage.reasoning.output_tokens": ("thoughtsTokenCount", "total_thought_tokens"),
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
        span.set_attribute("openai.usage.seconds", usage.get("seconds"))


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
