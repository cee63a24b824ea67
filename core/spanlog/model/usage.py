"""Token usage: one meaning for every provider, and each model call counted once.

Input counts include cached tokens and output counts include reasoning tokens, as in the
OpenTelemetry GenAI semantic conventions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spanlog.model.span import Span

# Our name of a count -> the span attribute that holds it. OpenTelemetry names no total.
ATTRIBUTES = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "total_tokens": "gen_ai.usage.total_tokens",
    "cache_read_input_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_creation_input_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_output_tokens": "gen_ai.usage.reasoning.output_tokens",
}

# Where a program written for MLflow puts what it counted itself.
_MLFLOW = "mlflow.chat.tokenUsage"


def read(attributes: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the usage that a span's attributes hold; None where there is none."""
    get = attributes.get
    found = {name: n for name, key in ATTRIBUTES.items() if type(n := get(key)) is int}
    if not found:
        found = _counts(attributes.get(_MLFLOW))
    if found and "total_tokens" not in found:
        found["total_tokens"] = found.get("input_tokens", 0) + found.get("output_tokens", 0)
    return found or None


def _counts(usage: Any) -> dict[str, int]:
    """Return what are counts; a program may have written anything under those names."""
    if not isinstance(usage, Mapping):
        return {}
    return {name: count for name, count in usage.items() if type(count) is int}


def counted(spans: Iterable[Span]) -> list[tuple[Span, dict[str, int]]]:
    """Return the spans of a trace whose usage counts, so that each model call counts once.

    A span with usage below another span with usage is the same call seen closer to the wire
    (LangChain over OpenAI, LiteLLM over OpenAI): only the innermost counts.
    """
    by_id = {span.span_id: span for span in spans}
    counts = {id_: found for id_, span in by_id.items() if (found := span.usage)}
    parents = {id_: span.parent_id for id_, span in by_id.items()}
    return [(by_id[id_], counts[id_]) for id_ in innermost(counts, parents)]


def innermost(ids: Iterable[str], parents: Mapping[str, str | None]) -> list[str]:
    """Return those of some spans that have none of them below.

    Args:
        ids: The ids of the spans.
        parents: Of each span of the trace, the id of the span above it.
    """
    ids = list(ids)
    above: set[str] = set()
    for id_ in ids:
        parent = parents[id_]
        while parent is not None and parent in parents and parent not in above:
            above.add(parent)
            parent = parents[parent]
    return [id_ for id_ in ids if id_ not in above]


def total(spans: Iterable[Span]) -> dict[str, int] | None:
    """Add up the usage of a trace, counting each model call once."""
    sums: dict[str, int] = {}
    for _, found in counted(spans):
        add(sums, found)
    return sums or None


def add(sums: dict[str, int], found: Mapping[str, int]) -> None:
    """Add counts to sums."""
    for name, count in found.items():
        sums[name] = sums.get(name, 0) + count
