"""What is current: the span that new spans go under, and what `tracing.context` has set.

No ContextVar token is kept: work ends in other tasks and threads than it began in, and out of
order. An ended span that is still current somewhere is simply passed over.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from spanlog.safety import report

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from spanlog.record.span import LiveSpan

R = TypeVar("R")


@dataclass(frozen=True)
class Scope:
    """What `tracing.context` says of the traces that begin inside it."""

    enabled: bool = True
    tags: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)


CURRENT: ContextVar[LiveSpan | None] = ContextVar("spanlog_current", default=None)
SCOPE: ContextVar[Scope | None] = ContextVar("spanlog_scope", default=None)

enabled = True

# What asks a framework whose span its own context names. A framework that keeps what runs in a
# context of its own tells it here, instead of setting `CURRENT` from callbacks that may run in
# another task. Of spans that are not below one another, that of the last counts.
RESOLVERS: list[Callable[[], LiveSpan | None]] = []


def recording() -> bool:
    """Say whether spans are recorded here and now."""
    if not enabled:
        return False
    scope = SCOPE.get()
    return scope is None or scope.enabled


def open_span(span: LiveSpan | None) -> LiveSpan | None:
    """Return `span`, or the nearest span above it that has not ended."""
    while span is not None and span.end_time_ns is not None:
        span = span.parent
    return span


def current_span() -> LiveSpan | None:
    """Return the span that a new span goes under."""
    span = open_span(CURRENT.get())
    for resolve in RESOLVERS:
        try:
            span = innermost(open_span(resolve()), span)
        except Exception as error:  # noqa: BLE001, PERF203 - the guard: a framework may change
            report(error, "asking a framework what is current")
    return span


def innermost(span: LiveSpan | None, other: LiveSpan | None) -> LiveSpan | None:
    """Return `other` where it is below `span`, else `span`; where one is None, the other."""
    above = other
    while above is not None and above is not span:
        above = above.parent
    return other if span is None or above is span else span


@contextmanager
def active(span: LiveSpan | None) -> Generator[None]:
    """Make `span` the current one for the work inside the `with` block."""
    before = CURRENT.get()
    CURRENT.set(span)
    try:
        yield
    finally:
        if CURRENT.get() is span:
            CURRENT.set(before)


def carry(function: Callable[..., R]) -> Callable[..., R]:
    """Return `function` so that, wherever it is called, what is current here is current there."""
    span, scope = current_span(), SCOPE.get()
    if span is None and scope is None:
        return function

    def carried(*args: object, **kwargs: object) -> R:
        before = CURRENT.get(), SCOPE.get()
        CURRENT.set(span)
        SCOPE.set(scope)
        try:
            return function(*args, **kwargs)
        finally:
            CURRENT.set(before[0])
            SCOPE.set(before[1])

    return carried
