"""What a trace's model calls add up to, kept as its spans are written, each call counted once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from spanlog.model import usage
from spanlog.store.schema import COUNTS, MODEL_COUNTS, storable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spanlog.model.span import Span

LONGEST_MODEL = 300  # characters of a model's name: all databases have keys that long
NOTHING: Mapping[str, float] = {}
LARGEST = 2**53  # every database has room for it, and every float tells it from its neighbours


def counts(span: Span) -> Mapping[str, float]:
    """Return what a span used, by the names of `COUNTS`."""
    found = usage.read(span._attributes) if span._attributes else None
    if found is None:
        return NOTHING
    known = {name: count for name, count in found.items() if abs(count) < LARGEST}
    return {**known, **(span.cost or NOTHING)}


def by_model(found: Iterable[Span]) -> Mapping[str, Mapping[str, float]]:
    """Return what the models of a trace used, each call counted once."""
    tally = Tally()
    for span, _ in usage.counted(found):
        tally._change(span.model, counts(span), 1)
    return tally.models()


class Tally:
    """The sums of one trace, as far as this process writes it.

    A call that is seen at two layers counts at the inner one, as in `spanlog.model.usage.total`: a
    span is counted until one below it is.
    """

    def __init__(self) -> None:
        self._parents: dict[str, str | None] = {}
        self._counted: dict[str, tuple[str | None, Mapping[str, float]]] = {}
        self._above: set[str] = set()  # the spans that have a counted one below them
        self._unwritten: dict[str, float] = {}
        self._models: dict[str, dict[str, float]] = {}  # what is not written, by model

    def count(self, span: Span) -> Mapping[str, float]:
        """Return what a span used, and add it up if it has ended."""
        found = counts(span)
        if span.end_time_ns is not None:
            self._put(span, found)
        return found

    def change(self) -> list[float | None]:
        """Return by how much the sums have changed since they were written, as in `COUNTS`."""
        return list(map(self._unwritten.get, COUNTS))

    def models(self) -> Mapping[str, Mapping[str, float]]:
        """Return by how much the sums of each model have changed since they were written."""
        return self._models

    def written(self) -> None:
        """Note that the change has been written."""
        self._unwritten, self._models = {}, {}

    def _put(self, span: Span, found: Mapping[str, float]) -> None:
        id_ = span.span_id
        self._parents[id_] = above = span.parent_id
        if not (found or id_ in self._above):
            return
        while above is not None and above not in self._above:
            self._above.add(above)
            self._change(*self._counted.pop(above, (None, NOTHING)), -1)
            above = self._parents.get(above)
        if id_ not in self._above and id_ not in self._counted:
            self._counted[id_] = (span.model, found)
            self._change(span.model, found, 1)

    def _change(self, model: str | None, found: Mapping[str, float], sign: int) -> None:
        sums = self._unwritten
        for name, count in found.items():
            sums[name] = sums.get(name, 0) + sign * count
        if found:
            sums = self._models.setdefault(storable(model or "")[:LONGEST_MODEL], {})
            for name in MODEL_COUNTS:
                sums[name] = sums.get(name, 0) + sign * found.get(name, 0)
