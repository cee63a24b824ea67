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


@pytest.mark.stores
def test_what_is_added_comes_after_what_is_there_and_nothing_is_doubled() -> None:
    ids = [record(n) for n in range(4)]
    dataset = spanlog.create_dataset("golden", filter_string="expectation.answer = 1")
    found = spanlog.search_traces(order_by=["timestamp_ms", "trace_id"], return_type="list")
    assert dataset.merge_records(found[:3] + found[:1]) is dataset
    assert [r.trace_id for r in dataset] == [ids[1], ids[0], ids[2]]
    assert [r.expectations["answer"] for r in dataset] == [1, 0, 2]
    spanlog.log_expectation(trace_id=ids[0], name="answer", value=100)
    again = spanlog.get_dataset("golden").merge_records(found)
    assert [(r.trace_id, r.expectations["answer"]) for r in again] == [
        (ids[1], 1),
        (ids[0], 0),
        (ids[2], 2),
        (ids[3], 3),
    ]
    spanlog.delete_traces(trace_ids=ids)
    assert spanlog.get_attachment(again.records[3].inputs["image"]) == PICTURE
    with pytest.raises(StoreError, match="there is no trace"):
        spanlog.create_dataset("other").merge_records(found)
    spanlog.delete_dataset("golden")
    with pytest.raises(StoreError, match="there is no dataset 'golden'"):
        again.merge_records([])


def test_what_another_took_the_place_of_is_not_expected() -> None:
    id_ = record(1)
    (said,) = spanlog.get_trace(id_).info.assessments  # type: ignore[union-attr]
    spanlog.delete_assessment(id_, said.assessment_id or "")
    spanlog.log_expectation(trace_id=id_, name="answer", value=2)
    spanlog.log_feedback(trace_id=id_, name="good", value=True)
    assert [r.expectations for r in spanlog.create_dataset("golden")] == [{"answer": 2}]


def test_a_dataset_is_a_data_frame() -> None:
    pytest.importorskip("pandas")
    record(1)
    frame = spanlog.create_dataset("golden").to_df()
    assert list(frame.columns) == ["inputs", "outputs", "expectations", "trace_id"]
    assert list(frame["outputs"]) == [2]
    spanlog.create_dataset("more", filter_string="name = 'none'")
    frame = spanlog.get_dataset("more").merge_records(spanlog.search_traces()).to_df()
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
