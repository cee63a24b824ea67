"""Traces whose spans are begun and ended by hand, in any thread: `TracingClient`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanlog import runtime
from spanlog.api import feedback, search
from spanlog.model.span import SpanStatus, SpanStatusCode
from spanlog.record.context import current_span, recording
from spanlog.record.manual import begin
from spanlog.record.span import LiveSpan, NoOpSpan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spanlog.model.assessments import Assessment
    from spanlog.model.span import Span
    from spanlog.model.trace import PagedList, Session, Trace
    from spanlog.runtime import Runtime


class TracingClient:
    """Records traces of which the caller names every parent; may be used by many threads.

    Wherever a `trace_id` is taken, `request_id`, MLflow's older name, is taken too. What one
    client began another may end: programs make a new client wherever they need one.

    Args:
        tracking_uri: A path of a SQLite file, or a database URL: the store that this client records
            into and reads. By default it is the one that `spanlog.set_tracking_uri` names.

    Raises:
        StoreError: The store cannot be opened.
    """

    def __init__(self, tracking_uri: str | None = None) -> None:
        self._own = None if tracking_uri is None else runtime.at(str(tracking_uri))

    @property
    def _runtime(self) -> Runtime:
        return self._own or runtime.default()

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
        span = begin(
            name,
            span_type,
            None,
            inputs,
            attributes,
            tags,
            None,
            start_time_ns,
            self._runtime.recorder,
        )
        return _keep(span)

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
            ValueError: The parent is neither an open span that a client began nor one that is
                current here.
        """
        trace_id = _one(trace_id, request_id)
        parent = _open.get(trace_id, {}).get(parent_id or "") or _current(trace_id, parent_id)
        if parent is None:
            if _off(trace_id, parent_id):
                return NoOpSpan(name, span_type)
            raise ValueError(
                f"there is no open span {parent_id!r} in trace {trace_id!r}: parent_id names a "
                "span that start_trace() or start_span() of a client returned"
            )
        span = begin(name, span_type, parent, inputs, attributes, start_time_ns=start_time_ns)
        return _keep(span)

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
        span = _let_go(trace_id, span_id)
        if span is not None:
            span.end(outputs, attributes, status, end_time_ns)
        elif not _off(trace_id, span_id):
            raise ValueError(f"there is no open span {span_id!r} in trace {trace_id!r}")

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
        root_id = next(
            (id_ for id_, s in [*_open.get(trace_id, {}).items()] if not s.parent_id), None
        )
        root = _let_go(trace_id, root_id)
        if root is not None:
            root.end(outputs, attributes, status, end_time_ns)
        elif not _off(trace_id):
            raise ValueError(f"there is no open trace {trace_id!r}")

    def get_trace(
        self,
        trace_id: str | None = None,
        display: bool = True,  # noqa: ARG002 - MLflow's: a trace shows itself
        flush: bool = True,  # noqa: ARG002 - MLflow's: it is always done
        request_id: str | None = None,
    ) -> Trace | None:
        """Return a trace, or None with a warning if there is none; see `spanlog.get_trace`."""
        return search.read(self._runtime, _one(trace_id, request_id))

    def search_traces(
        self,
        experiment_ids: Sequence[str] | None = None,
        filter_string: str | None = None,
        max_results: int | None = 100,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
        include_spans: bool = True,
        locations: Sequence[str] | None = None,
        flush: bool = True,  # noqa: ARG002 - MLflow's: it is always done
    ) -> PagedList[Trace]:
        """Return a page of the traces that fit a filter; see `spanlog.search_traces`.

        Args:
            experiment_ids: Of which experiments; of the current one by default.
            filter_string: What they have to fit.
            max_results: How many make a page.
            order_by: In which order; the newest first by default.
            page_token: The `token` of the page before; None for the first page. Traces that come
                or go meanwhile move nothing: the next page begins after the last trace of this.
            include_spans: False to leave the spans out.
            locations: The experiment ids, by MLflow's newer name.
            flush: MLflow's: what was recorded until now is found in any case.
        """
        ids = locations if experiment_ids is None else experiment_ids
        return search.find(
            self._runtime, ids, filter_string, max_results, order_by, page_token, include_spans
        )

    def search_spans(
        self,
        experiment_ids: Sequence[str] | None = None,
        filter_string: str | None = None,
        max_results: int | None = 100,
        order_by: Sequence[str] | None = None,
        page_token: str | None = None,
    ) -> PagedList[Span]:
        """Return a page of the spans that fit a filter; see `spanlog.search_spans`."""
        return search.find_spans(
            self._runtime, experiment_ids, filter_string, max_results, order_by, page_token
        )

    def search_sessions(
        self,
        max_results: int | None = 100,
        filter_string: str | None = None,
        include_spans: bool = True,
        locations: Sequence[str] | None = None,
    ) -> list[Session]:
        """Return the conversations with a trace that fits; see `spanlog.search_sessions`."""
        return search.find_sessions(
            self._runtime, max_results, filter_string, include_spans, locations
        )

    def log_assessment(self, trace_id: str, assessment: Assessment) -> Assessment:
        """Add a `Feedback` or an `Expectation` to a trace; see `spanlog.log_assessment`."""
        return feedback.assess(self._runtime, trace_id, assessment)

    def get_assessment(self, trace_id: str, assessment_id: str) -> Assessment:
        """Return an assessment; see `spanlog.get_assessment`."""
        return feedback.read(self._runtime, trace_id, assessment_id)

    def update_assessment(
        self, trace_id: str, assessment_id: str, assessment: Assessment
    ) -> Assessment:
        """Change an assessment; see `spanlog.update_assessment`."""
        return feedback.update(self._runtime, trace_id, assessment_id, assessment)

    def delete_assessment(self, trace_id: str, assessment_id: str) -> None:
        """Remove an assessment; see `spanlog.delete_assessment`."""
        feedback.delete(self._runtime, trace_id, assessment_id)

    def set_trace_tag(
        self,
        trace_id: str | None = None,
        key: str = "",
        value: str = "",
        request_id: str | None = None,
    ) -> None:
        """Set a tag of a trace."""
        search.set_tag(self._runtime, _one(trace_id, request_id), key, value)

    def delete_trace_tag(
        self, trace_id: str | None = None, key: str = "", request_id: str | None = None
    ) -> None:
        """Remove a tag of a trace."""
        search.delete_tag(self._runtime, _one(trace_id, request_id), key)

    def delete_traces(
        self,
        experiment_id: str | None = None,
        max_timestamp_millis: int | None = None,
        max_traces: int | None = None,
        trace_ids: Sequence[str] | None = None,
        request_ids: Sequence[str] | None = None,
    ) -> int:
        """Delete traces and return how many; see `spanlog.delete_traces`."""
        ids = request_ids if trace_ids is None else trace_ids
        return search.delete(self._runtime, experiment_id, max_timestamp_millis, max_traces, ids)


