"""Golden sets: what a search found is kept under a name, whatever becomes of the traces."""

from __future__ import annotations

import base64
import sqlite3
from typing import TYPE_CHECKING

import pytest
import spanlog
from spanlog.store import StoreError
from spanlog.store.schema import VERSION

if TYPE_CHECKING:
    from pathlib import Path

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
PNG = "data:image/png;base64," + base64.b64encode(PICTURE).decode()


def record(n: int) -> str:
    with spanlog.start_span("agent") as span:
        span.set_inputs({"n": n, "image": PNG})
        span.set_outputs(n * 2)
    spanlog.log_expectation(trace_id=span.trace_id, name="answer", value=n)
    return str(span.trace_id)


def test_a_dataset_stays_when_its_traces_are_deleted(tmp_path: Path) -> None:
    ids = [record(n) for n in range(3)]
    made = spanlog.create_dataset(
        "golden", filter_string="expectation.answer > 0", order_by=["timestamp_ms"]
    )
    assert spanlog.get_dataset("golden") == made
    assert spanlog.search_datasets() == [made]
    assert sorted(record.trace_id for record in made) == sorted(ids[1:])
    spanlog.delete_traces(trace_ids=ids)
    again = spanlog.get_dataset("golden")
    assert again == made
    assert {r.trace_id: (r.inputs["n"], r.outputs, r.expectations) for r in again} == {
        ids[n]: (n, n * 2, {"answer": n}) for n in (1, 2)
    }
    assert spanlog.get_attachment(again.records[0].inputs["image"]) == PICTURE
    spanlog.delete_dataset("golden")
    with pytest.raises(StoreError, match="no attachment"):
        spanlog.get_attachment(again.records[0].inputs["image"])


def test_a_dataset_is_a_data_frame() -> None:
    pytest.importorskip("pandas")
    record(1)
    frame = spanlog.create_dataset("golden").to_df()
    assert list(frame.columns) == ["inputs", "outputs", "expectations", "trace_id"]
    assert list(frame["outputs"]) == [2]


def test_a_name_is_given_once() -> None:
    assert len(spanlog.create_dataset("golden")) == 0
    with pytest.raises(StoreError, match="there is a dataset 'golden' already"):
        spanlog.create_dataset("golden")
    for missing in (spanlog.get_dataset, spanlog.delete_dataset):
        with pytest.raises(StoreError, match="there is no dataset 'other'"):
            missing("other")


def test_a_store_of_an_older_schema_gets_datasets(tmp_path: Path) -> None:
    record(1)
    spanlog.flush()
    spanlog.set_tracking_uri(str(tmp_path / "another.db"))
    db = sqlite3.connect(tmp_path / "spanlog.db")
    for table in ("datasets", "dataset_records", "dataset_attachments"):
        db.execute(f"DROP TABLE {table}")
    db.execute("UPDATE spanlog_schema SET version = 3")
    db.commit()
    db.close()
    spanlog.set_tracking_uri(str(tmp_path / "spanlog.db"))
    assert len(spanlog.create_dataset("golden")) == 1
    db = sqlite3.connect(tmp_path / "spanlog.db")
    assert db.execute("SELECT version FROM spanlog_schema").fetchone() == (VERSION,)
