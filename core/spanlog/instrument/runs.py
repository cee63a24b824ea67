"""Runs: spans that a framework opens and closes by ids of its own.

Many frameworks tell a listener (a callback, a processor, an event handler, a tracer) that some work
begins, and later that it has ended, and name it by the same id both times. An integration hands
both to a `Runs`, which keeps what is open in between:

    runs: Runs[Run] = Runs()

    class Processor:
        def on_start(self, task):
            def open_run(above):
                return Run(begin_span(task.name, SpanType.TASK, task.inputs, parent=above))

            runs.begin(task.id, open_run, parent=task.parent_id)

        def on_end(self, task):
            if task.error is not None:
                runs.fail(task.id, task.error)
            else:
                runs.end(task.id, task.result)

Ends may come in other tasks and threads than their beginnings, in any order, or never. No method of
`Runs` raises: what goes wrong in an integration's part is reported by the guard.
"""

from __future__ import annotations

import atexit
import sys
import weakref
from collections.abc import Callable, Hashable, Iterator
from typing import Any, Generic, TypeVar

from spanlog import semconv
from spanlog.instrument.call import TracedCall, fail, respond
from spanlog.record.context import CURRENT, current_span, open_span, recording
from spanlog.record.span import LiveSpan
from spanlog.safety import guarded

# How many runs a book keeps open. A run takes some kilobytes: more than this many at once are
# those of a framework that does not tell of its ends.
MAX_OPEN = 100_000

_books: weakref.WeakSet[Runs[Any]] = weakref.WeakSet()


class Run(TracedCall):
    """A run that has begun: its open span, and how what is told of it is recorded.

    An integration overrides what differs for its framework: `on_request`, which is called as the
    run begins, and what ends the span, now or later: `on_response`, `on_error`, `on_drop`.

    Args:
        span: The run's span; of a hidden run, the span around it.
        hidden: Whether the run has no span of its own, as the inner workings of a framework. What
            begins below it goes under `span`; nothing is recorded of how it ends.
    """

    _is_current = False
    _before: LiveSpan | None = None  # what was current before it
    _handled: BaseException | None = None  # the error that was handled when it began
    _owner: weakref.finalize[..., Any] | None = None

    def __init__(self, span: LiveSpan, *, hidden: bool = False) -> None:
        super().__init__(span)
        self.hidden = hidden

    def on_drop(self) -> None:
        """End the span of a run that was left before its end, with what there is of it."""
        self.span.set_attribute(semconv.STREAM_COMPLETED, False)
        self.span.end()


R = TypeVar("R", bound=Run)


