"""A span: one operation that is recorded, while it runs and afterwards."""

from __future__ import annotations

import os
import time
import traceback
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from spanlog import config, context, prices, usage
from spanlog.capture import capture, decode, safe_str
from spanlog.ids import NO_TRACE, clock_offset, new_span_id, new_trace_id
from spanlog.recorder import recorder
from spanlog.safety import report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from spanlog.attachments import Attachment
    from spanlog.messages import ChatMessage, Tool
    from spanlog.store.tally import Tally

_OURS = str(Path(__file__).parent) + os.sep
# The attribute whose text a tree shows beside the name of a span.
NOTE = "spanlog.note"

_SCALARS = (str, int, float, bool, type(None))


class SpanStatusCode(str, Enum):
    """How a span ended, in OpenTelemetry's words. UNSET: it has not."""

    UNSET = "UNSET"
    OK = "OK"
    ERROR = "ERROR"


@dataclass(frozen=True)
class SpanStatus:
    """How a span ended, and for an error why."""

    status_code: SpanStatusCode
    description: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "status_code", SpanStatusCode(self.status_code))


@dataclass
class SpanEvent:
    """Something that happened at one moment of a span. `timestamp` is in nanoseconds."""

    name: str
    attributes: dict[str, Any] = field(default_factory=dict)
    timestamp: int = field(default_factory=time.time_ns)

    @classmethod
    def from_exception(cls, error: BaseException) -> SpanEvent:
        """Return the `exception` event of OpenTelemetry: type, message and stack."""
        return cls(
            "exception",
            {
                "exception.type": _type_name(error),
                "exception.message": safe_str(error),
                "exception.stacktrace": _stack(error),
            },
        )


