"""Tell whether the process that was recording a trace is still there."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import lru_cache
from pathlib import Path


def _here() -> str:
    """Return where pids mean what they mean here: the host, and in it the container."""
    with suppress(OSError):
        return f"{socket.gethostname()}/{Path('/proc/self/ns/pid').readlink()}"
    return socket.gethostname()


_HOST = _here()


def this_process() -> str:
    """Return a text that names this process on this machine."""
    return _named(os.getpid())


@lru_cache
def _named(pid: int) -> str:
    return f"{_HOST}:{pid}:{_started(pid)}"


def is_gone(process: str) -> bool:
    """Say whether a process has ended. One that cannot be asked about counts as there."""
    host, pid, started = process.rsplit(":", 2)
    if host != _HOST or os.name != "posix":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    # A pid is used again; the time at which its process began is not.
    return _started(int(pid)) != started


def _started(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; empty where that is not told.

    Of a process that has ended and waits for its parent to ask how, it is "ended".
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "ended" if fields[0] in "ZX" else fields[19]
