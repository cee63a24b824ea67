"""A span while it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from spanlog.model.capture import capture, decode, safe_str
from spanlog.model.ids import NO_TRACE, new_span_id
from spanlog.model.span import Span, SpanEvent, SpanStatus, SpanStatusCode
from spanlog.record import traces
from spanlog.record.traces import LiveTrace, Records
from spanlog.safety import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_SCALARS = (str, int, float, bool, type(None))


class LiveSpan(Span):
    """A span that runs. Setting its inputs, outputs and attributes takes their value now."""

    __slots__ = ("_pending", "_trace", "parent")

    _pending: list[Callable[[LiveSpan], None]] | None
    _trace: LiveTrace
    parent: LiveSpan | None

    def __init__(
        self,
        name: str,
        span_type: str = "UNKNOWN",
        parent: LiveSpan | None = None,
        inputs: bytes | None = None,
        attributes: dict[str, Any] | None = None,
        recorder: Records | None = None,
    ) -> None:
        recorder = parent._trace.recorder if parent is not None else recorder or traces.default
        if not recorder.prepared:
            recorder.prepare()  # before the span begins, so that it does not count
        if parent is not None:
            trace = parent._trace
            self.parent_id = parent.span_id
            if trace.epoch != recorder.epoch:
                trace = trace.adopted()
        else:
            trace = recorder.begin_trace(name)
            self.parent_id = None
        self.parent = parent
        self._trace = trace
        self.trace_id = trace.trace_id
        self.span_id = new_span_id()
        self.name = name
        self.span_type = span_type
        self.end_time_ns = None
        self._inputs = inputs
        self._outputs = None
        self._attributes = attributes or {}
        self._events = []
        self._code = "UNSET"
        self._message = ""
        self._pending = None
        self.start_time_ns = time.perf_counter_ns() + trace.clock
        recorder.started(self)

    @property
    def _is_local_root(self) -> bool:
        """Whether the span above it, if there is one, is recorded elsewhere."""
        above = self.parent
        return above is None or type(above) is RemoteSpan or above._trace is not self._trace

    def set_inputs(self, inputs: Any) -> None:
        """Record what went in."""
        self._inputs = capture(inputs)

    def set_outputs(self, outputs: Any) -> None:
        """Record what came out."""
        self._outputs = capture(outputs)

    def set_attribute(self, key: str, value: Any) -> None:
        """Record a fact under a name."""
        self._attributes[key] = value if type(value) in _SCALARS else decode(capture(value))

    def set_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Record several facts."""
        for key, value in attributes.items():
            self.set_attribute(key if type(key) is str else safe_str(key), value)

    def set_span_type(self, span_type: str) -> None:
        """Say what kind of work this is."""
        self.span_type = span_type

    def set_status(self, status: SpanStatus | SpanStatusCode | str) -> None:
        """Say how it went: a `SpanStatus`, or "OK", "ERROR" or "UNSET"."""
        if not isinstance(status, SpanStatus):
            status = SpanStatus(SpanStatusCode(status))
        self._code, self._message = status.status_code.value, status.description

    def set_status_error(self, message: str) -> None:
        """Say that it failed, and why."""
        self._code, self._message = "ERROR", safe_str(message)

    def add_event(self, event: SpanEvent) -> None:
        """Record something that happened just now."""
        attributes = decode(capture(event.attributes))
        self._events.append(SpanEvent(event.name, attributes, event.timestamp))

    def record_exception(self, error: BaseException | str) -> None:
        """Record an error and give the span the status ERROR; it does not end the span."""
        if isinstance(error, str):
            error = Exception(error)
        message = safe_str(error)
        self._events.append(SpanEvent.from_exception(error))
        name = type(error).__name__
        self._code, self._message = "ERROR", f"{name}: {message}" if message else name

    def _read_later(self, read: Callable[[LiveSpan], None]) -> None:
        """Have `read` called with this span once, before it is written, off the caller's thread."""
        if self._pending is None:
            self._pending = []
        self._pending.append(read)

    def end(
        self,
        outputs: Any = None,
        attributes: Mapping[str, Any] | None = None,
        status: SpanStatus | SpanStatusCode | str | None = None,
        end_time_ns: int | None = None,
    ) -> None:
        """End the span and record it. A second call does nothing.

        Args:
            outputs: What came out; None leaves what was set before.
            attributes: More facts.
            status: How it went; OK unless it is said here or was said before.
            end_time_ns: When it ended, in nanoseconds since 1970; now by default.
        """
        if self.end_time_ns is not None:
            return
        if outputs is not None:
            self._outputs = capture(outputs)
        if attributes:
            self.set_attributes(attributes)
        if status is not None:
            self.set_status(status)
        if self._code == "UNSET":
            self._code = "OK"
        self.end_time_ns = end_time_ns or time.perf_counter_ns() + self._trace.clock
        self._trace.recorder.ended(self)

    def _keep_outputs(self, outputs: bytes | None) -> None:
        """Record outputs that are JSON already, unless others were set."""
        if self._outputs is None:
            self._outputs = outputs

    def _finish(self, outputs: bytes | None) -> None:
        """End the span with outputs that are JSON already, unless others were set."""
        if self._outputs is None:
            self._outputs = outputs
        self.end()

    def _fail(self, error: BaseException) -> None:
        """Record an error and end the span."""
        if self.end_time_ns is None:
            try:
                self.record_exception(error)
            except Exception as ours:  # noqa: BLE001 - the guard
                report(ours, "recording an error")
            self.end(status=None if self._code == "ERROR" else "ERROR")

    def _age(self) -> float:
        """Return for how long the span has been running, in seconds."""
        return (time.perf_counter_ns() + self._trace.clock - self.start_time_ns) / 1e9

    def _redact(self, secrets: Iterable[str]) -> None:
        """Say what a call proves itself with: it is taken out of all spans of the trace.

        The spans above this one record the same error as it passes through them.
        """
        self._trace.secrets.update(secrets)

    def _settle(self) -> None:
        """Do the reading that was put off when the span ended, so that it is off the hot path."""
        pending = self._pending
        while pending:  # one by one: meanwhile more may be put off, and another thread may read
            try:
                read = pending.pop(0)
            except IndexError:
                return
            try:
                read(self)
            except Exception as error:  # noqa: BLE001 - the guard
                report(error, "reading a recorded call")

    def _forget_content(self) -> None:
        """Let go of inputs and outputs, for want of room."""
        self._inputs = self._outputs = self._pending = None


