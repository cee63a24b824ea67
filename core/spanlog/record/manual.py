"""Spans by hand: `with spanlog.start_span(...)`, and what may be said of the current trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanlog.model.capture import safe_str
from spanlog.model.trace import TraceState
from spanlog.record import context
from spanlog.record.context import CURRENT, current_span, recording
from spanlog.record.recorder import default_recorder
from spanlog.record.span import LiveSpan, NoOpSpan
from spanlog.safety import warn_once
from spanlog.semconv import SESSION, USER

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from spanlog.record.traces import Records


class start_span:  # noqa: N801 - used as a function; a class for its speed
    """Record the work inside a `with` block as a span.

    ```python
    with spanlog.start_span("rank", span_type="RERANKER") as span:
        span.set_inputs({"query": query})
        span.set_outputs(rank(query))
    ```

    An error is recorded and goes on. The span is current inside the block: what is recorded
    there goes under it.

    Args:
        name: The span's name.
        span_type: What kind of work it is, from `spanlog.entities.SpanType`.
        attributes: Facts to record.
    """

    __slots__ = ("_before", "_span")

    def __init__(
        self,
        name: str = "span",
        span_type: str = "UNKNOWN",
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self._before: LiveSpan | None = None
        self._span: Any = (name, span_type, attributes)

    def __enter__(self) -> LiveSpan:
        name, span_type, attributes = self._span
        if not recording():
            self._span = nothing = NoOpSpan(name, span_type)
            return nothing
        self._before = CURRENT.get()
        self._span = span = LiveSpan(name, span_type, current_span())
        if attributes:
            span.set_attributes(attributes)
        CURRENT.set(span)
        return span

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        stack: TracebackType | None,
    ) -> None:
        span: LiveSpan = self._span
        if CURRENT.get() is span:
            CURRENT.set(self._before)
        if error is None or isinstance(error, GeneratorExit):
            span.end()
        else:
            span._fail(error)


def start_span_no_context(
    name: str,
    span_type: str = "UNKNOWN",
    parent_span: LiveSpan | None = None,
    inputs: Any = None,
    attributes: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
    start_time_ns: int | None = None,
) -> LiveSpan:
    """Begin a span that does not become the current one; `span.end()` must be called.

    Args:
        name: The span's name.
        span_type: What kind of work it is, from `spanlog.entities.SpanType`.
        parent_span: The span above it; without one, it begins a trace.
        inputs: What went in.
        attributes: Facts to record.
        tags: Tags of the trace, where this begins one.
        metadata: Metadata of the trace, where this begins one.
        start_time_ns: When it began, in nanoseconds since 1970; now by default.
    """
    return begin(name, span_type, parent_span, inputs, attributes, tags, metadata, start_time_ns)


def begin(
    name: str,
    span_type: str = "UNKNOWN",
    parent_span: LiveSpan | None = None,
    inputs: Any = None,
    attributes: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
    start_time_ns: int | None = None,
    recorder: Records | None = None,
) -> LiveSpan:
    """Do as `start_span_no_context`, with a recorder of one's own for a new trace."""
    if not recording() or isinstance(parent_span, NoOpSpan):
        return NoOpSpan(name, span_type)
    span = LiveSpan(name, span_type, parent_span, recorder=recorder)
    if start_time_ns is not None:
        span.start_time_ns = start_time_ns
    if inputs is not None:
        span.set_inputs(inputs)
    if attributes:
        span.set_attributes(attributes)
    if parent_span is None:
        span._trace.tags.update(texts(tags))
        span._trace.metadata.update(texts(metadata))
    return span


def get_current_active_span() -> LiveSpan | None:
    """Return the span that new spans would go under here, or None."""
    return context.current_span()


def get_active_trace_id() -> str | None:
    """Return the id of the trace that is being recorded here, or None."""
    span = context.current_span()
    return span.trace_id if span else None


def get_last_active_trace_id(thread_local: bool = False) -> str | None:
    """Return the id of the trace that ended last in this process, or in this thread, or None."""
    if thread_local:
        return getattr(default_recorder().local, "last_trace_id", None)
    return default_recorder().last_trace_id


def update_current_trace(
    tags: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
    client_request_id: str | None = None,
    request_preview: str | None = None,
    response_preview: str | None = None,
    state: TraceState | str | None = None,
    session_id: str | None = None,
    user: str | None = None,
) -> None:
    """Say something of the trace that is being recorded here. What is None stays as it is.

    Args:
        tags: Tags to set.
        metadata: Metadata to set.
        client_request_id: The id that your own system gave the request.
        request_preview: A line that stands for the request in lists.
        response_preview: A line that stands for the response in lists.
        state: "OK" or "ERROR": how the trace counts, whatever its root span says.
        session_id: The conversation that the trace belongs to.
        user: Who asked.

    Raises:
        ValueError: `state` is something else.
        TypeError: A preview is not a string.
    """
    if state is not None and state not in ("OK", "ERROR"):
        raise ValueError(f'state must be "OK" or "ERROR", not {state!r}')
    for name, text in (
        ("request_preview", request_preview),
        ("response_preview", response_preview),
    ):
        if text is not None and not isinstance(text, str):
            raise TypeError(f"{name} must be a string, not {type(text).__name__}")
    span = context.current_span()
    if span is None:
        if recording():
            warn_once(
                "no active trace",
                "spanlog: update_current_trace() was called where no trace is being recorded",
            )
        return
    trace = span._trace
    trace.tags.update(texts(tags))
    trace.metadata.update(texts(metadata))
    if session_id is not None:
        trace.metadata[SESSION] = safe_str(session_id)
    if user is not None:
        trace.metadata[USER] = safe_str(user)
    if client_request_id is not None:
        trace.client_request_id = safe_str(client_request_id)
    if request_preview is not None:
        trace.request_preview = safe_str(request_preview)
    if response_preview is not None:
        trace.response_preview = safe_str(response_preview)
    trace.state = TraceState(state).value if state else trace.state
    trace.recorder.changed(trace)


def texts(pairs: Mapping[str, str] | None) -> dict[str, str]:
    """Return pairs as text, whatever they are."""
    return {safe_str(key): safe_str(value) for key, value in (pairs or {}).items()}
