"""What every view of a trace shows: its spans in reading order, and its figures in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spanlog.model.span import Span, SpanStatusCode, SpanType
from spanlog.model.trace import Trace, TraceState

if TYPE_CHECKING:
    from collections.abc import Mapping

# Families of span types; a view gives each family one colour.
FAMILIES = {
    SpanType.LLM: "model",
    SpanType.CHAT_MODEL: "model",
    SpanType.EMBEDDING: "model",
    SpanType.AGENT: "agent",
    SpanType.WORKFLOW: "agent",
    SpanType.TOOL: "tool",
    SpanType.RETRIEVER: "search",
    SpanType.RERANKER: "search",
    SpanType.MEMORY: "search",
    SpanType.GUARDRAIL: "check",
    SpanType.EVALUATOR: "check",
}

_STATES = {
    TraceState.IN_PROGRESS: "running",
    TraceState.INTERRUPTED: "interrupted",
    TraceState.STATE_UNSPECIFIED: "",
}


@dataclass(frozen=True)
class Row:
    """One span and its place in the tree.

    Args:
        span: The span.
        depth: How many spans are above it.
        last: No sibling comes after it.
        orphan: The span above it is not in the trace: not written yet, or of another process.
        took: How long it took, or that it has not ended.
        doubled: What is below it is the same call of a model, seen closer to the wire.
    """

    span: Span
    depth: int
    last: bool
    orphan: bool
    took: str
    doubled: bool = False

    @property
    def name(self) -> str:
        """The name on one line."""
        return one_line(self.span.name) or "span"

    @property
    def kind(self) -> str:
        """The span type, empty where it says nothing."""
        return "" if self.span.span_type == SpanType.UNKNOWN else one_line(self.span.span_type)

    @property
    def family(self) -> str:
        """The family of the span type, which gives it its colour."""
        return family(self.span)

    @property
    def tokens(self) -> str:
        """The span's own token usage in words."""
        return tokens(self.span.usage)

    @property
    def note(self) -> str:
        """What is noted of it, on one line."""
        return one_line(self.span.note or "")

    @property
    def error(self) -> str:
        """Why it failed, on one line; empty if it did not fail."""
        status = self.span.status
        if status.status_code is not SpanStatusCode.ERROR:
            return ""
        return one_line(status.description) or "failed"


class Outline:
    """A trace laid out for reading.

    Attributes:
        name: The trace's name on one line.
        state: How it stands, in a word.
        took: How long it took, empty while it runs.
        took_ns: The same in nanoseconds, None while it runs.
        tokens: Its token usage in words.
        trace_id: Its id.
        rows: Its spans, each after the span above it, siblings in the order of their start.
    """

    def __init__(self, trace: Trace) -> None:
        info = trace.info
        self.state = _STATES.get(info.state, info.state.value)
        self.tokens = tokens(info.token_usage)
        self.trace_id = info.trace_id
        self.rows = _rows(trace)
        root = next((row.span for row in self.rows if row.span.parent_id is None), None)
        self.name = one_line(info.name or (root.name if root else "")) or "trace"
        took = root.duration_ns if root else None
        self.took = "" if took is None else duration(took)
        if took is None and info.execution_duration is not None:  # read without its spans
            took = info.execution_duration * 1_000_000
            self.took = duration(took) if took else "< 1 ms"
        self.took_ns = took


def family(span: Span) -> str:
    """Return the family of a span's type."""
    return FAMILIES.get(span.span_type, "other")


def _rows(trace: Trace) -> list[Row]:
    spans = sorted(trace.data.spans, key=lambda span: span.start_time_ns)
    known = {span.span_id for span in spans}
    below: dict[str | None, list[Span]] = {}
    for span in spans:
        below.setdefault(span.parent_id if span.parent_id in known else None, []).append(span)
    unended = _STATES.get(trace.info.state) or "open"
    rows: list[Row] = []
    seen: set[str] = set()

    def walk(top: list[Span]) -> None:
        stack = [(span, 0, span is top[-1]) for span in reversed(top)]
        while stack:
            span, depth, last = stack.pop()
            if span.span_id in seen:
                continue
            seen.add(span.span_id)
            orphan = depth == 0 and span.parent_id is not None
            took = span.duration_ns
            children = below.get(span.span_id, [])
            layers = {family(each) for each in (span, *children)}
            rows.append(
                Row(
                    span,
                    depth,
                    last,
                    orphan,
                    took=unended if took is None else duration(took),
                    doubled=bool(children) and layers == {"model"},
                )
            )
            stack += [(child, depth + 1, child is children[-1]) for child in reversed(children)]

    walk(below.get(None, []))
    for span in spans:  # spans that name each other as parent are below no root
        if span.span_id not in seen:
            walk([span])
    return rows


def duration(ns: int) -> str:
    """Write a duration: `350 µs`, `12 ms`, `1.24 s`, `2 m 5 s`, `3 h 20 m`."""
    if ns < 999_500:
        return f"{max(ns, 0) / 1e3:.0f} µs"
    if ns < 999_500_000:
        return f"{ns / 1e6:.0f} ms"
    if ns < 59_995_000_000:
        return f"{ns / 1e9:.2f} s"
    minutes, seconds = divmod(round(ns / 1e9), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {seconds} s"


def tokens(usage: Mapping[str, int] | None) -> str:
    """Write a token usage: `1,234 in (512 cached) / 56 out`."""
    if not usage:
        return ""
    read, written = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    cached = usage.get("cache_read_input_tokens")
    return f"{read:,} in{f' ({cached:,} cached)' if cached else ''} / {written:,} out"


def one_line(text: str) -> str:
    """Return text without line breaks and without what a terminal would obey."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
