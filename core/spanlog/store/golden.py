"""Datasets as rows of a store: copies of what went into and came out of traces."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import orjson
import sqlalchemy as sa

from spanlog.capture import capture, decode
from spanlog.entities import Dataset, DatasetRecord
from spanlog.store import StoreError
from spanlog.store.schema import (
    attachments,
    dataset_attachments,
    dataset_records,
    datasets,
    storable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanlog.entities import Trace


def put(connection: sa.Connection, name: str, found: Sequence[Trace]) -> Dataset:
    """Keep copies of what went into and came out of traces.

    Raises:
        StoreError: There is a dataset of that name.
    """
    if get(connection, name):
        raise StoreError(f"there is a dataset {name!r} already: delete it, or choose another name")
    id_ = f"d-{uuid.uuid4().hex}"
    row = {"dataset_id": id_, "name": storable(name), "create_time": time.time_ns() // 1_000_000}
    connection.execute(sa.insert(datasets).values(row))
    has: set[str] = set()
    for number, trace in enumerate(found):
        root = next((span for span in trace.data.spans if span.parent_id is None), None)
        said = trace.search_assessments(type="expectation")
        record = {
            "dataset_id": id_,
            "number": number,
            "trace_id": trace.info.trace_id,
            "inputs": root.inputs_json if root else None,
            "outputs": root.outputs_json if root else None,
            "expectations": capture({one.name: one.value for one in said}).decode(),
        }
        connection.execute(sa.insert(dataset_records).values(record))
        has.update(one.sha256 for one in (root.attachments if root else ()))
    for sha256 in sorted(has):
        there = sa.select(sa.literal(id_), attachments.c.sha256).where(
            attachments.c.sha256 == sha256
        )
        connection.execute(
            sa.insert(dataset_attachments).from_select(["dataset_id", "sha256"], there)
        )
    return get(connection, name)[0]


def get(connection: sa.Connection, name: str | None = None) -> list[Dataset]:
    """Return the dataset of a name, if there is one, or all, the oldest first."""
    query = sa.select(datasets).order_by(datasets.c.create_time, datasets.c.dataset_id)
    if name is not None:
        query = query.where(datasets.c.name == storable(name))
    return [
        Dataset(row.dataset_id, row.name, row.create_time, _records(connection, row.dataset_id))
        for row in connection.execute(query).all()
    ]


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
    query = sa.select(datasets.c.dataset_id).where(datasets.c.name == storable(name))
    id_ = connection.scalar(query)
    for table in (dataset_records, dataset_attachments, datasets):
        connection.execute(sa.delete(table).where(table.c.dataset_id == id_))
    return id_ is not None
