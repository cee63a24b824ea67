"""The book of open runs: what is recorded and what is current, however a framework tells of it."""

from __future__ import annotations

import contextvars
import gc
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from hypothesis import given
from hypothesis import strategies as st
from spanlog import safety, tracing
from spanlog.instrument import Run, Runs
from spanlog.model.capture import capture
from spanlog.record.context import CURRENT, current_span
from spanlog.record.span import LiveSpan

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanlog.entities import Trace

NOT_COMPLETED = {"spanlog.stream.completed": False}


def opens(name: str, **more: Any) -> Callable[[LiveSpan | None], Run]:
    """Return what opens the span of a run."""
    return lambda above: Run(LiveSpan(name, parent=above, **more))


def tree(trace: Trace) -> dict[str, str | None]:
    """Return the name of the span above each."""
    names = {span.span_id: span.name for span in trace.data.spans}
    return {span.name: names.get(span.parent_id or "") for span in trace.data.spans}


def elsewhere(call: Callable[..., Any], *args: Any) -> None:
    """Call in another thread, whose context is its own."""
    thread = threading.Thread(target=call, args=args)
    thread.start()
    thread.join()


def test_a_run_is_a_span_with_what_it_was_given_and_what_it_answered(one_trace):
    runs: Runs[Run] = Runs()
    runs.begin(1, lambda above: Run(LiveSpan("run", "TASK", above, capture({"a": 1}))))
    runs.end(1, {"b": 2})
    (span,) = one_trace().data.spans
    assert (span.name, span.span_type, span.inputs, span.outputs) == (
        *("run", "TASK"),
        *({"a": 1}, {"b": 2}),
    )
    assert span.status.status_code == "OK"
    assert len(runs) == 0


def test_a_run_goes_under_the_one_that_the_framework_names(one_trace):
    runs: Runs[Run] = Runs()
    runs.begin("a", opens("a"))
    runs.begin("b", opens("b"))
    runs.begin("c", opens("c"), parent="a")
    for key in "abc":
        runs.end(key)
    assert tree(one_trace()) == {"a": None, "b": "a", "c": "a"}


def test_a_run_goes_under_the_users_span_inside_the_run_around_it(one_trace):
    runs: Runs[Run] = Runs()
    runs.begin("a", opens("a"))
    with spanlog.start_span("user"):
        runs.begin("b", opens("b"), parent="a")
        runs.end("b")
    runs.end("a")
    assert tree(one_trace()) == {"a": None, "user": "a", "b": "user"}


def test_a_run_whose_parent_has_ended_or_is_not_known_goes_under_what_is_current(one_trace):
    runs: Runs[Run] = Runs()
    with spanlog.start_span("user"):
        runs.begin("a", opens("a"))
        runs.end("a")
        for parent in ("a", "unknown"):
            runs.begin(parent, opens(f"in {parent}"), parent=parent)
            runs.end(parent)
    assert tree(one_trace()) == {"user": None, "a": "user", "in a": "user", "in unknown": "user"}


def test_a_users_span_goes_under_the_run_that_is_current_and_not_under_one_that_is_not(traces):
    runs: Runs[Run] = Runs()
    runs.begin("a", opens("a"))
    runs.begin("b", opens("b"), current=False)
    with spanlog.start_span("user"):
        pass
    runs.end("b")
    runs.end("a")
    assert tree(traces()[0]) == {"a": None, "b": "a", "user": "a"}


STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 99)), max_size=30)


@given(steps=STEPS)
def test_what_is_current_is_the_last_begun_of_what_is_open_in_any_order_of_ends(quick, steps):
    runs: Runs[Run] = Runs()
    stopping = (runs.end, lambda key: runs.fail(key, ValueError()), runs.drop)
    begun: list[Run] = []
    with spanlog.start_span("outer") as outer:
        open_: dict[int, Run] = {}
        for number, (begins, which) in enumerate(steps):
            if begins or not open_:
                parent = [None, *open_][which % (len(open_) + 1)]
                above = current_span() if parent is None else open_[parent].span
                made = runs.begin(number, opens(str(number)), parent=parent)
                assert made is not None
                assert made.span.parent is above
                open_[number] = made
                begun.append(made)
            else:
                key = list(open_)[which % len(open_)]
                stopping[which % 3](key)
                ended = open_.pop(key).span
                assert ended.end_time_ns is not None
            last = open_[max(open_)].span if open_ else outer
            assert CURRENT.get() is last
            assert current_span() is last
            assert list(runs) == list(open_)
        runs.close()
        assert CURRENT.get() is outer
    assert all(run.span.end_time_ns is not None for run in begun)
    assert len(runs._left) == 0