class Runs(Generic[R]):
    """The book of the runs that have begun and not ended, by the ids that a framework gives them.

    What is still open when the program ends is dropped then.

    Args:
        limit: How many runs are kept open; beyond that the oldest are dropped.
    """

    def __init__(self, limit: int = MAX_OPEN) -> None:
        self._limit = limit
        self._open: dict[Hashable, R] = {}
        self._current: set[LiveSpan] = set()  # the spans of those that are current somewhere
        # What was current before a run that has ended while it was not what was current, for those
        # that began in it and end after it.
        self._left: weakref.WeakKeyDictionary[LiveSpan, LiveSpan | None]
        self._left = weakref.WeakKeyDictionary()
        _books.add(self)

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[Hashable]:
        """Go through the ids of the open runs, the oldest first."""
        return iter(tuple(self._open))

    def get(self, key: Hashable) -> R | None:
        """Return an open run; None for one that has ended or is not known."""
        return self._open.get(key)

    def span(self, key: Hashable) -> LiveSpan | None:
        """Return the span of an open run, of a hidden one that around it."""
        run = self._open.get(key)
        return run.span if run is not None else None

    def above(self, parent: Hashable) -> LiveSpan | None:
        """Return the span that a run goes under which begins now.

        That is the span of the run around it, or one of the user's inside that; where the framework
        names none that is open, what is current.

        Args:
            parent: The id of the run around it; None where the framework does not tell.
        """
        around = open_span(self.span(parent))
        if around is None:
            return current_span()
        span = inside = open_span(CURRENT.get())
        while span is not None and span is not around:
            if span in self._current:
                return around  # what is inside is in another run, which the framework does not name
            span = span.parent
        return around if span is None else inside

    @guarded
    def begin(
        self,
        key: Hashable,
        open_run: Callable[[LiveSpan | None], R | None],
        *,
        parent: Hashable = None,
        current: bool = True,
        owner: object = None,
    ) -> R | None:
        """Note that a run begins; return it, or None where it is not recorded.

        While nothing is recorded, no run begins, and its end is passed over. An id that is open
        already stays what it is: the same beginning was told twice. After its end an id may begin
        anew, as for another try.

        Args:
            key: The framework's id of the run.
            open_run: Opens the run's span, given what it goes under; None for a run that is not to
                be recorded, or that is the same as the one around it.
            parent: The framework's id of the run around it, where it tells.
            current: Whether the framework tells of the run around its work, in the work's own
                thread and task: then the span is current from now to the end. False where what
                tells runs elsewhere: what is current can be told by a function that is put in
                `spanlog.record.context.RESOLVERS`.
            owner: An object that lives for as long as the run may go on: when it is gone, the run
                is dropped. Neither the key nor the run may hold it.
        """
        if key in self._open or not recording():
            return None
        run = open_run(self.above(parent))
        if run is None:
            return None
        if current:
            run._before, run._handled = self._standing(CURRENT.get()), sys.exc_info()[1]
            run._is_current = True
            if not run.hidden:
                self._current.add(run.span)
        self._open[key] = run  # from here on another thread may end it
        if current:
            CURRENT.set(run.span)
        if owner is not None:
            run._owner = weakref.finalize(owner, self.drop, key)
            run._owner.atexit = False
        self._bound()
        if not run.hidden:
            run.on_request()
        return run

    def raised(self, key: Hashable) -> BaseException | None:
        """Return the error that goes through the framework just now, if it came up within a run.

        For frameworks that tell of an end in a `finally` or an `__exit__`, and not of the error:
        `error = told or runs.raised(key)`. It must be called from there, before the run ends.
        """
        run, error = self._open.get(key), sys.exc_info()[1]
        return error if run is not None and error is not run._handled else None

    @guarded
    def end(self, key: Hashable, result: Any = None) -> None:
        """Note that a run has ended well: `Run.on_response` records its result."""
        run = self._take(key)
        if run is not None:
            respond(run, result)

    @guarded
    def fail(self, key: Hashable, error: BaseException | str) -> None:
        """Note that a run has ended with an error: `Run.on_error` records it.

        Args:
            key: The framework's id of the run.
            error: The error, or its text where that is all that the framework tells. A
                GeneratorExit says that whoever reads a stream wants no more: it drops the run.
        """
        if isinstance(error, GeneratorExit):
            self.drop(key)
            return
        run = self._take(key)
        if run is not None:
            fail(run, Exception(error) if isinstance(error, str) else error)

    @guarded
    def drop(self, key: Hashable) -> None:
        """Give up a run of whose end nothing will be told: `Run.on_drop` ends it."""
        run = self._take(key)
        if run is None:
            return
        try:
            run.on_drop()
        finally:
            run.span.end()

    def close(self) -> None:
        """Drop what is open, the newest first, as when an integration is turned off."""
        for key in reversed(tuple(self._open)):
            self.drop(key)

    def _take(self, key: Hashable) -> R | None:
        """Take a run out of the book; return it if it has a span to end."""
        run = self._open.pop(key, None)
        if run is None:
            return None
        if run._owner is not None:
            run._owner.detach()
        if run._is_current and CURRENT.get() is run.span:
            CURRENT.set(self._standing(run._before))
        elif run._is_current and not run.hidden:
            self._left[run.span] = run._before
        if run.hidden:
            return None
        self._current.discard(run.span)
        return run

    def _standing(self, span: LiveSpan | None) -> LiveSpan | None:
        """Return a span, or where it has ended out of order, what was current before it."""
        while span is not None and (before := self._left.pop(span, span)) is not span:
            span = before
        return span

    def _bound(self) -> None:
        """Drop the oldest run where there are too many."""
        if len(self._open) <= self._limit:
            return
        try:
            oldest = next(iter(self._open))
        except (RuntimeError, StopIteration):  # another thread begins or ends one: next time
            return
        self.drop(oldest)


@atexit.register
def _end_with_the_program() -> None:
    """Drop what is still open. What ends after the recorder has closed is written at once."""
    for book in tuple(_books):
        book.close()
