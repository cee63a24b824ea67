"""Work that is started in a pool or a thread goes under the span in which it was started."""

from __future__ import annotations

import gc
import multiprocessing
import threading
import time
import weakref
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from spanlog import tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spanlog.entities import Trace


@pytest.fixture(autouse=True)
def autolog() -> Iterator[Callable[..., None]]:
    spanlog.threads.autolog()
    yield spanlog.threads.autolog
    spanlog.threads.autolog(disable=True)
    spanlog.threads.integration.explicit = False


@pytest.fixture
def tree(traces: Callable[[], list[Trace]]) -> Callable[[], dict[str, str | None]]:
    """Give the name of each span's parent; all must be of one trace."""

    def read() -> dict[str, str | None]:
        (trace,) = traces()
        names = {span.span_id: span.name for span in trace.data.spans}
        return {span.name: names.get(span.parent_id or "") for span in trace.data.spans}

    return read


@spanlog.trace
def work(number: int = 0) -> int:
    if number < 0:
        raise ValueError(number)
    return number + 1


@spanlog.trace
def many(count: int) -> list[int]:
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, range(count)))


class Stubborn(Exception):
    """An error that is pickled in its own way."""

    def __init__(self, one: str, two: int) -> None:
        super().__init__(one)
        self.two = two

    def __reduce__(self) -> Any:
        return Stubborn, (self.args[0], self.two)


def fail() -> None:
    raise Stubborn("one", 2)


def pool_of(kind: str) -> Executor:
    if kind == "threads":
        return ThreadPoolExecutor(2)
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(kind))


KINDS = ("threads", "fork", pytest.param("spawn", marks=pytest.mark.slow))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["submit", "map"])
def test_work_of_a_pool_goes_under_the_span_that_gave_it(
    tree: Callable[[], dict[str, str | None]], kind: str, way: str
) -> None:
    with pool_of(kind) as pool, spanlog.start_span("outer"):
        if way == "submit":
            assert pool.submit(work, 1).result() == pool.submit(work, number=1).result() == 2
        else:
            assert list(pool.map(work, [1, 2, 3], chunksize=2)) == [2, 3, 4]
    assert tree() == {"outer": None, "work": "outer"}


@pytest.mark.parametrize("kind", ["threads", "fork"])
def test_nested_pools_are_one_tree(
    tree: Callable[[], dict[str, str | None]], traces: Callable[[], list[Trace]], kind: str
) -> None:
    with pool_of(kind) as pool, spanlog.start_span("outer"):
        assert pool.submit(many, 3).result() == [1, 2, 3]
    assert tree() == {"outer": None, "many": "outer", "work": "many"}
    assert len(traces()[0].data.spans) == 5


@pytest.mark.parametrize("kind", KINDS)
def test_errors_of_a_pool_are_as_ever(kind: str) -> None:
    with pool_of(kind) as pool:
        with spanlog.start_span("outer"):
            traced = pool.submit(fail).exception()
        plain = pool.submit(fail).exception()
        with spanlog.start_span("outer"), pytest.raises(TypeError, match="argument"):
            pool.submit()  # type: ignore[call-arg]
    assert type(traced) is type(plain) is Stubborn
    assert traced.args == plain.args == ("one",)
    assert traced.two == plain.two == 2


@pytest.mark.parametrize("kind", KINDS)
def test_each_piece_of_work_has_the_parent_of_its_own_submission(
    traces: Callable[[], list[Trace]], kind: str
) -> None:
    futures: list[Future[int]] = []
    with pool_of(kind) as pool:
        for number in range(6):
            with spanlog.start_span(f"outer {number}"):
                futures.append(pool.submit(work, number))
                futures[-1].result()
        pool.submit(work, 7).result()
    found = traces()
    assert [len(trace.data.spans) for trace in found] == [2] * 6 + [1]
    for number, trace in enumerate(found[:6]):
        assert [span.name for span in trace.data.spans] == [f"outer {number}", "work"]
        assert trace.data.spans[1].inputs == {"number": number}


