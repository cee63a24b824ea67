"""What every integration with a framework does; `frameworks.py` says how one joins."""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from frameworks import RESOLVERS, Program, clean, outline, owners
from spanlog import safety, tracing
from spanlog.record.span import LiveSpan
from spanlog.testing.alike import compared, seen_async

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from frameworks import Framework
    from spanlog.entities import Trace

pytest_plugins = ("frameworks",)


@spanlog.trace
def step(text: str) -> str:
    """Do something of the user's own; "bad" fails."""
    if text == "bad":
        raise KeyError(text)
    return text.upper()


@pytest.mark.parametrize("with_all", [False, True], ids=["alone", "with all integrations"])
async def test_a_program_is_one_tree_with_the_users_span_in_its_place(
    program: Program, autolog: Callable[..., None], one_trace: Callable[[], Trace], with_all: bool
) -> None:
    autolog()
    if with_all:
        spanlog.autolog(silent=True)
    assert await program.make(step)("hi") == "HI"
    assert clean()
    trace = one_trace()
    assert outline(trace) == program.tree
    assert trace.info.state == "OK"


async def test_on_twice_is_once_and_off_is_off(
    program: Program, autolog: Callable[..., None], traces: Callable[[], list[Trace]]
) -> None:
    run = program.make(lambda text: text)
    autolog()
    autolog()
    spanlog.autolog(silent=True)
    await run("hi")
    await program.make(lambda text: text)("hi")
    assert len(traces()) == 2
    assert len(traces()[0].data.spans) == len(program.tree.splitlines()) - 1
    for off in ({"log_traces": False}, {"disable": True}):
        autolog(**off)
        await run("hi")
    assert len(traces()) == 2


async def test_off_puts_back_exactly_what_was_there(
    program: Program, autolog: Callable[..., None]
) -> None:
    integration = getattr(spanlog, program.framework.name).integration
    await program.make(step)("hi")  # whatever is imported late is imported now

    def look() -> list[tuple[str, int]]:
        changed = [(n, id(v)) for owner in owners(integration) for n, v in vars(owner).items()]
        return [*changed, *((repr(hook), id(hook)) for hook in program.framework.hooks())]

    before = look()
    for _ in range(2):
        autolog()
        once = look()
        assert once != before
        autolog()
        assert look() == once
        autolog(log_traces=False)
        assert [name for name in look() if name not in before] == []
        assert look() == before
        assert RESOLVERS == []


async def test_a_program_goes_under_the_users_span(
    program: Program, autolog: Callable[..., None], one_trace: Callable[[], Trace]
) -> None:
    autolog()
    run = program.make(step)
    with spanlog.start_span("outer"):
        await run("a")
        with spanlog.start_span("inner"):
            await run("b")
    one, indented = program.tree, textwrap.indent(program.tree, "    ")
    assert outline(one_trace()) == "\n".join(
        ["outer UNKNOWN", textwrap.indent(one, "  "), "  inner UNKNOWN", indented]
    )


async def test_one_of_many_at_once_that_fails_touches_no_other(
    program: Program, autolog: Callable[..., None], traces: Callable[[], list[Trace]]
) -> None:
    autolog()
    run = program.make(step)
    texts = [f"text{n}" if n % 4 else "bad" for n in range(12)]
    if program.is_async:
        done = await asyncio.gather(*map(run, texts), return_exceptions=True)
    else:
        with ThreadPoolExecutor(6) as pool:
            waiting = [pool.submit(asyncio.run, _outcome(run(text))) for text in texts]
            done = [one.result() for one in waiting]
    assert [type(one) for one in done] == [str if t != "bad" else KeyError for t in texts]
    assert clean()
    outlines = [outline(trace) for trace in traces()]
    assert sorted(outlines, key=len)[:9] == [program.tree] * 9
    assert [text.count("ERROR") > 1 for text in sorted(outlines, key=len)[9:]] == [True] * 3
    assert [trace.info.state for trace in traces()].count("ERROR") == 3


async def _outcome(work: Any) -> Any:
    try:
        return await work
    except KeyError as error:
        return error


async def test_a_cancelled_program_is_cancelled_and_all_its_spans_end(
    framework: Framework, autolog: Callable[..., None], one_trace: Callable[[], Trace]
) -> None:
    autolog()
    waiting = asyncio.Event()

    @spanlog.trace
    async def step(text: str) -> str:
        waiting.set()
        await asyncio.sleep(60)
        return text

    task = asyncio.ensure_future(framework.program(step, is_async=True)("hi"))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.01)
    assert clean()
    trace = one_trace()
    statuses = {span.name: span.status.status_code for span in trace.data.spans}
    assert statuses["step"] == statuses[trace.data.spans[0].name] == "ERROR"
    assert all(span.end_time_ns is not None for span in trace.data.spans)


