"""What every integration with a provider's SDK does; a test module imports it all (`*`).

The sections go by the rules of the engine in the design: a call and its errors (1, 2), streams (3,
4), tasks, threads and the tree (5, 9), on and off (6, 10), no difference to the program (7, 8, 11).
The engine's own tests, with a library that can do anything, are in `test_patching.py` and
`test_streams.py`.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import json
import pickle
import re
import subprocess
import sys
import textwrap
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import spanlog
from spanlog import safety, tracing
from spanlog.record.span import LiveSpan
from spanlog.testing.alike import compared, seen, seen_async
from spanlog.testing.fixtures import autolog as autolog
from spanlog.testing.fixtures import calls as calls
from spanlog.testing.fixtures import one as one
from spanlog.testing.fixtures import server as server
from spanlog.testing.fixtures import spans as spans
from spanlog.testing.fixtures import store as store
from spanlog.testing.fixtures import traces as traces
from spanlog.testing.fixtures import untraced as untraced

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spanlog.entities import Span
    from spanlog.testing.library import Calls, Library
    from spanlog.testing.loopback import Loopback


def ended(span: Span) -> tuple[str, Any]:
    """Say how a span ended, and whether its stream was read to the end."""
    assert span.end_time_ns is not None
    return span.status.status_code.value, span.attributes.get("spanlog.stream.completed", True)


# A whole reply.


async def test_a_call_is_a_span_with_what_was_asked_and_answered(
    calls: Calls, one: Callable[[], Span]
) -> None:
    reply = await calls.plain("plain")
    text = calls.library.text["plain"]
    span = one()
    assert calls.library.text_of(reply) == calls.library.text_recorded(span.outputs) == text
    assert span.span_type == "CHAT_MODEL"
    assert span.attributes["gen_ai.request.model"] == "plain"
    assert span.model == calls.library.answered("plain")
    assert "Hi" in json.dumps(span.inputs)
    assert ended(span) == ("OK", True)


@pytest.mark.parametrize("way", ["whole", "streamed"])
async def test_what_was_said_reads_the_same_in_every_library(
    calls: Calls, one: Callable[[], Span], way: str
) -> None:
    if way == "whole":
        await calls.plain("plain")
    else:
        await calls.read_all(await calls.stream("plain"))
        await calls.collect()
    said = [(message.role, message.text) for message in one().chat_messages]
    assert said == [("user", "Hi"), ("assistant", calls.library.text["plain"])]


async def test_a_raw_reply_is_recorded_and_parsed_as_ever(
    calls: Calls, one: Callable[[], Span]
) -> None:
    reply = await calls.raw("plain")
    assert calls.library.text_of(await calls.now(reply.parse())) == calls.library.text["plain"]
    assert calls.library.text_recorded(one().outputs) == calls.library.text["plain"]


async def test_a_raw_stream_is_recorded_and_parsed_as_ever(
    calls: Calls, one: Callable[[], Span]
) -> None:
    reply = await calls.raw("plain", stream=True)
    chunks = await calls.read_all(await calls.now(reply.parse()))
    await calls.collect()
    assert "".join(map(calls.library.text_of_chunk, chunks)) == calls.library.text["plain"]
    assert calls.library.text_recorded(one().outputs) == calls.library.text["plain"]


@pytest.mark.parametrize("way", ["read", "lines", "left"])
async def test_a_streaming_response_is_recorded_as_far_as_it_is_read(
    calls: Calls, one: Callable[[], Span], way: str
) -> None:
    manager = calls.library.streaming_response(calls.client, "plain")
    if manager is None:
        pytest.skip("this version has no streaming responses")
    reply = await calls.enter(manager)
    assert one().end_time_ns is None
    if way == "read":
        assert calls.library.text["plain"].encode() in await calls.now(reply.read())
    elif way == "lines":
        await calls.read_all(reply.iter_lines())
    await calls.leave(manager)
    span = one()
    assert ended(span) == ("OK", way != "left")
    if way == "left":
        assert span.outputs is None
    else:
        assert calls.library.text_recorded(span.outputs) == calls.library.text["plain"]


# A stream, and the many ways in which it ends.


async def test_a_stream_is_one_span_with_the_whole_reply(
    calls: Calls, one: Callable[[], Span]
) -> None:
    stream = await calls.stream("plain")
    chunks = await calls.read_all(stream)
    await calls.collect()
    span = one()
    assert "".join(map(calls.library.text_of_chunk, chunks)) == calls.library.text["plain"]
    assert calls.library.text_recorded(span.outputs) == calls.library.text["plain"]
    assert span.model == calls.library.answered("plain")
    assert span.attributes["spanlog.stream.chunks"] >= len(chunks) - 1
    assert 0 < span.attributes["gen_ai.response.time_to_first_chunk"] * 1e9 < span.duration_ns
    assert ended(span) == ("OK", True)


class Cycle:
    """Something that holds a stream and itself."""

    def __init__(self, held: Any) -> None:
        self.me, self.held = self, held


@pytest.mark.parametrize("way", ["close", "with", "break", "cycle", "unread", "unread close"])
async def test_a_stream_that_is_left_early_keeps_what_had_arrived(
    calls: Calls, one: Callable[[], Span], way: str
) -> None:
    if way == "with":
        calls.need_stream_manager()
    if way.endswith("close"):
        calls.need_close()
    if way.startswith("unread") and calls.library.lazy:
        pytest.skip("nothing is sent before a stream is read")
    stream = await calls.stream("long-slow")
    if not way.startswith("unread"):
        iterator = calls.iterate(stream)
        await calls.read(iterator, calls.library.until_text)
        assert ended_or_open(one()) == "open"
        del iterator
    if way == "with":
        await calls.enter(stream)
        await calls.leave(stream)
    elif way.endswith("close"):
        await calls.close(stream)
    elif way == "cycle":
        Cycle(stream)
    if way in ("break", "cycle", "unread"):
        del stream
        await calls.collect()
    span = one()
    assert ended(span) == ("OK", False)
    if not way.startswith("unread"):
        got = calls.library.text_recorded(span.outputs)
        assert got
        assert calls.library.text["long"].startswith(got)
        assert 2 <= span.attributes["spanlog.stream.chunks"] < 20


def ended_or_open(span: Span) -> str:
    return "open" if span.end_time_ns is None else "ended"


@pytest.mark.parametrize("way", ["close", "collect", "read on"])
async def test_a_stream_that_is_held_stays_open_until_it_is_let_go(
    calls: Calls, one: Callable[[], Span], way: str
) -> None:
    if way == "close":
        calls.need_close()
    stream = await calls.stream("plain-slow")
    iterator = calls.iterate(stream)
    await calls.read(iterator, 1)
    await calls.collect()
    assert ended_or_open(one()) == "open"
    if way == "close":
        await calls.close(stream)
    elif way == "read on":
        await calls.read_all(iterator)
    del stream, iterator
    await calls.collect()
    assert ended(one()) == ("OK", way == "read on")


async def test_user_code_that_raises_in_a_with_block_ends_the_stream(
    calls: Calls, one: Callable[[], Span]
) -> None:
    calls.need_stream_manager()
    stream = await calls.stream("long-slow")
    mine = KeyError("mine")
    await calls.enter(stream)
    await calls.read(calls.iterate(stream), 1)
    assert not await calls.leave(stream, mine)
    assert ended(one()) == ("OK", False)


async def test_a_stream_may_be_read_and_closed_in_other_threads_and_tasks(
    calls: Calls, one: Callable[[], Span]
) -> None:
    stream = await calls.stream("plain")
    if calls.is_async:
        chunks = await asyncio.create_task(calls.read_all(stream))
    else:
        with ThreadPoolExecutor() as pool:
            chunks = pool.submit(list, stream).result()
    await calls.collect()
    assert "".join(map(calls.library.text_of_chunk, chunks)) == calls.library.text["plain"]
    assert ended(one()) == ("OK", True)


async def test_tracing_turned_off_in_mid_stream_lets_the_span_finish(
    calls: Calls, autolog: Callable[..., None], one: Callable[[], Span]
) -> None:
    iterator = calls.iterate(await calls.stream("plain-slow"))
    await calls.read(iterator, 2)
    autolog(disable=True)
    await calls.read_all(iterator)
    del iterator
    await calls.collect()
    assert calls.library.text_recorded(one().outputs) == calls.library.text["plain"]
    assert ended(one()) == ("OK", True)


# Cancelled.


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("way", ["wait_for", "cancel"])
async def test_a_cancelled_call_is_cancelled_and_recorded(
    calls: Calls, one: Callable[[], Span], way: str, streamed: bool
) -> None:
    if not calls.is_async:
        pytest.skip("only tasks are cancelled")
    if not calls.library.can_be_cancelled():
        pytest.skip("this version cannot be cancelled")
    library, got = calls.library, []

    async def work() -> None:
        if not streamed:
            await calls.plain("hang")
        async for chunk in await calls.stream("plain-hang"):
            got.append(chunk)

    if way == "wait_for":
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(work(), 0.2)
    else:
        task = asyncio.create_task(work())
        await asyncio.sleep(0.2)
        if task.done():
            task.result()  # that the test was skipped
        assert task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
    await calls.collect()
    span = one()
    assert span.status.status_code == "ERROR"
    assert span.status.description.startswith("CancelledError")
    assert [event.name for event in span.events] == ["exception"]
    assert len(got) == streamed
    if streamed:
        assert library.text["plain"].startswith(library.text_recorded(span.outputs))


# Failed.


@pytest.mark.parametrize("model", ["bad", "unauthorized", "limit", "broken"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
async def test_an_error_reply_is_one_failed_span(
    calls: Calls, one: Callable[[], Span], model: str, streamed: bool
) -> None:
    with pytest.raises(Exception, match=calls.library.refused) as caught:
        await (calls.read_stream if streamed else calls.plain)(model)
    span = one()
    assert span.status.status_code == "ERROR"
    assert span.status.description.startswith(type(caught.value).__name__)
    assert [event.name for event in span.events] == ["exception"]
    assert 400 <= span.attributes["http.response.status_code"] <= 500
    assert span.attributes["error.type"]


async def test_retries_are_one_span(
    calls: Calls, server: Loopback, spans: Callable[[], list[Span]]
) -> None:
    calls.client = calls.new_client(retries=2)
    with pytest.raises(Exception, match=calls.library.refused):
        await calls.plain("broken")
    await calls.plain("flaky-plain", f"once {calls.is_async} {id(calls)}")
    assert len(server.requests) == 3 + 2
    assert [span.status.status_code.value for span in spans()] == ["ERROR", "OK"]


@pytest.mark.parametrize("model", ["cut", "errorevent"])
async def test_an_error_in_mid_stream_keeps_what_had_arrived(
    calls: Calls, one: Callable[[], Span], model: str
) -> None:
    outcome = await calls.outcome(calls.read_stream(model))
    assert "error" in outcome.lower()
    await calls.collect()
    span = one()
    assert span.status.status_code == "ERROR"
    got, said = calls.library.text_recorded(span.outputs), calls.library.text
    assert got
    assert any(text.startswith(got) for text in (said["plain"], said.get(model, "")))


# The program sees no difference.


async def check_same(
    calls: Calls, autolog: Callable[..., None], server: Loopback, call: Callable[[], Any]
) -> None:
    """A call gives the same and sends the same, untraced and traced."""
    untraced = await calls.outcome(call())
    autolog()
    assert await calls.outcome(call()) == untraced
    await calls.collect()
    changing = calls.library.changing
    sent = [(r.method, r.path, r.query, r.body, sorted(r.headers.items())) for r in server.requests]
    texts = [re.sub(rf"'({changing})', '[^']*'", "", repr(request)) for request in sent]
    half = len(texts) // 2
    assert texts[half:] == texts[:half]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(
    "model", ["plain", "tools", "n2", "long-split-crlf", "cut", "errorevent", "bad", "unauthorized"]
)
async def test_the_answer_the_error_and_the_request_are_the_same_as_untraced(
    untraced: Calls, autolog: Callable[..., None], server: Loopback, model: str, streamed: bool
) -> None:
    call = untraced.read_stream if streamed else untraced.plain
    await check_same(untraced, autolog, server, lambda: call(model))


_ODD: dict[str, Callable[[], Any]] = {
    "lone surrogate": lambda: "\ud800",
    "nan": lambda: float("nan"),
    "object": object,
    "bytes": lambda: b"\xff",
    "large": lambda: 1 << 70,
    "set": lambda: {1},
    "generator": lambda: (part for part in "ab"),
    "lock": threading.Lock,
    "1 MB": lambda: "x" * 1_000_000,
    "text": lambda: "Zürich 🌍",
    "nothing": lambda: None,
}


@pytest.mark.parametrize("name", _ODD)
async def test_any_input_has_the_same_outcome_as_untraced_and_a_span(
    untraced: Calls,
    autolog: Callable[..., None],
    server: Loopback,
    one: Callable[[], Span],
    name: str,
) -> None:
    odd = _ODD[name]
    await check_same(untraced, autolog, server, lambda: untraced.plain("plain", odd()))
    if server.requests or not untraced.library.picky:
        assert ended_or_open(one()) == "ended"


async def test_our_own_failure_is_not_the_programs(
    calls: Calls, spans: Callable[[], list[Span]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(safety, "strict", False)
    monkeypatch.setattr(LiveSpan, "set_attribute", broken)
    assert calls.library.text_of(await calls.plain("plain")) == calls.library.text["plain"]
    chunks = await calls.read_stream("plain")
    assert "".join(map(calls.library.text_of_chunk, chunks)) == calls.library.text["plain"]
    with pytest.raises(Exception, match=calls.library.refused):
        await calls.plain("bad")
    await calls.collect()
    found = spans()
    assert [ended_or_open(span) for span in found] == ["ended"] * 3
    assert found[2].status.status_code == "ERROR"


async def test_replies_and_responses_can_be_pickled(calls: Calls) -> None:
    reply = await calls.plain("plain")
    assert pickle.loads(pickle.dumps(reply)) == reply
    response = calls.library.http_response(await calls.stream("plain"))
    assert type(pickle.loads(pickle.dumps(response))) is type(response)
    await (response.aclose() if calls.is_async else calls.now(response.close()))


async def test_garbage_is_freed_as_without_tracing(
    untraced: Calls, autolog: Callable[..., None]
) -> None:
    calls = untraced

    async def alive(way: str) -> list[bool]:
        stream = await calls.stream("plain")
        response = calls.library.http_response(stream)
        watched = [weakref.ref(stream), weakref.ref(response)]
        if way == "read":
            await calls.read_all(stream)
        elif way == "close":
            await calls.close(stream)
        del stream, response
        left = by_count = [ref() is not None for ref in watched]
        for _ in range(50):  # the loop may take its time to close async generators
            await calls.collect()
            left = [ref() is not None for ref in watched]
            if not any(left):
                break
        return [*by_count, *left]

    before = [await alive(way) for way in ("read", "close", "drop")]
    autolog()
    after = [await alive(way) for way in ("read", "close", "drop")]
    longer = [
        now and not then
        for pair in zip(after, before, strict=True)
        for now, then in zip(*pair, strict=True)
    ]
    assert not any(longer), (after, before)  # when the loop closes what, is a matter of luck
    assert not any(any(found[2:]) for found in before)


def _itself(function: Any) -> Any:
    return function


def test_functions_cannot_be_told_from_untraced_ones(
    library: Library, autolog: Callable[..., None]
) -> None:
    def look() -> list[dict[str, Any]]:
        functions = [getattr(owner, name) for owner, name in library.wrapped()]
        return [seen(partial(_itself, function)) for function in functions]

    before = look()
    autolog()
    assert list(map(compared, before, look())) == [{}] * len(before)
    for owner, name in library.wrapped():
        for function in (vars(owner)[name], getattr(owner, name)):
            assert pickle.loads(pickle.dumps(function)) == function


@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::ResourceWarning")
async def test_a_stream_cannot_be_told_from_an_untraced_one(
    untraced: Calls, autolog: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A copy of a client, which its class does not foresee, cannot be let go of.
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    calls, before = untraced, await seen_async(lambda: untraced.stream("plain"))
    autolog()
    assert compared(before, await seen_async(lambda: calls.stream("plain"))) == {}
    if not calls.is_async:
        one, other = itertools.tee(await calls.stream("plain"))
        texts = ["".join(map(calls.library.text_of_chunk, chunks)) for chunks in (one, other)]
        assert texts == [calls.library.text["plain"]] * 2
    await calls.collect()


# The tree.


async def test_the_users_spans_are_above_and_beside_the_models_never_below(
    calls: Calls, spans: Callable[[], list[Span]]
) -> None:
    with spanlog.start_span("outer") as outer:
        await calls.plain("plain")
        assert spanlog.get_current_active_span() is outer
        iterator = calls.iterate(await calls.stream("plain"))
        await calls.read(iterator, 1)
        assert spanlog.get_current_active_span() is outer
        with spanlog.start_span("in the loop"):
            await calls.plain("plain")
        await calls.read_all(iterator)
    await calls.plain("plain")
    del iterator
    await calls.collect()
    names = {span.span_id: span.name for span in spans()}
    assert [(span.name, names.get(span.parent_id or "")) for span in spans()] == [
        ("outer", None),
        ("chat plain", "outer"),
        ("chat plain", "outer"),
        ("in the loop", "outer"),
        ("chat plain", "in the loop"),
        ("chat plain", None),
    ]


def check_each_has_its_own(library: Library, found: list[Span], count: int) -> None:
    """All calls but the failing one have the answer to their own question."""
    assert len(found) == count
    failed = [span for span in found if span.status.status_code == "ERROR"]
    assert [span.attributes["gen_ai.request.model"] for span in failed] == ["bad-7"]
    for span in found:
        if span not in failed:
            assert span.model == library.answered(span.attributes["gen_ai.request.model"])
    assert len({span.attributes["gen_ai.request.model"] for span in found}) == count
    assert len({span.trace_id for span in found}) == count


def _model(number: int) -> str:
    return "bad-7" if number == 7 else f"plain-{number}"


async def test_of_many_tasks_one_that_fails_touches_no_other(
    calls: Calls, spans: Callable[[], list[Span]]
) -> None:
    if not calls.is_async:
        pytest.skip("tasks are async")

    async def work(number: int) -> None:
        if number % 2:
            await calls.plain(_model(number))
        else:
            await calls.read_stream(_model(number))

    results = await asyncio.gather(*map(work, range(64)), return_exceptions=True)
    await calls.collect()
    assert [number for number, result in enumerate(results) if result] == [7]
    check_each_has_its_own(calls.library, spans(), 64)


async def test_of_32_threads_one_that_fails_touches_no_other(
    calls: Calls, spans: Callable[[], list[Span]]
) -> None:
    if calls.is_async:
        pytest.skip("an async client belongs to one loop")

    def work(number: int) -> bool:
        try:
            if number % 2:
                calls.library.plain(calls.client, _model(number))
            else:
                list(calls.library.stream(calls.client, _model(number)))
        except Exception:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        worked = list(pool.map(work, range(64)))
    await calls.collect()
    assert [number for number, ok in enumerate(worked) if not ok] == [7]
    check_each_has_its_own(calls.library, spans(), 64)


# On and off.


def test_off_puts_back_exactly_what_was_there_and_on_twice_is_once(
    library: Library, autolog: Callable[..., None]
) -> None:
    owners = {owner for owner, _ in library.wrapped()}

    def look() -> list[tuple[str, int]]:
        return [(name, id(value)) for owner in owners for name, value in vars(owner).items()]

    before = look()
    for _ in range(2):
        autolog()
        once = look()
        changed = {name for name, _ in set(once) - set(before)}
        assert changed == {name for _, name in library.wrapped()}
        autolog()
        assert look() == once
        autolog(log_traces=False)
        assert look() == before


async def test_on_twice_makes_one_span_and_off_makes_none(
    calls: Calls, autolog: Callable[..., None], spans: Callable[[], list[Span]]
) -> None:
    autolog()
    spanlog.autolog()
    await calls.plain("plain")
    calls.client = calls.new_client()
    await calls.plain("plain")
    assert len(spans()) == 2
    for kwargs in ({"log_traces": False}, {"disable": True}):
        autolog(**kwargs)
        await calls.plain("plain")
    assert len(spans()) == 2


async def test_a_function_kept_from_before_off_is_untraced_afterwards(
    calls: Calls, autolog: Callable[..., None], spans: Callable[[], list[Span]]
) -> None:
    caller = calls.library.caller(calls.client)
    names = {name for _, name in calls.library.wrapped() if hasattr(caller, name)}
    kept = {name: getattr(caller, name) for name in names}
    autolog(disable=True)
    vars(caller).update(kept)
    await calls.plain("plain")
    assert spans() == []
    autolog()
    await calls.plain("plain")
    assert len(spans()) == 1


async def test_nothing_is_recorded_while_tracing_is_disabled(
    calls: Calls, spans: Callable[[], list[Span]]
) -> None:
    with tracing.context(enabled=False):
        await calls.plain("plain")
        await calls.read_stream("plain")
    tracing.disable()
    await calls.plain("plain")
    tracing.enable()
    assert spans() == []


def run(code: str, cwd: Path, *args: str) -> list[str]:
    """Run a program of its own; return the lines that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")[:-1]


