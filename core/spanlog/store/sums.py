"""What a trace's model calls add up to, from its rows: the same in whatever order they came."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from spanlog.model.usage import Sums, read
from spanlog.store.schema import COUNTS, MODEL_COUNTS, spans, storable, trace_models, traces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from spanlog.model.span import Span

LONGEST_MODEL = 300  # characters of a model's name: all databases have keys that long
LARGEST = 2**53  # every database has room for it, and every float tells it from its neighbours
_NOTHING: Mapping[str, float] = {}
# Traces whose spans are kept in mind until they have ended, and how many spans altogether: more
# than a program has under way. What is not in mind is read from the rows again.
_TRACES = 1_000
_SPANS = 200_000


def counts(span: Span) -> Mapping[str, float]:
    """Return what a span used, by the names of `COUNTS`."""
    used = read(span._attributes) if span._attributes else None
    if used is None:
        return _NOTHING
    known = {name: count for name, count in used.items() if abs(count) < LARGEST}
    return {**known, **(span.cost or _NOTHING)}


def of_spans(found: Iterable[Span]) -> Sums:
    """Return what the spans of a trace add up to."""
    sums = Sums()
    for span in found:
        sums.put(span.span_id, span.parent_id, span.model, counts(span))
    return sums


class SumsInMind:
    """The sums of the traces that are being written.

    A trace's row counts how often its spans were written. Where that is what it was after the last
    time, nobody else has written any, and what is in mind is all there is.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, Sums]] = {}
        self._spans = 0

    def after(
        self,
        connection: sa.Connection,
        versions: Mapping[str, int],
        written: Mapping[str, Sequence[tuple[Span, Mapping[str, float]]]],
    ) -> dict[str, Sums]:
        """Return the sums of traces after some of their spans were written.

        Args:
            connection: The transaction in which they were.
            versions: How often spans of each trace have been written, this time included.
            written: The spans that were, and what each used, by trace.
        """
        found = {}
        for trace_id, new in written.items():
            version, sums = self._known.pop(trace_id, (None, Sums()))
            self._spans -= len(sums.parents)
            before = versions[trace_id] - 1
            if before != (version or 0):
                sums = from_rows(connection, trace_id)
            else:
                for span, used in new:
                    sums.put(span.span_id, span.parent_id, span.model if used else None, used)
            found[trace_id] = sums
        return found

    def keep(self, versions: Mapping[str, int], sums: Mapping[str, Sums], over: set[str]) -> None:
        """Keep in mind what was written, but for the traces that are over."""
        for trace_id in sums.keys() - over:
            self._known[trace_id] = versions[trace_id], sums[trace_id]
            self._spans += len(sums[trace_id].parents)
        while self._known and (len(self._known) > _TRACES or self._spans > _SPANS):
            _, oldest = self._known.pop(next(iter(self._known)))
            self._spans -= len(oldest.parents)

    def forget(self) -> None:
        """Keep nothing in mind: the database is another."""
        self._known.clear()
        self._spans = 0


def from_rows(connection: sa.Connection, trace_id: str) -> Sums:
    """Return what all spans of a trace add up to that are in the store."""
    sums = Sums()
    columns = (spans.c.span_id, spans.c.parent_id, spans.c.model, *(spans.c[n] for n in COUNTS))
    rows = connection.execute(sa.select(*columns).where(spans.c.trace_id == trace_id))
    for span_id, parent_id, model, *values in map(tuple, rows):
        used = {n: v for n, v in zip(COUNTS, values, strict=True) if v is not None}
        sums.put(span_id, parent_id, model, used)
    return sums


def model_rows(sums: Mapping[str, Sums]) -> list[tuple[object, ...]]:
    """Return the rows of what each model of some traces used."""
    return [row for trace_id, one in sums.items() for row in _model_rows(trace_id, one)]


def put(connection: sa.Connection, sums: Mapping[str, Sums]) -> None:
    """Write what traces add up to into their rows, one by one."""
    changed = {trace_id: one for trace_id, one in sums.items() if one.changed}
    if not changed:
        return
    which = sa.update(traces).where(traces.c.trace_id == sa.bindparam("of"))
    connection.execute(
        which.values({name: sa.bindparam(name) for name in COUNTS}),
        [
            {"of": trace_id, **dict(zip(COUNTS, row(one), strict=True))}
            for trace_id, one in changed.items()
        ],
    )
    connection.execute(sa.delete(trace_models).where(trace_models.c.trace_id.in_(list(changed))))
    names = [column.name for column in trace_models.columns]
    if rows := [dict(zip(names, values, strict=True)) for values in model_rows(changed)]:
        connection.execute(sa.insert(trace_models), rows)


def row(sums: Sums) -> list[float | None]:
    """Return what a trace adds up to, as in `COUNTS`."""
    return [_storable(sums.total.get(name)) for name in COUNTS]


def _storable(count: float | None) -> float | None:
    if count is None or abs(count) >= LARGEST:
        return None
    # What is added and taken away again leaves a trace in the last digits of a float.
    return count if isinstance(count, int) else round(count, 12)


def _model_rows(trace_id: str, sums: Sums) -> Iterator[tuple[object, ...]]:
    by_name: dict[str, dict[str, float]] = {}
    for model, used in sums.by_model.items():
        total = by_name.setdefault(storable(model or "")[:LONGEST_MODEL], {})
        for name in MODEL_COUNTS:
            total[name] = total.get(name, 0) + used.get(name, 0)
    for name, total in by_name.items():
        if any(total.values()):
            yield trace_id, name, *(_storable(total[count]) for count in MODEL_COUNTS)
