"""What statistics are made of: how long each span took, how it ended, what it used."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from spanlog.store.schema import spans, traces
from spanlog.usage import ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Iterator

_AT_ONCE = 1_000


class TraceFigures(NamedTuple):
    """The figures of a trace.

    Args:
        state: How it stands.
        name: Its name.
        spans: The rows of its spans, each of which begins with the trace's id, state and name;
            then come the span's id, its parent's, its name, its status, how long it took in
            nanoseconds, its model, its input tokens, output tokens and total tokens.
    """

    state: str
    name: str | None
    spans: Iterator[Any]


def by_trace(connection: sa.Connection, *fits: Any) -> Iterator[TraceFigures]:
    """Go through the traces that fit. However many there are, few are in memory at a time."""
    query = (
        sa.select(
            traces.c.trace_id,
            traces.c.state,
            traces.c.name.label("trace_name"),
            spans.c.span_id,
            spans.c.parent_id,
            spans.c.name,
            spans.c.status,
            spans.c.end_time_ns - spans.c.start_time_ns,
            spans.c.model,
            spans.c.input_tokens,
            spans.c.output_tokens,
            spans.c.total_tokens,
        )
        .join(spans, spans.c.trace_id == traces.c.trace_id)
        .where(*fits)
        .order_by(traces.c.trace_id)
    )
    found = connection.execution_options(yield_per=_AT_ONCE).execute(query)
    for (_, state, name), rows in groupby(found, itemgetter(0, 1, 2)):
        yield TraceFigures(state, name, rows)


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
