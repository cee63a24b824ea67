"""A watched stream ends its span once, however it ends, and is otherwise the stream itself."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from spanlog import safety
from spanlog.record import streams
from spanlog.record.span import LiveSpan
from spanlog.record.streams import Watch, Watched

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from spanlog.entities import Trace


class Body:
    """A stream as HTTP clients have it: it can be iterated and closed."""

    def __init__(self, *items: Any, error: BaseException | None = None) -> None:
        self.items = items
        self.error = error
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        yield from self.items
        if self.error:
            raise self.error

    async def __aiter__(self) -> AsyncIterator[Any]:
        for item in self.items:
            await asyncio.sleep(0)
            yield item
        if self.error:
            raise self.error

    def close(self) -> str:
        self.closed += 1
        return "closed"

    async def aclose(self) -> str:
        return self.close()


class Seen:
    """What the reader of a watch was told."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[Any], bool]] = []

    def __call__(self, span: LiveSpan, pieces: list[Any], stopped: bool) -> None:
        self.calls.append((pieces, stopped))
        span.set_outputs(pieces)


def watched(stream: Any) -> tuple[Any, Seen, LiveSpan]:
    seen = Seen()
    span = LiveSpan("stream")
    return Watched(stream, Watch(span, seen)), seen, span


async def drain(stream: Any, count: int | None, *, is_async: bool) -> None:
    """Read a stream to its end, or some pieces of it."""
    iterator = stream.__aiter__() if is_async else iter(stream)
    while count is None or count:
        try:
            await iterator.__anext__() if is_async else next(iterator)
        except (StopIteration, StopAsyncIteration):
            return
        count = count and count - 1


@pytest.fixture(params=["sync", "async"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return request.param == "async"


async def test_a_stream_that_is_read_to_its_end_ends_its_span(is_async: bool) -> None:
    stream, seen, span = watched(Body(1, 2, 3))
    await drain(stream, None, is_async=is_async)
    assert span.end_time_ns is not None
    assert span.outputs == [1, 2, 3]
    assert seen.calls == [([1, 2, 3], False)]
    assert span.attributes["gen_ai.response.time_to_first_chunk"] >= 0


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError("why")],
    ids=lambda error: type(error).__name__,
)
async def test_an_error_goes_on_as_it_is_and_fails_the_span(
    error: BaseException, is_async: bool
) -> None:
    stream, seen, span = watched(Body(1, error=error))
    caught: BaseException | None = None
    try:
        await drain(stream, None, is_async=is_async)
    except BaseException as raised:
        caught = raised
    assert caught is error
    assert span.status.status_code == "ERROR"
    assert span.status.description.startswith(type(error).__name__)
    assert seen.calls == [([1], False)]


@pytest.mark.parametrize("read", [0, 2])
@pytest.mark.parametrize("way", ["close", "drop"])
async def test_a_stream_that_is_left_ends_its_span(way: str, read: int, is_async: bool) -> None:
    body = Body(1, 2, 3)
    stream, seen, span = watched(body)
    if way == "close":
        iterator = stream.__aiter__() if is_async else iter(stream)
        for _ in range(read):
            await iterator.__anext__() if is_async else next(iterator)
        assert (await stream.aclose() if is_async else stream.close()) == "closed"
    elif read:
        await drain(stream, read, is_async=is_async)
    del stream
    gc.collect()
    assert span.end_time_ns is not None
    assert span.outputs == [1, 2, 3][:read]
    assert span.status.status_code == "OK"
    assert seen.calls == [([1, 2, 3][:read], True)]
    assert body.closed == (way == "close")


async def test_a_span_ends_once_however_often_its_stream_ends(
    is_async: bool, traces: Callable[[], list[Trace]]
) -> None:
    stream, seen, span = watched(Body(1))
    await drain(stream, None, is_async=is_async)
    ended = span.end_time_ns
    await stream.aclose()
    stream.close()
    del stream
    gc.collect()
    assert span.end_time_ns == ended
    assert len(traces()) == len(seen.calls) == 1
    assert seen.calls == [([1], False)]


def test_many_threads_end_a_span_once() -> None:
    for _ in range(50):
        stream, seen, span = watched(Body(1))
        gate = threading.Barrier(4)

        def close(stream: Any = stream, gate: threading.Barrier = gate) -> None:
            gate.wait()
            stream.close()

        threads = [threading.Thread(target=close) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        span._settle()
        assert len(seen.calls) == 1


async def test_a_generator_is_watched_and_closed_too(is_async: bool) -> None:
    closed = []

    def numbers() -> Iterator[int]:
        try:
            yield from (1, 2)
        finally:
            closed.append(True)

    async def later() -> AsyncIterator[int]:
        for number in numbers():
            yield number

    stream, seen, span = watched(later() if is_async else numbers())
    assert (stream.__aiter__() if is_async else iter(stream)) is stream
    await drain(stream, 1, is_async=is_async)
    assert span.end_time_ns is None
    await stream.aclose() if is_async else stream.close()
    gc.collect()
    assert closed == [True]
    assert span.outputs == [1]
    assert seen.calls == [([1], True)]


def test_a_watched_stream_is_the_stream_in_all_else() -> None:
    body = Body(1)
    stream, _, _ = watched(body)
    assert isinstance(stream, Body)
    assert stream.__class__ is Body
    assert stream == body
    assert stream.items == (1,)
    stream.note = "mine"
    assert body.note == "mine"  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        _ = stream.absent


async def test_of_several_iterations_the_first_is_the_stream(is_async: bool) -> None:
    stream, seen, span = watched(Body(1, 2))
    iterator = stream.__aiter__() if is_async else iter(stream)
    await iterator.__anext__() if is_async else next(iterator)
    await drain(stream, None, is_async=is_async)
    assert span.end_time_ns is None
    await drain(iterator, None, is_async=is_async)
    span._settle()
    assert seen.calls == [([1, 2], False)]


async def test_a_stream_that_says_it_is_over_ends_its_span_while_it_is_read_on(
    is_async: bool,
) -> None:
    seen, span = Seen(), LiveSpan("stream")
    stream = Watched(Body(1, 2, 3), Watch(span, seen, lambda pieces: pieces[-1] == 2))
    iterator = stream.__aiter__() if is_async else iter(stream)
    for _ in range(2):
        assert span.end_time_ns is None
        await iterator.__anext__() if is_async else next(iterator)
    assert span.outputs == [1, 2]
    await drain(iterator, None, is_async=is_async)
    assert [stopped for _, stopped in seen.calls] == [False]


def test_nothing_of_ours_holds_a_stream_or_a_watch_that_has_ended() -> None:
    before = len(streams._live)
    stream, _, _ = watched(Body(1))
    assert len(streams._live) == before + 1
    list(stream)
    assert len(streams._live) == before


def test_streams_that_the_end_of_the_program_cuts_off_end_their_spans() -> None:
    stream, seen, span = watched(Body(1, 2))
    next(iter_ := iter(stream))
    streams._end_with_the_program()
    assert span.outputs == [1]
    assert seen.calls == [([1], True)]
    assert list(iter_) == [2]


@pytest.mark.parametrize("where", ["set_attribute", "_read_later", "end"])
def test_our_own_failure_does_not_reach_who_reads(
    where: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("ours")

    monkeypatch.setattr(safety, "strict", False)
    stream, _, span = watched(Body(1, 2))
    with monkeypatch.context() as patch:
        patch.setattr(LiveSpan, where, broken)
        assert list(stream) == [1, 2]
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "your program is not affected" in caplog.text
    span.end()
