"""Watch a stream go by: keep what passes, and end its span once, however it ends.

A stream ends by being read to its end, by an error, by being closed or left, by its task being
cancelled, by being thrown away, or with the program. What had arrived until then is kept.
"""

from __future__ import annotations

import atexit
from collections.abc import Callable
from typing import Any

import wrapt

from spanlog.context import active
from spanlog.safety import report
from spanlog.spans import LiveSpan

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
        fail: Callable[[LiveSpan, BaseException], None] = LiveSpan.fail,
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
                self.span.set_attribute("gen_ai.response.time_to_first_chunk", self.span.age())
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
            self.span.put_off(lambda span: read(span, pieces, stopped))
            if error is None:
                self.span.end()
                return
            try:
                self._fail(self.span, error)
            finally:
                self.span.fail(error)  # where that has not ended it
        except Exception as ours:  # noqa: BLE001 - the guard
            report(ours, "ending the span of a stream")


class Watched(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """A stream that is watched, sync or async; in all else it is the stream itself."""

    def __init__(self, stream: Any, watch: Watch) -> None:
        super().__init__(stream)
        self._self_watch = watch

    def __iter__(self) -> Any:
        return self._self_follow(iter(self.__wrapped__))

    def __aiter__(self) -> Any:
        return self._self_follow(self.__wrapped__.__aiter__())

    def _self_follow(self, iterator: Any) -> Any:
        """Return the iterator so that it is watched; of several, the first is the stream."""
        if iterator is self.__wrapped__:
            return self
        if self._self_watch.followed:
            return iterator
        self._self_watch.followed = True
        return type(self)(iterator, self._self_watch)

    def __next__(self) -> Any:
        watch = self._self_watch
        try:
            piece = next(self.__wrapped__)
        except StopIteration:
            watch.completed()
            raise
        except BaseException as error:
            watch.failed(error)
            raise
        watch.piece(piece)
        return piece

    async def __anext__(self) -> Any:
        watch = self._self_watch
        try:
            piece = await self.__wrapped__.__anext__()
        except StopAsyncIteration:
            watch.completed()
            raise
        except BaseException as error:
            watch.failed(error)
            raise
        watch.piece(piece)
        return piece

    @property
    def close(self) -> Any:
        """What closes the stream, where it can be closed."""
        close, watch = self.__wrapped__.close, self._self_watch

        def closing(*args: Any, **kwargs: Any) -> Any:
            watch.stopped()
            return close(*args, **kwargs)

        return closing

    @property
    def aclose(self) -> Any:
        """What closes the async stream, where it can be closed."""
        close, watch = self.__wrapped__.aclose, self._self_watch

        async def closing(*args: Any, **kwargs: Any) -> Any:
            watch.stopped()
            return await close(*args, **kwargs)

        return closing

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

    def __del__(self) -> None:
        self._self_watch.stopped()


class Worked(Watched):
    """A stream whose own work, which is done as it is read, goes under its span."""

    def __next__(self) -> Any:
        with active(self._self_watch.span):
            return super().__next__()

    async def __anext__(self) -> Any:
        with active(self._self_watch.span):
            return await super().__anext__()


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
