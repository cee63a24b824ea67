"""SIGTERM: what is left is written before it ends the program, where that is left to Python.

A handler that the program has set, or sets later, is its own affair: it stays as it is.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_PAUSE = 0.02  # seconds between reminders

_flush: Callable[[], object] | None = None
_waker: tuple[int, int] | None = None  # a pipe: Python writes to it which signals have come


def handle(flush: Callable[[], object]) -> None:
    """Call `flush` before SIGTERM ends the program; nothing outside the main thread can do that."""
    global _flush
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        _flush = flush
        signal.signal(signal.SIGTERM, _end)
        if _is_worker():
            _watch()


def after_fork_in_child() -> None:
    """Leave the signal to Python again: there is nothing to write yet."""
    global _waker
    if _waker is not None:
        if (now := signal.set_wakeup_fd(-1)) != _waker[1]:
            signal.set_wakeup_fd(now)
        for end in _waker:
            os.close(end)
        _waker = None
    if signal.getsignal(signal.SIGTERM) is _end:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as Python calls it
    global _flush
    flush, _flush = _flush, None
    if flush is None:  # it is under way
        return
    flush()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _is_worker() -> bool:
    """Say whether this is a child of `multiprocessing`, which ends its workers by SIGTERM."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _watch() -> None:
    """See to it that the handler is called.

    Python calls it in the main thread. A signal that comes just before that begins to wait for a
    lock does not interrupt it, and whoever has sent it may wait for ever.
    """
    global _waker
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    if before != -1:  # the program has a use for it
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)
        return
    _waker = reader, writer
    threading.Thread(target=_remind, args=(reader,), name="spanlog sigterm", daemon=True).start()


def _remind(reader: int) -> None:
    main = threading.main_thread().ident
    assert main is not None
    while signals := os.read(reader, 64):
        while signal.SIGTERM in signals and _flush is not None:
            time.sleep(_PAUSE)
            if signal.getsignal(signal.SIGTERM) is not _end:
                break
            signal.pthread_kill(main, signal.SIGTERM)
