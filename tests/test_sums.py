"""Sums are the store's: the same however often, in whatever order, by whatever process."""

import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import spanlog
from hypothesis import given
from hypothesis import strategies as st
from spanlog.entities import Span, Trace
from spanlog.model.header import TraceHeader
from spanlog.model.usage import ATTRIBUTES, Sums
from spanlog.record.span import RemoteSpan
from spanlog.runtime import current_store
from spanlog.store.filters import parse_filter
from spanlog.store.sql import SqlStore

TRACE = "a" * 32
NAMES = ("input_tokens", "output_tokens", "total_tokens")


def span(
    id_: str,
    parent: str | None,
    tokens: int = 0,
    began: int = 0,
    model: str = "m",
    ended: int | None = 10**9,
) -> Span:
    attributes = {ATTRIBUTES["input_tokens"]: tokens, "gen_ai.response.model": model}
    return Span._stored(
        TRACE,
        id_,
        parent,
        f"span {id_}",
        "LLM",
        began,
        ended,
        "UNSET" if ended is None else "OK",
        "",
        f'{{"messages":[{{"role":"user","content":"asked {id_}"}}]}}',
        f'{{"answer":"of {id_}"}}',
        attributes if tokens else {},
        [],
    )


# A tree in which calls are seen at several layers, and what it adds up to.
TREE = [
    span("root", None),
    span("agent", "root", 100),
    span("chain", "agent"),
    span("chat1", "chain", 7),
    span("outer", "root", 50),
    span("wire", "outer", 5, model="n"),
    span("alone", "root", 1),
]
TOTAL = 7 + 5 + 1


def write(store: SqlStore, *spans: Span, own: bool = True) -> None:
    store.write(spans, [TraceHeader(TRACE, "Default", own, request_time=1)])


def check(store: SqlStore, total: int = TOTAL) -> None:
    """See to it that row, opened trace, filters and charts say the same."""
    trace = store.get(TRACE)
    assert trace is not None
    assert trace.info.token_usage == {"input_tokens": total, "total_tokens": total}
    where = parse_filter(f"tokens = {total}")
    ids = [one.experiment_id for one in store.experiments()]
    charts = store.over_time(ids, where, 0, 10)
    assert sum(used.tokens for used in charts.models.values()) == total
    assert spanlog.model.usage.total(trace.data.spans) == trace.info.token_usage


@given(st.permutations(TREE), st.lists(st.integers(0, 6), max_size=4), st.integers(1, 7))
def test_sums_are_the_same_in_any_order_and_however_often(
    order: Sequence[Span], again: list[int], size: int
) -> None:
    store = SqlStore("sqlite://")
    spans = [*order, *(order[i] for i in again)]
    for i in range(0, len(spans), size):
        write(store, *spans[i : i + size])
    trace = store.get(TRACE)
    assert trace is not None
    assert trace.info.token_usage == {"input_tokens": TOTAL, "total_tokens": TOTAL}


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(-1, 9), st.integers(0, 5)), max_size=30))
def test_sums_that_grow_are_those_of_all_that_came_last(
    told: list[tuple[int, int, int]],
) -> None:
    grown, last = Sums(), {}
    for id_, parent, used in told:
        facts = (str(id_), None if parent < 0 else str(parent), "m", {"n": used} if used else {})
        if id_ in last and last[id_][1] != facts[1]:
            facts = (facts[0], last[id_][1], *facts[2:])  # a span stays where it is
        last[id_] = facts
        grown.put(*facts)
    whole = Sums()
    for facts in last.values():
        whole.put(*facts)
    assert {n: c for n, c in grown.total.items() if c} == {
        n: c for n, c in whole.total.items() if c
    }
    assert sorted(grown.counted()) == sorted(whole.counted())


@pytest.mark.stores
def test_another_process_that_writes_the_same_trace_is_counted() -> None:
    store = current_store()
    other = SqlStore(store.url)
    random.Random(1).shuffle(tree := list(TREE))
    for i, one in enumerate(tree):
        write(other if i % 2 else store, one)
    check(store)
    write(SqlStore(store.url), *TREE)  # as after a restart
    check(store)
    other.close()


def test_a_forked_childs_call_below_a_model_call_is_counted_once(
    one_trace: Callable[[], Trace],
) -> None:
    with spanlog.start_span("outer", "LLM") as outer:
        child = os.fork()
        if child == 0:
            with spanlog.start_span("inner", "LLM") as inner:
                inner.set_attribute(ATTRIBUTES["input_tokens"], 100)
            spanlog.flush()
            os._exit(0)
        os.waitpid(child, 0)
        outer.set_attribute(ATTRIBUTES["input_tokens"], 100)
    trace = one_trace()
    assert len(trace.data.spans) == 2
    assert trace.info.token_usage == {"input_tokens": 100, "total_tokens": 100}
    (light,) = spanlog.search_traces(filter_string="tokens = 100", return_type="list")
    assert light.info.token_usage == trace.info.token_usage


def facts(store: SqlStore) -> tuple[object, ...]:
    trace = store.get(TRACE)
    assert trace is not None
    info = trace.info
    return info.name, info.state.value, info.request_preview, info.execution_duration


@pytest.mark.stores
def test_a_trace_goes_by_the_topmost_span_that_is_known_until_its_root_comes() -> None:
    store = current_store()
    write(store, span("leaf", "middle", 3, began=30 * 10**6), own=False)
    assert facts(store) == ("span leaf", "OK", "asked leaf", 970)
    write(store, span("middle", "root", began=20 * 10**6), own=False)
    assert facts(store) == ("span middle", "OK", "asked middle", 980)
    write(store, span("late", "root", began=25 * 10**6), own=False)
    assert facts(store) == ("span middle", "OK", "asked middle", 980)
    write(store, span("root", None, began=10 * 10**6, ended=None))
    assert facts(store) == ("span root", "IN_PROGRESS", "asked root", None)
    write(store, span("later", "root", began=26 * 10**6), own=False)
    assert facts(store) == ("span root", "IN_PROGRESS", "asked root", None)
    write(store, span("root", None, began=10 * 10**6))
    assert facts(store) == ("span root", "OK", "asked root", 990)


def test_work_under_a_span_of_another_process_has_a_trace_here(
    one_trace: Callable[[], Trace], tmp_path: Path
) -> None:
    from spanlog.record.context import active

    remote = RemoteSpan(TRACE, "b" * 16, "Default")
    with active(remote), spanlog.start_span("served") as served:
        served.set_inputs({"question": "what?"})
        with spanlog.start_span("step"):
            pass
        served.set_outputs("that")
    assert spanlog.get_last_active_trace_id() == TRACE
    trace = one_trace()
    info = trace.info
    assert (info.trace_id, info.name, info.state.value) == (TRACE, "served", "OK")
    assert info.execution_duration is not None
    assert trace.data.request == '{"question":"what?"}'
    assert trace.data.response == '"that"'
    assert spanlog.create_dataset("golden").records[0].outputs == "that"
