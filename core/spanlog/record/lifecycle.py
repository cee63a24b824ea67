"""The end of the program, and its doubling: what every recorder is told of."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from typing import Protocol

from spanlog.record import sigterm

_SIGTERM_WAIT = 2.0  # seconds: whoever sends SIGTERM waits some, and kills then


class Told(Protocol):
    """What is told."""

    def flush(self, timeout: float, /) -> bool:
        """Write what waits."""
        raise NotImplementedError

    def close(self) -> None:
        """Write what is left: the program ends."""

    def before_fork(self) -> None:
        """Have no thread."""

    def after_fork_in_parent(self) -> None:
        """Go on."""

    def after_fork_in_child(self) -> None:
        """Begin anew."""


_told: list[Told] = []


def join(recorder: Told) -> None:
    """Tell a recorder from now on."""
    _told.append(recorder)


def leave(recorder: Told) -> None:
    """Tell a recorder nothing any more."""
    if recorder in _told:
        _told.remove(recorder)


def flush_all() -> None:
    """Write what waits anywhere: the process is about to be ended."""
    for recorder in _told:
        recorder.flush(_SIGTERM_WAIT)


def end_with_multiprocessing(recorder: Told) -> None:
    """Have all written at the end of a child of `multiprocessing`, which skips Python's own."""
    process = sys.modules.get("multiprocessing.process")
    util = sys.modules.get("multiprocessing.util")
    if process is None or util is None or process.parent_process() is None:
        return

    def close() -> None:
        for thread in threading.enumerate():  # as Python does later, where we cannot be
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
        recorder.close()

    util.Finalize(None, close, exitpriority=-(2**31))


def _close_all() -> None:
    for recorder in _told:
        recorder.close()


def _before_fork() -> None:
    sigterm.before_fork()
    for recorder in _told:
        recorder.before_fork()


def _after_fork_in_parent() -> None:
    sigterm.after_fork_in_parent()
    for recorder in _told:
        recorder.after_fork_in_parent()


def _after_fork_in_child() -> None:
    for recorder in _told:
        recorder.after_fork_in_child()
    sigterm.after_fork_in_child()


atexit.register(_close_all)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
