"""Token counts as providers write them, under the names of the OpenTelemetry conventions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spanlog.spans import LiveSpan

_COUNTS = {
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
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "audio_tokens": "gen_ai.usage.audio.input_tokens",
    "image_tokens": "gen_ai.usage.image.input_tokens",
    "text_tokens": "gen_ai.usage.text.input_tokens",
}
_OUTPUT_DETAILS = {
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
    "audio_tokens": "gen_ai.usage.audio.output_tokens",
    "image_tokens": "gen_ai.usage.image.output_tokens",
    "text_tokens": "gen_ai.usage.text.output_tokens",
    "accepted_prediction_tokens": "openai.usage.accepted_prediction_tokens",
    "rejected_prediction_tokens": "openai.usage.rejected_prediction_tokens",
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


def _count(span: LiveSpan, counts: Mapping[str, Any], names: Mapping[str, str]) -> None:
    for theirs, ours in names.items():
        if isinstance(count := counts.get(theirs), int):
            span.set_attribute(ours, count)
