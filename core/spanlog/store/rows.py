"""How spans and traces look as rows, and how rows are written."""

from __future__ import annotations

import sqlite3
from itertools import chain
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from spanlog.model.attachments import take_out
from spanlog.model.capture import capture
from spanlog.model.span import Span, SpanEvent
from spanlog.model.trace import TraceState
from spanlog.store.preview import request_preview, response_preview
from spanlog.store.processes import this_process
from spanlog.store.schema import (
    COUNTS,
    MODEL_COUNTS,
    SPAN_COUNTS,
    storable,
    trace_models,
    traces,
)
from spanlog.store.tally import LARGEST, NOTHING, Tally, counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from spanlog.model.trace import TraceInfo
    from spanlog.record.span import LiveSpan, TraceRecord

# Each statement lets go of Python's lock, which a busy program takes 5 ms to give back: so as
# many rows go into one as it may have parameters.
_PARAMETERS = 32_000 if sqlite3.sqlite_version_info >= (3, 32) else 999
_ROWS = 250
_IDS = 500
_NO_CHANGE = (None,) * len(COUNTS)


class Upsert:
    """An upsert as its SQL text, for any number of rows at once: a row is a tuple of values."""

    def __init__(self, engine: sa.Engine, statement: Any) -> None:
        compiled = statement.compile(dialect=engine.dialect)
        self._statement = statement
        self._columns = [column.name for column in statement.table.columns]
        self._one = f"({', '.join('?' * len(self._columns))})"
        self._text = str(compiled)
        self._plain = engine.dialect.paramstyle == "qmark" and self._one in self._text
        self._rows = min(_ROWS, _PARAMETERS // len(self._columns))

    def run(self, connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Put the rows in."""
        if not self._plain and rows:
            named = [dict(zip(self._columns, row, strict=True)) for row in rows]
            connection.execute(self._statement, named)
            return
        for i in range(0, len(rows), self._rows):
            some = rows[i : i + self._rows]
            text = self._text.replace(self._one, ", ".join([self._one] * len(some)), 1)
            connection.exec_driver_sql(text, tuple(chain.from_iterable(some)))


def upsert(insert: Callable[..., Any], table: sa.Table) -> Any:
    """Return the statement that inserts rows and replaces those that are there."""
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    rest = {c.name: statement.excluded[c.name] for c in table.columns if not c.primary_key}
    return statement.on_conflict_do_update(index_elements=keys, set_=rest)


def upsert_trace(insert: Callable[..., Any]) -> Any:
    """Return the statement that adds what is newly known of traces to what is known."""
    statement = insert(traces)
    new = statement.excluded
    known: dict[str, Any] = {
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
    known.update(_added(traces, new, COUNTS))
    running = new["state"] == sa.literal_column(f"'{TraceState.IN_PROGRESS.value}'")
    known["state"] = sa.case((running, traces.c.state), else_=new["state"])
    earlier = new["request_time"] < traces.c.request_time
    known["request_time"] = sa.case((earlier, new["request_time"]), else_=traces.c.request_time)
    return statement.on_conflict_do_update(index_elements=["trace_id"], set_=known)


def upsert_models(insert: Callable[..., Any]) -> Any:
    """Return the statement that adds what models have used to what they had."""
    statement = insert(trace_models)
    known = _added(trace_models, statement.excluded, MODEL_COUNTS)
    keys = ["trace_id", "model"]
    return statement.on_conflict_do_update(index_elements=keys, set_=known)


def _added(table: sa.Table, new: Any, names: Iterable[str]) -> dict[str, Any]:
    """Return sums: what a row brings is what has come since the last one."""
    return {n: sa.func.coalesce(table.c[n] + new[n], new[n], table.c[n]) for n in names}


class Attached:
    """The binary content of the spans that are written together.

    Attributes:
        contents: By their SHA-256.
        links: Which trace has which.
    """

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.links: set[tuple[str, str]] = set()

    def taken_out(self, trace_id: str, data: bytes | str | None) -> str | None:
        """Return JSON without its binary content, as text."""
        if not isinstance(data, bytes):
            return data

        def keep(sha256: str, content: bytes) -> None:
            self.contents[sha256] = content
            self.links.add((trace_id, sha256))

        return take_out(data, keep).decode()


def span_row(span: LiveSpan, attached: Attached) -> tuple[Any, ...]:
    """Return a row in the order of the table's columns."""
    ended = span.end_time_ns is not None
    # What was put off of an open span is still its own thread's.
    model, used = (span.model, Tally.count(span)) if ended else (None, NOTHING)
    inputs = attached.taken_out(span.trace_id, span._inputs)
    outputs = attached.taken_out(span.trace_id, span._outputs)
    return _span_row(span, model, used, inputs, outputs, span.end_time_ns if ended else None)


def stored_span_row(span: Span) -> tuple[Any, ...]:
    """Return the row of a span that a store has held before."""
    texts = (span.inputs_json, span.outputs_json)
    return _span_row(span, span.model, counts(span), *texts, span.end_time_ns)


def _span_row(
    span: Span,
    model: str | None,
    used: Mapping[str, float],
    inputs: str | None,
    outputs: str | None,
    ended: int | None,
) -> tuple[Any, ...]:
    events = span._events
    return (
        span.trace_id,
        span.span_id,
        span.parent_id,
        storable(span.name),
        storable(span.span_type),
        span.start_time_ns,
        ended,
        span._code,
        None if model is None else storable(model),
        *map(used.get, SPAN_COUNTS),
        storable(span._message),
        inputs,
        outputs,
        capture(span._attributes).decode() if span._attributes else "{}",
        capture([_event(e) for e in list(events)]).decode() if events else "[]",
    )


def _event(event: SpanEvent) -> dict[str, Any]:
    return {"name": event.name, "timestamp": event.timestamp, "attributes": event.attributes}


def trace_row(record: TraceRecord, experiment: int, root: LiveSpan | None) -> tuple[Any, ...]:
    """Return a row in the order of the table's columns."""
    name, began, request, response = (
        record.name,
        record.request_time,
        record.request_preview,
        record.response_preview,
    )
    state, took = TraceState.IN_PROGRESS.value, None
    if root is not None and record.own:
        name, began = root.name, root.start_time_ns // 1_000_000
        request = request or request_preview(root._inputs)
        if root.end_time_ns is not None:
            state = record.state or ("ERROR" if root._code == "ERROR" else "OK")
            took = (root.end_time_ns - root.start_time_ns) // 1_000_000
            response = response or response_preview(root._outputs)
    return (
        record.trace_id,
        experiment,
        name and storable(name),
        state,
        began,
        took,
        record.client_request_id and storable(record.client_request_id),
        request and storable(request),
        response and storable(response),
        this_process() if record.own else None,
        *(record.tally.change() if record.tally else _NO_CHANGE),
    )


def stored_trace_row(info: TraceInfo, experiment: int) -> tuple[Any, ...]:
    """Return the row of a trace that a store has held before."""
    texts = (info.client_request_id, info.request_preview, info.response_preview)
    used = {**(info.token_usage or {}), **(info.cost or {})}
    return (
        info.trace_id,
        experiment,
        None if info.name is None else storable(info.name),
        info.state.value,
        info.request_time,
        info.execution_duration,
        *(None if text is None else storable(text) for text in texts),
        None,
        *(used[name] if abs(used.get(name, LARGEST)) < LARGEST else None for name in COUNTS),
    )


def model_rows(
    trace_id: str, models: Mapping[str, Mapping[str, float]]
) -> Iterator[tuple[str, str, float | None, float | None]]:
    """Yield the rows of what each model of a trace used."""
    for model, used in models.items():
        tokens, cost = map(used.get, MODEL_COUNTS)
        yield trace_id, model, tokens, cost


def pair_rows(pairs: Iterable[tuple[TraceRecord, str, str]]) -> list[tuple[str, str, str]]:
    """Return the rows of tags or metadata."""
    return [(r.trace_id, storable(key), storable(value)) for r, key, value in pairs]


def read_span(row: Any) -> Span:
    """Return the span that a row holds."""
    return Span._stored(
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


def in_chunks(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    """Return ids in parts that one statement takes."""
    return (ids[i : i + _IDS] for i in range(0, len(ids), _IDS))
