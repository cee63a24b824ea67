"""From the end of a span to the store: in time, in bounds, and never in the caller's way."""

from __future__ import annotations

import gc
import logging
import sqlite3
import subprocess
import sys
import threading
import time
import tracemalloc
import weakref
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from spanlog import safety
from spanlog.record import Recorder, default_recorder
from spanlog.record.sink import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


Traces = "Callable[[], list[Trace]]"


@pytest.fixture
def rows(tmp_path: Path) -> Callable[[str], list[Any]]:
    """Return what reads the file as another program would, without a flush."""
    spanlog.flush()
    connection = sqlite3.connect(tmp_path / "spanlog.db", isolation_level=None)
    return lambda query: connection.execute(query).fetchall()


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Return a connection that keeps everybody else from writing until it rolls back."""
    record("before")
    assert spanlog.flush()
    connection = sqlite3.connect(
        tmp_path / "spanlog.db", isolation_level=None, check_same_thread=False
    )
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()
    until(spanlog.flush)


def record(name: str = "a", **attributes: object) -> str:
    with spanlog.start_span(name, attributes=attributes) as span:
        return span.span_id


def until(fact: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.005)


def test_a_span_is_in_the_store_soon_after_it_ended_without_any_flush(rows: Any) -> None:
    record("warm")
    until(lambda: rows("SELECT 1 FROM spans"))
    began = time.monotonic()
    record("a")
    until(lambda: rows("SELECT 1 FROM spans WHERE name = 'a'"))
    assert time.monotonic() - began < 5


@pytest.mark.slow
@pytest.mark.parametrize("setting_up", ["autolog()", "trace(len)", "start_span"])
@pytest.mark.stores
def test_the_writers_thread_imports_nothing_that_a_program_may_be_importing(
    tmp_path: Path, setting_up: str, tracking_uri: str
) -> None:
    code = f"""
import sys, threading, time
class Finder:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread():
            print(threading.current_thread().name, name, flush=True)
