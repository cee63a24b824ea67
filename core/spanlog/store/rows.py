"""How spans and traces look as rows, and how rows are written."""

from __future__ import annotations

import sqlite3
from itertools import chain
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from spanlog import spoken
from spanlog.model.attachments import take_out
from spanlog.model.codec import STORE
from spanlog.model.messages import MODELS
from spanlog.model.span import Span
from spanlog.model.trace import TraceState
from spanlog.store.processes import this_process
from spanlog.store.schema import (
    COUNTS,
    spans,
    storable,
    traces,
)
from spanlog.store.sums import LARGEST, counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from spanlog.model.codec import Parts
    from spanlog.model.header import TraceHeader
    from spanlog.model.trace import TraceInfo

# Each statement lets go of Python's lock, which a busy program takes 5 ms to give back: so as
# many rows go into one as it may have parameters.
_PARAMETERS = 32_000 if sqlite3.sqlite_version_info >= (3, 32) else 999
# Rows in one statement: so long that what each statement costs is spread thin, and no longer, for
# its text is put together anew for each number of rows.
_ROWS = 250
# Ids in one statement: SQLite before 3.32 takes 999 parameters, and a query has others.
_IDS = 500
_INPUTS, _OUTPUTS = map(spans.columns.keys().index, ("inputs", "outputs"))
# Characters of an open root's inputs that are read, in under 1 ms: it may be open for long, and
# what is larger is read when it has ended.
_READ_OPEN = 100_000
# Open traces of which it is remembered what they were asked: 10 MB at most.
_REMEMBERED = 100
_NO_SUMS = (None,) * len(COUNTS)  # which are written when all spans are
_OPEN: Mapping[str, float] = {}  # what is put off of an open span is still its own thread's


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
    new, old = statement.excluded, traces.c
    # What the topmost span known so far said goes when the root itself comes.
    is_root = new["root_id"] == sa.literal_column("''")
    takes_over = sa.and_(is_root, old.root_id != sa.literal_column("''"))
    running = new["state"] == sa.literal_column(f"'{TraceState.IN_PROGRESS.value}'")
    earlier = new["request_time"] < old.request_time
    known: dict[str, Any] = {
        name: sa.func.coalesce(new[name], old[name])
        for name in ("name", "client_request_id", "process", "root_id")
    }
    for name in ("execution_duration", "request_preview", "response_preview"):
        both = sa.func.coalesce(new[name], old[name])
        known[name] = sa.case((takes_over, new[name]), else_=both)
    known["state"] = sa.case((takes_over, new["state"]), (running, old.state), else_=new["state"])
    known["request_time"] = sa.case(
        (sa.or_(takes_over, earlier), new["request_time"]), else_=old.request_time
    )
    known |= {name: sa.func.coalesce(new[name], old[name]) for name in COUNTS}
    known["version"] = sa.func.coalesce(old.version, sa.literal_column("0")) + new["version"]
    return statement.on_conflict_do_update(index_elements=["trace_id"], set_=known)


class Attached:
    """The binary content of the spans that are written together.

    Args:
        most: How many bytes of content may stay where they are.

    Attributes:
        contents: By their SHA-256.
        links: Which trace has which.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.contents: dict[str, bytes] = {}
        self.links: set[tuple[str, str]] = set()

    def taken_out(self, trace_id: str, data: bytes | str | None) -> str | None:
        """Return JSON without its binary content, as text."""
        if not isinstance(data, bytes):
            return data

        def keep(sha256: str, content: bytes) -> None:
            self.contents[sha256] = content
            self.links.add((trace_id, sha256))

        return take_out(data, keep, self._most).decode()


def used_by(span: Span) -> Mapping[str, float]:
    """Return what a span used, once it has ended."""
    return _OPEN if span.end_time_ns is None else counts(span)


def span_row(span: Span, used: Mapping[str, float], attached: Attached) -> tuple[Any, ...]:
    """Return a row in the order of the table's columns."""
    model = None if span.end_time_ns is None else span.model
    parts = span._parts()
    inputs = attached.taken_out(parts.trace_id, parts.inputs)
    outputs = attached.taken_out(parts.trace_id, parts.outputs)
    return _span_row(parts, model, used, inputs, outputs)


def stored_span_row(span: Span) -> tuple[Any, ...]:
    """Return the row of a span that a store has held before."""
    texts = (span.inputs_json, span.outputs_json)
    return _span_row(span._parts(), span.model, counts(span), *texts)