def test_autolog_for_all_imports_no_library_and_overrides_nothing_explicit(
    library: Library, tmp_path: Path
) -> None:
    code = """
        import importlib, sys, spanlog
        from spanlog.instrument.patched import Patched
        name, module, at = sys.argv[1:]
        getattr(spanlog, name).autolog(disable=True)
        spanlog.autolog()
        integration = getattr(spanlog, name).integration
        print(integration.on, module in sys.modules)
        getattr(spanlog, name).autolog()
        spanlog.autolog(disable=True)
        print(integration.on, module in sys.modules)
        integration.explicit = False
        spanlog.autolog()
        at, _, path = at.partition(":")
        owner, name = path.split(".")
        function = lambda: vars(getattr(importlib.import_module(at), owner))[name]
        print(issubclass(type(function()), Patched))
        spanlog.autolog(log_traces=False)
        print(issubclass(type(function()), Patched))
    """
    printed = run(code, tmp_path, library.name, library.module, library.patched[0])
    assert printed == ["False False", "True False", "True", "False"]


def test_a_library_that_is_missing_is_an_error_only_where_it_was_asked_for(
    library: Library, tmp_path: Path
) -> None:
    code = """
        import sys, spanlog
        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name == sys.argv[2]:
                    raise ModuleNotFoundError(name)
        sys.meta_path.insert(0, Blocker())
        spanlog.autolog()
        getattr(spanlog, sys.argv[1]).autolog(disable=True)
        for _ in range(2):
            try:
                getattr(spanlog, sys.argv[1]).autolog()
            except ImportError as error:
                print(error)
            sys.meta_path.pop(0) if sys.argv[2] not in sys.modules else None
            sys.modules[sys.argv[2]] = None
    """
    printed = run(code, tmp_path, library.name, library.module)
    assert len(printed) == 2
    assert all(line.endswith(f"pip install {library.install}") for line in printed)


