"""Traces added up by steps of time: what charts are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import sqlalchemy as sa

from spanlog.model.trace import TraceState
from spanlog.store.schema import trace_models, traces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PERCENTILES = (50, 90, 99)  # how many of 100 took at most so long
_STEPS = 48  # at most, and one more: as many bars as a chart has room for on a narrow page
# Lengths of a step, in seconds.
_LENGTHS = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600),
    *(7200, 14400, 21600, 43200, 86400, 172800, 604800, 2592000),
)


class Step(NamedTuple):
    """The figures of the traces that began in a step of time, and the time that shares took."""

    traces: int
    errors: int
    durations: Sequence[int | None]  # as in PERCENTILES, in ms


class Used(NamedTuple):
    """What model calls used."""

    tokens: int
    cost: float


class Figures(NamedTuple):
    """What charts are made of.

    Attributes:
        begin: When the first step begins, in milliseconds since 1970.
        length: Of a step, in milliseconds.
        size: How many steps there are.
        steps: Those in which a trace began, by their number.
        models: What was used in a step, by its number and the model's name, "" for none.
    """

    begin: int
    length: int
    size: int
    steps: dict[int, Step]
    models: dict[tuple[int, str], Used]


def over_time(connection: sa.Connection, since: int, until: int, fits: Any) -> Figures:
    """Add up the traces that fit by steps of time.

    Args:
        connection: To the database.
        since: When the first step begins, in milliseconds since 1970; 0 for the first trace.
        until: When the last step ends.
        fits: The condition that a trace fits.
    """
    first = since or connection.scalar(sa.select(sa.func.min(traces.c.request_time)).where(fits))
    begin = first or until - 3_600_000
    fit = (length * 1000 for length in _LENGTHS if length * 1000 * _STEPS >= until - begin)
    length = next(fit, (until - begin) // _STEPS + 1)
    begin -= begin % length
    size = (until - begin) // length + 1
    # Where the clock of another machine is ahead, its traces belong to the last step.
    later = (traces.c.request_time >= begin + size * length, size - 1)
    place = sa.case(later, else_=(traces.c.request_time - begin) // length).label("place")
    return Figures(
        *(begin, length, size),
        dict(_steps(connection, place, fits)),
        dict(_models(connection, place, fits)),
    )


def _steps(connection: sa.Connection, place: Any, fits: Any) -> Iterator[tuple[int, Step]]:
    of = sa.select(place, traces.c.state, traces.c.execution_duration).where(fits).subquery().c
    ended = of.execution_duration.is_not(None)
    share = sa.func.cume_dist().over(partition_by=(of.place, ended), order_by=of.execution_duration)
    ranked = sa.select(*of, share.label("share")).subquery().c
    took = (
        sa.func.min(sa.case((ranked.share >= percent / 100, ranked.execution_duration)))
        for percent in PERCENTILES
    )
    query = sa.select(
        ranked.place,
        sa.func.count(),
        sa.func.sum(sa.case((ranked.state == TraceState.ERROR.value, 1), else_=0)),
        *took,
    ).group_by(ranked.place)
    for number, count, errors, *durations in connection.execute(query):
        yield number, Step(count, errors, durations)


def _models(
    connection: sa.Connection, place: Any, fits: Any
) -> Iterator[tuple[tuple[int, str], Used]]:
    columns = (trace_models.c.model, trace_models.c.total_tokens, trace_models.c.total_cost)
    joined = traces.join(trace_models, trace_models.c.trace_id == traces.c.trace_id)
    of = sa.select(place, *columns).select_from(joined).where(fits).subquery().c
    sums = (sa.func.sum(of.total_tokens), sa.func.sum(of.total_cost))
    query = sa.select(of.place, of.model, *sums).group_by(of.place, of.model)
    for number, model, tokens, cost in connection.execute(query):
        if tokens:
            yield (number, model), Used(int(tokens), cost or 0.0)