async def test_an_error_reaches_the_program_and_the_spans_around_it(
    program: Program, autolog: Callable[..., None], one_trace: Callable[[], Trace]
) -> None:
    autolog()
    mine = KeyError("mine")

    @spanlog.trace
    def step(_text: str) -> str:
        raise mine

    with pytest.raises(KeyError) as caught:
        await program.make(step)("hi")
    assert caught.value is mine
    lines = outline(one_trace()).splitlines()
    assert lines[0].endswith("ERROR")
    assert lines[-1].endswith("step UNKNOWN ERROR")


@pytest.mark.parametrize("broken", ["__init__", "set_attribute", "set_outputs", "_read_later"])
async def test_our_own_failure_is_not_the_programs(
    program: Program,
    autolog: Callable[..., None],
    traces: Callable[[], list[Trace]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: str,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("ours")

    autolog()
    monkeypatch.setattr(safety, "strict", False)
    with monkeypatch.context() as patched:
        patched.setattr(LiveSpan, broken, fail)
        assert await program.make(str.upper)("hi") == "HI"
        with pytest.raises(KeyError):
            await program.make({}.__getitem__)("hi")
    assert clean()
    assert {record.name for record in caplog.records if record.levelno >= logging.WARNING} <= {
        "spanlog"
    }
    assert all(span.end_time_ns for trace in traces() for span in trace.data.spans)


async def test_answers_are_the_same_with_and_without(
    program: Program, autolog: Callable[..., None]
) -> None:
    async def outcome(text: str) -> Any:
        try:
            return await program.make(step)(text)
        except Exception as error:
            return type(error), error.args

    before = [await outcome(text) for text in ("hi", "bad")]
    autolog()
    assert [await outcome(text) for text in ("hi", "bad")] == before


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_stream_cannot_be_told_from_an_untraced_one(
    framework: Framework,
    autolog: Callable[..., None],
    traces: Callable[[], list[Trace]],
    is_async: bool,
) -> None:
    streams = framework.streams(is_async=is_async)
    before = {name: await looked_at(make) for name, make in streams.items()}
    autolog()
    for name, make in streams.items():
        assert (name, compared(before[name], await looked_at(make))) == (name, {})
    gc.collect()
    assert clean()
    assert all(span.end_time_ns for trace in traces() for span in trace.data.spans)


async def looked_at(make: Callable[[], Any]) -> dict[str, Any]:
    async def stream() -> Any:
        made = make()
        return await made if inspect.iscoroutine(made) else made

    return await seen_async(stream)


async def test_nothing_is_recorded_while_tracing_is_disabled(
    program: Program, autolog: Callable[..., None], traces: Callable[[], list[Trace]]
) -> None:
    autolog()
    run = program.make(step)
    with tracing.context(enabled=False):
        await run("hi")
    tracing.disable()
    await run("hi")
    tracing.enable()
    assert traces() == []


async def test_turned_off_within_a_program_lets_its_spans_end(
    program: Program, autolog: Callable[..., None], one_trace: Callable[[], Trace]
) -> None:
    autolog()

    def step(text: str) -> str:
        autolog(disable=True)
        return text

    await program.make(step)("hi")
    assert clean()
    assert all(span.end_time_ns is not None for span in one_trace().data.spans)


def test_turned_on_before_the_import_it_traces_all_the_same(
    framework: Framework, tmp_path: Path
) -> None:
    code = """
        import sys, spanlog
        sys.path[:0] = sys.argv[3:]
        getattr(spanlog, sys.argv[1]).autolog()
        assert sys.argv[2] not in sys.modules
        from frameworks import FRAMEWORKS, outline
        (framework,) = [one for one in FRAMEWORKS if str(one) == sys.argv[4]]
        step = spanlog.trace(str.upper, name="step")
        framework.program(step, is_async=False)("hi")
        print(outline(spanlog.get_trace(spanlog.get_last_active_trace_id())))
    """
    here = next(path for path in sys.path if path.endswith("tests"))
    code = code.replace("sys.argv[3:]", "[sys.argv[3]]")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(code),
            framework.name,
            framework.module,
            here,
            str(framework),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == Program(framework, is_async=False).tree
