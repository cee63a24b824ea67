"""The SQL store: traces in SQLite or PostgreSQL, through SQLAlchemy Core."""

from __future__ import annotations

import re
from contextlib import contextmanager
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, sqlite

from spanlog.config import Settings
from spanlog.errors import Unavailable
from spanlog.model.trace import (
    SESSION,
    Experiment,
    PagedList,
    Session,
    Trace,
    TraceData,
    TraceInfo,
    TraceState,
)
from spanlog.model.usage import ATTRIBUTES
from spanlog.store import assessed, figures, fulltext, golden, limits, statistics
from spanlog.store.bundles import Bundle
from spanlog.store.database import Database, is_poison
from spanlog.store.dialects import unindexed
from spanlog.store.errors import NotFoundError
from spanlog.store.filters import Filter, FilterError, Order, latest_first
from spanlog.store.processes import is_gone
from spanlog.store.rows import (
    Attached,
    Upsert,
    model_rows,
    pair_rows,
    read_span,
    span_row,
    stored_span_row,
    stored_trace_row,
    trace_row,
    upsert,
    upsert_models,
    upsert_trace,
)
from spanlog.store.schema import (
    assessments,
    attachments,
    dataset_attachments,
    experiments,
    spans,
    storable,
    trace_attachments,
    trace_metadata,
    trace_models,
    trace_tags,
    traces,
)
from spanlog.store.tally import Tally, by_model

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from spanlog.model.assessments import Assessment
    from spanlog.model.header import TraceHeader
    from spanlog.model.span import Span

_EXPERIMENT = re.compile("[0-9]{1,10}")  # the id of one; Python reads no number of any length
# How large and deep a statement may be is each database's own: what SQLSTATE calls a limit of the
# program, and what SQLite and psycopg, who give no such code, say.
_TOO_MUCH = "54"
_TOO_LARGE = re.compile(
    "too many SQL variables|too large|too complex|stack overflow|number of parameters"
)
_IN_CHUNK = 500
_TALLIES = 1_000
_PAGE = 100
_FEW = 5_000
_NEXT = 200
_OF_TRACE = (
    spans,
    trace_tags,
    trace_metadata,
    trace_models,
    trace_attachments,
    assessments,
    traces,
)