def _span_row(
    parts: Parts,
    model: str | None,
    used: Mapping[str, float],
    inputs: str | None,
    outputs: str | None,
) -> tuple[Any, ...]:
    return (
        parts.trace_id,
        parts.span_id,
        parts.parent_id,
        storable(parts.name),
        storable(parts.span_type),
        parts.start_time_ns,
        parts.end_time_ns,
        parts.status,
        None if model is None else storable(model),
        *map(used.get, COUNTS),
        storable(parts.status_message),
        inputs,
        outputs,
        *STORE.facts(parts),
    )


class Asked:
    """What open traces were asked: their roots are written again and again, as at each flush."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}

    def of(self, root: Span, inputs: str | None) -> str | None:
        """Return what a root was asked; the same inputs are read once.

        What is large is read only when the root has ended: till then its inputs may be set anew.
        """
        before, text = self._known.pop(root.trace_id, (None, ""))
        if inputs is None:
            return None
        ended = root.end_time_ns is not None
        if before != inputs:
            if not ended and len(inputs) > _READ_OPEN:
                return spoken.shortened(inputs)
            text = spoken.preview(inputs, reply=False, of_model=root.span_type in MODELS)
        if not ended:
            self._known[root.trace_id] = inputs, text
            if len(self._known) > _REMEMBERED:
                del self._known[next(iter(self._known))]
        return text


def trace_row(
    header: TraceHeader,
    experiment: int,
    root: tuple[Span, tuple[Any, ...]] | None,
    asked: Asked,
    *,
    with_spans: bool,
) -> tuple[Any, ...]:
    """Return a row in the order of the table's columns.

    Args:
        header: What is known of the trace without its spans.
        experiment: The number of its experiment.
        root: Its root span and the row of that, if they are written now.
        asked: What open traces were asked.
        with_spans: Whether spans of it are written now.
    """
    if root is None:
        facts = header_facts(header)
    else:
        span, row = root
        facts = root_facts(header, span, row[_INPUTS], row[_OUTPUTS], asked)
    whole = root is not None or header.own
    return (
        header.trace_id,
        experiment,
        *facts,
        this_process() if header.own else None,
        *_NO_SUMS,
        "" if whole else None,
        int(with_spans),
    )


def with_sums(row: tuple[Any, ...], sums: Sequence[float | None]) -> tuple[Any, ...]:
    """Return the row of a trace whose spans are written, with what they add up to."""
    *facts, root_id, _ = row
    return (*facts[: -len(COUNTS)], *sums, root_id, 0)


def header_facts(header: TraceHeader) -> tuple[Any, ...]:
    """Return what is known of a trace without a span: name, state, times, texts."""
    return (
        header.name and storable(header.name),
        TraceState.IN_PROGRESS.value,
        header.request_time,
        None,
        *_texts(header.client_request_id, header.request_preview, header.response_preview),
    )


def root_facts(
    header: TraceHeader, root: Span, inputs: str | None, outputs: str | None, asked: Asked
) -> tuple[Any, ...]:
    """Return the same with what its topmost span says.

    Args:
        header: What is known of the trace without its spans.
        root: That span.
        inputs: Its inputs without the binary content in them.
        outputs: Its outputs, the same.
        asked: What open traces were asked.
    """
    request = header.request_preview or asked.of(root, inputs)
    state, took, response = TraceState.IN_PROGRESS.value, None, header.response_preview
    if root.end_time_ns is not None:
        state = header.state or ("ERROR" if root._code == "ERROR" else "OK")
        took = (root.end_time_ns - root.start_time_ns) // 1_000_000
        if not response and outputs is not None:
            response = spoken.preview(outputs, reply=True, of_model=root.span_type in MODELS)
    return (
        storable(root.name),
        state,
        root.start_time_ns // 1_000_000,
        took,
        *_texts(header.client_request_id, request, response),
    )


def _texts(*texts: str | None) -> Iterator[str | None]:
    return (text and storable(text) for text in texts)


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
        "",
        1,
    )


def pair_rows(pairs: Iterable[tuple[TraceHeader, str, str]]) -> list[tuple[str, str, str]]:
    """Return the rows of tags or metadata."""
    return [(r.trace_id, storable(key), storable(value)) for r, key, value in pairs]


def read_span(row: Any) -> Span:
    """Return the span that a row holds."""
    return Span._stored(*STORE.read(row))


def in_chunks(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    """Return ids in parts that one statement takes."""
    return (ids[i : i + _IDS] for i in range(0, len(ids), _IDS))
