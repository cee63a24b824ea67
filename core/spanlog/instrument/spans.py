"""What an integration does with a span that runs, beyond what programs do with one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from spanlog.model.capture import wire
from spanlog.record.context import current_span
from spanlog.record.span import LiveSpan
from spanlog.record.traces import LiveTrace


def begin_span(
    name: str,
    span_type: str = "UNKNOWN",
    inputs: Any = None,
    attributes: Mapping[str, Any] | None = None,
    parent: LiveSpan | None = None,
) -> LiveSpan:
    """Return a new span, which has begun; it is not made current.

    Args:
        name: For people: "chat gpt-4o-mini", the name of a tool.
        span_type: From `SpanType`.
        inputs: What went in; of a pydantic model, the fields that were set.
        attributes: Facts; those that are None are left out.
        parent: The span above; the current one by default.
    """
    facts = {name: fact for name, fact in (attributes or {}).items() if fact is not None}
    given = None if inputs is None else wire(inputs)
    return LiveSpan(name, span_type, parent or current_span(), given, facts)


def read_later(span: LiveSpan, read: Callable[[LiveSpan], None]) -> None:
    """Have `read` called with the span before it is written, off the program's thread.

    That is for work that the program need not wait for. `read` must hold data, and no objects that
    the program or the library may change or wants freed.
    """
    span._read_later(read)


def keep_outputs(span: LiveSpan, outputs: bytes | None) -> None:
    """Record outputs that are JSON already, as `wire` and `capture` make it; the first count."""
    span._keep_outputs(outputs)


def fail_span(span: LiveSpan, error: BaseException) -> None:
    """Record an error and end the span."""
    span._fail(error)


def trace_of(span: LiveSpan) -> LiveTrace:
    """Return what is said of the whole trace of a span: name, session, previews, tags."""
    return span._trace