class SqlStore:
    """Traces in a SQL database.

    Args:
        url: An SQLAlchemy database URL.
        settings: What it goes by; what the environment says by default.

    Raises:
        StoreError: It cannot be opened.
    """

    def __init__(self, url: str, settings: Settings | None = None) -> None:
        self.settings = settings = settings or Settings()
        self._experiments: dict[str, int] = {}
        self._tallies: dict[str, Tally] = {}
        self.database = Database(url, self._renewed, settings)
        self.url, self.name = url, self.database.name
        self._transaction = self.database.transaction
        engine = self.database.engine
        insert = {"postgresql": postgresql.insert}.get(engine.dialect.name, sqlite.insert)
        self._spans, self._tags, self._facts = (
            Upsert(engine, upsert(insert, table)) for table in (spans, trace_tags, trace_metadata)
        )
        self._traces = Upsert(engine, upsert_trace(insert))
        self._models = Upsert(engine, upsert_models(insert))
        self._new_experiment = insert(experiments).on_conflict_do_nothing()
        self._attachments = insert(attachments).on_conflict_do_nothing()
        self._links = insert(trace_attachments).on_conflict_do_nothing()

    def close(self) -> None:
        """Close what is open; it opens again when it is used."""
        self.database.close()

    @contextmanager
    def _search(self) -> Generator[sa.Connection]:
        """Read one consistent state."""
        with self._transaction(reads=True) as connection, self._finding(connection):
            yield connection

    @contextmanager
    def _finding(self, connection: sa.Connection) -> Generator[None]:
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
            raise FilterError(f"{self.name} cannot search for this: {error.orig}") from error

    # Writing.

    def write(self, new_spans: Sequence[Span], records: Sequence[TraceHeader]) -> None:
        """Keep spans and the traces they belong to; what is there already is replaced.

        Raises:
            Unavailable: Nothing was kept; the same may be tried again.
        """
        roots = {span.trace_id: span for span in new_spans if span.parent_id is None}
        attached = Attached(self.settings.attachment_bytes)
        tallies = {record.trace_id: self._tally(record.trace_id) for record in records}
        span_rows = [span_row(span, attached, tallies[span.trace_id]) for span in new_spans]
        tags = [(r, *pair) for r in records if r.tags for pair in list(r.tags.items())]
        facts = [(r, *pair) for r in records if r.metadata for pair in list(r.metadata.items())]
        facts += [
            (r, "spanlog.dropped_spans", str(r.dropped_spans)) for r in records if r.dropped_spans
        ]
        changed = dict(tallies)
        try:
            with self._transaction() as connection:
                ids = {
                    name: self._experiment_id(connection, name)
                    for name in {r.experiment for r in records}
                }
                rows = [
                    trace_row(r, ids[r.experiment], roots.get(id_), tallies.pop(id_, None))
                    for r in records
                    for id_ in (r.trace_id,)
                ]
                rows.sort(key=itemgetter(0))  # so two that write the same ones cannot deadlock
                used = ((id_, tally.models()) for id_, tally in changed.items())
                self._traces.run(connection, rows)
                self._models.run(connection, [row for of in used for row in model_rows(*of)])
                self._spans.run(connection, span_rows)
                for index in fulltext.INDEXES:
                    index.add(connection, span_rows)
                self._tags.run(connection, pair_rows(tags))
                self._facts.run(connection, pair_rows(facts))
                self._attach(connection, attached)
        except (exc.DBAPIError, OSError) as error:
            if is_poison(error):
                raise
            reason = getattr(error, "orig", None) or error
            raise Unavailable(f"the trace store {self.name} cannot be written: {reason}") from error
        self._experiments.update(ids)
        for tally in changed.values():
            tally.written()

    def _tally(self, trace_id: str) -> Tally:
        """Return the sums of a trace; those of the latest are kept."""
        tally = self._tallies.pop(trace_id, None) or Tally()
        self._tallies[trace_id] = tally
        if len(self._tallies) > _TALLIES:
            del self._tallies[next(iter(self._tallies))]
        return tally

    def _renewed(self) -> None:
        self._experiments.clear()

    def _attach(self, connection: sa.Connection, attached: Attached) -> None:
        for chunk in _chunks(sorted(attached.contents)):
            known = sa.select(attachments.c.sha256).where(attachments.c.sha256.in_(chunk))
            there = set(connection.scalars(known))
            for sha256 in chunk:
                if sha256 not in there:
                    row = {"sha256": sha256, "content": attached.contents[sha256]}
                    connection.execute(self._attachments, row)
        if attached.links:
            rows = [{"trace_id": id_, "sha256": sha256} for id_, sha256 in sorted(attached.links)]
            connection.execute(self._links, rows)

    def restore(self, bundles: Sequence[Bundle]) -> int:
        """Keep traces with all that belongs to them, as they are; those that are there stay.

        Returns:
            How many were not there.

        Raises:
            Unavailable: Nothing was kept.
        """
        try:
            with self._transaction() as connection:
                return self._restore(connection, bundles)
        except exc.DBAPIError as error:
            raise Unavailable(
                f"the trace store {self.name} cannot be written: {error.orig}"
            ) from error
        finally:
            self.database.forget()

    def _restore(self, connection: sa.Connection, bundles: Sequence[Bundle]) -> int:
        by_id = {b.trace.info.trace_id: b for b in reversed(bundles)}
        there = sa.select(traces.c.trace_id).where(traces.c.trace_id.in_(list(by_id)))
        for trace_id in list(connection.scalars(there)):
            del by_id[trace_id]
        new = [b for b in bundles if by_id.get(b.trace.info.trace_id) is b]
        ids = {name: self._experiment_id(connection, name) for name in {b.experiment for b in new}}
        rows = [stored_trace_row(b.trace.info, ids[b.experiment]) for b in new]
        span_rows = [stored_span_row(span) for b in new for span in b.trace.data.spans]
        used = ((b.trace.info.trace_id, by_model(b.trace.data.spans)) for b in new)
        self._traces.run(connection, rows)
        self._models.run(connection, [row for of in used for row in model_rows(*of)])
        self._spans.run(connection, span_rows)
        for index in fulltext.INDEXES:
            index.add(connection, span_rows)
        self._tags.run(connection, [row for b in new for row in b.tags])
        self._facts.run(connection, [row for b in new for row in b.metadata])
        for said in (said for b in new for said in b.trace.info.assessments):
            connection.execute(sa.insert(assessments).values(assessed.to_row(said)))
        attached = Attached(self.settings.attachment_bytes)
        for bundle in bundles:  # a trace that is new may have what came with one that is not
            attached.contents.update(bundle.contents)
        attached.links.update((b.trace.info.trace_id, sha) for b in new for sha in b.attachments)
        self._attach(connection, attached)
        return len(new)

    def bundles(
        self,
        experiment_ids: Sequence[str],
        where: Filter,
        order: Order,
        max_results: int | None = None,
    ) -> Iterator[Bundle]:
        """Go through the traces that fit a filter, each with all that belongs to it.

        However many there are, a page of them is in memory. Content comes with the first trace
        that has it.
        """
        names = {experiment.experiment_id: experiment.name for experiment in self.experiments()}
        left, token, come = max_results, None, set[str]()
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            page = self.search(experiment_ids, where, order, size, token)
            with self._transaction(reads=True) as connection:
                ids = [trace.info.trace_id for trace in page]
                links = _by_trace(connection, trace_attachments, ids, trace_attachments.c.sha256)
            for trace in page:
                has = [row["sha256"] for row in links.get(trace.info.trace_id, ())]
                contents = {sha256: self.attachment(sha256) for sha256 in has if sha256 not in come}
                come.update(has)
                yield Bundle(trace, names[trace.info.experiment_id], has, contents)
            token, left = page.token, None if left is None else left - len(page)
            if token is None:
                return

    def has_attachment(self, sha256: str) -> bool:
        """Say whether binary content is there."""
        query = sa.select(attachments.c.sha256).where(attachments.c.sha256 == sha256)
        with self._transaction(reads=True) as connection:
            return connection.scalar(query) is not None

    def attachment(self, sha256: str) -> bytes:
        """Return binary content by its SHA-256.

        Raises:
            StoreError: It is not there.
        """
        query = sa.select(attachments.c.content).where(attachments.c.sha256 == storable(sha256))
        with self._transaction(reads=True) as connection:
            found: bytes | None = connection.scalar(query)
        if found is None:
            raise NotFoundError(f"there is no attachment {sha256} in {self.name}")
        return found

    def _experiment_id(self, connection: sa.Connection, name: str) -> int:
        known = self._experiments.get(name)
        if known is None:
            known = _find_experiment(connection, name)
        if known is None:
            connection.execute(self._new_experiment, {"name": storable(name)})
            known = _find_experiment(connection, name)
        assert known is not None
        return known

    def experiment(self, name: str | None = None, experiment_id: str | None = None) -> Experiment:
        """Return an experiment by name, which creates it, or by id.

        Raises:
            StoreError: There is none with that id.
        """
        if name is not None:
            with self._transaction() as connection:
                return Experiment(str(self._experiment_id(connection, name)), name)
        with self._transaction(reads=True) as connection:
            query = sa.select(experiments.c.name).where(
                sa.cast(experiments.c.experiment_id, sa.String) == str(experiment_id)
            )
            found = connection.scalar(query)
        if found is None:
            raise NotFoundError(f"there is no experiment with the id {experiment_id!r}")
        return Experiment(str(experiment_id), found)

    def find_experiment(self, name: str) -> str | None:
        """Return the id of an experiment, or None if there is none of that name."""
        known = self._experiments.get(name)
        if known is None:
            with self._transaction(reads=True) as connection:
                known = _find_experiment(connection, name)
        return None if known is None else str(known)

    def experiments(self) -> list[Experiment]:
        """Return all experiments, the oldest first."""
        query = sa.select(experiments).order_by(experiments.c.experiment_id)
        with self._transaction(reads=True) as connection:
            rows = connection.execute(query).all()
        return [Experiment(str(row.experiment_id), row.name) for row in rows]

    def set_tag(self, trace_id: str, key: str, value: str) -> None:
        """Set a tag of a trace.

        Raises:
            StoreError: There is no such trace.
        """
        with self._transaction() as connection:
            self._must_exist(connection, trace_id)
            self._tags.run(connection, [(trace_id, storable(key), storable(value))])

    def delete_tag(self, trace_id: str, key: str) -> None:
        """Remove a tag of a trace.

        Raises:
            StoreError: There is no such trace or no such tag.
        """
        columns = trace_tags.c
        which = (columns.trace_id == trace_id, columns.key == storable(key))
        with self._transaction() as connection:
            self._must_exist(connection, trace_id)
            gone = connection.execute(sa.delete(trace_tags).where(*which))
        if not gone.rowcount:
            raise NotFoundError(f"trace {trace_id} has no tag {key!r}")

    def _must_exist(self, connection: sa.Connection, trace_id: str) -> None:
        query = sa.select(traces.c.trace_id).where(traces.c.trace_id == storable(trace_id))
        if connection.scalar(query) is None:
            raise NotFoundError(f"there is no trace {trace_id!r} in {self.name}")

    def assess(self, assessment: Assessment) -> Assessment:
        """Keep an assessment.

        Raises:
            StoreError: There is no such trace or span.
        """
        with self._transaction() as connection:
            self._must_exist(connection, assessment.trace_id or "")
            assessed.put(connection, assessment)
        return assessment

    def assessment(self, trace_id: str, assessment_id: str) -> Assessment:
        """Return an assessment of a trace.

        Raises:
            StoreError: There is none with that id.
        """
        with self._transaction(reads=True) as connection:
            return assessed.get(connection, trace_id, assessment_id)

    def reassess(self, assessment: Assessment) -> None:
        """Write an assessment that is there anew."""
        with self._transaction() as connection:
            assessed.replace(connection, assessment)

    def unassess(self, assessment: Assessment) -> None:
        """Remove an assessment; what it took the place of is valid again."""
        with self._transaction() as connection:
            assessed.delete(connection, assessment)

    def delete(
        self,
        experiment_id: str | None = None,
        max_timestamp_millis: int | None = None,
        max_traces: int | None = None,
        trace_ids: Iterable[str] | None = None,
    ) -> int:
        """Delete traces, the oldest first, and return how many."""
        query = sa.select(traces.c.trace_id).order_by(traces.c.request_time)
        if experiment_id is not None:
            query = query.where(_in_experiments([experiment_id]))
        if max_timestamp_millis is not None:
            query = query.where(traces.c.request_time <= max_timestamp_millis)
        with self._transaction(alone=True) as connection:
            doomed = list(connection.scalars(query))
            if trace_ids is not None:
                wanted = set(trace_ids)
                doomed = [trace_id for trace_id in doomed if trace_id in wanted]
            doomed = doomed[:max_traces]
            for chunk in _chunks(doomed):
                for index in fulltext.INDEXES:
                    index.remove(connection, chunk)
                for table in _OF_TRACE:
                    connection.execute(sa.delete(table).where(table.c.trace_id.in_(chunk)))
            if doomed:
                _let_go_of_content(connection)
        return len(doomed)

    def keep(self, name: str, trace_ids: Iterable[str]) -> golden.DatasetRows:
        """Keep copies of what went into and came out of traces as a dataset.

        Raises:
            StoreError: There is one of that name, or there is no such trace.
        """
        with self._transaction(alone=True) as connection:
            golden.create(connection, name)
            golden.add(connection, name, trace_ids)
            return golden.get(connection, name)[0]

    def keep_more(self, name: str, trace_ids: Iterable[str]) -> int:
        """Add traces to a dataset, those that it does not have; return how many.

        Raises:
            StoreError: There is no such dataset or no such trace.
        """
        with self._transaction(alone=True) as connection:
            return golden.add(connection, name, trace_ids)

    def dataset_sizes(self) -> list[golden.DatasetSize]:
        """Return how large each dataset is, the oldest first."""
        with self._transaction(reads=True) as connection:
            return golden.sizes(connection)

    def datasets(self, name: str | None = None) -> list[golden.DatasetRows]:
        """Return the dataset of a name, if there is one, or all, the oldest first."""
        with self._transaction(reads=True) as connection:
            return golden.get(connection, name)

    def delete_dataset(self, name: str) -> None:
        """Delete a dataset.

        Raises:
            StoreError: There is none of that name.
        """
        with self._transaction() as connection:
            if not golden.delete(connection, name):
                raise NotFoundError(f"there is no dataset {name!r} in {self.name}")
            _let_go_of_content(connection)

    # Reading.

    def get(self, trace_id: str) -> Trace | None:
        """Return a trace, or None."""
        self._note_interrupted()
        with self._transaction(reads=True) as connection:
            query = sa.select(traces).where(traces.c.trace_id == storable(trace_id))
            found = self._load(connection, connection.execute(query).mappings().all())
        return found[0] if found else None

    def search(
        self,
        experiment_ids: Sequence[str],
        where: Filter,
        order: Order,
        max_results: int | None = None,
        page_token: str | None = None,
        *,
        include_spans: bool = True,
    ) -> PagedList[Trace]:
        """Return the traces of the experiments that fit a filter.

        Args:
            experiment_ids: Of which experiments.
            where: What they have to fit.
            order: In which order.
            max_results: How many at most; all by default.
            page_token: Where to begin; at the beginning by default.
            include_spans: False to leave the spans out.
        """
        query = order.apply(sa.select(traces), page_token)
        self._note_interrupted()
        with self._transaction(reads=True) as connection:
            with self._finding(connection):
                page, token = _page(connection, query, experiment_ids, where, order, max_results)
            return PagedList(self._load(connection, page, include_spans=include_spans), token)

    def sessions(
        self,
        experiment_ids: Sequence[str],
        where: Filter,
        max_results: int | None = None,
        page_token: str | None = None,
        *,
        include_spans: bool = True,
    ) -> PagedList[Session]:
        """Return the sessions that have a trace that fits a filter, the latest first."""
        session = trace_metadata.alias("session")
        joined = traces.join(session, session.c.trace_id == traces.c.trace_id)
        of_session = session.c.key == SESSION
        latest = sa.func.max(traces.c.request_time).label("latest")
        each = sa.select(session.c.value.label("name"), latest).select_from(joined)
        each = each.where(of_session).group_by(session.c.value)
        self._note_interrupted()
        found: dict[str, list[Trace]] = {}
        with self._transaction(reads=True) as connection:
            with self._finding(connection):
                of = each.where(_fits(connection, experiment_ids, where)).subquery().c
                order = latest_first(of.latest, of.name)
                query = order.apply(sa.select(of.name), page_token)
                rows = _rows(connection, query, None if max_results is None else max_results + 1)
            page, token = _cut(rows, order, max_results)
            names = [row["name"] for row in page]
            for chunk in _chunks(names):
                query = sa.select(traces).select_from(joined)
                query = query.where(
                    of_session, _in_experiments(experiment_ids), session.c.value.in_(chunk)
                )
                query = query.order_by(traces.c.request_time, traces.c.trace_id)
                rows = connection.execute(query).mappings().all()
                for trace in self._load(connection, rows, include_spans=include_spans):
                    found.setdefault(trace.info.trace_metadata[SESSION], []).append(trace)
        return PagedList((Session(found[name]) for name in names), token)

    def search_spans(
        self,
        experiment_ids: Sequence[str],
        where: Filter,
        order: Order,
        max_results: int | None = None,
        page_token: str | None = None,
    ) -> PagedList[Span]:
        """Return the spans of the experiments that fit a filter of spans."""
        query = sa.select(spans).join(traces, traces.c.trace_id == spans.c.trace_id)
        query = order.apply(query, page_token)
        with self._search() as connection:
            page, token = _page(connection, query, experiment_ids, where, order, max_results)
        return PagedList((read_span(row, self) for row in page), token)

    def states(self, since: int | None = None) -> dict[str, str]:
        """Return the state of each trace, by its id.

        Args:
            since: Only those that began then or later, in milliseconds since 1970.
        """
        query = sa.select(traces.c.trace_id, traces.c.state)
        if since is not None:
            everywhere = traces.c.experiment_id.in_(sa.select(experiments.c.experiment_id))
            query = query.where(everywhere, traces.c.request_time >= since)  # as the index has it
        with self._transaction(reads=True) as connection:
            return dict(connection.execute(query).tuples().all())

    def count_states(self) -> dict[str, int]:
        """Return how many traces are in each state."""
        self._note_interrupted()
        query = sa.select(traces.c.state, sa.func.count()).group_by(traces.c.state)
        with self._transaction(reads=True) as connection:
            return dict(connection.execute(query).tuples().all())

    def over_time(
        self, experiment_ids: Sequence[str], where: Filter, since: int, until: int
    ) -> figures.Figures:
        """Return what charts are made of: the traces that fit, added up by steps of time."""
        with self._search() as connection:
            fits = _fits(connection, experiment_ids, where)
            return figures.over_time(connection, since, until, fits)

    def figures(self, where: Filter) -> Iterator[Iterator[statistics.SpanFigures]]:
        """Go through the traces that fit a filter, and through the figures of each one's spans."""
        self._note_interrupted()
        with self._search() as connection:
            yield from statistics.by_trace(connection, where.clause)

    def tokens_by_name(self, where: Filter) -> dict[str, dict[str, int]]:
        """Return what the traces that fit a filter used together, by their names."""
        with self._search() as connection:
            return statistics.tokens_by_name(connection, where.clause)

    def _load(
        self, connection: sa.Connection, rows: Sequence[Any], *, include_spans: bool = True
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
                TraceData([read_span(r, self) for r in span_rows.get(id_, ())]),
            )
            for id_, row in zip(ids, rows, strict=True)
        ]

    def _note_interrupted(self) -> None:
        """Give the traces whose process has ended before them the state INTERRUPTED."""
        running = traces.c.state == TraceState.IN_PROGRESS.value
        with self._transaction(reads=True) as connection:
            named = connection.scalars(sa.select(traces.c.process).where(running).distinct())
            gone = [process for process in named if process and is_gone(process)]
        if gone:
            with self._transaction(alone=True) as connection:
                connection.execute(
                    sa.update(traces)
                    .where(running, traces.c.process.in_(gone))
                    .values(state=TraceState.INTERRUPTED.value)
                )


