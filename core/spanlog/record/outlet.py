"""A sink beside the store, with a queue, a thread, retries and a count of losses of its own.

Whatever becomes of it, the store and the program go on as without it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from spanlog.record.sink import Unavailable
from spanlog.safety import logger, warn_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanlog.model.header import TraceHeader
    from spanlog.model.span import Span
    from spanlog.record.sink import Sink

# What may wait: as many spans as the recorder's own queue has at first, and half its bytes.
_SPANS = 50_000
_BYTES = 256_000_000
_RETRY = (0.1, 0.5, 1.0, 5.0, 15.0, 30.0)  # seconds between attempts while the sink is away
_PAUSE = 1.0  # seconds that a fork waits for the thread to end

_Batch = tuple["Sequence[Span]", "Sequence[TraceHeader]", int]


class Outlet:
    """The way to one sink.

    Args:
        sink: What spans are handed to.
        spans: How many may wait; what comes on top is lost, the oldest first.
        size: How many bytes of inputs and outputs may wait.
    """

    def __init__(self, sink: Sink, spans: int = _SPANS, size: int = _BYTES) -> None:
        self.sink = sink
        self.lost = 0  # spans
        self._most = spans, size
        self.begin_anew()

    def begin_anew(self) -> None:
        """Begin with nothing that waits, as in a forked child: it is the parent's to write."""
        self._changed = threading.Condition()
        self._waiting: deque[_Batch] = deque()
        self._count = self._bytes = 0
        self._writing: _Batch | None = None
        self._thread: threading.Thread | None = None
        self._paused = self._closed = False
        self._failures = 0

    def put(self, spans: Sequence[Span], headers: Sequence[TraceHeader]) -> None:
        """Have them written. It waits for nothing."""
        size = sum(len(span._inputs or b"") + len(span._outputs or b"") for span in spans)
        with self._changed:
            self._waiting.append((spans, headers, size))
            self._count += len(spans)
            self._bytes += size
            while len(self._waiting) > 1 and (
                self._count > self._most[0] or self._bytes > self._most[1]
            ):
                self._lose(*self._waiting.popleft())
            self._paused = False
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(
                    target=self._run, name="spanlog outlet", daemon=True
                )
                self._thread.start()
            self._changed.notify_all()

    def _lose(self, spans: Sequence[Span], _headers: object, size: int) -> None:
        self._count -= len(spans)
        self._bytes -= size
        self.lost += len(spans)
        warn_once(
            f"lost {id(self)}",
            "spanlog: %s does not keep up, so spans are lost on the way to it; the store has them",
            type(self.sink).__name__,
        )

    def flush(self, timeout: float) -> bool:
        """Wait until all that was put before has been written, and say whether it was in time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not (self._waiting or self._writing), timeout if self._thread else 0
            )

    def close(self, timeout: float) -> None:
        """Write what waits, within a bounded time, and end."""
        self.flush(timeout)
        with self._changed:
            self._closed = True
            left = self._count
            self._changed.notify_all()
        if left:
            self.lost += left
            logger.warning(
                "spanlog: %d spans did not reach %s before the end", left, type(self.sink).__name__
            )

    @property
    def is_away(self) -> bool:
        """Whether the sink could not take what it was last handed."""
        return self._failures > 0

    def pause(self) -> None:
        """End the thread for a moment: Python warns of a fork beside other threads."""
        with self._changed:
            thread, self._paused = self._thread, True
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_PAUSE)

    def resume(self) -> None:
        """Go on after a pause."""
        if self._waiting:
            self.put((), ())

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            spans, headers, size = batch
            done = self._write(spans, headers)
            with self._changed:
                self._writing = None
                if done:
                    self._failures = 0
                    self._count -= len(spans)
                    self._bytes -= size
                else:
                    self._waiting.appendleft(batch)
                    self._failures += 1
                    self._wait_to_retry()
                self._changed.notify_all()

    def _next(self) -> _Batch | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._paused or self._closed)
            if self._paused or self._closed:
                self._thread = None
                return None
            self._writing = self._waiting.popleft()
            return self._writing

    def _wait_to_retry(self) -> None:
        seconds = _RETRY[min(self._failures, len(_RETRY)) - 1]
        end = time.monotonic() + seconds
        self._changed.wait_for(lambda: self._paused or self._closed, end - time.monotonic())

    def _write(self, spans: Sequence[Span], headers: Sequence[TraceHeader]) -> bool:
        """Hand a batch to the sink, and say whether it is done with it."""
        try:
            self.sink.write(spans, headers)
        except Unavailable as error:
            if not self._failures:
                logger.warning("spanlog: %s. What is recorded waits in memory.", error)
            return False
        except Exception as error:  # noqa: BLE001 - the sink is someone else's
            self.lost += len(spans)
            warn_once(
                f"broken {id(self)} {type(error).__name__}",
                "spanlog: %s raised %s: %s. The spans that it was handed are lost to it; the "
                "store has them.",
                type(self.sink).__name__,
                type(error).__name__,
                error,
            )
        return True
