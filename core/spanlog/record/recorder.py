"""Take what ended from the caller's thread and hand it, in batches, to the stage and the sinks.

The caller pays for an append to a queue. One daemon thread writes: at once where little is
recorded, else at most 100 ms later, in one transaction a batch. A span that stays open for more
than a second is written while it runs.

The thread imports nothing for the first time. A library that looks into `sys.modules`, as OpenAI's
does at each request, would find a module there that is not whole yet.

What the caller runs may be called anywhere: by the garbage collector or a signal handler, in the
middle of any line here, in any thread. So it waits for no lock that such a line may hold.
"""

from __future__ import annotations

import _thread
import contextvars
import sys
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from spanlog.config import Settings
from spanlog.model.ids import NO_TRACE, new_trace_id
from spanlog.record import context, lifecycle, sigterm, traces
from spanlog.record.bell import Bell
from spanlog.record.outlet import Outlet
from spanlog.record.sink import Sink, Unavailable
from spanlog.record.stage import Stage
from spanlog.record.traces import LiveTrace
from spanlog.safety import logger, report, warn_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanlog.model.header import TraceHeader
    from spanlog.model.span import Span
    from spanlog.record.span import LiveSpan

# Seconds that a batch waits for company: none where nothing was written lately, then more and
# more, for it is the transaction that costs. With the write itself it is below 0.1.
_GATHER = 0.05
_GATHER_FIRST = 0.002
_SHOW_OPEN_AFTER = 1.0  # seconds
_BATCH = 5_000
_BATCH_BYTES = 32_000_000
_LEFT_OUT = 10_000  # traces that were left out and are still known
_ADMIT = 0.8  # the share of the queue beyond which no new trace begins
_EXIT_WAIT = 10.0  # seconds that the end of the program may be held up
_AWAY_WAIT = 0.5  # where the store is known to be away
_OUTLET_WAIT = 2.0  # seconds that each other sink may hold it up
_FORK_WAIT = 1.0  # seconds that a fork may be
_RETRY = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # seconds between attempts while the store is away


