"""The SQL store: traces in SQLite by default, through SQLAlchemy Core."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from spanlog.capture import capture
from spanlog.entities import Experiment, Trace, TraceData, TraceInfo, TraceState
from spanlog.recorder import Unavailable
from spanlog.spans import LiveSpan, Span, SpanEvent, TraceRecord
from spanlog.store.filters import Filter, order_columns
from spanlog.store.preview import request_preview, response_preview
from spanlog.store.processes import is_gone, this_process
from spanlog.store.schema import (
    experiments,
    prepare,
    spans,
    trace_metadata,
    trace_tags,
    traces,
)

# How long SQLite itself waits for another process's transaction to end, in seconds.
_BUSY = 5.0
_IN_CHUNK = 500


class StoreError(Exception):
    """A store cannot be opened or read; the message says what to do."""


class SqlStore:
    """Traces in a SQL database.

    Args:
        url: An SQLAlchemy database URL.

    Raises:
        StoreError: It cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._lock = threading.RLock()
        try:
            self._engine = sa.create_engine(url, **_options(url))
            self._reader = self._engine.execution_options(spanlog_reads=True)
            _configure(self._engine)
            with self._transaction() as connection:
                prepare(connection)
        except Exception as error:
            reason = getattr(error, "orig", None) or error
            raise StoreError(
                f"cannot open the trace store {url!r}: {reason}. Give a path that can be written "
                "to set_tracking_uri() or SPANLOG_TRACKING_URI."
            ) from error
        self._experiments: dict[str, int] = {}
        insert = {"postgresql": postgresql.insert}.get(self._engine.dialect.name, sqlite.insert)
        self._upsert_span = _upsert(insert, spans)
        self._upsert_trace = _upsert_trace(insert)
        self._upsert_tag = _upsert(insert, trace_tags)
        self._upsert_metadata = _upsert(insert, trace_metadata)

    @contextmanager
    def _transaction(self) -> Generator[sa.Connection]:
        """Write under one transaction."""
        with self._lock, self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Generator[sa.Connection]:
        """Read one consistent state."""
        with self._lock, self._reader.connect() as connection:
            yield connection

    # Writing.

    def write(self, new_spans: Sequence[LiveSpan], records: Sequence[TraceRecord]) -> None:
        """Keep spans and the traces they belong to; what is there already is replaced.

        Raises:
            Unavailable: Nothing was kept; the same may be tried again.
        """
        roots = {span.trace_id: span for span in new_spans if span.parent_id is None}
        tags = [(r, key, value) for r in records for key, value in list(r.tags.items())]
        facts = [(r, key, value) for r in records for key, value in list(r.metadata.items())]
        facts += [(r, "spanlog.dropped_spans", str(r.dropped_spans)) for r in records if r.dropped_spans]
        try:
            with self._transaction() as connection:
                rows = [self._trace_row(connection, r, roots.get(r.trace_id)) for r in records]
                connection.execute(self._upsert_trace, rows)
                if new_spans:
                    connection.execute(self._upsert_span, [_span_row(span) for span in new_spans])
                if tags:
                    connection.execute(self._upsert_tag, _pair_rows(tags))
                if facts:
                    connection.execute(self._upsert_metadata, _pair_rows(facts))
        except sa.exc.OperationalError as error:
            raise Unavailable(f"the trace store {self.url!r} cannot be written: {error.orig}") from error
        for record, key, value in tags:  # written once: `set_trace_tag` may change it from now on
            if record.tags.get(key) == value:
                del record.tags[key]

    def _trace_row(
        self, connection: sa.Connection, record: TraceRecord, root: LiveSpan | None
    ) -> dict[str, Any]:
        row = {
            "trace_id": record.trace_id,
            "experiment_id": self._experiment_id(connection, record.experiment),
            "name": record.name,
            "state": TraceState.IN_PROGRESS.value,
            "request_time": record.request_time,
            "execution_duration": None,
            "client_request_id": record.client_request_id,
            "request_preview": record.request_preview,
            "response_preview": record.response_preview,
            "process": this_process() if record.own else None,
        }
        if root is not None and record.own:
            row["name"] = root.name
            row["request_time"] = root.start_time_ns // 1_000_000
            row["request_preview"] = record.request_preview or request_preview(root.inputs_json)
            if root.duration_ns is not None:
                failed = root.status.status_code.value == "ERROR"
                row["state"] = record.state or ("ERROR" if failed else "OK")
                row["execution_duration"] = root.duration_ns // 1_000_000
                row["response_preview"] = record.response_preview or response_preview(
                    root.outputs_json
                )
        return row

    def _experiment_id(self, connection: sa.Connection, name: str) -> int:
        known = self._experiments.get(name)
        if known is None:
            column = experiments.c.experiment_id
            known = connection.scalar(sa.select(column).where(experiments.c.name == name))
            if known is None:
                known = connection.execute(
                    sa.insert(experiments).values(name=name).returning(column)
                ).scalar_one()
            self._experiments[name] = known
        return known

    def experiment(self, name: str | None = None, experiment_id: str | None = None) -> Experiment:
        """Return an experiment by name, which creates it, or by id.

        Raises:
            StoreError: There is none with that id.
        """
        with self._transaction() as connection:
            if name is not None:
                return Experiment(str(self._experiment_id(connection, name)), name)
            query = sa.select(experiments.c.name).where(
                sa.cast(experiments.c.experiment_id, sa.String) == experiment_id
            )
            found = connection.scalar(query)
        if found is None:
            raise StoreError(f"there is no experiment with the id {experiment_id!r}")
        return Experiment(str(experiment_id), found)

    def set_tag(self, trace_id: str, key: str, value: str) -> None:
        """Set a tag of a trace.

        Raises:
            StoreError: There is no such trace.
        """
        self._must_exist(trace_id)
        with self._transaction() as connection:
            row = {"trace_id": trace_id, "key": key, "value": value}
            connection.execute(self._upsert_tag, [row])

    def delete_tag(self, trace_id: str, key: str) -> None:
        """Remove a tag of a trace.

        Raises:
            StoreError: There is no such trace or no such tag.
        """
        self._must_exist(trace_id)
        columns = trace_tags.c
        with self._transaction() as connection:
            gone = connection.execute(
                sa.delete(trace_tags).where(columns.trace_id == trace_id, columns.key == key)
            )
        if not gone.rowcount:
            raise StoreError(f"trace {trace_id} has no tag {key!r}")

    def _must_exist(self, trace_id: str) -> None:
        with self._reading() as connection:
            query = sa.select(traces.c.trace_id).where(traces.c.trace_id == trace_id)
            if connection.scalar(query) is None:
                raise StoreError(f"there is no trace {trace_id!r} in {self.url!r}")

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
            query = query.where(traces.c.experiment_id == int(experiment_id))
        if max_timestamp_millis is not None:
            query = query.where(traces.c.request_time <= max_timestamp_millis)
        if trace_ids is not None:
            query = query.where(traces.c.trace_id.in_(list(trace_ids)))
        if max_traces is not None:
            query = query.limit(max_traces)
        with self._transaction() as connection:
            doomed = list(connection.scalars(query))
            for chunk in _chunks(doomed):
                for table in (spans, trace_tags, trace_metadata, traces):
                    connection.execute(sa.delete(table).where(table.c.trace_id.in_(chunk)))
        return len(doomed)

    # Reading.

    def get(self, trace_id: str) -> Trace | None:
        """Return a trace, or None."""
        found = self._load(sa.select(traces).where(traces.c.trace_id == trace_id))
        return found[0] if found else None

    def search(
        self,
        experiment_ids: Sequence[str],
        where: Filter,
        order_by: Sequence[str],
        max_results: int | None,
        offset: int = 0,
    ) -> list[Trace]:
        """Return the traces of the experiments that fit a filter."""
        query = (
            sa.select(traces)
            .where(traces.c.experiment_id.in_([int(id_) for id_ in experiment_ids]))
            .where(where.clause())
            .order_by(*order_columns(order_by))
            .offset(offset)
        )
        if max_results is not None:
            query = query.limit(max_results)
        return self._load(query)

    def _load(self, query: sa.Select[Any]) -> list[Trace]:
        self._note_interrupted()
        with self._reading() as connection:
            rows = list(connection.execute(query).mappings())
            ids = [row["trace_id"] for row in rows]
            span_rows = _by_trace(connection, spans, ids, spans.c.start_time_ns)
            tag_rows = _by_trace(connection, trace_tags, ids, trace_tags.c.key)
            fact_rows = _by_trace(connection, trace_metadata, ids, trace_metadata.c.key)
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
                ),
                TraceData([_span(r) for r in span_rows.get(id_, ())]),
            )
            for id_, row in zip(ids, rows, strict=True)
        ]

    def _note_interrupted(self) -> None:
        """Give the traces whose process has ended before them the state INTERRUPTED."""
        running = traces.c.state == TraceState.IN_PROGRESS.value
        with self._reading() as connection:
            named = connection.scalars(sa.select(traces.c.process).where(running).distinct())
            gone = [process for process in named if process and is_gone(process)]
        if gone:
            with self._transaction() as connection:
                connection.execute(
                    sa.update(traces)
                    .where(running, traces.c.process.in_(gone))
                    .values(state=TraceState.INTERRUPTED.value)
                )

    # Forking: SQLite's locks do not survive a fork with a connection open.

    def before_fork(self) -> None:
        """Wait for what is under way and close every connection."""
        self._lock.acquire()
        self._engine.dispose()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Go on, in the child."""
        self._lock = threading.RLock()
        self._engine.dispose(close=False)


def _options(url: str) -> dict[str, Any]:
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": _BUSY, "check_same_thread": False}}
    return {}


def _configure(engine: sa.Engine) -> None:
    """Set SQLite up for several processes: a write-ahead log, and writers that queue up."""
    if engine.dialect.name != "sqlite":
        return

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, record: object) -> None:
        connection.isolation_level = None  # `begun` begins; the driver's own way is too late
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        reads = connection.get_execution_options().get("spanlog_reads")
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _upsert(insert: Callable[..., Any], table: sa.Table) -> Any:
    """Return the statement that inserts rows and replaces those that are there."""
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    rest = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key}
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


def _upsert_trace(insert: Callable[..., Any]) -> Any:
    """Return the statement that adds what is newly known of traces to what is known."""
    statement = insert(traces)
    new = statement.excluded
    known = {
        name: sa.func.coalesce(new[name], traces.c[name])
        for name in (
            "name",
            "execution_duration",
            "client_request_id",
            "request_preview",
            "response_preview",
            "process",
        )
    }
    running = new["state"] == TraceState.IN_PROGRESS.value
    known["state"] = sa.case((running, traces.c.state), else_=new["state"])
    earlier = new["request_time"] < traces.c.request_time
    known["request_time"] = sa.case(
        (earlier, new["request_time"]), else_=traces.c.request_time
    )
    return statement.on_conflict_do_update(index_elements=["trace_id"], set_=known)


def _span_row(span: LiveSpan) -> dict[str, Any]:
    events = [
        {"name": e.name, "timestamp": e.timestamp, "attributes": e.attributes}
        for e in span._events
    ]
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "name": _storable(span.name),
        "span_type": _storable(span.span_type),
        "start_time_ns": span.start_time_ns,
        "end_time_ns": span.end_time_ns,
        "status": span._code,
        "status_message": _storable(span._message),
        "inputs": span.inputs_json,
        "outputs": span.outputs_json,
        "attributes": capture(span._attributes).decode() if span._attributes else "{}",
        "events": capture(events).decode() if events else "[]",
    }


def _storable(text: object) -> str:
    """Return text that every database takes: no lone surrogates, no zero characters."""
    return str(text).encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")


def _pair_rows(pairs: Iterable[tuple[TraceRecord, str, str]]) -> list[dict[str, str]]:
    return [
        {"trace_id": record.trace_id, "key": _storable(key), "value": _storable(value)}
        for record, key, value in pairs
    ]


def _span(row: Any) -> Span:
    return Span.stored(
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        parent_id=row["parent_id"],
        name=row["name"],
        span_type=row["span_type"],
        start_time_ns=row["start_time_ns"],
        end_time_ns=row["end_time_ns"],
        code=row["status"],
        message=row["status_message"],
        inputs=row["inputs"],
        outputs=row["outputs"],
        attributes=orjson.loads(row["attributes"]),
        events=[
            SpanEvent(e["name"], e["attributes"], e["timestamp"])
            for e in orjson.loads(row["events"])
        ],
    )


def _chunks(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[i : i + _IN_CHUNK] for i in range(0, len(ids), _IN_CHUNK))


def _by_trace(
    connection: sa.Connection, table: sa.Table, ids: Sequence[str], order: sa.Column[Any]
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for chunk in _chunks(ids):
        query = sa.select(table).where(table.c.trace_id.in_(chunk)).order_by(order)
        for row in connection.execute(query).mappings():
            found.setdefault(row["trace_id"], []).append(row)
    return found