async def test_a_stream_that_the_end_of_the_program_cuts_off_keeps_what_had_arrived(
    calls: Calls, server: Loopback, tmp_path: Path
) -> None:
    code = """
        import asyncio, sys, spanlog
        from importlib.util import module_from_spec, spec_from_file_location
        from spanlog.testing import Calls
        file, kind, url, is_async = sys.argv[1:]
        spec = spec_from_file_location("described", file)
        described = sys.modules["described"] = module_from_spec(spec)
        spec.loader.exec_module(described)
        library = getattr(described, kind)()
        getattr(spanlog, library.name).autolog()
        calls = Calls(library, url, is_async=is_async == "True")
        loop = asyncio.new_event_loop()
        stream = loop.run_until_complete(calls.stream("long-slow"))
        iterator = calls.iterate(stream)
        loop.run_until_complete(calls.read(iterator, 4))
    """
    paths = f"import sys; sys.path[:0] = {[path for path in sys.path if path]!r}\n"
    run(
        paths + textwrap.dedent(code),
        tmp_path,
        inspect.getfile(type(calls.library)),
        type(calls.library).__name__,
        server.url,
        str(calls.is_async),
    )
    spanlog.set_tracking_uri(str(tmp_path / "spanlog.db"))
    (trace,) = spanlog.search_traces(return_type="list")
    (span,) = trace.data.spans
    assert trace.info.state == "OK"
    assert ended(span) == ("OK", False)
    assert calls.library.text["long"].startswith(calls.library.text_recorded(span.outputs))
    assert span.attributes["spanlog.stream.chunks"] >= 3