@given(steps=STEPS)
def test_the_tree_is_the_frameworks_whatever_context_tells_of_it(quick, steps):
    runs: Runs[Run] = Runs()
    open_: dict[int, LiveSpan] = {}
    expected: list[tuple[Run | None, LiveSpan | None]] = []

    def anywhere(call: Callable[..., Any], *args: Any) -> Any:
        return contextvars.Context().run(call, *args)

    for number, (begins, which) in enumerate(steps):
        if begins or not open_:
            parent = [None, *open_][which % (len(open_) + 1)]

            def begin(key: int = number, parent: int | None = parent) -> Run | None:
                return runs.begin(key, opens(str(key)), parent=parent)

            made = anywhere(begin)
            expected.append((made, open_.get(-1 if parent is None else parent)))
            open_[number] = made.span
        else:
            key = list(open_)[which % len(open_)]
            anywhere(runs.end, key)
            del open_[key]
    runs.close()
    assert [run.span.parent for run, _ in expected] == [parent for _, parent in expected]
    assert CURRENT.get() is None


def test_a_run_that_ends_in_another_thread_is_no_longer_current(traces):
    runs: Runs[Run] = Runs()
    runs.begin("a", opens("a"))
    elsewhere(runs.end, "a")
    with spanlog.start_span("user"):
        pass
    assert [tree(trace) for trace in traces()] == [{"a": None}, {"user": None}]


def test_what_was_current_before_runs_that_end_elsewhere_is_not_kept():
    runs: Runs[Run] = Runs()
    for key in range(100):
        runs.begin(key, opens("run"))
        elsewhere(runs.end, key)
    gc.collect()
    assert len(runs._left) <= 1


def test_a_run_that_began_while_nothing_was_recorded_is_passed_over(traces):
    runs: Runs[Run] = Runs()
    with tracing.context(enabled=False):
        assert runs.begin("a", opens("a")) is None
    runs.begin("b", opens("b"), parent="a")
    runs.end("a", "nothing")
    runs.fail("a", ValueError())
    runs.drop("a")
    runs.end("b")
    assert [tree(trace) for trace in traces()] == [{"b": None}]


def test_a_run_that_is_not_to_be_recorded_is_passed_over(one_trace):
    runs: Runs[Run] = Runs()
    runs.begin("a", opens("a"))
    assert runs.begin("b", lambda _: None) is None
    assert len(runs) == 1
    runs.end("b")
    runs.end("a")
    assert tree(one_trace()) == {"a": None}


def test_a_beginning_that_is_told_twice_is_one_run(one_trace):
    runs: Runs[Run] = Runs()
    first = runs.begin("a", opens("first"))
    assert runs.begin("a", opens("second")) is None
    assert runs.get("a") is first
    runs.end("a", "first")
    runs.end("a", "second")
    (span,) = one_trace().data.spans
    assert (span.name, span.outputs) == ("first", "first")


def test_another_try_under_the_same_id_is_a_run_of_its_own(one_trace):
    runs: Runs[Run] = Runs()
    runs.begin("task", opens("task"))
    for name in ("first", "second"):
        runs.begin("try", opens(name), parent="task")
        runs.fail("try", ValueError(name)) if name == "first" else runs.end("try", "done")
    runs.end("task")
    trace = one_trace()
    assert tree(trace) == {"task": None, "first": "task", "second": "task"}
    assert [span.status.status_code for span in trace.data.spans] == ["OK", "ERROR", "OK"]


def test_a_hidden_run_is_no_span_and_what_is_in_it_goes_under_what_is_around_it(one_trace):
    runs: Runs[Run] = Runs()
    runs.begin("a", opens("a"))
    runs.begin("hidden", lambda above: Run(above, hidden=True) if above else None)
    runs.begin("b", opens("b"), parent="hidden")
    with spanlog.start_span("user"):
        pass
    for key in ("hidden", "b", "a"):
        runs.fail(key, ValueError(key))
    trace = one_trace()
    assert tree(trace) == {"a": None, "b": "a", "user": "b"}
    assert [event.attributes["exception.message"] for event in trace.data.spans[0].events] == ["a"]
    assert CURRENT.get() is None


def test_of_too_many_open_runs_the_oldest_are_dropped(traces):
    runs: Runs[Run] = Runs(limit=3)
    for key in range(5):
        runs.begin(key, opens(str(key)), current=False)
    assert list(runs) == [2, 3, 4]
    dropped = traces()[:2]
    assert [trace.data.spans[0].name for trace in dropped] == ["0", "1"]
    assert [trace.data.spans[0].attributes for trace in dropped] == [NOT_COMPLETED] * 2
    runs.close()


def test_a_run_is_dropped_when_its_owner_is_gone(one_trace):
    class Owner:
        pass

    runs: Runs[Run] = Runs()
    owner = Owner()
    runs.begin("a", opens("a"), owner=owner)
    del owner
    gc.collect()
    assert len(runs) == 0
    assert CURRENT.get() is None
    (span,) = one_trace().data.spans
    assert span.attributes == NOT_COMPLETED