def _find_experiment(connection: sa.Connection, name: str) -> int | None:
    column = experiments.c.experiment_id
    return connection.scalar(sa.select(column).where(experiments.c.name == storable(name)))


def _is_of_filter(error: exc.DBAPIError) -> bool:
    """Say whether what is searched for is at fault, and not the store."""
    if isinstance(error, exc.DataError):  # regular expressions are of each database's own kind
        return True
    state = getattr(error.orig, "sqlstate", None) or ""
    return state.startswith(_TOO_MUCH) or bool(_TOO_LARGE.search(str(error.orig)))


def _in_experiments(ids: Iterable[str], column: Any = traces.c.experiment_id) -> Any:
    """Return the condition that a trace belongs to one of some experiments."""
    numbers = [int(id_) for id_ in ids if _EXPERIMENT.fullmatch(str(id_))]
    return column.in_([number for number in numbers if number < 2**31])


def _let_go_of_content(connection: sa.Connection) -> None:
    """Delete the binary content that nothing has any more."""
    column = attachments.c.sha256
    used = [
        sa.select(table.c.sha256).where(table.c.sha256 == column).exists()
        for table in (trace_attachments, dataset_attachments)
    ]
    connection.execute(sa.delete(attachments).where(~sa.or_(*used)))


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
        next_ = query.where(_in_experiments(experiment_ids)).limit(_NEXT)
        keys = list(query.selected_columns[0].table.primary_key)
        near = sa.tuple_(*keys).in_(next_.with_only_columns(*keys))
        # Words that many have are soon met; to ask the index for all of them takes longer.
        rows = _rows(connection, query.where(near, where.unaided), limit)
    if size is None or len(rows) <= size:
        rows = _rows(connection, query.where(_fits(connection, experiment_ids, where)), limit)
    return _cut(rows, order, size)


