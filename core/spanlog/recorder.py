"""Take what ended from the caller's thread and hand it, in batches, to the sinks.

The caller pays for an append to a queue. One daemon thread writes at most 100 ms later, in one
transaction a batch. A span that stays open for more than a second is written while it runs.
"""

from __future__ import annotations

import atexit
import itertools
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from spanlog import config
from spanlog.safety import logger, report, warn_once

if TYPE_CHECKING:
    from types import FrameType

    from spanlog.spans import LiveSpan, TraceRecord

_GATHER = 0.05  # seconds that a batch waits for company; with the write itself below 0.1
_SHOW_OPEN_AFTER = 1_000_000_000  # nanoseconds
_BATCH = 5_000
_ADMIT = 0.8  # the share of the queue beyond which no new trace begins
_EXIT_WAIT = 10.0  # seconds that the end of the program may be held up
_RETRY = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between attempts while the store is away


class Unavailable(Exception):
    """A sink cannot take anything now, and may later: a locked file, a full disk."""


class Sink(Protocol):
    """Where recorded spans go."""

    def write(self, spans: Sequence[LiveSpan], traces: Sequence[TraceRecord]) -> None:
        """Keep the spans, and what they share. A span may come again, with more in it.

        Raises:
            Unavailable: Nothing was kept; the same may be tried again.
        """


