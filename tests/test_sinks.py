"""Sinks beside the store: whatever becomes of them, the store and the program go on."""

import threading
import time
from collections.abc import Callable, Sequence

import pytest
import spanlog
from spanlog import tracing
from spanlog.entities import Span, Trace
from spanlog.errors import Unavailable
from spanlog.model.header import TraceHeader
from spanlog.record.outlet import Outlet


class Kept:
    """A sink that keeps what it is handed."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.headers: list[TraceHeader] = []

    def write(self, spans: Sequence[Span], headers: Sequence[TraceHeader]) -> None:
        self.names += [span.name for span in spans]
        self.headers += headers


def record(*names: str) -> None:
    for name in names:
        with spanlog.start_span(name):
            spanlog.update_current_trace(tags={"of": name}, metadata={"m": "1"})


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_sink_beside_the_store_is_handed_what_the_store_is(
    traces: Callable[[], list[Trace]],
) -> None:
    kept = Kept()
    tracing.add_sink(kept)
    record("a", "b")
    tracing.remove_sink(kept)
    record("c")
    assert len(traces()) == 3
    assert [name for name in kept.names if name != "c"] == ["a", "b"]
    assert {header.tags.get("of") for header in kept.headers if header.tags} >= {"a", "b"}
    assert all(header.own and header.metadata == {"m": "1"} for header in kept.headers)


@pytest.mark.parametrize("how", ["raises", "is away", "hangs"])
def test_with_a_dead_sink_the_store_and_its_flush_are_as_without_it(
    how: str, traces: Callable[[], list[Trace]]
) -> None:
    free = threading.Event()

    class Dead:
        def write(self, *_: object) -> None:
            if how == "raises":
                raise RuntimeError("broken")
            if how == "is away":
                raise Unavailable("gone")
            free.wait(60)

    dead, kept = Dead(), Kept()
    tracing.add_sink(dead)
    tracing.add_sink(kept)
    try:
        began = time.monotonic()
        record(*"abcde")
        assert spanlog.flush()
        assert len(traces()) == 5
        assert time.monotonic() - began < 20
        until(lambda: kept.names == list("abcde"))
    finally:
        free.set()


def test_a_sink_that_is_away_for_a_while_gets_all_of_it_in_order() -> None:
    class Away(Kept):
        refused = 0

        def write(self, spans: Sequence[Span], headers: Sequence[TraceHeader]) -> None:
            if self.refused < 3:
                self.refused += 1
                raise Unavailable("the collector is away")
            super().write(spans, headers)

    away = Away()
    tracing.add_sink(away)
    record("a")
    spanlog.flush()
    record("b")
    until(lambda: away.names == ["a", "b"])


def test_what_a_sink_has_no_room_for_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    hold = threading.Event()

    class Slow(Kept):
        def write(self, spans: Sequence[Span], headers: Sequence[TraceHeader]) -> None:
            hold.wait(60)
            super().write(spans, headers)

    slow = Slow()
    outlet = Outlet(slow, spans=3)
    span = Span._stored("t", "s", None, "x", "TOOL", 0, 1, "OK", "", None, None, {}, [])
    for _ in range(10):
        outlet.put([span], [])
    hold.set()
    assert outlet.flush(30)
    outlet.close(1)
    assert outlet.lost == 10 - len(slow.names)
    assert outlet.lost > 0
    assert caplog.text.count("Slow does not keep up") == 1


def test_what_waits_for_a_sink_at_the_end_is_written_or_counted() -> None:
    kept = Kept()
    outlet = Outlet(kept)
    span = Span._stored("t", "s", None, "x", "TOOL", 0, 1, "OK", "", None, None, {}, [])
    outlet.put([span], [])
    outlet.close(30)
    assert (kept.names, outlet.lost) == (["x"], 0)
