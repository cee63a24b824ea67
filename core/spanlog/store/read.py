"""Reading from a store: traces, sessions and spans that fit a filter, in order, by pages."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc

from spanlog import semconv
from spanlog.model.trace import PagedList, Session, Trace, TraceData, TraceInfo, TraceState
from spanlog.model.usage import ATTRIBUTES
from spanlog.store import assessed, limits
from spanlog.store.database import name_of
from spanlog.store.dialects import unindexed
from spanlog.store.errors import NotFoundError
from spanlog.store.experiments import in_experiments
from spanlog.store.filters import FilterError, latest_first
from spanlog.store.rows import in_chunks, read_span
from spanlog.store.schema import (
    assessments,
    experiments,
    spans,
    storable,
    trace_attachments,
    trace_metadata,
    trace_tags,
    traces,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from spanlog.model.span import Span
    from spanlog.store.filters import Filter, Order

# How large and deep a statement may be is each database's own: what SQLSTATE calls a limit of the
# program, and what SQLite and psycopg, who give no such code, say.
_TOO_MUCH = "54"
_TOO_LARGE = re.compile(
    "too many SQL variables|too large|too complex|stack overflow|number of parameters"
)
# Traces that an index finds: up to so many, to look each of them up is quicker than to go through
# all in order until a page is full.
_FEW = 5_000
# Rows, the first in order, in which common words are looked for before the index is asked.
_NEXT = 200


@contextmanager
def searching(connection: sa.Connection) -> Generator[None]:
    """Ask for what fits a filter, which may take long, or a database not understand.

    Raises:
        FilterError: It does not.
        SearchTimeoutError: It takes longer than it may.
    """
    try:
        with limits.search(connection):
            yield
    except exc.DBAPIError as error:
        if not _is_of_filter(error):
            raise
        raise FilterError(f"{name_of(connection)} cannot search for this: {error.orig}") from error


def get(connection: sa.Connection, trace_id: str) -> Trace | None:
    """Return a trace, or None."""
    query = sa.select(traces).where(traces.c.trace_id == storable(trace_id))
    found = _load(connection, connection.execute(query).mappings().all())
    return found[0] if found else None


def get_span(connection: sa.Connection, trace_id: str, span_id: str) -> Span | None:
    """Return a span by its primary key, or None."""
    query = sa.select(spans).where(
        spans.c.trace_id == storable(trace_id), spans.c.span_id == storable(span_id)
    )
    row = connection.execute(query).mappings().first()
    return None if row is None else read_span(row)


def must_exist(connection: sa.Connection, trace_id: str) -> None:
    """See to it that a trace is there.

    Raises:
        StoreError: It is not.
    """
    query = sa.select(traces.c.trace_id).where(traces.c.trace_id == storable(trace_id))
    if connection.scalar(query) is None:
        raise NotFoundError(f"there is no trace {trace_id!r} in {name_of(connection)}")


def search(
    connection: sa.Connection,
    experiment_ids: Sequence[str],
    where: Filter,
    order: Order,
    max_results: int | None,
    page_token: str | None,
    *,
    include_spans: bool,
) -> PagedList[Trace]:
    """Return the traces of the experiments that fit a filter."""
    query = order.apply(sa.select(traces), page_token)
    with searching(connection):
        page, token = _page(connection, query, experiment_ids, where, order, max_results)
    return PagedList(_load(connection, page, include_spans=include_spans), token)


def sessions(
    connection: sa.Connection,
    experiment_ids: Sequence[str],
    where: Filter,
    max_results: int | None,
    page_token: str | None,
    *,
    include_spans: bool,
) -> PagedList[Session]:
    """Return the sessions that have a trace that fits a filter, the latest first."""
    session = trace_metadata.alias("session")
    joined = traces.join(session, session.c.trace_id == traces.c.trace_id)
    of_session = session.c.key == semconv.SESSION
    latest = sa.func.max(traces.c.request_time).label("latest")
    each = sa.select(session.c.value.label("name"), latest).select_from(joined)
    each = each.where(of_session).group_by(session.c.value)
    found: dict[str, list[Trace]] = {}
    with searching(connection):
        of = each.where(fits(connection, experiment_ids, where)).subquery().c
        order = latest_first(of.latest, of.name)
        query = order.apply(sa.select(of.name), page_token)
        rows = _rows(connection, query, None if max_results is None else max_results + 1)
    page, token = _cut(rows, order, max_results)
    names = [row["name"] for row in page]
    for chunk in in_chunks(names):
        query = sa.select(traces).select_from(joined)
        query = query.where(of_session, in_experiments(experiment_ids), session.c.value.in_(chunk))
        query = query.order_by(traces.c.request_time, traces.c.trace_id)
        rows = connection.execute(query).mappings().all()
        for trace in _load(connection, rows, include_spans=include_spans):
            found.setdefault(trace.info.trace_metadata[semconv.SESSION], []).append(trace)
    return PagedList((Session(found[name]) for name in names), token)


def search_spans(
    connection: sa.Connection,
    experiment_ids: Sequence[str],
    where: Filter,
    order: Order,
    max_results: int | None,
    page_token: str | None,
) -> PagedList[Span]:
    """Return the spans of the experiments that fit a filter of spans."""
    query = sa.select(spans).join(traces, traces.c.trace_id == spans.c.trace_id)
    query = order.apply(query, page_token)
    with searching(connection):
        page, token = _page(connection, query, experiment_ids, where, order, max_results)
    return PagedList(map(read_span, page), token)


def states(connection: sa.Connection, since: int | None) -> dict[str, str]:
    """Return the state of each trace that began then or later, by its id."""
    query = sa.select(traces.c.trace_id, traces.c.state)
    if since is not None:
        everywhere = traces.c.experiment_id.in_(sa.select(experiments.c.experiment_id))
        query = query.where(everywhere, traces.c.request_time >= since)  # as the index has it
    return dict(connection.execute(query).tuples().all())


def count_states(connection: sa.Connection) -> dict[str, int]:
    """Return how many traces are in each state."""
    query = sa.select(traces.c.state, sa.func.count()).group_by(traces.c.state)
    return dict(connection.execute(query).tuples().all())


def processes(connection: sa.Connection) -> list[str]:
    """Return the processes that have a trace in progress."""
    running = traces.c.state == TraceState.IN_PROGRESS.value
    named = connection.scalars(sa.select(traces.c.process).where(running).distinct())
    return [process for process in named if process]


def attachments_of(connection: sa.Connection, trace_ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the SHA-256 of the binary content that traces have, by their ids."""
    links = _by_trace(connection, trace_attachments, trace_ids, trace_attachments.c.sha256)
    return {trace_id: [row["sha256"] for row in rows] for trace_id, rows in links.items()}


