"""Watch a stream go by: keep what passes, and end its span once, however it ends.

A stream ends by being read to its end, by an error, by being closed or left, by its task being
cancelled, by being thrown away, or with the program. What had arrived until then is kept.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Any

from spanlog import semconv
from spanlog.record.context import active
from spanlog.record.proxies import Proxy
from spanlog.record.span import LiveSpan
from spanlog.safety import report

Read = Callable[[LiveSpan, list[Any], bool], None]
Over = Callable[[list[Any]], bool]

# The watches whose streams have not ended. Nothing here holds a stream.
_live: set[Watch] = set()


class Watch:
    """What has been seen of a stream.

    Args:
        span: The call's span; it ends with the stream.
        read: Makes the span's outputs of the pieces that passed; called once, off the hot path.
            It is told whether the consumer stopped before the stream's end.
        over: Says of the pieces that passed, the last being new, whether the stream said that it
            is over: then the span ends, whether or not the consumer reads on. It must be quick.
        keep: What is kept of a piece, where the program or the library may change it later.
        fail: Ends the span with an error; by default `LiveSpan.fail`.
    """

    __slots__ = ("_fail", "_keep", "_over", "_pieces", "_read", "followed", "span")

    def __init__(
        self,
        span: LiveSpan,
        read: Read,
        over: Over | None = None,
        keep: Callable[[Any], Any] | None = None,
        fail: Callable[[LiveSpan, BaseException], None] = LiveSpan._fail,
    ) -> None:
        self.span = span
        self._fail = fail
        self._keep = keep
        self.followed = False
        self._read = read
        self._over = over
        self._pieces: list[Any] = []
        _live.add(self)

    def piece(self, piece: Any) -> None:
        """Keep a piece that passed."""
        try:
            if not self._pieces:
                self.span.set_attribute(semconv.RESPONSE_TIME_TO_FIRST_CHUNK, self.span._age())
            self._pieces.append(piece if self._keep is None else self._keep(piece))
            if self._over is not None and self._over(self._pieces):
                self._over = None
                self.completed()
        except Exception as error:  # noqa: BLE001 - the guard
            self._over = None
            report(error, "watching a stream")

    def completed(self) -> None:
        """End the span: everything has been read."""
        self._finish(None)

    def stopped(self) -> None:
        """End the span: the consumer wants no more, or is no more."""
        self._finish(None, stopped=True)

    def failed(self, error: BaseException) -> None:
        """End the span with an error."""
        if isinstance(error, GeneratorExit):
            self.stopped()
        else:
            self._finish(error)

    def _finish(self, error: BaseException | None, *, stopped: bool = False) -> None:
        try:
            _live.remove(self)
        except KeyError:  # it has ended, maybe at this moment in another thread
            return
        read, pieces = self._read, self._pieces
        try:
            self.span._read_later(lambda span: read(span, pieces, stopped))
            if error is None:
                self.span.end()
                return
            try:
                self._fail(self.span, error)
            finally:
                self.span._fail(error)  # where that has not ended it
        except Exception as ours:  # noqa: BLE001 - the guard
            report(ours, "ending the span of a stream")


class Stepped(Proxy):
    """An iterator, sync or async, that is told of each of its steps."""

    __slots__ = ()

    class _Instead(Proxy._Instead):
        """A step goes through `_self_step` or `_self_step_async`."""

        __wrapped__: Any
        _self_follow: Any
        _self_step: Any
        _self_step_async: Any

        def __iter__(self) -> Any:
            return self._self_follow(iter(self.__wrapped__))

        def __aiter__(self) -> Any:
            return self._self_follow(self.__wrapped__.__aiter__())

        def __next__(self) -> Any:
            return self._self_step(self.__wrapped__.__next__)

        def send(self, value: Any) -> Any:
            return self._self_step(self.__wrapped__.send, value)

        def throw(self, *error: Any) -> Any:
            return self._self_step(self.__wrapped__.throw, *error)

        def __anext__(self) -> Any:
            return self._self_step_async(self.__wrapped__.__anext__)

        def asend(self, value: Any) -> Any:
            return self._self_step_async(self.__wrapped__.asend, value)

        def athrow(self, *error: Any) -> Any:
            return self._self_step_async(self.__wrapped__.athrow, *error)

    def _self_follow(self, iterator: Any) -> Any:
        """Return an iterator of this so that its steps are told of."""
        return self if iterator is self.__wrapped__ else iterator

    def _self_step(self, step: Callable[..., Any], *args: Any) -> Any:
        """Take a step."""
        return step(*args)

    async def _self_step_async(self, step: Callable[..., Any], *args: Any) -> Any:
        """Take a step of an async iterator."""
        return await step(*args)


class Watched(Stepped):
    """A stream that is watched."""

    __slots__ = ("_self_watch",)

    def __init__(self, stream: Any, watch: Watch) -> None:  # noqa: ARG002 - `Proxy` keeps it
        self._self_watch = watch

    class _Instead(Stepped._Instead):
        """What ends a stream ends its span."""

        _self_watch: Watch

        def __enter__(self) -> Any:
            entered = self.__wrapped__.__enter__()
            return self if entered is self.__wrapped__ else entered

        def __exit__(self, *error: object) -> Any:
            self._self_watch.stopped()
            return self.__wrapped__.__exit__(*error)

        async def __aenter__(self) -> Any:
            entered = await self.__wrapped__.__aenter__()
            return self if entered is self.__wrapped__ else entered

        async def __aexit__(self, *error: object) -> Any:
            self._self_watch.stopped()
            return await self.__wrapped__.__aexit__(*error)

        def close(self, *args: Any, **kwargs: Any) -> Any:
            self._self_watch.stopped()
            return self.__wrapped__.close(*args, **kwargs)

        async def aclose(self, *args: Any, **kwargs: Any) -> Any:
            self._self_watch.stopped()
            return await self.__wrapped__.aclose(*args, **kwargs)

    def _self_follow(self, iterator: Any) -> Any:
        """Return the iterator so that it is watched; of several, the first is the stream."""
        if iterator is self.__wrapped__:
            return self
        if self._self_watch.followed:
            return iterator
        self._self_watch.followed = True
        return self._self_for(iterator, self._self_watch)

    def _self_step(self, step: Callable[..., Any], *args: Any) -> Any:
        watch = self._self_watch
        try:
            piece = step(*args)
        except StopIteration:
            watch.completed()
            raise
        except BaseException as error:
            watch.failed(error)
            raise
        watch.piece(piece)
        return piece

    async def _self_step_async(self, step: Callable[..., Any], *args: Any) -> Any:
        watch = self._self_watch
        try:
            piece = await step(*args)
        except StopAsyncIteration:
            watch.completed()
            raise
        except BaseException as error:
            watch.failed(error)
            raise
        watch.piece(piece)
        return piece

    def __del__(self) -> None:
        self._self_watch.stopped()


class Worked(Watched):
    """A stream whose own work, which is done as it is read, goes under its span."""

    __slots__ = ()

    def _self_step(self, step: Callable[..., Any], *args: Any) -> Any:
        with active(self._self_watch.span):
            return super()._self_step(step, *args)

    async def _self_step_async(self, step: Callable[..., Any], *args: Any) -> Any:
        with active(self._self_watch.span):
            return await super()._self_step_async(step, *args)


def watch_body(response: Any, watch: Watch) -> None:
    """Watch the body of an HTTP response that has not been read: httpx's, httpx2's or the like.

    Whoever reads it, the SDK's stream, a raw response or the user, reads its `stream`, and closes
    that when they stop. What passes there is as it was on the wire, maybe compressed.
    """
    response.stream = Watched(response.stream, watch)


@atexit.register
def _end_with_the_program() -> None:
    """End what is still open, so that what had arrived is kept. Runs before the recorder closes."""
    for watch in tuple(_live):
        watch.stopped()
