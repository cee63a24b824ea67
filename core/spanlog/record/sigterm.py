"""A worker of `multiprocessing`, which SIGTERM ends: what is left is written before.

`Pool.terminate`, which every `with Pool()` ends with, sends it as soon as the results are there.
Elsewhere SIGTERM is the program's own affair: a handler in Python would have to wait for whatever
the main thread does in C, and all but the last few milliseconds is in the store anyway.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_libc: Any = None
_flush: Callable[[], object] | None = None
_pipe: tuple[int, int] | None = None  # Python writes to it which signals have come
_watcher: threading.Thread | None = None


def handle_in_worker(flush: Callable[[], object]) -> None:
    """Call `flush` before SIGTERM ends this process, where it is a worker of `multiprocessing`.

    Nothing is done where the program has a handler, or is told of signals, itself.
    """
    global _flush, _pipe, _libc
    in_main = threading.current_thread() is threading.main_thread()
    if not (in_main and _is_worker() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL):
        return
    try:
        import ctypes

        _libc = ctypes.CDLL(None)
    except (ImportError, TypeError):  # a Python without it; Windows, where no process is told
        return
    pipe = os.pipe()
    os.set_blocking(pipe[1], False)
    before = signal.set_wakeup_fd(pipe[1], warn_on_full_buffer=False)
    if before != -1:
        signal.set_wakeup_fd(before)
        _close(pipe)
        return
    _flush, _pipe = flush, pipe
    signal.signal(signal.SIGTERM, _end)
    _begin_to_watch()


def before_fork() -> None:
    """End the thread for a moment: Python warns of a fork beside other threads."""
    if _pipe is not None and _watcher is not None:
        os.write(_pipe[1], b"\0")
        _watcher.join(1)


def after_fork_in_parent() -> None:
    """Go on."""
    _begin_to_watch()


def after_fork_in_child() -> None:
    """Leave the signal to Python again: there is nothing to write yet."""
    global _pipe
    if _pipe is not None:
        if (now := signal.set_wakeup_fd(-1)) != _pipe[1]:
            signal.set_wakeup_fd(now)
        _close(_pipe)
        _pipe = None
    if signal.getsignal(signal.SIGTERM) is _end:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _is_worker() -> bool:
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _close(pipe: tuple[int, int]) -> None:
    for end in pipe:
        os.close(end)


def _begin_to_watch() -> None:
    global _watcher
    if _pipe is not None:
        _watcher = threading.Thread(
            target=_watch, args=_pipe[:1], name="spanlog sigterm", daemon=True
        )
        _watcher.start()


def _watch(reader: int) -> None:
    """End the process from this thread: the main one may be waiting in C, or for a lock."""
    signals = b""
    while 0 not in signals:
        signals = os.read(reader, 64)
        if signal.SIGTERM in signals and signal.getsignal(signal.SIGTERM) is _end:
            _end(signal.SIGTERM, None)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - as Python calls it
    global _flush
    flush, _flush = _flush, None
    if flush is None:  # it is under way
        return
    flush()
    _libc.signal(number, 0)  # the default; Python's own way is for the main thread only
    os.kill(os.getpid(), number)
