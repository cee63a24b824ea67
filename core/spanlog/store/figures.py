"""The figures of traces: what charts and statistics are made of, without what was said."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from spanlog.entities import TraceState
from spanlog.store.rows import read_span
from spanlog.store.schema import spans, traces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spanlog.spans import Span

_AT_ONCE = 500


class TraceFigures(NamedTuple):
    """The figures of a trace, by the names of its columns."""

    request_time: int
    execution_duration: int | None
    state: str
    total_tokens: int | None
    total_cost: float | None


class ModelFigures(NamedTuple):
    """The figures of a model call."""

    request_time: int
    model: str
    total_tokens: int


class Figures(NamedTuple):
    """What charts are made of."""

    traces: list[TraceFigures]
    models: list[ModelFigures]


def over_time(connection: sa.Connection, *fits: Any) -> Figures:
    """Return times, durations, states, tokens and costs of the traces that fit."""
    of_traces = sa.select(*(traces.c[name] for name in TraceFigures._fields)).where(*fits)
    # Of a call that two layers recorded, the inner one counts.
    inner = spans.alias("inner")
    seen_closer = sa.exists().where(
        inner.c.trace_id == spans.c.trace_id,
        inner.c.parent_id == spans.c.span_id,
        inner.c.total_tokens.is_not(None),
    )
    of_models = (
        sa.select(traces.c.request_time, spans.c.model, spans.c.total_tokens)
        .join(traces, traces.c.trace_id == spans.c.trace_id)
        .where(*fits, spans.c.model.is_not(None), spans.c.total_tokens.is_not(None))
        .where(~seen_closer)
    )
    return Figures(
        [TraceFigures(*row) for row in connection.execute(of_traces)],
        [ModelFigures(*row) for row in connection.execute(of_models)],
    )


def by_trace(
    connection: sa.Connection, *fits: Any
) -> Iterator[tuple[TraceState, str | None, list[Span]]]:
    """Go through the traces that fit: state, name, and spans without their contents."""
    light = [column for column in spans.c if column.name not in ("inputs", "outputs", "events")]
    missing = (sa.null().label("inputs"), sa.null().label("outputs"))
    query = (
        sa.select(
            traces.c.state.label("trace_state"),
            traces.c.name.label("trace_name"),
            *light,
            *missing,
            sa.literal("[]").label("events"),
        )
        .join(spans, spans.c.trace_id == traces.c.trace_id)
        .where(*fits)
        .order_by(spans.c.trace_id, spans.c.start_time_ns)
    )
    found = connection.execute(query, execution_options={"yield_per": _AT_ONCE})
    of_trace = itemgetter("trace_id", "trace_state", "trace_name")
    for (_, state, name), rows in groupby(found.mappings(), of_trace):
        yield TraceState(state), name, [read_span(row) for row in rows]
