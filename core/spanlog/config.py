"""Settings: what the environment says when they are first needed, or what the program sets.

`SPANLOG_TRACKING_URI`    where traces are kept: a path or a database URL (`./spanlog.db`)
`SPANLOG_EXPERIMENT_NAME` the experiment that new traces belong to (`Default`)
`SPANLOG_QUEUE_SPANS`     how many spans may wait to be written (50,000)
`SPANLOG_QUEUE_MB`        how many megabytes of inputs and outputs may wait to be written (512)
`SPANLOG_QUEUE_WAIT`      how many seconds a call may wait for room when the queue is full (0)
`SPANLOG_ATTACHMENT_KB`   how many kilobytes of binary content stay inside inputs and outputs (4)
`SPANLOG_SEARCH_SECONDS`  how long a search may take (10; 0: as long as it likes)
`SPANLOG_IMPORT_TRACE_MB` how many megabytes a trace may take that is imported (50)

What is no number is one warning, and the default is used.
"""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from spanlog.safety import warn_once

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

DEFAULT_EXPERIMENT = "Default"


def _number(name: str, default: float, most: float = 1e12) -> float:
    """Return what a variable says; where that is no number, one warning says what is used."""
    text = os.environ.get(name)
    if not text:
        return default
    with suppress(ValueError):
        if 0 <= (number := float(text)) <= most:
            return number
    warn_once(name, "spanlog: %s is %r, not a number from 0 on; %g is used", name, text, default)
    return default


class _Setting(Generic[T]):
    """A setting that is read when it is first asked for, and may be set like any attribute."""

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, settings: None, owner: type) -> _Setting[T]: ...
    @overload
    def __get__(self, settings: object, owner: type) -> T: ...
    def __get__(self, settings: object, owner: type) -> Any:
        if settings is None:
            return self
        return settings.__dict__.setdefault(self._name, self._read())

    if TYPE_CHECKING:  # there is none: what is set takes this one's place

        def __set__(self, settings: object, value: T) -> None: ...


class Settings:
    """What one recorder and its store go by."""

    tracking_uri = _Setting(lambda: os.environ.get("SPANLOG_TRACKING_URI") or "spanlog.db")
    experiment = _Setting(lambda: os.environ.get("SPANLOG_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT)
    queue_spans = _Setting(lambda: int(_number("SPANLOG_QUEUE_SPANS", 50_000)))
    queue_bytes = _Setting(lambda: int(_number("SPANLOG_QUEUE_MB", 512) * 1_000_000))
    queue_wait = _Setting(lambda: _number("SPANLOG_QUEUE_WAIT", 0))
    attachment_bytes = _Setting(lambda: int(_number("SPANLOG_ATTACHMENT_KB", 4) * 1_000))
    import_trace_bytes = _Setting(lambda: int(_number("SPANLOG_IMPORT_TRACE_MB", 50) * 1_000_000))
    search_seconds = _Setting(lambda: _number("SPANLOG_SEARCH_SECONDS", 10) or math.inf)

    def fix_tracking_uri(self) -> None:
        """Have a relative path mean a place under the directory that is current now."""
        with suppress(OSError):  # the current directory was deleted; opening the store will say so
            self.tracking_uri = database_url(self.tracking_uri)


def database_url(uri: str) -> str:
    """Return the database URL that a tracking URI means.

    A bare path is a SQLite file; a PostgreSQL URL that names no driver means psycopg.
    """
    scheme, found, rest = uri.partition("://")
    if not found:
        return f"sqlite:///{Path(uri).expanduser().absolute()}"
    if scheme == "sqlite" and rest.startswith("/") and rest not in ("/", "/:memory:"):
        return f"sqlite:///{Path(rest[1:]).expanduser().absolute()}"
    if scheme in ("postgres", "postgresql"):
        return f"postgresql+psycopg://{rest}"
    return uri