class _Mark:
    """A mark in the queue: all before it has been dealt with once `done` is set."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.ok = False


class _Batch:
    """What is written together. The sink may refuse it for a while."""

    def __init__(self, spans: list[Span], headers: list[TraceHeader], size: int) -> None:
        self.spans = spans
        self.headers = headers
        self.size = size  # bytes of inputs and outputs that were queued for it


class Recorder:
    """The queue, the thread behind it, and what becomes of both at exit and at fork.

    Args:
        settings: How much may wait, and for how long.
        sink: What keeps the spans: the store. Without one, only the outlets have them.
        prepare: Imports what the sink needs.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        sink: Sink | None = None,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.sink = sink
        self.prepare_sink = prepare
        self.stage = Stage()
        self.outlets: list[Outlet] = []
        self.on_start: list[Callable[[], object]] = []  # called when the first span opens
        self.on_root_ended: list[Callable[[str], object]] = []  # called with its trace's id
        self.prepared = False
        self.epoch = 0
        self.last_trace_id: str | None = None
        self.local = threading.local()
        self._reset()
        lifecycle.join(self)

    def _reset(self) -> None:
        self.dropped_spans = 0
        self.dropped_traces = 0
        self._queue: deque[LiveSpan | LiveTrace | _Mark] = deque()
        self._bytes = 0  # of inputs and outputs that are queued or being written
        self._writing = 0  # how many are being written
        self._busy = False
        self._left_out: deque[str] = deque(maxlen=_LEFT_OUT)
        self._open: dict[str, LiveSpan] = {}  # the open spans that were not written yet
        self._shown: list[weakref.ref[LiveSpan]] = []  # those that were
        self._bell = Bell()
        self._idle = True  # the writer waits for something to be queued
        self._asleep = True  # and for a span to open
        self._hurry = False  # somebody waits for the writer
        self._room = threading.Condition()
        self._start_lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._begun = False  # there is a writer, or will be
        self._is_greenlet = False
        self._thread: threading.Thread | None = None
        self._gather = 0.0  # seconds that the last batch waited for company
        self._written = 0.0  # when it was written
        self._stop = False
        self._closed = False
        self._failures = 0
        self._error: Exception | None = None
        self._refused: _Batch | None = None  # what the sink could not take, until it does

    # What the caller's thread does.

    def begin_trace(self, name: str) -> LiveTrace:
        """Begin a trace with what `tracing.context` and `set_experiment` say."""
        trace = LiveTrace(new_trace_id(), name, self.settings.experiment, self, own=True)
        scope = context.SCOPE.get()
        if scope is not None:
            trace.tags.update(scope.tags)
            trace.metadata.update(scope.metadata)
        trace.dropped = not self.admits(trace.trace_id)
        return trace

    def started(self, span: LiveSpan) -> None:
        """Note that a span is open, so that it can be seen while it runs."""
        if not span._trace.dropped:
            self._open[span.span_id] = span
            if self._asleep:
                self._wake()

    def ended(self, span: LiveSpan) -> None:
        """Queue a span that ended."""
        trace = span._trace
        self._open.pop(span.span_id, None)
        if trace.epoch != self.epoch:
            return  # begun before a fork: the parent records it
        is_root = span.parent_id is None or span._is_local_root
        if is_root:
            self.last_trace_id = self.local.last_trace_id = span.trace_id
        if trace.dropped:
            self.dropped_spans += 1
            return
        if self._full(1.0) and not self._wait_for_room():
            trace.dropped_spans += 1
            self._count_dropped(spans=1)
            if not is_root:
                return
            # Without its root a trace would never end; the row that counts the loss is small.
            span._forget_content()
        if is_root:
            for hear in self.on_root_ended:
                hear(span.trace_id)
        size = _size(span)
        self._bytes += size
        self._queue.append(span)
        if self._idle:
            self._wake()

    def open_spans(self) -> list[LiveSpan]:
        """Return the spans that are open now, the oldest first."""
        shown = [span for ref in list(self._shown) if (span := ref()) is not None]
        spans = [*shown, *list(self._open.values())]
        return sorted((s for s in spans if s.end_time_ns is None), key=lambda s: s.start_time_ns)

    def changed(self, trace: LiveTrace) -> None:
        """Queue a trace whose tags or the like have changed."""
        if trace.epoch == self.epoch and not trace.dropped:
            self._queue.append(trace)
            if self._idle:
                self._wake()

    def admits(self, trace_id: str) -> bool:
        """Say whether a new trace may begin; near the bound whole traces are left out."""
        if not self._full(_ADMIT) or self._wait_for_room():
            return True
        self._left_out.append(trace_id)
        self._count_dropped(traces=1)
        return False

    def is_left_out(self, trace_id: str | None) -> bool:
        """Say whether a program means a trace that is not recorded: it can say nothing of it.

        Args:
            trace_id: What it takes for the id of a trace; None where it was told of none.
        """
        if trace_id is None:
            return not context.recording()
        return trace_id == NO_TRACE or trace_id in self._left_out

    def _full(self, share: float) -> bool:
        waiting = len(self._queue) + self._writing
        return (
            waiting >= self.settings.queue_spans * share
            or self._bytes >= self.settings.queue_bytes * share
        )

    def _wait_for_room(self) -> bool:
        if (
            self.settings.queue_wait <= 0
            or self._closed
            or threading.current_thread() is self._thread
        ):
            return False
        with self._room:
            return self._room.wait_for(lambda: not self._full(_ADMIT), self.settings.queue_wait)

    def _count_dropped(self, *, spans: int = 0, traces: int = 0) -> None:
        self.dropped_spans += spans
        self.dropped_traces += traces
        warn_once(
            "dropped",
            "spanlog: the queue is full (%d spans, %d MB), so traces are left out until the store "
            "keeps up. SPANLOG_QUEUE_SPANS and SPANLOG_QUEUE_MB make it larger, "
            "SPANLOG_QUEUE_WAIT lets calls wait.",
            len(self._queue) + self._writing,
            self._bytes // 1_000_000,
        )

    def _wake(self) -> None:
        if self._closed:
            if not (self._failures or sys.is_finalizing()):
                self._write_waiting()
            return
        if not self._begun:
            self._start()
        self._bell.ring()

    def _start(self) -> None:
        # Who finds the lock taken need not wait: the thread, once there, looks for itself.
        if not self._start_lock.acquire(blocking=False):
            return
        try:
            if self._begun:
                return
            self.settings.fix_tracking_uri()
            self.prepare()
            for hear in self.on_start:
                hear()
            contextvars.Context().run(self._start_thread)  # it belongs to no span
            self._begun = True
            lifecycle.end_with_multiprocessing(self)
        except RuntimeError:  # the program is ending: `close` and `flush` write what is queued
            pass
        finally:
            self._start_lock.release()

    def _start_thread(self) -> None:
        self._is_greenlet = _are_greenlets()
        if self._is_greenlet:
            # `Thread.start` waits, so that others run: in a forked child they are the parent's.
            _thread.start_new_thread(self._run, ())
            return
        thread = threading.Thread(target=self._run, name="spanlog", daemon=True)
        thread.start()
        self._thread = thread  # not before: whoever forks waits for it, which must have begun
        sigterm.handle_in_worker(lifecycle.flush_all)

    def prepare(self) -> None:
        """Import what the writer's thread needs, before there is one.

        It takes some 0.3 seconds. What sets recording up calls it, so that no call waits for it,
        and no program that records nothing.
        """
        if self.prepared:
            return
        self.prepared = True
        try:
            if self.prepare_sink is not None:
                self.prepare_sink()
        except Exception as error:  # noqa: BLE001 - the guard
            report(error, "preparing to record")

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until all that was recorded before is in the sink, open spans too.

        Returns:
            False if that could not be done in time, or not at all for now: the store is away.
        """
        if threading.current_thread() is self._thread:
            return False
        if not (self._queue or self._open or self._shown or self._busy or self._refused):
            return True
        mark = _Mark()
        self._queue.append(mark)
        self._hurry = True
        self._wake()
        if self._thread is None or not self._thread.is_alive():
            self._write_waiting()
        done = mark.done.wait(timeout) and mark.ok
        error, self._error = self._error, None
        if error is not None:  # under our own tests only
            raise error
        return done

    # What the writer's thread does.

    def _run(self) -> None:
        self._thread = threading.current_thread()
        while not (self._stop or self._closed):
            self._idle = True
            if not (self._queue or self._refused):
                self._bell.wait(self._until_open_is_due())
            self._idle = self._asleep = False
            if self._queue and not self._hurry:
                self._wait_for_company()
            self._hurry = False
            self._write_waiting()
            self._written = time.monotonic()
            if self._failures:
                self._bell.wait(_RETRY[min(self._failures, len(_RETRY)) - 1])
        self._idle = self._asleep = True

    def _wait_for_company(self) -> None:
        lately = time.monotonic() - self._written < _GATHER
        self._gather = min(max(2 * self._gather, _GATHER_FIRST), _GATHER) if lately else 0.0
        if self._gather:
            self._bell.wait(self._gather)

    def _until_open_is_due(self) -> float | None:
        """Return in how many seconds an open span is to be written, None if there is none."""
        self._asleep = True
        waiting = list(self._open.values())
        if not waiting:
            return None
        self._asleep = False
        return min(max(_SHOW_OPEN_AFTER - max(map(_age, waiting)), 0.01), _SHOW_OPEN_AFTER)

    def _write_waiting(self) -> None:
        """Write until nothing waits. If another thread is at it, that one does it all."""
        while self._write_lock.acquire(blocking=False):
            try:
                done = self._write_batch()
            finally:
                self._write_lock.release()
            if not (done and self._queue):
                return

    def _write_batch(self) -> bool:
        """Write up to a batch of what waits, and say whether the sink took it."""
        self._busy = True
        marks: list[_Mark] = []
        batch = self._refused
        if batch is None:
            items, marks, size = self._take()
            batch = self._staged(items, size)
        self._writing = len(batch.spans)
        done = False
        try:
            self._hand_over(batch.spans, batch.headers)
            done = True
            self._note_written(batch)
        except Unavailable as error:
            self._keep(batch, error)
        finally:
            self._busy = False
            for mark in marks:
                mark.ok = done
                mark.done.set()
            with self._room:
                self._room.notify_all()
        return done

    def _take(self) -> tuple[list[LiveSpan | LiveTrace], list[_Mark], int]:
        """Take what waits, up to a batch, and with it the spans that have long been open."""
        batch: list[LiveSpan | LiveTrace] = []
        marks: list[_Mark] = []
        queue, size = self._queue, 0
        while queue and len(batch) < _BATCH and size < _BATCH_BYTES:
            item = queue.popleft()
            if isinstance(item, _Mark):
                marks.append(item)
                continue
            batch.append(item)
            if not isinstance(item, LiveTrace):
                size += _size(item)
        shown = [span for ref in self._shown if (span := ref()) and span.end_time_ns is None]
        if marks:
            batch += shown
        for span in list(self._open.values()):
            if marks or _age(span) >= _SHOW_OPEN_AFTER:
                self._open.pop(span.span_id, None)
                if span._trace.epoch == self.epoch:
                    shown.append(span)
                    batch.append(span)
        self._shown = [weakref.ref(span) for span in shown]
        return batch, marks, size

    def _staged(self, items: list[LiveSpan | LiveTrace], size: int) -> _Batch:
        """Return what the sinks are handed for what was queued; the outlets have it from now on."""
        spans: list[Span] = []
        live: dict[LiveTrace, None] = {}
        for item in dict.fromkeys(items):
            if isinstance(item, LiveTrace):
                live[item] = None
                continue
            live[item._trace] = None
            try:
                if item.end_time_ns is not None:  # what is put off of an open one is its thread's
                    item._settle()
            except Exception as error:  # noqa: BLE001 - raised under our own tests only
                self._error = error
            try:
                spans.append(self.stage.passed(item))
            except Exception as error:  # noqa: BLE001 - the guard: the others go on
                self.dropped_spans += 1
                self._report(error)
        batch = _Batch(spans, [self.stage.header(trace) for trace in live], size)
        if batch.headers:
            for outlet in self.outlets:
                outlet.put(batch.spans, batch.headers)
        return batch

    def _hand_over(self, spans: list[Span], headers: list[TraceHeader]) -> None:
        """Give the sink what was recorded, without what it cannot take at all."""
        try:
            if self.sink is not None and headers:
                self.sink.write(spans, headers)
            return
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the guard: one bad span must not stop the rest
            parts = _parts(spans, headers)
            if not parts:
                self.dropped_spans += 1
                self._report(error)
        for part in parts:
            self._hand_over(*part)

    def _note_written(self, batch: _Batch) -> None:
        self._refused, self._writing = None, 0
        self._bytes -= batch.size
        if not self._queue:
            self._bytes = 0  # several threads add to it without a lock: it may be off a little
        if batch.headers and self._failures:
            self._failures = 0
            logger.warning("spanlog: the trace store works again; what waited is written")

    def _keep(self, batch: _Batch, error: Unavailable) -> None:
        """Keep what the sink cannot take now, to be written before all that comes after."""
        for item in list(self._queue):  # whoever waits behind it hears of it now, too
            if isinstance(item, _Mark):
                item.done.set()
        self._refused = batch
        if not self._failures:
            logger.warning("spanlog: %s. What is recorded waits in memory.", error)
        self._failures += 1

    def _report(self, error: Exception) -> None:
        try:
            report(error, "writing traces")
        except Exception as raised:  # noqa: BLE001 - under our own tests: `flush` raises it
            self._error = raised

    # The end of the program, and its doubling.

    def close(self) -> None:
        """Write all that is left, within a bounded time. What ends later is written at once."""
        with suppress(KeyboardInterrupt):  # whoever ends the program need not wait for this
            self._flush_at_the_end()
        for outlet in self.outlets:
            outlet.close(_AWAY_WAIT if outlet.is_away else _OUTLET_WAIT)
        self._closed = True
        self._bell.ring()
        waiting = sum(not isinstance(item, _Mark) for item in list(self._queue))
        if left := waiting + self._writing:
            logger.warning("spanlog: %d spans could not be written before the end", left)
        if self.dropped_spans or self.dropped_traces:
            logger.warning(
                "spanlog: %d spans were dropped, %d traces left out",
                self.dropped_spans,
                self.dropped_traces,
            )

    def _flush_at_the_end(self) -> None:
        began = time.monotonic()
        while True:
            bound = _AWAY_WAIT if self._failures else _EXIT_WAIT
            left = began + bound - time.monotonic()
            if left <= 0 or self.flush(left):
                return
            time.sleep(min(_RETRY[0], left))

    def forget(self) -> None:
        """Be no longer told of the end of the program and of forks."""
        lifecycle.leave(self)

    def __reduce__(self) -> tuple[Callable[[], Recorder], tuple[()]]:
        """Be, in a copy or in another process, the default one there."""
        return default_recorder, ()

    def before_fork(self) -> None:
        """Write what waits and end the threads: Python warns of a fork beside others."""
        for outlet in self.outlets:
            outlet.pause()
        thread = self._thread
        if thread is None or self._stop or thread is threading.current_thread():
            return
        if self._is_greenlet:  # it stands still while another forks
            return
        self.flush(_FORK_WAIT)
        self._stop = True
        self._bell.ring()
        thread.join(_FORK_WAIT)
        if not thread.is_alive():
            self._begun, self._thread = False, None

    def after_fork_in_parent(self) -> None:
        """Go on; the writer's thread starts again when there is something to do."""
        for outlet in self.outlets:
            outlet.resume()
        self._stop = False
        if (self._queue or self._refused) and not self._closed:
            self._wake()

    def after_fork_in_child(self) -> None:
        """Begin anew: what waits in the queue is the parent's to write."""
        self.epoch += 1
        self._reset()
        for outlet in self.outlets:
            outlet.begin_anew()


