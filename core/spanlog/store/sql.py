"""The SQL store: traces in SQLite or PostgreSQL, through SQLAlchemy Core.

What each method does with its transaction is in a module of its own: `write`, `read`,
`experiments`, `assessed`, `golden`, `content`, `figures`, `statistics`.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa

from spanlog.config import Settings
from spanlog.model.trace import Experiment
from spanlog.store import assessed, content, experiments, figures, golden, read, statistics, write
from spanlog.store.database import Database
from spanlog.store.errors import NotFoundError
from spanlog.store.processes import is_gone
from spanlog.store.sums import SumsInMind
from spanlog.store.write import Writer

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from spanlog.model.assessments import Assessment
    from spanlog.model.header import TraceHeader
    from spanlog.model.span import Span
    from spanlog.model.trace import PagedList, Session, Trace
    from spanlog.store.bundles import Bundle
    from spanlog.store.filters import Filter, Order


Traces = TypeVar("Traces", bound="list[Trace]")


class SqlStore:
    """Traces in a SQL database.

    Args:
        url: An SQLAlchemy database URL.
        settings: What it goes by; what the environment says by default.

    Raises:
        StoreError: It cannot be opened.
    """

    def __init__(self, url: str, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        self._experiment_ids: dict[str, int] = {}
        self._sums = SumsInMind()
        self.database = Database(url, renewed=self._forget, settings=settings)
        self.url, self.name = url, self.database.name
        self._transaction = self.database.transaction
        self._writer = Writer(self.database, self._experiment_ids, self._sums, settings)

    def close(self) -> None:
        """Close what is open; it opens again when it is used."""
        self.database.close()

    def _forget(self) -> None:
        """Let go of what was known of another database in this one's place."""
        self._experiment_ids.clear()
        self._sums.forget()

    @contextmanager
    def _search(self) -> Generator[sa.Connection]:
        """Read one consistent state, looking for what fits a filter."""
        with self._transaction(reads=True) as connection, read.searching(connection):
            yield connection

    # Writing.

    def write(self, new_spans: Sequence[Span], headers: Sequence[TraceHeader]) -> None:
        """Keep spans and the traces they belong to; what is there already is replaced.

        Raises:
            Unavailable: Nothing was kept; the same may be tried again.
        """
        self._writer.write(new_spans, headers)

    def restore(self, bundles: Sequence[Bundle]) -> int:
        """Keep traces with all that belongs to them, as they are; those that are there stay.

        Returns:
            How many were not there.

        Raises:
            Unavailable: Nothing was kept.
        """
        return self._writer.restore(bundles)

    def attachments_of(self, trace_ids: Sequence[str]) -> dict[str, list[str]]:
        """Return the SHA-256 of the binary content that traces have, by their ids."""
        with self._transaction(reads=True) as connection:
            return read.attachments_of(connection, trace_ids)

    def has_attachment(self, sha256: str) -> bool:
        """Say whether binary content is there."""
        with self._transaction(reads=True) as connection:
            return content.has(connection, sha256)

    def attachment(self, sha256: str) -> bytes:
        """Return binary content by its SHA-256.

        Raises:
            StoreError: It is not there.
        """
        with self._transaction(reads=True) as connection:
            return content.get(connection, sha256)

    def experiment(self, name: str | None = None, experiment_id: str | None = None) -> Experiment:
        """Return an experiment by name, which creates it, or by id.

        Raises:
            StoreError: There is none with that id.
        """
        if name is None:
            with self._transaction(reads=True) as connection:
                return experiments.get(connection, str(experiment_id))
        known = self._experiment_ids.get(name)
        with self._transaction() as connection:
            id_ = experiments.get_id(connection, name) if known is None else known
        return Experiment(str(id_), name)

    def find_experiment(self, name: str) -> str | None:
        """Return the id of an experiment, or None if there is none of that name."""
        known = self._experiment_ids.get(name)
        if known is None:
            with self._transaction(reads=True) as connection:
                known = experiments.find_id(connection, name)
        return None if known is None else str(known)

    def experiments(self) -> list[Experiment]:
        """Return all experiments, the oldest first."""
        with self._transaction(reads=True) as connection:
            return experiments.get_all(connection)

    def experiment_ids(self) -> list[str]:
        """Return the ids of all experiments, which is where to search all there is."""
        return [experiment.experiment_id for experiment in self.experiments()]

    def set_tag(self, trace_id: str, key: str, value: str) -> None:
        """Set a tag of a trace.

        Raises:
            StoreError: There is no such trace.
        """
        with self._transaction() as connection:
            read.must_exist(connection, trace_id)
            self._writer.set_tag(connection, trace_id, key, value)

    def delete_tag(self, trace_id: str, key: str) -> None:
        """Remove a tag of a trace.

        Raises:
            StoreError: There is no such trace or no such tag.
        """
        with self._transaction() as connection:
            read.must_exist(connection, trace_id)
            write.delete_tag(connection, trace_id, key)

    def assess(self, assessment: Assessment) -> Assessment:
        """Keep an assessment.

        Raises:
            StoreError: There is no such trace or span.
        """
        with self._transaction() as connection:
            read.must_exist(connection, assessment.trace_id or "")
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
        with self._transaction(alone=True) as connection:
            return write.delete(
                connection, experiment_id, max_timestamp_millis, max_traces, trace_ids
            )

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
            content.delete_unused(connection)

    # Reading.

    def get(self, trace_id: str) -> Trace | None:
        """Return a trace, or None."""
        self._note_interrupted()
        with self._transaction(reads=True) as connection:
            found = read.get(connection, trace_id)
        return self._own([found])[0] if found else None

    def span(self, trace_id: str, span_id: str) -> Span | None:
        """Return a span by its ids, or None."""
        with self._transaction(reads=True) as connection:
            found = read.get_span(connection, trace_id, span_id)
        if found:
            found._contents = self
        return found

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
        self._note_interrupted()
        with self._transaction(reads=True) as connection:
            found = read.search(
                *(connection, experiment_ids, where, order, max_results, page_token),
                include_spans=include_spans,
            )
        return self._own(found)

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
        self._note_interrupted()
        with self._transaction(reads=True) as connection:
            found = read.sessions(
                *(connection, experiment_ids, where, max_results, page_token),
                include_spans=include_spans,
            )
        for session in found:
            self._own(session.traces)
        return found

    def search_spans(
        self,
        experiment_ids: Sequence[str],
        where: Filter,
        order: Order,
        max_results: int | None = None,
        page_token: str | None = None,
    ) -> PagedList[Span]:
        """Return the spans of the experiments that fit a filter of spans."""
        with self._transaction(reads=True) as connection:
            found = read.search_spans(
                connection, experiment_ids, where, order, max_results, page_token
            )
        for span in found:
            span._contents = self
        return found

    def states(self, since: int | None = None) -> dict[str, str]:
        """Return the state of each trace, by its id.

        Args:
            since: Only those that began then or later, in milliseconds since 1970.
        """
        with self._transaction(reads=True) as connection:
            return read.states(connection, since)

    def count_states(self) -> dict[str, int]:
        """Return how many traces are in each state."""
        self._note_interrupted()
        with self._transaction(reads=True) as connection:
            return read.count_states(connection)

    def over_time(
        self, experiment_ids: Sequence[str], where: Filter, since: int, until: int
    ) -> figures.Figures:
        """Return what charts are made of: the traces that fit, added up by steps of time."""
        with self._search() as connection:
            fits = read.fits(connection, experiment_ids, where)
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

    def _own(self, found: Traces) -> Traces:
        """Have traces know where their binary content is."""
        for trace in found:
            for span in trace.data.spans:
                span._contents = self
        return found

    def _note_interrupted(self) -> None:
        """Give the traces whose process has ended before them the state INTERRUPTED."""
        with self._transaction(reads=True) as connection:
            gone = [process for process in read.processes(connection) if is_gone(process)]
        if gone:
            with self._transaction(alone=True) as connection:
                write.interrupt(connection, gone)
