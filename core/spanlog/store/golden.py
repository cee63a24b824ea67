"""Datasets as rows of a store: copies of what went into and came out of traces."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, NamedTuple

import orjson
import sqlalchemy as sa

from spanlog.model.assessments import Expectation
from spanlog.model.capture import capture, decode
from spanlog.model.dataset import DatasetRecord
from spanlog.store import assessed
from spanlog.store.errors import NotFoundError, StoreError
from spanlog.store.rows import in_chunks, read_span
from spanlog.store.schema import (
    assessments,
    attachments,
    dataset_attachments,
    dataset_records,
    datasets,
    spans,
    storable,
    traces,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any


class DatasetRows(NamedTuple):
    """A dataset with all that is in it."""

    dataset_id: str
    name: str
    create_time_ms: int
    records: list[DatasetRecord]


class DatasetSize(NamedTuple):
    """How large a dataset is, without what is in it."""

    name: str
    create_time_ms: int
    records: int


def create(connection: sa.Connection, name: str) -> str:
    """Make an empty dataset and return its id.

    Raises:
        StoreError: There is a dataset of that name, or the name is empty.
    """
    if not name:
        raise StoreError("a dataset must have a name")
    if _find(connection, name):
        raise StoreError(f"there is a dataset {name!r} already: delete it, or choose another name")
    id_ = f"d-{uuid.uuid4().hex}"
    row = {"dataset_id": id_, "name": storable(name), "create_time": time.time_ns() // 1_000_000}
    connection.execute(sa.insert(datasets).values(row))
    return id_


def add(connection: sa.Connection, name: str, trace_ids: Iterable[str]) -> int:
    """Add traces to a dataset, after those that are in it; these stay as they are.

    Returns:
        How many were not in it.

    Raises:
        StoreError: There is no such dataset or no such trace.
    """
    id_ = _find(connection, name)
    if id_ is None:
        raise NotFoundError(f"there is no dataset {name!r}")
    of_it = dataset_records.c.dataset_id == id_
    has = set(connection.scalars(sa.select(dataset_records.c.trace_id).where(of_it)))
    last = connection.scalar(sa.select(sa.func.max(dataset_records.c.number)).where(of_it))
    new = [trace_id for trace_id in dict.fromkeys(trace_ids) if trace_id not in has]
    first = 0 if last is None else last + 1
    for chunk in in_chunks(new):
        rows, content = _copies(connection, chunk)
        for number, row in enumerate(rows, first):
            row |= {"dataset_id": id_, "number": number}
        first += len(chunk)
        connection.execute(sa.insert(dataset_records), rows)
        _attach(connection, id_, content)
    return len(new)


def _copies(
    connection: sa.Connection, trace_ids: Sequence[str]
) -> tuple[list[dict[str, Any]], set[str]]:
    """Return what is kept of traces, and the SHA-256 of the binary content in it."""
    there = set(connection.scalars(sa.select(traces.c.trace_id).where(_of(traces, trace_ids))))
    for trace_id in trace_ids:
        if trace_id not in there:
            raise NotFoundError(f"there is no trace {trace_id!r}")
    is_root = sa.or_(spans.c.parent_id.is_(None), spans.c.span_id == traces.c.root_id)
    of_trace = spans.join(traces, traces.c.trace_id == spans.c.trace_id)
    roots = sa.select(spans).select_from(of_trace).where(_of(spans, trace_ids), is_root)
    found = connection.execute(roots.order_by(spans.c.start_time_ns.desc())).mappings()
    root = {row["trace_id"]: read_span(row) for row in found}
    said = sa.select(assessments).where(
        _of(assessments, trace_ids),
        assessments.c.kind == Expectation.kind,
        assessments.c.valid,
    )
    expected: dict[str, dict[str, Any]] = {}
    for row in connection.execute(said.order_by(assessments.c.create_time)).mappings():
        expected.setdefault(row["trace_id"], {})[row["name"]] = assessed.read(row).value
    rows = [
        {
            "trace_id": id_,
            "inputs": root[id_].inputs_json if id_ in root else None,
            "outputs": root[id_].outputs_json if id_ in root else None,
            "expectations": capture(expected.get(id_, {})).decode(),
        }
        for id_ in trace_ids
    ]
    return rows, {one.sha256 for span in root.values() for one in span.attachments}


def _of(table: sa.Table, trace_ids: Sequence[str]) -> sa.ColumnElement[bool]:
    return table.c.trace_id.in_(trace_ids)


def _attach(connection: sa.Connection, id_: str, content: set[str]) -> None:
    """Have a dataset hold on to binary content."""
    held = sa.select(dataset_attachments.c.sha256).where(dataset_attachments.c.dataset_id == id_)
    for sha256 in sorted(content - set(connection.scalars(held))):
        there = sa.select(sa.literal(id_), attachments.c.sha256).where(
            attachments.c.sha256 == sha256
        )
        connection.execute(
            sa.insert(dataset_attachments).from_select(["dataset_id", "sha256"], there)
        )


def get(connection: sa.Connection, name: str | None = None) -> list[DatasetRows]:
    """Return the dataset of a name, if there is one, or all, the oldest first."""
    query = sa.select(datasets).order_by(datasets.c.create_time, datasets.c.dataset_id)
    if name is not None:
        query = query.where(datasets.c.name == storable(name))
    return [
        DatasetRows(row.dataset_id, row.name, row.create_time, _records(connection, row.dataset_id))
        for row in connection.execute(query).all()
    ]


def sizes(connection: sa.Connection) -> list[DatasetSize]:
    """Return how large each dataset is, the oldest first."""
    query = (
        sa.select(datasets.c.name, datasets.c.create_time, sa.func.count(dataset_records.c.number))
        .outerjoin(dataset_records, dataset_records.c.dataset_id == datasets.c.dataset_id)
        .group_by(datasets.c.dataset_id, datasets.c.name, datasets.c.create_time)
        .order_by(datasets.c.create_time, datasets.c.dataset_id)
    )
    return [DatasetSize(*row) for row in connection.execute(query)]


def _records(connection: sa.Connection, dataset_id: str) -> list[DatasetRecord]:
    query = sa.select(dataset_records).where(dataset_records.c.dataset_id == dataset_id)
    return [
        DatasetRecord(
            decode(row.inputs), decode(row.outputs), orjson.loads(row.expectations), row.trace_id
        )
        for row in connection.execute(query.order_by(dataset_records.c.number))
    ]


def delete(connection: sa.Connection, name: str) -> bool:
    """Delete a dataset; return False if there is none of that name."""
    id_ = _find(connection, name)
    for table in (dataset_records, dataset_attachments, datasets):
        connection.execute(sa.delete(table).where(table.c.dataset_id == id_))
    return id_ is not None


def _find(connection: sa.Connection, name: str) -> str | None:
    query = sa.select(datasets.c.dataset_id).where(datasets.c.name == storable(name))
    return connection.scalar(query)