def _load(
    connection: sa.Connection, rows: Sequence[Any], *, include_spans: bool = True
) -> list[Trace]:
    """Return the traces whose rows are given, with all that belongs to them."""
    ids = [row["trace_id"] for row in rows]
    with_spans = ids if include_spans else []
    span_rows = _by_trace(connection, spans, with_spans, spans.c.start_time_ns)
    tag_rows = _by_trace(connection, trace_tags, ids, trace_tags.c.key)
    fact_rows = _by_trace(connection, trace_metadata, ids, trace_metadata.c.key)
    said_rows = _by_trace(connection, assessments, ids, assessments.c.create_time)
    return [
        Trace(
            TraceInfo(
                trace_id=id_,
                experiment_id=str(row["experiment_id"]),
                request_time=row["request_time"],
                state=TraceState(row["state"]),
                execution_duration=row["execution_duration"],
                name=row["name"],
                request_preview=row["request_preview"],
                response_preview=row["response_preview"],
                client_request_id=row["client_request_id"],
                trace_metadata={r["key"]: r["value"] for r in fact_rows.get(id_, ())},
                tags={r["key"]: r["value"] for r in tag_rows.get(id_, ())},
                assessments=[assessed.read(r) for r in said_rows.get(id_, ())],
                token_usage=_known(row, ATTRIBUTES),
                cost=_known(row, ("input_cost", "output_cost", "total_cost")),
            ),
            TraceData([read_span(r) for r in span_rows.get(id_, ())]),
        )
        for id_, row in zip(ids, rows, strict=True)
    ]


def _is_of_filter(error: exc.DBAPIError) -> bool:
    """Say whether what is searched for is at fault, and not the store."""
    if isinstance(error, exc.DataError):  # regular expressions are of each database's own kind
        return True
    state = getattr(error.orig, "sqlstate", None) or ""
    return state.startswith(_TOO_MUCH) or bool(_TOO_LARGE.search(str(error.orig)))


def _page(
    connection: sa.Connection,
    query: sa.Select[Any],
    experiment_ids: Sequence[str],
    where: Filter,
    order: Order,
    size: int | None,
) -> tuple[Sequence[Any], str | None]:
    """Return the first rows of a query in order, of those that fit, and the token of the next."""
    rows: Sequence[Any] = ()
    limit = None if size is None else size + 1  # one more tells whether there is a next page
    if size is not None and size < _NEXT and where.unaided is not None:
        next_ = query.where(in_experiments(experiment_ids)).limit(_NEXT)
        keys = list(query.selected_columns[0].table.primary_key)
        near = sa.tuple_(*keys).in_(next_.with_only_columns(*keys))
        # Words that many have are soon met; to ask the index for all of them takes longer.
        rows = _rows(connection, query.where(near, where.unaided), limit)
    if size is None or len(rows) <= size:
        rows = _rows(connection, query.where(fits(connection, experiment_ids, where)), limit)
    return _cut(rows, order, size)


def _rows(connection: sa.Connection, query: sa.Select[Any], limit: int | None) -> Sequence[Any]:
    """Return the rows of a query, at most so many."""
    if limit is None:
        return [row._mapping for row in limits.stream(connection, query)]
    return connection.execute(query.limit(limit)).mappings().all()


def _cut(rows: Sequence[Any], order: Order, size: int | None) -> tuple[Sequence[Any], str | None]:
    page = rows[:size]
    return page, order.token(page[-1]) if page and len(rows) > len(page) else None


def fits(connection: sa.Connection, experiment_ids: Iterable[str], where: Filter) -> Any:
    """Return the condition that a trace fits a filter, said so that it is found quickly.

    A database does not know what is rare. Where a part of a filter fits few traces, they are found
    through its index; where it fits many, they are soon met on the way through all.
    """
    for source in where.sources:
        some = source.found.limit(_FEW + 1).subquery()
        if (connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0) <= _FEW:
            of = in_experiments(experiment_ids, unindexed(traces.c.experiment_id))
            return sa.and_(of, traces.c.trace_id.in_(source.trace_ids), where.clause)
    return sa.and_(in_experiments(experiment_ids), where.clause)


def _known(row: Any, names: Iterable[str]) -> dict[str, Any] | None:
    return {name: row[name] for name in names if row[name] is not None} or None


def _by_trace(
    connection: sa.Connection, table: sa.Table, ids: Sequence[str], order: sa.Column[Any]
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for chunk in in_chunks(ids):
        query = sa.select(table).where(table.c.trace_id.in_(chunk)).order_by(order)
        for row in connection.execute(query).mappings():
            found.setdefault(row["trace_id"], []).append(row)
    return found
