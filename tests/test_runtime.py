"""Runtimes side by side: each has settings, a recorder and a store of its own."""

import base64
import pickle
from pathlib import Path

import pytest
import spanlog
from spanlog import TracingClient, runtime
from spanlog.entities import Trace
from spanlog.store import StoreError

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
IMAGE = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"


def test_two_stores_work_side_by_side_in_one_process(tmp_path: Path) -> None:
    clients = [TracingClient(str(tmp_path / f"{name}.db")) for name in ("a", "b")]
    for round_ in range(3):
        for name, client in zip("ab", clients, strict=True):
            root = client.start_trace(f"{name}{round_}")
            client.end_trace(root.trace_id)
    with spanlog.start_span("here"):
        pass
    for name, client in zip("ab", clients, strict=True):
        found = client.search_traces(order_by=["timestamp_ms ASC"])
        assert sorted(trace.info.name for trace in found) == [f"{name}{n}" for n in range(3)]
    assert [trace.info.name for trace in spanlog.search_traces(return_type="list")] == ["here"]


def test_a_client_of_the_store_that_is_in_use_has_no_recorder_of_its_own() -> None:
    with spanlog.start_span("one"):
        pass
    client = TracingClient(spanlog.get_tracking_uri())
    assert [trace.info.name for trace in client.search_traces()] == ["one"]
    assert client._runtime is runtime.default()


def test_a_client_of_a_store_that_cannot_be_opened_says_so_and_moves_nothing() -> None:
    before = spanlog.get_tracking_uri()
    with pytest.raises(StoreError, match="cannot open the trace store"):
        TracingClient("/proc/no/spanlog.db")
    assert spanlog.get_tracking_uri() == before


def test_attachments_of_a_loaded_trace_come_from_the_store_it_came_from(tmp_path: Path) -> None:
    with spanlog.start_span("picture") as span:
        span.set_inputs({"image": IMAGE})
    trace = spanlog.get_trace(span.trace_id)
    assert trace is not None
    spanlog.set_tracking_uri(str(tmp_path / "other.db"))
    (attachment,) = trace.data.spans[0].attachments
    assert attachment.content == PNG
    again = pickle.loads(pickle.dumps(trace))
    with pytest.raises(StoreError, match="there is no attachment"):
        _ = again.data.spans[0].attachments[0].content
    read = Trace.from_json(trace.to_json())
    spanlog.set_tracking_uri(str(tmp_path / "spanlog.db"))
    assert read.data.spans[0].attachments[0].content == PNG


def test_feedback_of_a_client_goes_into_its_own_store(tmp_path: Path) -> None:
    client = TracingClient(str(tmp_path / "other.db"))
    root = client.start_trace("theirs")
    client.end_trace(root.trace_id)
    said = client.log_assessment(root.trace_id, spanlog.entities.Feedback(name="good", value=True))
    assert client.get_assessment(root.trace_id, said.assessment_id).value is True
    with pytest.raises(StoreError):
        spanlog.get_assessment(root.trace_id, said.assessment_id)
    assert client.delete_traces(trace_ids=[root.trace_id]) == 1


def test_a_live_span_that_a_program_copies_is_recorded_by_the_same_recorder() -> None:
    import copy

    with spanlog.start_span("held") as span:
        state = copy.deepcopy({"span": span})
        assert state["span"]._trace.recorder is span._trace.recorder
        assert pickle.loads(pickle.dumps(span)).name == "held"


def test_a_wrong_environment_variable_is_heard_of_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from spanlog.config import Settings

    monkeypatch.setenv("SPANLOG_QUEUE_MB", "1GB")
    settings = Settings()
    assert caplog.text == ""
    assert settings.queue_bytes == 512_000_000
    assert settings.queue_bytes == 512_000_000
    assert caplog.text.count("SPANLOG_QUEUE_MB is '1GB', not a number from 0 on; 512 is used") == 1
