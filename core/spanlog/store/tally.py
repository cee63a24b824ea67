"""What a trace's model calls add up to, kept as its spans are written, each call counted once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from spanlog import usage
from spanlog.store.schema import COUNTS

if TYPE_CHECKING:
    from spanlog.spans import LiveSpan, Span

NOTHING: Mapping[str, float] = {}
LARGEST = 2**53  # every database has room for it, and every float tells it from its neighbours


def counts(span: Span) -> Mapping[str, float]:
    """Return what a span used, by the names of `COUNTS`."""
    found = usage.read(span._attributes) if span._attributes else None
    if found is None:
        return NOTHING
    known = {name: count for name, count in found.items() if abs(count) < LARGEST}
    return {**known, **(span.cost or NOTHING)}


class Tally:
    """The sums of one trace, as far as this process writes it.

    A call that is seen at two layers counts at the inner one, as in `spanlog.usage.total`: a span
    is counted until one below it is.
    """

    def __init__(self) -> None:
        self._counted: dict[str, Mapping[str, float]] = {}
        self._above: set[str] = set()  # the spans that have a counted one below them
        self._unwritten: dict[str, float] = {}

    @staticmethod
    def count(span: LiveSpan) -> Mapping[str, float]:
        """Return what a span used; once it has ended, its trace's tally has it too."""
        found = counts(span)
        if found and span.end_time_ns is not None:
            trace = span.trace
            trace.tally = trace.tally or Tally()
            trace.tally._put(span, found)
        return found

    def change(self) -> list[float | None]:
        """Return by how much the sums have changed since they were written, as in `COUNTS`."""
        return list(map(self._unwritten.get, COUNTS))

    def written(self) -> None:
        """Note that the change has been written."""
        self._unwritten = {}

    def _put(self, span: LiveSpan, found: Mapping[str, float]) -> None:
        above = span.parent
        while above is not None and above.span_id not in self._above:
            self._above.add(above.span_id)
            self._change(self._counted.pop(above.span_id, NOTHING), -1)
            above = above.parent
        if span.span_id not in self._above and span.span_id not in self._counted:
            self._counted[span.span_id] = found
            self._change(found, 1)

    def _change(self, found: Mapping[str, float], sign: int) -> None:
        for name, count in found.items():
            self._unwritten[name] = self._unwritten.get(name, 0) + sign * count
