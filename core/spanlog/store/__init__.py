"""Where traces are kept, and which store is in use."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from spanlog import config
from spanlog.record.recorder import Unavailable, recorder

if TYPE_CHECKING:
    from spanlog.store.sql import SqlStore

_lock = threading.RLock()
_store: SqlStore | None = None


class StoreError(Unavailable):
    """A store cannot be opened or read; the message says what to do."""


class NotFoundError(StoreError):
    """What was asked for is not in the store."""


def prepare(uri: str) -> None:
    """Import what it takes to open a store and to write to it.

    Args:
        uri: A path of a SQLite file, or a database URL.
    """
    from spanlog.store import database, sql

    assert sql
    database.import_driver(config.database_url(uri))


def current_store() -> SqlStore:
    """Return the store that traces go to and are read from; the first call opens it.

    Raises:
        StoreError: It cannot be opened.
    """
    with _lock:
        return _store or open_store(config.tracking_uri)


def open_store(uri: str) -> SqlStore:
    """Open a store and make it the current one.

    Args:
        uri: A path of a SQLite file, or a database URL.

    Raises:
        StoreError: It cannot be opened; the current store stays.
    """
    from spanlog.store.sql import SqlStore

    global _store
    with _lock:
        url = config.database_url(uri)
        if _store is None or _store.url != url:
            before, _store = _store, SqlStore(url)
            if before is not None:
                before.close()
        config.tracking_uri = url
        return _store


def exists(uri: str) -> bool:
    """Say whether there is a store to open. Looking makes none, as opening does.

    Args:
        uri: A path of a SQLite file, or a database URL.

    Raises:
        StoreError: It cannot be asked.
    """
    from spanlog.store import database

    return database.exists(config.database_url(uri))


def _before_fork() -> None:
    recorder.before_fork()  # its thread uses the store
    _lock.acquire()
    if _store:
        _store.database.before_fork()


def _after_fork_in_parent() -> None:
    if _store:
        _store.database.after_fork_in_parent()
    _lock.release()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()
    if _store:
        _store.database.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
