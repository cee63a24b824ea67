"""What a trace's model calls add up to, kept as its spans are written, each call counted once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanlog import usage
from spanlog.store.schema import COUNTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spanlog.spans import LiveSpan

NOTHING: tuple[Any, ...] = (None,) * len(COUNTS)
_LARGEST = 2**53  # every database has room for it, and every float tells it from its neighbours


def counts(attributes: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what a span's attributes say it used, in the order of `COUNTS`."""
    found = usage.read(attributes) if attributes else None
    if found is None:
        return NOTHING
    known = {name: count for name, count in found.items() if abs(count) < _LARGEST}
    return tuple(map(known.get, COUNTS))


class Tally:
    """The sums of one trace, as far as this process writes it.

    A call that is seen at two layers counts at the inner one, as in `spanlog.usage.total`: a span
    is counted until one below it is.
    """

    def __init__(self) -> None:
        self._counted: dict[str, tuple[Any, ...]] = {}
        self._above: set[str] = set()  # the spans that have a counted one below them
        self._written = NOTHING

    @staticmethod
    def count(span: LiveSpan) -> tuple[Any, ...]:
        """Return what a span used; once it has ended, its trace's tally has it too."""
        found = counts(span._attributes)
        if found is not NOTHING and span.end_time_ns is not None:
            trace = span.trace
            trace.tally = trace.tally or Tally()
            trace.tally._add(span, found)
        return found

    def _add(self, span: LiveSpan, found: tuple[Any, ...]) -> None:
        above = span.parent
        while above is not None and above.span_id not in self._above:
            self._above.add(above.span_id)
            self._counted.pop(above.span_id, None)
            above = above.parent
        if span.span_id not in self._above:
            self._counted[span.span_id] = found

    def change(self) -> tuple[Any, ...]:
        """Return by how much the sums have changed since they were written."""
        pairs = zip(self._sums(), self._written, strict=True)
        return tuple(None if now is None else now - (before or 0) for now, before in pairs)

    def written(self) -> None:
        """Note that the change has been written."""
        self._written = self._sums()

    def _sums(self) -> tuple[Any, ...]:
        columns = zip(*self._counted.values(), strict=True) if self._counted else ()
        known = [[count for count in column if count is not None] for column in columns]
        return tuple(sum(column) if column else None for column in known) or NOTHING
