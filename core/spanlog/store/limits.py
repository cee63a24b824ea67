"""What a search may take: so much time, and never the interpreter for longer than a moment.

SQLite asks Python for what it does not know itself: regular expressions, words, lower letters. A
pattern can take longer than the age of the universe, and a text can be very large. So patterns are
for an engine that stops in time and lets other threads run, and texts are gone through in parts.
"""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import event, exc

from spanlog.store.errors import StoreError
from spanlog.store.filters.errors import FilterError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import sqlalchemy as sa

    from spanlog.config import Settings

_PART = 1_000_000  # characters that are gone through before other threads have their turn
_STEPS = 10_000  # of SQLite's machine, between two looks at the clock: a millisecond or less
_TOGETHER = 1_000
_LONGEST = 1e6  # seconds
_STOPPED = "57014"  # PostgreSQL's code of a statement that took too long


class SearchTimeoutError(StoreError):
    """A search took longer than it may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the search took longer than {seconds:g} seconds and was stopped. Give "
            "it less to look through, or more time by SPANLOG_SEARCH_SECONDS."
        )


class _Clock:
    """The time that a search has, of one connection to SQLite."""

    def __init__(self, connection: Any, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._end: float | None = None
        self.failure: Exception | None = None
        connection.create_function("regexp", 2, _has_word, deterministic=True)
        connection.create_function("spanlog_rlike", 2, self._matches, deterministic=True)
        # SQLite's own knows no letters but those of English; ILIKE is LIKE of lower letters.
        connection.create_function("lower", 1, _lower, deterministic=True)

    def start(self) -> None:
        """Give the next statement, or the next rows of one, all the time there is."""
        if self._end is not None:
            self._end = time.monotonic() + self._settings.search_seconds

    @contextmanager
    def running(self) -> Generator[None]:
        """Stop what takes longer inside the `with` block."""
        self._end, self.failure = 0.0, None
        self.start()
        self._connection.set_progress_handler(self._is_over, _STEPS)
        try:
            yield
        except exc.OperationalError as error:
            if self.failure is None:
                raise
            raise self.failure from error
        finally:
            self._end = None
            self._connection.set_progress_handler(None, 0)

    def _left(self) -> float:
        if self._end is None:
            return self._settings.search_seconds
        return self._end - time.monotonic()

    def _is_over(self) -> bool:
        if self._left() <= 0:
            self.failure = SearchTimeoutError(self._settings.search_seconds)
        return self.failure is not None

    def _matches(self, pattern: str, text: object) -> bool | None:
        """Say whether a pattern fits somewhere in a text."""
        if text is None:
            return None
        try:
            seconds = min(max(self._left(), 1e-3), _LONGEST)
            return _compiled(pattern).search(str(text), timeout=seconds) is not None
        except TimeoutError:
            self.failure = SearchTimeoutError(self._settings.search_seconds)
        except Exception as error:  # noqa: BLE001 - SQLite tells only that there was one
            self.failure = FilterError(str(error))
        raise RuntimeError  # whatever it is, SQLite ends the statement


def install(engine: sa.Engine, settings: Settings) -> None:
    """Have searches of a database's connections be limited."""
    is_sqlite = engine.dialect.name == "sqlite"

    @event.listens_for(engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        record.info["settings"] = settings
        if is_sqlite:
            record.info["clock"] = _Clock(connection, settings)

    if not is_sqlite:
        return

    @event.listens_for(engine, "before_cursor_execute")
    def begins(connection: sa.Connection, *_: object) -> None:
        connection.info["clock"].start()


@contextmanager
def search(connection: sa.Connection) -> Generator[None]:
    """Have each statement inside the `with` block take no longer than a search may.

    Raises:
        SearchTimeoutError: One did.
    """
    if connection.dialect.name == "sqlite":
        with connection.info["clock"].running():
            yield
        return
    seconds: float = connection.info["settings"].search_seconds
    milliseconds = max(int(min(seconds, _LONGEST) * 1000), 1)
    connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
    try:
        yield
    except exc.OperationalError as error:
        if getattr(error.orig, "sqlstate", None) == _STOPPED:
            raise SearchTimeoutError(seconds) from error
        raise
    connection.exec_driver_sql("SET LOCAL statement_timeout = 0")


def stream(connection: sa.Connection, query: sa.Executable) -> Iterator[sa.Row[Any]]:
    """Go through what a query finds. However much that is: only the next rows must come in time."""
    clock: _Clock | None = connection.info.get("clock")
    found = connection.execute(query, execution_options={"yield_per": _TOGETHER})
    for some in found.partitions():
        yield from some
        if clock:
            clock.start()


@lru_cache(64)
def _compiled(pattern: str) -> Any:
    try:
        import regex
    except ImportError as error:
        raise ImportError("RLIKE needs one more package: pip install 'spanlog[regex]'") from error
    return regex.compile(pattern)


def _has_word(pattern: str, text: str | None) -> bool | None:
    """Say whether a word is in a text, as `spanlog.store.fulltext` writes it."""
    if text is None:
        return None
    search, longest = re.compile(pattern).search, len(pattern)
    starts = range(0, max(len(text), 1), _PART)
    return any(search(text, start, start + _PART + longest) for start in starts)


def _lower(text: object) -> str | None:
    if text is None:
        return None
    text = str(text)
    return "".join(text[i : i + _PART].lower() for i in range(0, len(text), _PART))