@pytest.mark.parametrize("kind", KINDS)
def test_work_given_outside_any_span_is_no_part_of_the_span_that_started_the_worker(
    traces: Callable[[], list[Trace]], kind: str
) -> None:
    inside, outside = threading.Event(), threading.Event()

    def first(pool: Executor) -> None:
        with spanlog.start_span("outer"):
            pool.submit(work, 1).result()
            inside.set()
            outside.wait()

    with pool_of(kind) as pool:
        thread = threading.Thread(target=first, args=(pool,))
        thread.start()
        inside.wait()
        pool.submit(work, 2).result()
        outside.set()
        thread.join()
    assert [[span.name for span in trace.data.spans] for trace in traces()] == [
        ["outer", "work"],
        ["work"],
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_disabled_here_is_disabled_there_and_tags_go_along(
    traces: Callable[[], list[Trace]], kind: str
) -> None:
    with pool_of(kind) as pool:
        with spanlog.start_span("outer"), tracing.context(enabled=False):
            pool.submit(work).result()
        with tracing.context(tags={"who": "me"}):
            pool.submit(work).result()
    outer, alone = traces()
    assert [span.name for span in outer.data.spans] == ["outer"]
    assert alone.info.tags["who"] == "me"


class OwnRun(threading.Thread):
    def run(self) -> None:
        work(1)


def timer() -> threading.Thread:
    return threading.Timer(0.001, work, [1])


def with_own_run() -> threading.Thread:
    thread = threading.Thread()
    thread.run = lambda: work(1)  # type: ignore[assignment,method-assign,return-value]
    return thread


MAKERS = {
    "target": lambda: threading.Thread(target=work, args=(1,)),
    "subclass": OwnRun,
    "timer": timer,
    "replaced": with_own_run,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_thread_goes_under_the_span_that_started_it_and_keeps_nothing_of_ours(
    tree: Callable[[], dict[str, str | None]], kind: str
) -> None:
    thread = MAKERS[kind]()
    before = dict(vars(thread)).get("run")
    with spanlog.start_span("outer"):
        thread.start()
        thread.join()
    assert tree() == {"outer": None, "work": "outer"}
    assert vars(thread).get("run") is before
    gc.collect()
    gc.disable()
    try:
        held = weakref.ref(thread)
        del thread
        for _ in range(100):
            if held() is None:
                break
            time.sleep(0.01)
        assert held() is None
    finally:
        gc.enable()


def test_a_thread_that_cannot_start_is_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    for name in ("_start_new_thread", "_start_joinable_thread"):
        monkeypatch.setattr(threading, name, no_thread, raising=False)
    thread = threading.Thread(target=work)
    with spanlog.start_span("outer"), pytest.raises(RuntimeError, match="can't start"):
        thread.start()
    assert "run" not in vars(thread)


def test_a_thread_that_is_started_twice_fails_as_ever() -> None:
    with spanlog.start_span("outer"):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        with pytest.raises(RuntimeError, match="once"):
            thread.start()
    assert "run" not in vars(thread)


def test_a_thread_that_fails_tells_the_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    with spanlog.start_span("outer"):
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
    assert seen[0].exc_type is Stubborn
    assert seen[0].exc_value.two == 2
    assert seen[0].thread is thread


def test_a_span_that_has_ended_is_not_the_parent_of_what_a_thread_does_later(
    traces: Callable[[], list[Trace]],
) -> None:
    gate = threading.Event()

    def later() -> None:
        gate.wait()
        work(1)

    with spanlog.start_span("outer"):
        thread = threading.Thread(target=later)
        thread.start()
    gate.set()
    thread.join()
    assert [[span.name for span in trace.data.spans] for trace in traces()] == [["outer"], ["work"]]


def test_off_puts_pythons_own_functions_back(
    autolog: Callable[..., None], traces: Callable[[], list[Trace]]
) -> None:
    places = [
        (ThreadPoolExecutor, "submit"),
        (ProcessPoolExecutor, "submit"),
        (threading.Thread, "start"),
    ]
    on = [vars(owner)[name] for owner, name in places]
    autolog()
    spanlog.autolog()
    assert [vars(owner)[name] for owner, name in places] == on
    autolog(log_traces=False)
    off = [vars(owner)[name] for owner, name in places]
    assert [type(function).__name__ for function in off] == ["function"] * 3
    with spanlog.start_span("outer"), ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()
    assert len(traces()) == 2
    autolog()
    autolog(disable=True)
    assert all(vars(owner)[name] is f for (owner, name), f in zip(places, off, strict=True))