def _are_greenlets() -> bool:
    """Say whether threads take turns in one, as gevent and eventlet have it."""
    return type(threading.Lock()).__module__ != "_thread"


def _age(span: LiveSpan) -> float:
    """Return for how many seconds a span has been open."""
    return (time.time_ns() - span.start_time_ns) / 1e9


def _size(span: LiveSpan) -> int:
    return len(span._inputs or b"") + len(span._outputs or b"")


def _parts(
    spans: list[Span], headers: list[TraceHeader]
) -> list[tuple[list[Span], list[TraceHeader]]]:
    """Return what cannot be written together in two parts; none where it is one thing."""
    ids = list(dict.fromkeys(header.trace_id for header in headers))
    if len(spans) > 1:
        half = len(spans) // 2
        late = {span.trace_id for span in spans[half:]}
        only_late = late - {span.trace_id for span in spans[:half]}
        return [
            (spans[:half], [header for header in headers if header.trace_id not in only_late]),
            (spans[half:], [header for header in headers if header.trace_id in late]),
        ]
    if len(ids) > 1:
        first = {span.trace_id for span in spans} or set(ids[: len(ids) // 2])
        return [
            (spans, [header for header in headers if header.trace_id in first]),
            ([], [header for header in headers if header.trace_id not in first]),
        ]
    return []


def default_recorder() -> Recorder:
    """Return who records a trace that begins where nothing says who does."""
    assert isinstance(traces.default, Recorder)
    return traces.default


traces.default = Recorder()