class RemoteSpan(LiveSpan):
    """What stands for a span that another process records, to put spans under."""

    __slots__ = ()

    def __init__(
        self, trace_id: str, span_id: str, experiment: str, recorder: Records | None = None
    ) -> None:
        self._trace = LiveTrace(trace_id, None, experiment, recorder or traces.default, own=False)
        self.trace_id, self.span_id = trace_id, span_id
        self.parent, self.parent_id = None, None
        self.name, self.span_type = "remote", "UNKNOWN"
        self.start_time_ns, self.end_time_ns = time.time_ns(), None
        self._inputs = self._outputs = self._pending = None
        self._attributes, self._events = {}, []
        self._code, self._message = "UNSET", ""


class NoOpSpan(RemoteSpan):
    """What a span is while tracing is off: everything may be called, nothing is recorded."""

    __slots__ = ()

    NO_TRACE: ClassVar[str] = NO_TRACE
    NO_SPAN: ClassVar[str] = ""

    def __init__(self, name: str = "", span_type: str = "UNKNOWN") -> None:
        super().__init__(self.NO_TRACE, self.NO_SPAN, "")
        self.name, self.span_type = name, span_type
        self.end_time_ns = self.start_time_ns

    def set_inputs(self, inputs: Any) -> None:
        """Do nothing."""

    def set_outputs(self, outputs: Any) -> None:
        """Do nothing."""

    def set_attribute(self, key: str, value: Any) -> None:
        """Do nothing."""

    def set_status(self, status: SpanStatus | SpanStatusCode | str) -> None:
        """Do nothing."""

    def add_event(self, event: SpanEvent) -> None:
        """Do nothing."""

    def record_exception(self, error: BaseException | str) -> None:
        """Do nothing."""
