"""Token usage: one meaning for every provider, and each model call counted once.

Input counts include cached tokens and output counts include reasoning tokens, as in the
OpenTelemetry GenAI semantic conventions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from spanlog import semconv


class Used(Protocol):
    """What there is to know of a span to add it up."""

    span_id: str
    parent_id: str | None

    @property
    def usage(self) -> Mapping[str, int] | None:
        """Its token counts."""
        raise NotImplementedError


# Our name of a count -> the span attribute that holds it. OpenTelemetry names no total.
ATTRIBUTES = {
    "input_tokens": semconv.USAGE_INPUT_TOKENS,
    "output_tokens": semconv.USAGE_OUTPUT_TOKENS,
    "total_tokens": semconv.USAGE_TOTAL_TOKENS,
    "cache_read_input_tokens": semconv.USAGE_CACHE_READ_INPUT_TOKENS,
    "cache_creation_input_tokens": semconv.USAGE_CACHE_CREATION_INPUT_TOKENS,
    "reasoning_output_tokens": semconv.USAGE_REASONING_OUTPUT_TOKENS,
}


def read(attributes: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the usage that a span's attributes hold; None where there is none."""
    get = attributes.get
    found = {name: n for name, key in ATTRIBUTES.items() if type(n := get(key)) is int}
    if not found:
        found = _counts(attributes.get(semconv.MLFLOW_USAGE))
    if found and "total_tokens" not in found:
        found["total_tokens"] = found.get("input_tokens", 0) + found.get("output_tokens", 0)
    return found or None


def _counts(usage: Any) -> dict[str, int]:
    """Return what are counts; a program may have written anything under those names."""
    if not isinstance(usage, Mapping):
        return {}
    return {name: count for name, count in usage.items() if type(count) is int}


class Sums:
    """What the model calls of a trace add up to, each counted once.

    A span with usage below another span with usage is the same call seen closer to the wire
    (LangChain over OpenAI, LiteLLM over OpenAI): only the innermost counts. Spans may come in any
    order, and again; the sums are the same.
    """

    def __init__(self) -> None:
        self.parents: dict[str, str | None] = {}
        self.used: dict[str, tuple[str | None, Mapping[str, float]]] = {}
        self.above: set[str] = set()  # the spans that have one with usage below them
        self.total: dict[str, float] = {}
        self.by_model: dict[str | None, dict[str, float]] = {}
        self.changed = False  # since whoever looks at it said that it is not

    def put(
        self,
        span_id: str,
        parent_id: str | None,
        model: str | None,
        counts: Mapping[str, float],
    ) -> None:
        """Take a span, or what is newly known of one.

        Args:
            span_id: Its id.
            parent_id: The id of the span above it.
            model: The model that answered.
            counts: What it used, tokens and dollars, by their names; empty where it used nothing.
        """
        before = self.used.pop(span_id, None)
        if before and span_id not in self.above:
            self._add(*before, -1)
        self.parents[span_id] = parent_id
        if before and not counts:
            self._begin_anew()
        if counts:
            self.used[span_id] = model, counts
            if span_id not in self.above:
                self._add(model, counts, 1)
        if counts or span_id in self.above:
            self._cover(parent_id)

    def _cover(self, above: str | None) -> None:
        """Count no more what is above a call that is counted."""
        while above is not None and above not in self.above:
            self.above.add(above)
            if above in self.used:
                self._add(*self.used[above], -1)
            above = self.parents.get(above)

    def _begin_anew(self) -> None:
        used, self.used, self.above = self.used, {}, set()
        self.total, self.by_model = {}, {}
        for span_id, (model, counts) in used.items():
            self.put(span_id, self.parents[span_id], model, counts)

    def _add(self, model: str | None, counts: Mapping[str, float], sign: int) -> None:
        self.changed = True
        for sums in (self.total, self.by_model.setdefault(model, {})):
            for name, count in counts.items():
                sums[name] = sums.get(name, 0) + sign * count

    def counted(self) -> list[str]:
        """Return the ids of the spans that count."""
        return [span_id for span_id in self.used if span_id not in self.above]


def total(spans: Iterable[Used]) -> dict[str, int] | None:
    """Add up the tokens of a trace, counting each model call once."""
    sums = Sums()
    for span in spans:
        sums.put(span.span_id, span.parent_id, None, span.usage or {})
    return {name: int(count) for name, count in sums.total.items()} or None
