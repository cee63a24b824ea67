"""Writing to a store: new spans and their traces, whole traces from another store, deletions."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import exc

from spanlog import semconv
from spanlog.errors import Unavailable
from spanlog.model.trace import TraceState
from spanlog.store import assessed, content, experiments, fulltext, sums
from spanlog.store.database import is_poison
from spanlog.store.dialects import insert
from spanlog.store.errors import NotFoundError
from spanlog.store.processes import this_process
from spanlog.store.rows import (
    Asked,
    Attached,
    Upsert,
    in_chunks,
    pair_rows,
    read_span,
    root_facts,
    span_row,
    stored_span_row,
    stored_trace_row,
    trace_row,
    upsert,
    upsert_trace,
    used_by,
    with_sums,
)
from spanlog.store.schema import (
    assessments,
    spans,
    storable,
    trace_attachments,
    trace_metadata,
    trace_models,
    trace_tags,
    traces,
)
from spanlog.store.sums import SumsInMind, of_spans

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from spanlog.config import Settings
    from spanlog.model.header import TraceHeader
    from spanlog.model.span import Span
    from spanlog.model.usage import Sums
    from spanlog.store.bundles import Bundle
    from spanlog.store.database import Database

_OF_TRACE = (
    spans,
    trace_tags,
    trace_metadata,
    trace_models,
    trace_attachments,
    assessments,
    traces,
)


class Writer:
    """Writes traces to a database, with statements that are compiled once.

    Args:
        database: The database.
        experiment_ids: The ids of experiments by name, as far as they are known; it adds to them.
        sums_in_mind: The sums of the traces that are being written.
        settings: How large binary content may be that stays in inputs and outputs.
    """

    def __init__(
        self,
        database: Database,
        experiment_ids: dict[str, int],
        sums_in_mind: SumsInMind,
        settings: Settings,
    ) -> None:
        self._database, self._experiment_ids, self._settings = database, experiment_ids, settings
        self._sums = sums_in_mind
        self._asked = Asked()
        engine, new = database.engine, insert(database.engine.dialect)
        self._spans, self._tags, self._facts = (
            Upsert(engine, upsert(new, table)) for table in (spans, trace_tags, trace_metadata)
        )
        self._traces = Upsert(engine, upsert_trace(new))
        self._models = Upsert(engine, upsert(new, trace_models))

    def write(self, new_spans: Sequence[Span], headers: Sequence[TraceHeader]) -> None:
        """Keep spans and the traces they belong to; what is there already is replaced.

        Raises:
            Unavailable: Nothing was kept; the same may be tried again.
        """
        roots: dict[str, tuple[Span, tuple[Any, ...]]] = {}
        attached = Attached(self._settings.attachment_bytes)
        span_rows = []
        by_trace: dict[str, list[tuple[Span, Mapping[str, float]]]] = {}
        for span in new_spans:
            used = used_by(span)
            span_rows.append(row := span_row(span, used, attached))
            if span.parent_id is None:
                roots[span.trace_id] = span, row
            by_trace.setdefault(span.trace_id, []).append((span, used))
        tags = [(h, *pair) for h in headers for pair in h.tags.items()]
        facts = [(h, *pair) for h in headers for pair in h.metadata.items()]
        facts += [
            (h, semconv.DROPPED_SPANS, str(h.dropped_spans)) for h in headers if h.dropped_spans
        ]
        try:
            with self._database.transaction() as connection:
                ids = {
                    name: self._experiment_id(connection, name)
                    for name in {h.experiment for h in headers}
                }
                rows = [
                    trace_row(
                        *(h, ids[h.experiment], roots.get(h.trace_id), self._asked),
                        with_spans=h.trace_id in by_trace,
                    )
                    for h in headers
                ]
                rows.sort(key=itemgetter(0))  # so two that write the same ones cannot deadlock
                self._traces.run(connection, rows)
                versions = _versions(connection, by_trace)
                self._spans.run(connection, span_rows)
                sums_of = self._sums.after(connection, versions, by_trace)
                self._add_up(connection, rows, sums_of)
                for header in headers:
                    if not header.own and header.trace_id in sums_of:
                        parents = sums_of[header.trace_id].parents
                        _note_local_root(connection, header, parents, self._asked)
                for index in fulltext.INDEXES:
                    index.add(connection, span_rows)
                self._tags.run(connection, pair_rows(tags))
                self._facts.run(connection, pair_rows(facts))
                content.put(connection, attached)
        except (exc.DBAPIError, OSError) as error:
            if is_poison(error):
                raise
            reason = getattr(error, "orig", None) or error
            raise self._unavailable(reason) from error
        self._experiment_ids.update(ids)
        over = {trace_id for trace_id, (root, _) in roots.items() if root.end_time_ns is not None}
        for one in sums_of.values():
            one.changed = False
        self._sums.keep(versions, sums_of, over)

    def _add_up(
        self, connection: sa.Connection, rows: Sequence[tuple[Any, ...]], found: Mapping[str, Sums]
    ) -> None:
        """Write what traces add up to, many in a statement."""
        changed = {trace_id: one for trace_id, one in found.items() if one.changed}
        if not changed:
            return
        of = {row[0]: row for row in rows if row[0] in changed}
        self._traces.run(connection, [with_sums(of[id_], sums.row(changed[id_])) for id_ in of])
        for chunk in in_chunks(list(changed)):
            connection.execute(sa.delete(trace_models).where(trace_models.c.trace_id.in_(chunk)))
        self._models.run(connection, sums.model_rows(changed))

    def restore(self, bundles: Sequence[Bundle]) -> int:
        """Keep traces with all that belongs to them, as they are; those that are there stay.

        Returns:
            How many were not there.

        Raises:
            Unavailable: Nothing was kept.
        """
        try:
            with self._database.transaction() as connection:
                return self._restore(connection, bundles)
        except exc.DBAPIError as error:
            raise self._unavailable(error.orig) from error
        finally:
            self._database.forget()

    def _restore(self, connection: sa.Connection, bundles: Sequence[Bundle]) -> int:
        by_id = {b.trace.info.trace_id: b for b in reversed(bundles)}
        there = sa.select(traces.c.trace_id).where(traces.c.trace_id.in_(list(by_id)))
        for trace_id in list(connection.scalars(there)):
            del by_id[trace_id]
        new = [b for b in bundles if by_id.get(b.trace.info.trace_id) is b]
        ids = {name: self._experiment_id(connection, name) for name in {b.experiment for b in new}}
        rows = [stored_trace_row(b.trace.info, ids[b.experiment]) for b in new]
        span_rows = [stored_span_row(span) for b in new for span in b.trace.data.spans]
        self._traces.run(connection, rows)
        self._spans.run(connection, span_rows)
        used = {b.trace.info.trace_id: of_spans(b.trace.data.spans) for b in new}
        sums.put(connection, used)
        for index in fulltext.INDEXES:
            index.add(connection, span_rows)
        self._tags.run(connection, [row for b in new for row in b.tags])
        self._facts.run(connection, [row for b in new for row in b.metadata])
        for said in (said for b in new for said in b.trace.info.assessments):
            connection.execute(sa.insert(assessments).values(assessed.to_row(said)))
        attached = Attached(self._settings.attachment_bytes)
        for bundle in bundles:  # a trace that is new may have what came with one that is not
            attached.contents.update(bundle.contents)
        attached.links.update((b.trace.info.trace_id, sha) for b in new for sha in b.attachments)
        content.put(connection, attached)
        return len(new)

    def _unavailable(self, reason: object) -> Unavailable:
        name = self._database.name
        return Unavailable(f"the trace store {name} cannot be written: {reason}")

    def _experiment_id(self, connection: sa.Connection, name: str) -> int:
        known = self._experiment_ids.get(name)
        return experiments.get_id(connection, name) if known is None else known

    def set_tag(self, connection: sa.Connection, trace_id: str, key: str, value: str) -> None:
        """Set a tag of a trace that is there."""
        self._tags.run(connection, [(trace_id, storable(key), storable(value))])


def _versions(connection: sa.Connection, trace_ids: Iterable[str]) -> dict[str, int]:
    """Return how often spans of traces have been written; nobody else writes any meanwhile.

    As one text: for each row Python's lock is let go of, which a busy program is slow to give back.
    """
    each = traces.c.trace_id + " " + sa.cast(traces.c.version, sa.String)
    found = dict.fromkeys(trace_ids, 0)  # which is none: where an id is odd, the rows are read
    for chunk in in_chunks(list(found)):
        query = sa.select(sa.func.aggregate_strings(each, "\n")).where(traces.c.trace_id.in_(chunk))
        for line in (connection.scalar(query) or "").split("\n"):
            trace_id, _, version = line.rpartition(" ")
            if trace_id in found:
                found[trace_id] = int(version)
    return found


def _note_local_root(
    connection: sa.Connection,
    header: TraceHeader,
    parents: Mapping[str, str | None],
    asked: Asked,
) -> None:
    """Have a trace whose root is written elsewhere go by the topmost span that is known of it."""
    of_trace = traces.c.trace_id == header.trace_id
    if connection.scalar(sa.select(traces.c.root_id).where(of_trace)) == "":
        return
    tops = [span_id for span_id, parent in parents.items() if parent not in parents]
    query = sa.select(spans).where(spans.c.trace_id == header.trace_id, spans.c.span_id.in_(tops))
    first = connection.execute(query.order_by(spans.c.start_time_ns).limit(1)).mappings().first()
    if first is None:
        return
    texts = first["inputs"], first["outputs"]
    facts = root_facts(header, read_span(first), *texts, asked)
    name, state, began, took, _, request, response = facts
    connection.execute(
        sa.update(traces)
        .where(of_trace)
        .values(
            name=name,
            state=state,
            request_time=began,
            execution_duration=took,
            request_preview=request,
            response_preview=response,
            process=this_process(),
            root_id=first["span_id"],
        )
    )


def delete_tag(connection: sa.Connection, trace_id: str, key: str) -> None:
    """Remove a tag of a trace.

    Raises:
        StoreError: The trace has no such tag.
    """
    columns = trace_tags.c
    which = (columns.trace_id == trace_id, columns.key == storable(key))
    if not connection.execute(sa.delete(trace_tags).where(*which)).rowcount:
        raise NotFoundError(f"trace {trace_id} has no tag {key!r}")


def interrupt(connection: sa.Connection, processes: Sequence[str]) -> None:
    """Give the traces in progress of processes that have ended the state INTERRUPTED."""
    running = traces.c.state == TraceState.IN_PROGRESS.value
    connection.execute(
        sa.update(traces)
        .where(running, traces.c.process.in_(processes))
        .values(state=TraceState.INTERRUPTED.value)
    )


def delete(
    connection: sa.Connection,
    experiment_id: str | None = None,
    max_timestamp_millis: int | None = None,
    max_traces: int | None = None,
    trace_ids: Iterable[str] | None = None,
) -> int:
    """Delete traces, the oldest first, and return how many."""
    query = sa.select(traces.c.trace_id).order_by(traces.c.request_time)
    if experiment_id is not None:
        query = query.where(experiments.in_experiments([experiment_id]))
    if max_timestamp_millis is not None:
        query = query.where(traces.c.request_time <= max_timestamp_millis)
    doomed = list(connection.scalars(query))
    if trace_ids is not None:
        wanted = set(trace_ids)
        doomed = [trace_id for trace_id in doomed if trace_id in wanted]
    doomed = doomed[:max_traces]
    for chunk in in_chunks(doomed):
        for index in fulltext.INDEXES:
            index.remove(connection, chunk)
        for table in _OF_TRACE:
            connection.execute(sa.delete(table).where(table.c.trace_id.in_(chunk)))
    if doomed:
        content.delete_unused(connection)
    return len(doomed)