sys.meta_path.insert(0, Finder())
import spanlog
spanlog.{setting_up}
for n in range(2):
    with spanlog.start_span("chat", "CHAT_MODEL") as span:
        span.set_inputs({{"picture": b"x" * 10_000, "text": "\\ud800"}})
        span.set_attributes({{"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 3}})
        span.record_exception(ValueError("no"))
        spanlog.update_current_trace(tags={{"a": "b"}})
        time.sleep(1.2)
assert spanlog.flush()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_waits_is_written_in_one_transaction(
    rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanlog.record.recorder._GATHER", 1.0)
    record()
    spanlog.flush()
    seen = set()
    for _ in range(100):
        record("b")
    until(lambda: seen.add(n := rows("SELECT count(*) FROM spans WHERE name = 'b'")[0][0]) or n)
    assert seen <= {0, 100}


def test_a_span_open_for_a_second_is_written_while_it_runs(rows: Any) -> None:
    with spanlog.start_span("long") as span:
        span.set_inputs(1)
        until(lambda: rows("SELECT 1 FROM spans WHERE name = 'long' AND end_time_ns IS NULL"))
        assert rows("SELECT state, name FROM traces") == [("IN_PROGRESS", "long")]
    spanlog.flush()
    assert rows("SELECT count(*), count(end_time_ns) FROM spans") == [(1, 1)]


def test_a_short_span_is_written_once_it_has_ended_and_not_before(
    rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanlog.record.recorder._SHOW_OPEN_AFTER", 60.0)
    with spanlog.start_span("short"):
        record("child")
        until(lambda: rows("SELECT 1 FROM spans WHERE name = 'child'"))
        assert not rows("SELECT 1 FROM spans WHERE name = 'short'")


def test_each_read_sees_open_spans_as_they_are_then(traces: Traces) -> None:
    with spanlog.start_span("open") as span:
        for n in range(3):
            span.set_attribute("n", n)
            (trace,) = traces()
            assert trace.data.spans[0].attributes == {"n": n}
            assert trace.info.state == "IN_PROGRESS"


def test_an_open_span_that_the_program_lets_go_of_is_not_kept_in_memory() -> None:
    span = spanlog.start_span_no_context("abandoned")
    spanlog.flush()
    gone = weakref.ref(span)
    del span
    assert gone() is None


def test_a_flush_costs_little_where_nothing_waits() -> None:
    record()
    spanlog.flush()
    began = time.perf_counter()
    for _ in range(1000):
        assert spanlog.flush()
    assert time.perf_counter() - began < 10  # a wait for the writer is 50 ms


def test_a_flush_does_not_wait_for_a_batch_to_gather() -> None:
    took = []
    for _ in range(20):
        record()
        began = time.perf_counter()
        assert spanlog.flush()
        took.append(time.perf_counter() - began)
    assert min(took) < 0.03


def test_flushes_of_many_threads_all_return(traces: Traces) -> None:
    def work() -> None:
        for _ in range(50):
            record()
            assert spanlog.flush()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert len(traces()) == 400


def test_a_span_ended_by_the_garbage_collector_hangs_nothing(traces: Traces) -> None:
    class Abandoned:
        def __init__(self) -> None:
            self.cycle = self
            self.span = spanlog.start_span_no_context("abandoned")

        def __del__(self) -> None:
            self.span.end()

    before = gc.get_threshold()
    gc.set_threshold(7)
    try:
        for i in range(2000):
            Abandoned()
            record()
            if i % 100 == 0:
                assert spanlog.flush()
    finally:
        gc.set_threshold(*before)
        gc.collect()
    assert len(traces()) == 4000


def test_one_span_that_cannot_be_written_never_stops_the_others(
    traces: Traces, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(safety, "strict", False)
    for i in range(100):
        with spanlog.start_span("root"):
            record("child")
            with spanlog.start_span("poison" if i == 50 else "child") as span:
                span.start_time_ns = 2**70 if i == 50 else span.start_time_ns
    assert spanlog.flush()
    found = traces()
    assert sum(len(trace.data.spans) for trace in found) == 299
    assert {trace.info.state.value for trace in found} == {"OK"}
    assert default_recorder().dropped_spans == 1
    assert "writing traces" in caplog.text


def test_an_error_of_ours_in_the_writer_fails_the_test_that_caused_it() -> None:
    with spanlog.start_span("a") as span:
        span._read_later(lambda _: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        spanlog.flush()


def test_a_full_queue_leaves_out_whole_traces_warns_once_and_never_blocks(
    locked: Any, traces: Traces, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(default_recorder().settings, "queue_spans", 100)
    began = time.monotonic()
    for _ in range(200):
        with spanlog.start_span("root"):
            record("child")
    assert time.monotonic() - began < 20  # each of 200 might have waited
    locked.execute("ROLLBACK")
    until(spanlog.flush)
    found = [trace for trace in traces() if trace.info.name == "root"]
    assert {len(trace.data.spans) for trace in found} == {2}
    assert 30 <= len(found) < 100
    assert default_recorder().dropped_traces == 200 - len(found)
    assert caplog.text.count("the queue is full") == 1


def test_the_queue_is_bounded_in_bytes_too(
    locked: Any, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_recorder().settings, "queue_bytes", 1_000_000)
    for _ in range(100):
        with spanlog.start_span("big") as span:
            span.set_inputs("x" * 100_000)
    locked.execute("ROLLBACK")
    until(spanlog.flush)
    assert sum(trace.info.name == "big" for trace in traces()) == 8
    for _ in range(20):
        record("after")
    assert len(traces()) == 29


def test_a_trace_cut_short_by_a_full_queue_keeps_its_root_and_says_so(
    locked: Any, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_recorder().settings, "queue_spans", 100)
    with spanlog.start_span("root"):
        for _ in range(150):
            record("child")
    locked.execute("ROLLBACK")
    until(spanlog.flush)
    trace = next(trace for trace in traces() if trace.info.name == "root")
    assert trace.info.state == "OK"
    dropped = int(trace.info.trace_metadata["spanlog.dropped_spans"])
    assert len(trace.data.spans) - 1 + dropped - 1 == 150
    assert default_recorder().dropped_spans == dropped


def test_a_caller_waits_for_room_as_long_as_it_was_told_to(
    locked: Any, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_recorder().settings, "queue_spans", 10)
    monkeypatch.setattr(default_recorder().settings, "queue_wait", 0.3)
    for _ in range(8):
        record()
    began = time.monotonic()
    record("left out")
    assert 0.25 < time.monotonic() - began < 20
    monkeypatch.setattr(default_recorder().settings, "queue_wait", 30.0)
    threading.Timer(0.3, locked.execute, ["ROLLBACK"]).start()
    record("waited")
    assert default_recorder().dropped_traces == 1
    assert "waited" in [trace.info.name for trace in traces()]


def test_what_waited_while_the_store_was_locked_is_written_after_one_warning(
    tmp_path: Path, traces: Traces, monkeypatch: pytest.MonkeyPatch, caplog: Any, locked: Any
) -> None:
    from spanlog.store import database

    monkeypatch.setattr(database, "_PATIENCE", 0.3)
    caplog.set_level(logging.WARNING)
    for _ in range(50):
        record()
    until(lambda: "What is recorded waits in memory" in caplog.text)
    time.sleep(1)
    assert not spanlog.flush()
    assert caplog.text.count("What is recorded waits in memory") == 1
    locked.execute("ROLLBACK")
    until(lambda: "works again" in caplog.text)
    assert len(traces()) == 51
    assert default_recorder().dropped_spans == 0


def test_who_waits_while_the_store_turns_out_to_be_away_hears_of_it_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried, answers = threading.Semaphore(0), threading.Semaphore(0)

    class Away:
        def write(self, *_: object) -> None:
            tried.release()
            answers.acquire()
            raise Unavailable("away")

    monkeypatch.setattr(default_recorder(), "sink", Away())
    told: list[bool] = []
    try:
        record()
        tried.acquire()
        waiting = threading.Thread(target=lambda: told.append(default_recorder().flush(60.0)))
        waiting.start()
        until(lambda: default_recorder()._queue)
        answers.release()
        waiting.join(30)
        assert told == [False]
    finally:
        monkeypatch.undo()
        answers.release(100)


@pytest.mark.slow
def test_a_busy_program_does_not_starve_the_writer() -> None:
    for _ in range(5000):
        record()
    end = time.monotonic() + 10
    while default_recorder()._queue or default_recorder()._busy:
        sum(range(2000))  # holds Python's lock as long as Python lets it
        assert time.monotonic() < end


def test_recorded_spans_are_freed_without_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        with spanlog.start_span("root") as root, spanlog.start_span("child") as child:
            child.set_inputs({"a": [1]})
        gone = [weakref.ref(root), weakref.ref(child)]
        del root, child
        spanlog.flush()
        spanlog.get_current_active_span()
        until(lambda: [ref() for ref in gone] == [None, None])
    finally:
        gc.enable()


@pytest.mark.slow
def test_the_memory_that_spans_take_is_given_back() -> None:
    def work(n: int) -> None:
        for _ in range(n):
            with spanlog.start_span("root") as span:
                span.set_inputs({"query": "x" * 200})
        assert spanlog.flush()
        gc.collect()  # what SQLAlchemy leaves in cycles

    work(2000)
    tracemalloc.start()
    try:
        work(1000)
        before = tracemalloc.get_traced_memory()[0]
        work(10_000)
        assert tracemalloc.get_traced_memory()[0] - before < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_recorder_that_recorded_nothing_has_no_thread() -> None:
    fresh = Recorder()
    assert fresh.flush()
    fresh.close()
    assert fresh._thread is None


SETTINGS = {
    "SPANLOG_QUEUE_SPANS": "50000",
    "SPANLOG_QUEUE_MB": "512",
    "SPANLOG_QUEUE_WAIT": "0",
    "SPANLOG_ATTACHMENT_KB": "4",
    "SPANLOG_SEARCH_SECONDS": "10",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    "value", ["1GB", "-1", "nan", "inf", "1e400", "1e305", "9" * 5000, "\u0663"]
)
def test_a_setting_that_is_no_number_is_one_warning_and_the_default(
    tmp_path: Path, value: str
) -> None:
    code = """
import spanlog
spanlog.autolog()
with spanlog.start_span("a"):
    pass
assert spanlog.flush()
from spanlog.runtime import default
names = ("queue_wait", "attachment_bytes", "search_seconds")
print(*(getattr(default().settings, name) for name in names))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "LANG": "C.UTF-8", **dict.fromkeys(SETTINGS, value)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    if value != "\u0663":  # which is a three to Python
        assert done.stdout == "0 4000 10\n"
        assert sorted(done.stderr.splitlines()) == sorted(
            f"spanlog: {name} is {value!r}, not a number from 0 on; {default} is used"
            for name, default in SETTINGS.items()
        )


def test_what_is_put_off_waits_until_the_span_has_ended() -> None:
    read: list[str] = []
    with spanlog.start_span("model") as span:
        span._read_later(lambda span: read.append("done"))
        spanlog.flush()  # which writes open spans, too
        assert read == []
    spanlog.flush()
    assert read == ["done"]
