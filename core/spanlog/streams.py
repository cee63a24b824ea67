"""Watch a stream go by: keep what passes, and end its span once, however it ends.

A stream ends by being read to its end, by an error, by being closed or left, by its task being
cancelled, or by being thrown away. What had arrived until then is kept.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from functools import lru_cache
from typing import Any

import wrapt

from spanlog.safety import report
from spanlog.spans import LiveSpan

# How the consumer's end of a stream came about, where it was not read to its end.
CLOSED = "closed"
ABANDONED = "abandoned"


class Watch:
    """What has been seen of a stream.

    Args:
        span: The call's span; it ends with the stream.
        read: Makes the span's outputs of the pieces that passed; called once, off the hot path.
            It is told how the consumer stopped, or None if nothing stopped the stream.
    """

    def __init__(
        self, span: LiveSpan, read: Callable[[LiveSpan, list[Any], str | None], None]
    ) -> None:
        self.span = span
        self.pieces: list[Any] = []
        self.reading = False
        self._read = read
        self._done = False

    def piece(self, piece: Any) -> None:
        """Keep a piece that passed."""
        if not self.pieces:
            self.span.set_attribute("gen_ai.response.time_to_first_chunk", self.span.age())
        self.pieces.append(piece)

    def completed(self) -> None:
        """End the span: everything has been read."""
        self._finish(None, None)

    def stopped(self, how: str) -> None:
        """End the span: the consumer wants no more. While a read is under way, that decides."""
        if not self.reading:
            self._finish(how, None)

    def failed(self, error: BaseException) -> None:
        """End the span with an error."""
        if isinstance(error, GeneratorExit):
            self._finish(ABANDONED, None)
        else:
            self._finish(None, error)

    def _finish(self, how: str | None, error: BaseException | None) -> None:
        if self._done:
            return
        self._done = True
        pieces, self.pieces = self.pieces, []
        self.span.put_off(lambda span: self._read(span, pieces, how))
        if error is not None:
            self.span.fail(error)
        else:
            self.span.end()


class Watched(wrapt.ObjectProxy):  # type: ignore[misc]
    """An iterator or async iterator that is watched; in all else it is the iterator itself."""

    def __init__(self, iterator: Any, watch: Watch) -> None:
        super().__init__(iterator)
        self._self_watch = watch

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        watch = self._self_watch
        watch.reading = True
        try:
            piece = next(self.__wrapped__)
        except StopIteration:
            watch.completed()
            raise
        except BaseException as error:
            watch.failed(error)
            raise
        finally:
            watch.reading = False
        watch.piece(piece)
        return piece

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        watch = self._self_watch
        watch.reading = True
        try:
            piece = await self.__wrapped__.__anext__()
        except StopAsyncIteration:
            watch.completed()
            raise
        except BaseException as error:
            watch.failed(error)
            raise
        finally:
            watch.reading = False
        watch.piece(piece)
        return piece

    def close(self) -> None:
        """Close the iterator."""
        self._self_watch.stopped(CLOSED)
        self.__wrapped__.close()

    async def aclose(self) -> None:
        """Close the async iterator."""
        self._self_watch.stopped(CLOSED)
        await self.__wrapped__.aclose()

    def __del__(self) -> None:
        try:
            self._self_watch.stopped(ABANDONED)
        except Exception as error:  # noqa: BLE001 - the guard
            report(error, "ending an abandoned stream")


def watch_body(response: Any, watch: Watch) -> None:
    """Watch the bytes of an HTTP response that has not been read: httpx's, httpx2's or the like.

    Whoever reads it, the SDK's stream, a raw response or the user, reads it through its
    `iter_bytes` or `aiter_bytes`; whoever stops early calls its `close` or `aclose`. Until one of
    these two is called, this one object belongs to a subclass of its class that watches the four.
    """
    vars(response)["_spanlog_watch"] = watch
    response.__class__ = _watched_class(type(response))


@lru_cache
def _watched_class(kind: type[Any]) -> type[Any]:
    def release(response: Any) -> None:
        watch: Watch | None = vars(response).pop("_spanlog_watch", None)
        if watch is not None:
            response.__class__ = kind
            watch.stopped(CLOSED)

    class WatchedResponse(kind):  # type: ignore[misc]
        def iter_bytes(self, *args: Any, **kwargs: Any) -> Any:
            return Watched(super().iter_bytes(*args, **kwargs), self._spanlog_watch)

        def aiter_bytes(self, *args: Any, **kwargs: Any) -> Any:
            return Watched(super().aiter_bytes(*args, **kwargs), self._spanlog_watch)

        def close(self) -> None:
            release(self)
            kind.close(self)

        async def aclose(self) -> None:
            release(self)
            await kind.aclose(self)

    WatchedResponse.__name__, WatchedResponse.__qualname__ = kind.__name__, kind.__qualname__
    WatchedResponse.__module__ = kind.__module__
    return WatchedResponse