class Span:
    """A recorded span, as read back from the store or from JSON. It does not change."""

    __slots__ = (
        "__weakref__",
        "_attributes",
        "_code",
        "_events",
        "_inputs",
        "_message",
        "_outputs",
        "_pending",
        "end_time_ns",
        "name",
        "parent_id",
        "span_id",
        "span_type",
        "start_time_ns",
        "trace_id",
    )

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    span_type: str
    start_time_ns: int
    end_time_ns: int | None
    _inputs: bytes | str | None
    _outputs: bytes | str | None
    _attributes: dict[str, Any]
    _events: list[SpanEvent]
    _code: str
    _message: str
    _pending: list[Callable[[LiveSpan], None]] | None

    @classmethod
    def stored(
        cls,
        trace_id: str,
        span_id: str,
        parent_id: str | None,
        name: str,
        span_type: str,
        start_time_ns: int,
        end_time_ns: int | None,
        code: str,
        message: str,
        inputs: str | None,
        outputs: str | None,
        attributes: dict[str, Any],
        events: list[SpanEvent],
    ) -> Span:
        """Return a span from what the store holds of it."""
        span = cls.__new__(cls)
        span.trace_id = trace_id
        span.span_id = span_id
        span.parent_id = parent_id
        span.name = name
        span.span_type = span_type
        span.start_time_ns = start_time_ns
        span.end_time_ns = end_time_ns
        span._code = code
        span._message = message
        span._inputs = inputs
        span._outputs = outputs
        span._attributes = attributes
        span._events = events
        span._pending = None
        return span

    @property
    def request_id(self) -> str:
        """The trace id, by MLflow's older name."""
        return self.trace_id

    @property
    def inputs(self) -> Any:
        """What went in, as plain JSON data."""
        return decode(self._inputs)

    @property
    def outputs(self) -> Any:
        """What came out, as plain JSON data."""
        self.settle()
        return decode(self._outputs)

    @property
    def inputs_json(self) -> str | None:
        """What went in, as JSON text."""
        return _as_text(self._inputs)

    @property
    def outputs_json(self) -> str | None:
        """What came out, as JSON text."""
        self.settle()
        return _as_text(self._outputs)

    @property
    def attachments(self) -> list[Attachment]:
        """The binary content that inputs and outputs of a stored span refer to."""
        from spanlog.attachments import references

        return list(dict.fromkeys(references(self.inputs_json) + references(self.outputs_json)))

    @property
    def attributes(self) -> dict[str, Any]:
        """A copy of the attributes, as plain JSON data."""
        self.settle()
        return dict(self._attributes)

    def get_attribute(self, key: str) -> Any:
        """Return one attribute; None where it is not set."""
        self.settle()
        return self._attributes.get(key)

    @property
    def events(self) -> list[SpanEvent]:
        """A copy of the list of events."""
        self.settle()
        return list(self._events)

    @property
    def status(self) -> SpanStatus:
        """How the span ended."""
        self.settle()
        return SpanStatus(SpanStatusCode(self._code), self._message)

    @property
    def duration_ns(self) -> int | None:
        """How long it took, in nanoseconds; None while it runs."""
        return None if self.end_time_ns is None else self.end_time_ns - self.start_time_ns

    @property
    def usage(self) -> dict[str, int] | None:
        """Token counts by the names of `spanlog.usage`; None where none are known."""
        self.settle()
        return usage.read(self._attributes)

    @property
    def model(self) -> str | None:
        """The model that answered, or where that is not known the model that was asked."""
        self.settle()
        get = self._attributes.get
        return get("gen_ai.response.model") or get("gen_ai.request.model")

    @property
    def note(self) -> str | None:
        """What a tree shows of it beside its name: what is asked of someone who is waited for."""
        self.settle()
        found = self._attributes.get(NOTE)
        return found if isinstance(found, str) else None

    @property
    def chat_messages(self) -> list[ChatMessage]:
        """What was said, read the same whatever the provider: what was sent, then the answer."""
        from spanlog import messages

        of_model = self.span_type in ("LLM", "CHAT_MODEL")
        return messages.read(self.inputs, self.outputs, of_model=of_model)

    @property
    def tools(self) -> list[Tool]:
        """The tools that were offered to the model."""
        from spanlog import messages

        return messages.read_tools(self.get_attribute("gen_ai.tool.definitions"), self.inputs)

    @property
    def cost(self) -> dict[str, float] | None:
        """What the call cost in US dollars: `input_cost`, `output_cost` and `total_cost`.

        None where that is not known; it takes the extra `prices`.
        """
        used = self.usage
        provider = self._attributes.get("gen_ai.provider.name")
        return prices.cost(self.model, provider, used) if used else None

    @property
    def llm_cost(self) -> dict[str, float] | None:
        """The cost, by MLflow's name."""
        return self.cost

    @property
    def model_name(self) -> str | None:
        """The model, by MLflow's name."""
        return self.model

    def settle(self) -> None:
        """Do the reading that was put off when the span ended, so that it is off the hot path."""
        pending = self._pending
        while pending:  # one by one: meanwhile more may be put off, and another thread may read
            try:
                read = pending.pop(0)
            except IndexError:
                return
            try:
                read(self)  # type: ignore[arg-type]  # only a live span has work put off
            except Exception as error:  # noqa: BLE001 - the guard
                report(error, "reading a recorded call")

    def to_dict(self) -> dict[str, Any]:
        """Return the span as plain JSON data, which `from_dict` reads back without loss."""
        self.settle()
        return {
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "parent_span_id": self.parent_id,
            "name": self.name,
            "span_type": self.span_type,
            "start_time_unix_nano": self.start_time_ns,
            "end_time_unix_nano": self.end_time_ns,
            "status": {"code": self._code, "message": self._message},
            "inputs": self.inputs,
            "outputs": self.outputs,
            "attributes": self._attributes,
            "events": [
                {"name": e.name, "time_unix_nano": e.timestamp, "attributes": e.attributes}
                for e in self._events
            ],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Span:
        """Return the span that `to_dict` wrote."""
        inputs, outputs = data.get("inputs"), data.get("outputs")
        return Span.stored(
            trace_id=data["trace_id"],
            span_id=data["span_id"],
            parent_id=data.get("parent_span_id"),
            name=data["name"],
            span_type=data["span_type"],
            start_time_ns=data["start_time_unix_nano"],
            end_time_ns=data.get("end_time_unix_nano"),
            code=data["status"]["code"],
            message=data["status"].get("message", ""),
            inputs=None if inputs is None else capture(inputs).decode(),
            outputs=None if outputs is None else capture(outputs).decode(),
            attributes=dict(data.get("attributes") or {}),
            events=[
                SpanEvent(e["name"], e["attributes"], e["time_unix_nano"])
                for e in data.get("events") or []
            ],
        )

    def __repr__(self) -> str:
        from spanlog.display.characters import printable

        return printable(f"{type(self).__name__}(name={self.name!r}, span_id={self.span_id!r})")


class TraceRecord:
    """What the spans of a running trace share; the store makes the trace's row of it."""

    __slots__ = (
        "client_request_id",
        "clock",
        "dropped",
        "dropped_spans",
        "epoch",
        "experiment",
        "metadata",
        "name",
        "own",
        "request_preview",
        "request_time",
        "response_preview",
        "secrets",
        "state",
        "tags",
        "tally",
        "trace_id",
    )

    def __init__(self, trace_id: str, name: str | None, experiment: str, *, own: bool) -> None:
        self.trace_id = trace_id
        self.name = name
        self.experiment = experiment
        self.own = own
        self.epoch = recorder.epoch
        self.clock = clock_offset()
        self.request_time = time.time_ns() // 1_000_000
        self.tags: dict[str, str] = {}
        self.metadata: dict[str, str] = {}
        self.client_request_id: str | None = None
        self.request_preview: str | None = None
        self.response_preview: str | None = None
        self.state: str | None = None
        self.secrets: set[str] = set()  # which errors may repeat
        self.dropped = False
        self.dropped_spans = 0
        self.tally: Tally | None = None  # what the store has added up

    def adopted(self) -> TraceRecord:
        """Return the record under which a forked child goes on with its parent's trace.

        The parent owns the trace's row; the child only adds spans.
        """
        return TraceRecord(self.trace_id, None, self.experiment, own=False)


class LiveSpan(Span):
    """A span that runs. Setting its inputs, outputs and attributes takes their value now."""

    __slots__ = ("_trace", "parent")

    _trace: TraceRecord
    parent: LiveSpan | None

    def __init__(
        self,
        name: str,
        span_type: str = "UNKNOWN",
        parent: LiveSpan | None = None,
        inputs: bytes | None = None,
        attributes: dict[str, Any] | None = None,
        trace: TraceRecord | None = None,
    ) -> None:
        if not recorder.prepared:
            recorder.prepare()  # before the span begins, so that it does not count
        if parent is not None:
            trace = parent._trace
            self.parent_id = parent.span_id
            if trace.epoch != recorder.epoch:
                trace = trace.adopted()
        elif trace is None:
            trace = _new_trace(name)
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

    @classmethod
    def remote(cls, trace_id: str, span_id: str, experiment: str) -> LiveSpan:
        """Return a stand-in for a span of another process, to put spans under."""
        span = cls.__new__(cls)
        span._trace = TraceRecord(trace_id, None, experiment, own=False)
        span.trace_id, span.span_id = trace_id, span_id
        span.parent, span.parent_id = None, None
        span.name, span.span_type = "remote", "UNKNOWN"
        span.start_time_ns, span.end_time_ns = time.time_ns(), None
        span._inputs = span._outputs = span._pending = None
        span._attributes, span._events = {}, []
        span._code, span._message = "UNSET", ""
        return span

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

    def put_off(self, read: Callable[[LiveSpan], None]) -> None:
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
        recorder.ended(self)

    def keep_outputs(self, outputs: bytes | None) -> None:
        """Record outputs that are JSON already, unless others were set."""
        if self._outputs is None:
            self._outputs = outputs

    def finish(self, outputs: bytes | None) -> None:
        """End the span with outputs that are JSON already, unless others were set."""
        if self._outputs is None:
            self._outputs = outputs
        self.end()

    def fail(self, error: BaseException) -> None:
        """Record an error and end the span."""
        if self.end_time_ns is None:
            try:
                self.record_exception(error)
            except Exception as ours:  # noqa: BLE001 - the guard
                report(ours, "recording an error")
            self.end(status=None if self._code == "ERROR" else "ERROR")

    def age(self) -> float:
        """Return for how long the span has been running, in seconds."""
        return (time.perf_counter_ns() + self._trace.clock - self.start_time_ns) / 1e9

    def redact(self, secrets: Iterable[str]) -> None:
        """Take secrets out of what is recorded of errors, here and in all spans of the trace.

        The spans above this one record the same error as it passes through them.
        """
        self._trace.secrets.update(secrets)

    def settle(self) -> None:
        """Do the reading that was put off, and take out secrets that an error may repeat."""
        super().settle()
        if self._code == "ERROR" and self._trace.secrets:
            self._message = self._clean(self._message)
            self._attributes = self._clean(self._attributes)
            for event in self._events:
                event.attributes = self._clean(event.attributes)

    def _clean(self, value: Any) -> Any:
        text = before = capture(value).decode()
        for secret in tuple(self._trace.secrets):
            text = text.replace(secret, "[redacted]")
        return value if text is before or text == before else decode(text)

    def forget_content(self) -> None:
        """Let go of inputs and outputs, for want of room."""
        self._inputs = self._outputs = self._pending = None

    @property
    def trace(self) -> TraceRecord:
        """What the spans of this trace share."""
        return self._trace


class NoOpSpan(LiveSpan):
    """What a span is while tracing is off: everything may be called, nothing is recorded."""

    __slots__ = ()

    NO_TRACE: ClassVar[str] = NO_TRACE
    NO_SPAN: ClassVar[str] = ""

    def __init__(self, name: str = "", span_type: str = "UNKNOWN") -> None:
        stand_in = LiveSpan.remote(self.NO_TRACE, self.NO_SPAN, "")
        for slot in (*Span.__slots__, *LiveSpan.__slots__):
            if slot != "__weakref__":
                setattr(self, slot, getattr(stand_in, slot))
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


def _new_trace(name: str) -> TraceRecord:
    """Begin a trace with what `tracing.context` and `set_experiment` say."""
    trace = TraceRecord(new_trace_id(), name, config.experiment, own=True)
    scope = context.SCOPE.get()
    if scope is not None:
        trace.tags.update(scope.tags)
        trace.metadata.update(scope.metadata)
    trace.dropped = not recorder.admits(trace.trace_id)
    return trace


def _as_text(data: bytes | str | None) -> str | None:
    return data.decode() if isinstance(data, bytes) else data


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _stack(error: BaseException) -> str:
    """Return the formatted stack, from the user's first frame on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OURS):
        frames = frames.tb_next
    try:
        return (
            "".join(traceback.format_exception(type(error), error, frames))
            .encode("utf-8", "backslashreplace")
            .decode()
        )
    except Exception:  # noqa: BLE001 - an exception class may break its own formatting
        return "".join(traceback.format_tb(frames)) + safe_str(error)
