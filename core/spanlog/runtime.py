"""One object that holds settings, recorder, store and sinks; what names none uses the default."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from spanlog import config
from spanlog.model import attachments
from spanlog.record import traces
from spanlog.record.outlet import Outlet
from spanlog.record.recorder import Recorder, default_recorder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanlog.model.header import TraceHeader
    from spanlog.model.span import Span
    from spanlog.record.sink import Sink
    from spanlog.store.sql import SqlStore


class Runtime:
    """What records, and where it is kept.

    Args:
        tracking_uri: A path of a SQLite file, or a database URL; what the environment says by
            default.
        recorder: Who records; a new one by default.
    """

    def __init__(self, tracking_uri: str | None = None, recorder: Recorder | None = None) -> None:
        self.recorder = recorder or Recorder()
        self.settings = self.recorder.settings
        if tracking_uri is not None:
            self.settings.tracking_uri = config.database_url(tracking_uri)
        self.recorder.sink = self
        self.recorder.prepare_sink = self._prepare
        self.recorder.prepared = False  # it may have recorded without a store before
        self._lock = threading.RLock()
        self._store: SqlStore | None = None
        _runtimes.append(self)

    @property
    def store(self) -> SqlStore:
        """The store, which is opened when it is first needed.

        Raises:
            StoreError: It cannot be opened.
        """
        with self._lock:
            return self._store or self.move(self.settings.tracking_uri)

    def move(self, uri: str) -> SqlStore:
        """Have traces kept in another store from now on, and return it.

        Args:
            uri: A path of a SQLite file, or a database URL.

        Raises:
            StoreError: It cannot be opened; all stays as it was.
        """
        from spanlog.store.sql import SqlStore

        with self._lock:
            url = config.database_url(uri)
            if self._store is None or self._store.url != url:
                before, self._store = self._store, SqlStore(url, self.settings)
                if before is not None:
                    before.close()
            self.settings.tracking_uri = url
            return self._store

    def write(self, spans: Sequence[Span], headers: Sequence[TraceHeader]) -> None:
        """Keep what the recorder hands over.

        Raises:
            Unavailable: The store cannot take it now.
        """
        self.store.write(spans, headers)

    def add_sink(self, sink: Sink) -> None:
        """Have a sink be handed what is recorded from now on, beside the store."""
        self.recorder.outlets.append(Outlet(sink))

    def remove_sink(self, sink: Sink) -> None:
        """Have a sink be handed nothing any more; what waits for it is written."""
        self.flush(_SINK_WAIT)
        for outlet in [outlet for outlet in self.recorder.outlets if outlet.sink is sink]:
            self.recorder.outlets.remove(outlet)
            outlet.close(_SINK_WAIT)

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until all that was recorded so far is in the store, and say whether it is."""
        return self.recorder.flush(timeout)

    def close(self) -> None:
        """Write what is left and let go of the store."""
        self.recorder.close()
        self.recorder.forget()
        if self in _runtimes:
            _runtimes.remove(self)
        with self._lock:
            if self._store is not None:
                self._store.close()

    def _prepare(self) -> None:
        from spanlog.model import prices
        from spanlog.store import database, sql

        assert sql
        prices.prepare()
        database.import_driver(config.database_url(self.settings.tracking_uri))

    def before_fork(self) -> None:
        """Have nothing open: SQLite's locks do not survive a fork."""
        self.recorder.before_fork()  # its thread uses the store
        self._lock.acquire()
        if self._store:
            self._store.database.before_fork()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        if self._store:
            self._store.database.after_fork_in_parent()
        self._lock.release()

    def after_fork_in_child(self) -> None:
        """Go on, in the child."""
        self._lock = threading.RLock()
        if self._store:
            self._store.database.after_fork_in_child()


_SINK_WAIT = 5.0  # seconds that a sink has for what waits when it is taken away

_runtimes: list[Runtime] = []
_at: dict[str, Runtime] = {}  # those of clients that named a store, by its URL
_lock = threading.Lock()
_default = Runtime(recorder=default_recorder())


def default() -> Runtime:
    """Return what is used where nothing else is named."""
    return _default


def use(runtime: Runtime) -> None:
    """Make a runtime the default one."""
    global _default
    _default = runtime
    traces.default = runtime.recorder


def at(tracking_uri: str) -> Runtime:
    """Return what records into a store: the default one where that is its own, else its own.

    Raises:
        StoreError: The store cannot be opened.
    """
    url = config.database_url(tracking_uri)
    if config.database_url(default().settings.tracking_uri) == url:
        return default()
    with _lock:
        runtime = _at.get(url) or Runtime(url)
        runtime.store  # noqa: B018 - so that what is wrong with it is told now
        return _at.setdefault(url, runtime)


def current_store() -> SqlStore:
    """Return the store of the default runtime.

    Raises:
        StoreError: It cannot be opened.
    """
    return default().store


attachments.kept_in = current_store


def _before_fork() -> None:
    for runtime in _runtimes:
        runtime.before_fork()


def _after_fork_in_parent() -> None:
    for runtime in _runtimes:
        runtime.after_fork_in_parent()


def _after_fork_in_child() -> None:
    for runtime in _runtimes:
        runtime.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