class _Flush:
    """A mark in the queue: all before it has been dealt with once `done` is set."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.ok = True


class Recorder:
    """The queue, the thread behind it, and what becomes of both at exit and at fork."""

    def __init__(self) -> None:
        self.sinks: list[Sink] = []
        self.epoch = 0
        self.last_trace_id: str | None = None
        self.local = threading.local()
        self.dropped_spans = 0
        self.dropped_traces = 0
        self._reset()

    def _reset(self) -> None:
        self._queue: deque[LiveSpan | TraceRecord | _Flush] = deque()
        self._open: dict[str, LiveSpan] = {}
        self._bytes = 0
        self._writing = 0
        self._idle = True
        self._rouse = threading.Event()
        self._hurry = threading.Event()
        self._room = threading.Condition()
        self._start_lock = threading.Lock()
        self._write_lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._failures = 0

    # What the caller's thread does.

    def started(self, span: LiveSpan) -> None:
        """Note that a span is open, so that it can be seen while it runs."""
        self._open[span.span_id] = span
        if self._idle:
            self._wake()

    def ended(self, span: LiveSpan) -> None:
        """Queue a span that ended."""
        trace = span.trace
        self._open.pop(span.span_id, None)
        if trace.epoch != self.epoch:
            return  # begun before a fork: the parent records it
        if span.parent_id is None:
            self.last_trace_id = self.local.last_trace_id = span.trace_id
        if trace.dropped:
            self.dropped_spans += 1
            return
        if self._full(1.0) and not self._wait_for_room():
            trace.dropped_spans += 1
            self._count_dropped(spans=1)
            if span.parent_id is not None:
                return
            # Without its root a trace would never end; the row that counts the loss is small.
            span.forget_content()
        self._queue.append(span)
        self._bytes += _size(span)
        if self._idle:
            self._wake()

    def changed(self, trace: TraceRecord) -> None:
        """Queue a trace whose tags or the like have changed."""
        if trace.epoch == self.epoch and not trace.dropped:
            self._queue.append(trace)
            if self._idle:
                self._wake()

    def admits(self) -> bool:
        """Say whether a new trace may begin; near the bound whole traces are left out."""
        if not self._full(_ADMIT) or self._wait_for_room():
            return True
        self._count_dropped(traces=1)
        return False

    def _full(self, share: float) -> bool:
        waiting = len(self._queue) + self._writing
        return waiting >= config.queue_spans * share or self._bytes >= config.queue_bytes * share

    def _wait_for_room(self) -> bool:
        if config.queue_wait <= 0:
            return False
        with self._room:
            return self._room.wait_for(lambda: not self._full(_ADMIT), config.queue_wait)

    def _count_dropped(self, *, spans: int = 0, traces: int = 0) -> None:
        self.dropped_spans += spans
        self.dropped_traces += traces
        warn_once(
            "dropped",
            "spanlog: the queue is full (%d spans, %d MB), so traces are left out until the store "
            "keeps up. SPANLOG_QUEUE_SPANS and SPANLOG_QUEUE_MB make it larger, "
            "SPANLOG_QUEUE_WAIT lets calls wait.",
            len(self._queue),
            self._bytes // 1_000_000,
        )

    def _wake(self) -> None:
        self._idle = False
        if self._thread is None:
            self._start()
        self._rouse.set()

    def _start(self) -> None:
        with self._start_lock:
            if self._thread is not None or self._closed:
                return
            thread = threading.Thread(target=self._run, name="spanlog", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending: `close` writes what is queued
                return
            self._thread = thread
            _handle_sigterm()

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until all that was recorded before is in the sinks, open spans too.

        Returns:
            False if that could not be done in time.
        """
        if threading.current_thread() is self._thread:
            return False
        if self._thread is None and not self._queue and not self._open:
            return True
        mark = _Flush()
        self._queue.append(mark)
        self._wake()
        self._hurry.set()
        if self._thread is None or not self._thread.is_alive():
            self._write_everything()
        return mark.done.wait(timeout) and mark.ok

    # What the writer's thread does.

    def _run(self) -> None:
        while not self._closed:
            self._idle = True
            if not self._queue and not self._open:
                self._rouse.wait()
            self._idle = False
            self._rouse.clear()
            self._hurry.wait(_GATHER)
            self._hurry.clear()
            try:
                self._write_everything()
            except Exception as error:  # noqa: BLE001 - the guard: this thread must live on
                report(error, "writing traces")
            if self._failures:
                self._hurry.wait(_RETRY[min(self._failures, len(_RETRY)) - 1])

    def _write_everything(self) -> None:
        with self._write_lock:
            while True:
                batch, marks = self._take()
                failed = not self._write(batch)
                for mark in marks:
                    mark.ok = not failed
                    mark.done.set()
                with self._room:
                    self._room.notify_all()
                if failed or not self._queue:
                    return

    def _take(self) -> tuple[list[LiveSpan | TraceRecord], list[_Flush]]:
        """Take what waits, up to a batch, and with it the spans that have long been open."""
        batch: list[LiveSpan | TraceRecord] = []
        marks: list[_Flush] = []
        while self._queue and len(batch) < _BATCH:
            item = self._queue.popleft()
            if isinstance(item, _Flush):
                marks.append(item)
            else:
                batch.append(item)
        if not self._queue:
            self._bytes = 0
        now = time.time_ns()
        for span in list(self._open.values()):
            if marks or now - span.start_time_ns >= _SHOW_OPEN_AFTER:
                self._open.pop(span.span_id, None)
                if not span.trace.dropped and span.trace.epoch == self.epoch:
                    batch.append(span)
        return batch, marks

    def _write(self, batch: list[LiveSpan | TraceRecord]) -> bool:
        """Hand a batch to the sinks. Where they cannot take it, put it back."""
        from spanlog.spans import LiveSpan

        spans = [item for item in batch if isinstance(item, LiveSpan)]
        traces = list(
            {
                trace.trace_id: trace
                for trace in (i.trace if isinstance(i, LiveSpan) else i for i in batch)
            }.values()
        )
        self._writing = len(batch)
        try:
            for span in spans:
                span.settle()
            if traces:
                for sink in self._sinks():
                    sink.write(spans, traces)
            if self._failures:
                logger.warning("spanlog: the store works again; nothing that waited was lost")
            self._failures = 0
        except Unavailable as error:
            self._failures += 1
            self._queue.extendleft(reversed(batch))
            self._bytes = sum(map(_size, spans))
            warn_once("unavailable", "spanlog: %s. What is recorded waits in memory.", error)
            return False
        except Exception as error:  # noqa: BLE001 - the guard: one bad span must not stop the rest
            self._write_apart(spans, error)
        finally:
            self._writing = 0
        return True

    def _write_apart(self, spans: list[LiveSpan], error: Exception) -> None:
        """Write each trace by itself, so that only the one that cannot be written is lost."""
        by_trace = itertools.groupby(
            sorted(spans, key=lambda s: s.trace_id), key=lambda s: s.trace_id
        )
        lost = 0
        for _, group in by_trace:
            whole = list(group)
            try:
                for sink in self._sinks():
                    sink.write(whole, [whole[0].trace])
            except Exception as again:  # noqa: BLE001 - the guard
                error, lost = again, lost + len(whole)
        if lost:
            self.dropped_spans += lost
            logger.warning("spanlog: %d spans could not be written: %s", lost, error)
            report(error, "writing traces")

    def _sinks(self) -> list[Sink]:
        if not self.sinks:
            from spanlog.store import current_store

            return [current_store()]
        return self.sinks

    # The end of the program, and its doubling.

    def close(self) -> None:
        """Write all that is left and stop the thread, within a bounded time."""
        if self._thread is None and not self._queue and not self._open:
            return
        end = time.monotonic() + _EXIT_WAIT
        while not self.flush(_EXIT_WAIT) and time.monotonic() < end:
            time.sleep(_RETRY[0])
        self._closed = True
        self._wake()
        self._hurry.set()
        if left := sum(not isinstance(item, _Flush) for item in self._queue):
            logger.warning("spanlog: %d spans could not be written before the end", left)
        if self.dropped_spans or self.dropped_traces:
            logger.warning(
                "spanlog: %d spans were dropped, %d traces left out",
                self.dropped_spans,
                self.dropped_traces,
            )

    def after_fork_in_child(self) -> None:
        """Begin anew: what waits in the queue is the parent's to write."""
        self.epoch += 1
        self.dropped_spans = self.dropped_traces = 0
        self._reset()


def _size(span: LiveSpan) -> int:
    return len(span._inputs or b"") + len(span._outputs or b"")


recorder = Recorder()
atexit.register(lambda: recorder.close())

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: recorder.after_fork_in_child())


def _handle_sigterm() -> None:
    """Write what is left on SIGTERM too, where the program leaves that signal to Python.

    A handler that the program has set, or sets later, is its own affair: it stays as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end_on_sigterm)


def _end_on_sigterm(number: int, frame: FrameType | None) -> None:
    recorder.flush(2.0)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
