"""Which span a span goes under, across calls, tasks and threads."""

import asyncio
import contextvars
import sys
import threading

import pytest
import spanlog
from spanlog import safety
from spanlog.record import context
from spanlog.record.span import LiveSpan


def tree(trace):
    """Give a trace as nested `{name: {...}}`; the names in it must differ."""
    nodes = {span.span_id: {} for span in trace.data.spans}
    top = {}
    for span in trace.data.spans:
        above = top if span.parent_id is None else nodes[span.parent_id]
        assert span.name not in above
        above[span.name] = nodes[span.span_id]
    return top


def start(name):
    return spanlog.start_span(name)


async def nap():
    for _ in range(3):
        await asyncio.sleep(0)


async def work(name, below=()):
    with start(name):
        await nap()
        for other in below:
            await work(other)
        await nap()


PAIR = {"root": {"a": {"a1": {}, "a2": {}}, "b": {"b1": {}}}}


def test_nested_calls_nest(one_trace):
    @spanlog.trace
    def leaf():
        return spanlog.get_current_active_span().name

    @spanlog.trace
    def root():
        assert leaf() == "leaf"
        with start("by hand"):
            leaf()

    root()
    assert tree(one_trace()) == {"root": {"leaf": {}, "by hand": {"leaf": {}}}}


async def test_gathered_coroutines_go_under_the_span_that_gathers(one_trace):
    with start("root"):
        await asyncio.gather(work("a", ["a1", "a2"]), work("b", ["b1"]))
    assert tree(one_trace()) == PAIR


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.TaskGroup is of Python 3.11")
async def test_tasks_of_a_group_go_under_the_span_that_made_them(one_trace):
    with start("root"):
        async with asyncio.TaskGroup() as group:
            group.create_task(work("a", ["a1", "a2"]))
            group.create_task(work("b", ["b1"]))
    assert tree(one_trace()) == PAIR


async def test_traced_coroutines_go_where_they_are_awaited(one_trace):
    @spanlog.trace
    async def later(x):
        await nap()
        return x

    pending = later(1)
    with start("root"):
        assert await pending == 1
        assert await asyncio.gather(*map(later, range(3))) == [0, 1, 2]
    names = [(s.name, s.parent_id is None) for s in one_trace().data.spans]
    assert names == [("root", True), *[("later", False)] * 4]


async def test_work_in_another_thread_goes_under_the_span_that_sent_it(one_trace):
    @spanlog.trace
    def blocking(x):
        with start("in the thread"):
            return x

    with start("root"):
        assert await asyncio.to_thread(blocking, 5) == 5
    assert tree(one_trace()) == {"root": {"blocking": {"in the thread": {}}}}


async def test_a_task_that_outlives_its_span_goes_on_above_it(traces):
    async def background(go):
        await go[0].wait()
        with start("after the child"):
            pass
        await go[1].wait()
        with start("after the root"):
            pass

    go = asyncio.Event(), asyncio.Event()
    with start("root"):
        with start("child"):
            task = asyncio.create_task(background(go))
            await nap()
        go[0].set()
        await nap()
    go[1].set()
    await task
    assert list(map(tree, traces())) == [
        {"root": {"child": {}, "after the child": {}}},
        {"after the root": {}},
    ]


def test_spans_ended_out_of_order_leave_nothing_current(traces):
    first, second = start("first"), start("second")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with start("under the second"):
        pass
    second.__exit__(None, None, None)
    assert spanlog.get_current_active_span() is None
    with start("next"):
        pass
    assert list(map(tree, traces())) == [
        {"first": {"second": {"under the second": {}}}},
        {"next": {}},
    ]


@pytest.mark.parametrize("in_thread", [True, False], ids=["thread", "task"])
async def test_a_span_may_be_ended_elsewhere(in_thread, traces):
    block = start("moved")
    block.__enter__()

    async def leave():
        block.__exit__(None, None, None)
        return spanlog.get_current_active_span()

    if in_thread:
        thread = threading.Thread(target=block.__exit__, args=(None, None, None))
        thread.start()
        thread.join()
    else:
        assert await asyncio.create_task(leave()) is None
    assert spanlog.get_current_active_span() is None
    with start("next"):
        pass
    assert list(map(tree, traces())) == [{"moved": {}}, {"next": {}}]


def test_a_generator_may_be_closed_in_another_thread(one_trace):
    @spanlog.trace
    def items():
        with start("inside"):
            yield 1
            yield 2

    with start("root") as root:
        running = items()
        next(running)
        thread = threading.Thread(target=running.close)
        thread.start()
        thread.join()
        assert spanlog.get_current_active_span() is root
    trace = one_trace()
    assert tree(trace) == {"root": {"items": {"inside": {}}}}
    assert all(span.end_time_ns for span in trace.data.spans)


def test_threads_do_not_see_each_others_spans(traces):
    def run(name):
        with start(name):
            ready.wait(10)
            with start(f"in {name}"):
                ready.wait(10)

    ready = threading.Barrier(8)
    threads = [threading.Thread(target=run, args=(str(n),)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [{str(n): {f"in {n}": {}}} for n in range(8)]
    assert sorted(map(tree, traces()), key=str) == expected


def test_a_copied_context_carries_the_current_span(one_trace):
    with start("root"):
        copied = contextvars.copy_context()
        thread = threading.Thread(
            target=copied.run, args=(lambda: start("there").__enter__().end(),)
        )
        thread.start()
        thread.join()
    assert tree(one_trace()) == {"root": {"there": {}}}


async def test_what_context_says_reaches_tasks_begun_inside_and_no_others(traces):
    async def outside():
        await begun.wait()
        with start("outside"):
            pass

    begun = asyncio.Event()
    before = asyncio.create_task(outside())
    await nap()
    with spanlog.tracing.context(tags={"a": "1"}):
        begun.set()
        await asyncio.gather(work("inside"), before)
    assert {t.info.name: t.info.tags for t in traces()} == {"inside": {"a": "1"}, "outside": {}}


def test_a_span_goes_under_the_innermost_of_what_is_current_and_what_frameworks_name(
    monkeypatch, one_trace
):
    named = []
    monkeypatch.setattr(context, "RESOLVERS", [lambda: named[-1] if named else None])
    with start("outer"):
        framework = LiveSpan("framework", parent=context.current_span())
        named.append(framework)
        with start("in the framework"), start("deeper"):
            pass
        framework.end()
        with start("after it"):
            pass
    assert tree(one_trace()) == {
        "outer": {
            "framework": {"in the framework": {"deeper": {}}},
            "after it": {},
        }
    }


def test_a_framework_that_cannot_be_asked_costs_no_call_and_no_span(one_trace, monkeypatch):
    def changed():
        raise AttributeError("of another version")

    @spanlog.trace
    def work():
        with spanlog.start_span("inner"):
            return 1

    monkeypatch.setattr(safety, "strict", False)
    monkeypatch.setattr(context, "RESOLVERS", [changed])
    assert work() == 1
    outer, inner = one_trace().data.spans
    assert inner.parent_id == outer.span_id
