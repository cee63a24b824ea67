"""Traces whose spans are begun and ended by hand, in any thread: `TracingClient`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spanlog import fluent, search
from spanlog.entities import Trace
from spanlog.spans import LiveSpan, NoOpSpan, SpanStatus, SpanStatusCode


class TracingClient:
    """Records traces of which the caller names every parent; may be used by many threads.

    Wherever a `trace_id` is taken, `request_id`, MLflow's older name, is taken too.
    """

    def __init__(self, tracking_uri: str | None = None) -> None:
        if tracking_uri is not None:
            fluent.set_tracking_uri(tracking_uri)
        self._spans: dict[tuple[str, str], LiveSpan] = {}
        self._roots: dict[str, LiveSpan] = {}

    def start_trace(
        self,
        name: str,
        span_type: str = "UNKNOWN",
        inputs: Any = None,
        attributes: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        start_time_ns: int | None = None,
    ) -> LiveSpan:
        """Begin a trace and return its root span."""
        span = fluent.start_span_no_context(
            name, span_type, None, inputs, attributes, tags, None, start_time_ns
        )
        self._roots[span.trace_id] = self._spans[span.trace_id, span.span_id] = span
        return span

    def start_span(
        self,
        name: str,
        trace_id: str | None = None,
        parent_id: str | None = None,
        span_type: str = "UNKNOWN",
        inputs: Any = None,
        attributes: Mapping[str, Any] | None = None,
        start_time_ns: int | None = None,
        request_id: str | None = None,
    ) -> LiveSpan:
        """Begin a span under another span of the trace.

        Raises:
            ValueError: The parent is not an open span that this client began.
        """
        trace_id = _one(trace_id, request_id)
        parent = self._spans.get((trace_id, parent_id or ""))
        if parent is None:
            raise ValueError(
                f"there is no open span {parent_id!r} in trace {trace_id!r}: parent_id names a "
                "span that start_trace() or start_span() of this client returned"
            )
        span = fluent.start_span_no_context(
            name, span_type, parent, inputs, attributes, start_time_ns=start_time_ns
        )
        self._spans[span.trace_id, span.span_id] = span
        return span

    def end_span(
        self,
        trace_id: str | None = None,
        span_id: str | None = None,
        outputs: Any = None,
        attributes: Mapping[str, Any] | None = None,
        status: SpanStatus | SpanStatusCode | str = "OK",
        end_time_ns: int | None = None,
        request_id: str | None = None,
    ) -> None:
        """End a span.

        Raises:
            ValueError: There is no such open span.
        """
        trace_id = _one(trace_id, request_id)
        span = self._spans.pop((trace_id, span_id or ""), None)
        if span is None:
            raise ValueError(f"there is no open span {span_id!r} in trace {trace_id!r}")
        span.end(outputs, attributes, status, end_time_ns)

    def end_trace(
        self,
        trace_id: str | None = None,
        outputs: Any = None,
        attributes: Mapping[str, Any] | None = None,
        status: SpanStatus | SpanStatusCode | str = "OK",
        end_time_ns: int | None = None,
        request_id: str | None = None,
    ) -> None:
        """End a trace: its root span. Spans of it that are still open stay open.

        Raises:
            ValueError: There is no such open trace.
        """
        trace_id = _one(trace_id, request_id)
        root = self._roots.pop(trace_id, None)
        if root is None:
            raise ValueError(f"there is no open trace {trace_id!r}")
        self._spans.pop((trace_id, root.span_id), None)
        if not isinstance(root, NoOpSpan):
            root.end(outputs, attributes, status, end_time_ns)

    def get_trace(
        self, trace_id: str | None = None, request_id: str | None = None
    ) -> Trace | None:
        """Return a trace, or None with a warning if there is none."""
        return search.get_trace(_one(trace_id, request_id))

    def search_traces(
        self,
        experiment_ids: Sequence[str] | None = None,
        filter_string: str | None = None,
        max_results: int | None = 100,
        order_by: Sequence[str] | None = None,
    ) -> list[Trace]:
        """Return the traces that fit a filter; see `spanlog.search_traces`."""
        return search.find(experiment_ids, filter_string, max_results, order_by)

    def set_trace_tag(
        self,
        trace_id: str | None = None,
        key: str = "",
        value: str = "",
        request_id: str | None = None,
    ) -> None:
        """Set a tag of a trace."""
        search.set_trace_tag(_one(trace_id, request_id), key, value)

    def delete_trace_tag(
        self, trace_id: str | None = None, key: str = "", request_id: str | None = None
    ) -> None:
        """Remove a tag of a trace."""
        search.delete_trace_tag(_one(trace_id, request_id), key)

    def delete_traces(
        self,
        experiment_id: str | None = None,
        max_timestamp_millis: int | None = None,
        max_traces: int | None = None,
        trace_ids: Sequence[str] | None = None,
        request_ids: Sequence[str] | None = None,
    ) -> int:
        """Delete traces and return how many; see `spanlog.delete_traces`."""
        return search.delete_traces(
            experiment_id, max_timestamp_millis, max_traces, trace_ids or request_ids
        )


MlflowClient = TracingClient


def _one(trace_id: str | None, request_id: str | None) -> str:
    found = trace_id or request_id
    if not found:
        raise ValueError("give trace_id")
    return found
