"""Await a coroutine in its place: the one way in which work that is awaited is traced."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any

from spanlog.record.context import CURRENT
from spanlog.record.span import LiveSpan


class Under:
    """A context in which a span is current. It is begun when the work begins.

    Args:
        begin: Returns the span.
        fail: Is told of the error that ends the work.
    """

    __slots__ = ("_before", "_begin", "_fail", "_span")

    def __init__(
        self, begin: Callable[[], LiveSpan], fail: Callable[[LiveSpan, BaseException], object]
    ) -> None:
        self._begin = begin
        self._fail = fail

    def __enter__(self) -> None:
        self._span = self._begin()
        self._before = CURRENT.get()
        CURRENT.set(self._span)

    def __exit__(self, _kind: object, error: BaseException | None, _where: object) -> None:
        if CURRENT.get() is self._span:  # work may end in another task than it began in
            CURRENT.set(self._before)
        if error is not None:
            self._fail(self._span, error)


class _Work:
    """A coroutine that may never be awaited: then only the one that the program holds warns."""

    __slots__ = ("_coroutine", "_dropped")

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], dropped: Callable[[], object] | None
    ) -> None:
        self._coroutine: Coroutine[Any, Any, Any] | None = coroutine
        self._dropped = dropped

    def begin(self) -> Coroutine[Any, Any, Any]:
        coroutine, self._coroutine = self._coroutine, None
        assert coroutine is not None
        return coroutine

    def __del__(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()
            if self._dropped is not None:
                self._dropped()


def awaited(
    coroutine: Any,
    within: AbstractContextManager[object],
    then: Callable[[Any], Any] | None = None,
    dropped: Callable[[], object] | None = None,
) -> Any:
    """Return a coroutine that awaits another in its place, and looks like it.

    Args:
        coroutine: What is to be awaited.
        within: A context that it runs in; entered when it begins.
        then: Makes of the result what the program gets; the result itself by default.
        dropped: Called where nobody awaits it.
    """
    run: Any = _run(_Work(coroutine, dropped), within, then)
    run.__name__, run.__qualname__ = coroutine.__name__, coroutine.__qualname__
    return run


async def _run(
    work: _Work, within: AbstractContextManager[object], then: Callable[[Any], Any] | None
) -> Any:
    with within:
        result = await work.begin()
    return result if then is None else then(result)
