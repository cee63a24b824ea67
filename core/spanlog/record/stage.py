"""What happens to a span between the queue and the sinks, on the writer's thread.

What was put off is read, secrets are taken out, and the program's own processors are called. Sinks,
previews, indexes and views see only what comes out of here, of open spans too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanlog import semconv
from spanlog.model.capture import capture, decode, safe_str
from spanlog.model.span import Span, SpanEvent
from spanlog.record.span import LiveSpan, NoOpSpan
from spanlog.safety import warn_once

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet


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

    def passed(self, span: LiveSpan) -> Span:
        """Return what the sinks are handed for a span. The span itself stays as it is."""
        if span.end_time_ns is not None:  # what was put off of an open one is its own thread's
            span._settle()
        plain = Span._stored(*span._parts())
        _redact(plain, span._trace.secrets)
        for processor in self.processors:
            _process(plain, processor)
        return plain


def _process(span: Span, processor: Callable[[LiveSpan], object]) -> None:
    """Have a processor change a span. Where it fails, nothing of the content is kept."""
    shown = ProcessedSpan()
    for name in Span.__slots__:
        if name != "__weakref__":
            setattr(shown, name, getattr(span, name))
    shown._events = [SpanEvent(e.name, dict(e.attributes), e.timestamp) for e in span._events]
    try:
        processor(shown)
    except Exception as error:  # noqa: BLE001 - the program's own processor
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


def _redact(span: Span, secrets: AbstractSet[str]) -> None:
    """Take out the secrets that an error may repeat."""
    if span._code == "ERROR" and secrets:
        span._message = _without(span._message, secrets)
        span._attributes = _without(span._attributes, secrets)
        span._events = [
            SpanEvent(event.name, _without(event.attributes, secrets), event.timestamp)
            for event in span._events
        ]


def _without(value: Any, secrets: AbstractSet[str]) -> Any:
    text = before = capture(value).decode()
    for secret in tuple(secrets):
        text = text.replace(secret, "[redacted]")
    return value if text == before else decode(text)
