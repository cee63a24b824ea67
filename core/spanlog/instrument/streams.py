"""Watch the generators that a library returns, where what it returns must be a generator."""

from __future__ import annotations

from typing import Any

from spanlog.record.decorator import drive
from spanlog.record.span import LiveSpan
from spanlog.record.streams import Watch


def driven(generator: Any, watch: Watch) -> Any:
    """Return a generator, sync or async, that runs another in its place and is watched.

    The generator's own work goes under the watch's span, what its consumer does between the steps
    does not. `Watched` is for streams of classes; a program or library that looks whether it has a
    generator is given one by this.
    """
    return drive(generator, _Driven(generator, watch))


class _Driven:
    """A generator that is driven, and what is told of its steps."""

    def __init__(self, generator: Any, watch: Watch) -> None:
        self._generator = generator
        self._watch = watch
        self.add = watch.piece

    def begin(self) -> tuple[Any, LiveSpan]:
        generator, self._generator = self._generator, None
        return generator, self._watch.span

    def yielded(self) -> _Driven:
        return self

    def finish(self, _span: LiveSpan, *, stopped: bool = False) -> None:
        if stopped:
            self._watch.stopped()
        else:
            self._watch.completed()

    def fail(self, _span: LiveSpan, error: BaseException) -> None:
        self._watch.failed(error)

    def __del__(self) -> None:
        if self._generator is not None:  # nobody has begun to read it
            self._watch.stopped()