MlflowClient = TracingClient

# The spans that clients began and have not ended, by trace and span id.
_open: dict[str, dict[str, LiveSpan]] = {}


def _keep(span: LiveSpan) -> LiveSpan:
    if not isinstance(span, NoOpSpan):
        _open.setdefault(span.trace_id, {})[span.span_id] = span
    return span


def _let_go(trace_id: str, span_id: str | None) -> LiveSpan | None:
    """Forget a span that is about to end, and its trace with the last one that is open."""
    spans = _open.get(trace_id, {})
    span = spans.pop(span_id or "", None)
    if all(other.end_time_ns is not None for other in list(spans.values())):
        _open.pop(trace_id, None)
    return span


def _current(trace_id: str, span_id: str | None) -> LiveSpan | None:
    span = current_span()
    while span is not None and (span.trace_id, span.span_id) != (trace_id, span_id):
        span = span.parent
    return span


def _off(trace_id: str, span_id: str | None = None) -> bool:
    """Say whether the ids are those of spans that were begun while tracing was off."""
    return trace_id == NoOpSpan.NO_TRACE or span_id == NoOpSpan.NO_SPAN


def _one(trace_id: str | None, request_id: str | None) -> str:
    found = trace_id or request_id
    if found:
        return found
    if not recording():
        return NoOpSpan.NO_TRACE
    raise ValueError("give trace_id")
