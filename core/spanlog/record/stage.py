"""What happens to a span between the queue and the sinks, on the writer's thread.

Secrets are taken out, and the program's own processors are called. Sinks, previews, indexes and
views see only what comes out of here, of open spans too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from spanlog import semconv
from spanlog.model.capture import safe_str
from spanlog.model.span import Span, SpanEvent
from spanlog.record.redact import Redactor
from spanlog.record.span import LiveSpan, NoOpSpan
from spanlog.safety import warn_once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from spanlog.model.header import TraceHeader
    from spanlog.record.traces import LiveTrace


class ProcessedSpan(NoOpSpan):
    """A span as a processor sees it: what it sets is what is kept, and all of it may be changed.

    Its list of events and the attributes of each event may be changed in place.
    """

    __slots__ = ()

    set_inputs = LiveSpan.set_inputs
    set_outputs = LiveSpan.set_outputs
    set_attribute = LiveSpan.set_attribute
    set_status = LiveSpan.set_status
    add_event = LiveSpan.add_event

    @property
    def events(self) -> list[SpanEvent]:
        """The events themselves."""
        return self._events


class Stage:
    """What spans go through on their way to the sinks."""

    def __init__(self) -> None:
        self.processors: Sequence[Callable[[LiveSpan], object]] = ()
        self.redactor = Redactor()
        self._above: WeakSet[LiveSpan] = WeakSet()  # the open spans whose secrets are known

    def passed(self, span: LiveSpan) -> Span:
        """Return what the sinks are handed for a span. The span itself stays as it is."""
        plain = Span._stored(*span._parts())
        self._learn_above(span)
        self.redactor.clean(plain, span._trace.secrets)
        for processor in self.processors:
            _process(plain, processor)
        return plain

    def header(self, trace: LiveTrace) -> TraceHeader:
        """Return what the sinks are handed for a trace."""
        header = trace.header()
        self.redactor.clean_header(header, trace.secrets)
        return header

    def _learn_above(self, span: LiveSpan) -> None:
        """Know the secrets that the spans above were given: what is below may repeat them."""
        above = span.parent
        while above is not None and above not in self._above:
            self._above.add(above)
            self.redactor.learn(above._inputs, span._trace.secrets)
            above = above.parent


def _process(span: Span, processor: Callable[[LiveSpan], object]) -> None:
    """Have a processor change a span. Where it fails, nothing of the content is kept."""
    shown = ProcessedSpan()
    for name in Span.__slots__:
        if name != "__weakref__":
            setattr(shown, name, getattr(span, name))
    shown._events = [SpanEvent(e.name, dict(e.attributes), e.timestamp) for e in span._events]
    try:
        processor(shown)
    except BaseException as error:  # noqa: BLE001 - the program's own; the writer's thread goes on
        _drop_content(span, type(error).__name__)
        warn_once(
            f"processor {processor}",
            "spanlog: a span processor raised %s: %s. The content of the spans that it cannot "
            "process is dropped.",
            type(error).__name__,
            safe_str(error),
        )
        return
    span.name, span.span_type = shown.name, shown.span_type
    span._code, span._message = shown._code, shown._message
    span._inputs, span._outputs = shown._inputs, shown._outputs
    span._attributes, span._events = shown._attributes, shown._events


def _drop_content(span: Span, why: str) -> None:
    span._inputs = span._outputs = None
    span._message, span._events = "", []
    kept = {key: value for key, value in span._attributes.items() if type(value) in (int, float)}
    span._attributes = {**kept, semconv.CONTENT_DROPPED: f"a span processor raised {why}"}