def _rows(connection: sa.Connection, query: sa.Select[Any], limit: int | None) -> Sequence[Any]:
    """Return the rows of a query, at most so many."""
    if limit is None:
        return [row._mapping for row in limits.stream(connection, query)]
    return connection.execute(query.limit(limit)).mappings().all()


def _cut(rows: Sequence[Any], order: Order, size: int | None) -> tuple[Sequence[Any], str | None]:
    page = rows[:size]
    return page, order.token(page[-1]) if page and len(rows) > len(page) else None


def _fits(connection: sa.Connection, experiment_ids: Iterable[str], where: Filter) -> Any:
    """Return the condition that a trace fits a filter, said so that it is found quickly.

    A database does not know what is rare. Where a part of a filter fits few traces, they are found
    through its index; where it fits many, they are soon met on the way through all.
    """
    for source in where.sources:
        some = source.found.limit(_FEW + 1).subquery()
        if (connection.scalar(sa.select(sa.func.count()).select_from(some)) or 0) <= _FEW:
            of = _in_experiments(experiment_ids, unindexed(traces.c.experiment_id))
            return sa.and_(of, traces.c.trace_id.in_(source.trace_ids), where.clause)
    return sa.and_(_in_experiments(experiment_ids), where.clause)


def _chunks(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[i : i + _IN_CHUNK] for i in range(0, len(ids), _IN_CHUNK))


def _known(row: Any, names: Iterable[str]) -> dict[str, Any] | None:
    return {name: row[name] for name in names if row[name] is not None} or None


def _by_trace(
    connection: sa.Connection, table: sa.Table, ids: Sequence[str], order: sa.Column[Any]
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for chunk in _chunks(ids):
        query = sa.select(table).where(table.c.trace_id.in_(chunk)).order_by(order)
        for row in connection.execute(query).mappings():
            found.setdefault(row["trace_id"], []).append(row)
    return found
