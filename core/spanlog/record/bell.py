"""What a thread sleeps on, and may be woken from anywhere."""

from __future__ import annotations

import threading
from contextlib import suppress


class Bell:
    """What a thread sleeps on. It may be rung anywhere, and rings on until it is heard."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def ring(self) -> None:
        """Wake who waits, or else who waits next."""
        if self._lock.locked():
            with suppress(RuntimeError):  # another thread was quicker
                self._lock.release()

    def wait(self, seconds: float | None = None) -> None:
        """Sleep until it rings, or for some seconds."""
        self._lock.acquire(timeout=-1 if seconds is None else seconds)
