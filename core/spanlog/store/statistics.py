"""What statistics are made of: how long each span took, how it ended, what it used."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import sqlalchemy as sa

from spanlog.model.usage import ATTRIBUTES
from spanlog.store import limits
from spanlog.store.schema import spans, traces

if TYPE_CHECKING:
    from collections.abc import Iterator


class SpanFigures(NamedTuple):
    """The figures of a span, and of its trace."""

    trace_id: str
    state: str
    trace_name: str | None
    span_id: str
    parent_id: str | None
    name: str
    status: str
    took: int | None  # ns
    model: str | None
    input_tokens: int | None
    output_tokens: int | None
    total_tokens: int | None


def by_trace(connection: sa.Connection, *fits: Any) -> Iterator[Iterator[SpanFigures]]:
    """Go through the traces that fit, and through the spans of each.

    However many there are, few are in memory at a time.
    """
    query = (
        sa.select(
            traces.c.trace_id,
            traces.c.state,
            traces.c.name.label("trace_name"),
            spans.c.span_id,
            spans.c.parent_id,
            spans.c.name,
            spans.c.status,
            (spans.c.end_time_ns - spans.c.start_time_ns).label("took"),
            spans.c.model,
            spans.c.input_tokens,
            spans.c.output_tokens,
            spans.c.total_tokens,
        )
        .join(spans, spans.c.trace_id == traces.c.trace_id)
        .where(*fits)
        .order_by(traces.c.trace_id)
    )
    for _, rows in groupby(limits.stream(connection, query), itemgetter(0)):
        yield cast("Iterator[SpanFigures]", rows)


def tokens_by_name(connection: sa.Connection, *fits: Any) -> dict[str, dict[str, int]]:
    """Return the sums of what the traces that fit used, by the names of the traces."""
    sums = [sa.func.sum(traces.c[name]).label(f"sum_of_{name}") for name in ATTRIBUTES]
    query = sa.select(traces.c.name, *sums).where(*fits).group_by(traces.c.name)
    return {
        name or "": {
            key: int(n) for key, n in zip(ATTRIBUTES, counts, strict=True) if n is not None
        }
        for name, *counts in connection.execute(query)
    }