def test_the_owner_of_a_run_that_has_ended_ends_no_other_of_its_id():
    class Owner:
        pass

    runs: Runs[Run] = Runs()
    owner = Owner()
    runs.begin("a", opens("a"), owner=owner)
    runs.end("a")
    again = runs.begin("a", opens("a"))
    del owner
    gc.collect()
    assert runs.get("a") is again
    runs.close()


def test_what_is_open_when_the_program_ends_is_kept(tmp_path):
    code = """
        import spanlog
        from spanlog.instrument.runs import Run, Runs
        from spanlog.record.span import LiveSpan

        spanlog.set_tracking_uri("here.db")
        runs = Runs()
        runs.begin("a", lambda above: Run(LiveSpan("a", parent=above)))
        runs.begin("b", lambda above: Run(LiveSpan("b", parent=above)))
    """
    program = [sys.executable, "-c", textwrap.dedent(code)]
    subprocess.run(program, cwd=tmp_path, check=True, timeout=60)
    spanlog.set_tracking_uri(str(tmp_path / "here.db"))
    (trace,) = spanlog.search_traces(return_type="list")
    assert tree(trace) == {"a": None, "b": "a"}
    assert [span.attributes for span in trace.data.spans] == [NOT_COMPLETED] * 2


@pytest.mark.parametrize(
    ("error", "told"), [(KeyError("mine"), "KeyError: 'mine'"), ("a text", "Exception: a text")]
)
def test_an_error_is_the_runs(one_trace, error, told):
    runs: Runs[Run] = Runs()
    runs.begin("a", opens("a"))
    runs.fail("a", error)
    (span,) = one_trace().data.spans
    assert (span.status.status_code, span.status.description) == ("ERROR", told)


def test_a_run_that_is_left_by_its_reader_is_no_error(one_trace):
    runs: Runs[Run] = Runs()
    runs.begin("a", opens("a"))
    runs.fail("a", GeneratorExit())
    (span,) = one_trace().data.spans
    assert (span.status.status_code, span.attributes) == ("OK", NOT_COMPLETED)


@pytest.mark.parametrize("raises", [True, False], ids=["raises", "returns"])
def test_an_error_that_a_framework_does_not_tell_of_is_seen_as_it_goes_by(one_trace, raises):
    runs: Runs[Run] = Runs()

    def work() -> None:
        runs.begin("a", opens("a"))
        try:
            if raises:
                raise ValueError("new")
        finally:
            error = runs.raised("a")
            runs.fail("a", error) if error else runs.end("a")

    def handle() -> None:
        try:
            raise KeyError("handled before")
        except KeyError:
            work()

    if raises:
        with pytest.raises(ValueError, match="new"):
            handle()
    else:
        handle()
    (span,) = one_trace().data.spans
    assert span.status.description == ("ValueError: new" if raises else "")


def test_of_a_run_that_is_not_known_no_error_is_seen():
    runs: Runs[Run] = Runs()
    try:
        raise ValueError
    except ValueError:
        assert runs.raised("a") is None


@pytest.mark.parametrize("where", ["open", "on_request", "on_response", "on_error", "on_drop"])
def test_an_integrations_own_error_is_reported_and_the_span_ends(
    traces, monkeypatch, caplog, where
):
    monkeypatch.setattr(safety, "strict", False)

    def ours(*_: Any) -> Any:
        raise RuntimeError("ours")

    class Broken(Run):
        pass

    setattr(Broken, where, ours)
    runs: Runs[Broken] = Runs()
    for end in (runs.end, lambda key: runs.fail(key, KeyError()), runs.drop):
        runs.begin("a", ours if where == "open" else lambda above: Broken(LiveSpan("a", "", above)))
        end("a")
        assert CURRENT.get() is None
    assert len(runs) == 0
    assert len(traces()) == (0 if where == "open" else 3)
    assert all(span.end_time_ns for trace in traces() for span in trace.data.spans)
    assert "RuntimeError" in caplog.text


def test_threads_that_end_each_others_runs_leave_none_open_or_current(quick):
    runs: Runs[Run] = Runs(limit=20)
    threads = 4
    begun: list[Run] = []

    def work(mine: int) -> None:
        for number in range(200):
            made = runs.begin((mine, number), opens("run"), parent=((mine + 1) % threads, number))
            begun.extend([made] if made else [])
            runs.end(((mine + 2) % threads, number))
            if number % 3:
                runs.drop((mine, number))

    pool = [threading.Thread(target=work, args=(mine,)) for mine in range(threads)]
    for thread in pool:
        thread.start()
    for thread in pool:
        thread.join()
    runs.close()
    assert len(begun) == 200 * threads
    assert all(run.span.end_time_ns is not None for run in begun)
    assert runs._current == set()
    assert len(runs) == 0
