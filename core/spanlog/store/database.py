"""The database behind a store: how it is opened, its transactions, what becomes of it at fork."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from spanlog.store import limits
from spanlog.store.errors import StoreError
from spanlog.store.migrations import prepare
from spanlog.store.schema import schema_version

if sys.platform != "win32":  # where no file can be deleted that is open
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from spanlog.config import Settings

# What a PostgreSQL URL may say otherwise.
_POSTGRESQL = {"connect_timeout": "3", "client_encoding": "utf8"}
# One lock of a PostgreSQL database is ours: those that write share it.
_LOCK = 0x5350414E  # "SPAN"
# SQLite itself waits so long for another process's transaction, in seconds; then we let others in
# this process have their turn, and try again.
_BUSY = 0.2
_PATIENCE = 5.0


class Database:
    """A database with our tables in it.

    Args:
        url: An SQLAlchemy database URL.
        renewed: Called when the database turns out to be new, or another than before.
        settings: How long a search may take.

    Raises:
        StoreError: It cannot be opened.
    """

    def __init__(self, url: str, renewed: Callable[[], object], settings: Settings) -> None:
        self._renewed = renewed
        self._gate = _Gate()
        self._prepared: object = _identity  # what no file has
        try:
            parsed = _url(url)
            self.name = parsed.render_as_string(hide_password=True)
            self._in_memory = _in_memory(parsed)
            # Threads that share the one connection take turns.
            self._turn: AbstractContextManager[object] = (
                threading.RLock() if self._in_memory else nullcontext()
            )
            self.engine = sa.create_engine(parsed, **_options(parsed))
            self._reader = self.engine.execution_options(spanlog="reads")
            self._alone = self.engine.execution_options(spanlog="alone")
            in_file = self.engine.dialect.name == "sqlite" and not self._in_memory
            self._path = parsed.database if in_file else None
            _configure(self.engine)
            limits.install(self.engine, settings)
            with self.transaction():
                pass
        except Exception as error:
            raise StoreError(_refusal(url, error)) from error

    def close(self) -> None:
        """Close what is open; it opens again when it is used."""
        if not self._in_memory:
            self.engine.dispose()

    def forget(self) -> None:
        """Let go of what was written: SQLite keeps with each statement what it was last given."""
        if self.engine.dialect.name == "sqlite":
            self.close()

    @contextmanager
    def transaction(self, *, reads: bool = False, alone: bool = False) -> Generator[sa.Connection]:
        """Write under one transaction, alone if need be, or read one consistent state."""
        end = time.monotonic() + _PATIENCE
        while True:
            with self._gate, self._turn, ExitStack() as stack:
                file = _identity(self._path)
                fresh = self._prepared != file
                try:
                    if fresh:  # for the first time, or the file was deleted or replaced
                        self.close()
                        self._renewed()
                        _begin_anew(self._path)
                    engine = self._reader if reads else self.engine
                    engine = self._alone if alone or fresh else engine
                    connection = stack.enter_context(engine.connect())
                    stack.enter_context(connection.begin())
                    if fresh:
                        prepare(connection)
                except exc.OperationalError as error:
                    passes = "locked" in str(error.orig) or file != _identity(self._path)
                    if not passes or time.monotonic() > end:
                        raise
                else:
                    yield connection
                    stack.close()
                    if fresh:
                        self._prepared = _identity(self._path)
                    elif not reads and self._prepared != _identity(self._path):
                        raise OSError("its file was deleted or replaced meanwhile")
                    return
            time.sleep(0.005)

    # Forking: SQLite's locks do not survive a fork with a connection open.

    def before_fork(self) -> None:
        """Wait for what is under way and close every connection."""
        self._gate.shut()
        self.close()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._gate.open()

    def after_fork_in_child(self) -> None:
        """Go on, in the child."""
        self._gate = _Gate()


class _Gate:
    """Lets any number of threads in until it is shut, which waits until all have left."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._shut = False

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._shut)
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def shut(self) -> None:
        with self._changed:
            self._shut = True
            self._changed.wait_for(lambda: not self._inside)

    def open(self) -> None:
        with self._changed:
            self._shut = False
            self._changed.notify_all()


def name_of(connection: sa.Connection) -> str:
    """Return what a database is called in messages: its URL without the password."""
    return connection.engine.url.render_as_string(hide_password=True)


def import_driver(url: str) -> None:
    """Import what speaks to a database; where it is missing, opening the database says so."""
    with suppress(ImportError, exc.ArgumentError, exc.NoSuchModuleError):
        sa.make_url(url).get_dialect().import_dbapi()


def exists(url: str) -> bool:
    """Say whether there is a store at a database URL.

    Raises:
        StoreError: It cannot be asked.
    """
    try:
        parsed = _url(url)
        if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
            return False
        engine = sa.create_engine(parsed, poolclass=sa.NullPool)
        with engine.connect() as connection:
            return sa.inspect(connection).has_table(schema_version.name)
    except Exception as error:
        raise StoreError(_refusal(url, error)) from error


# What is wrong with the data, not with the store.
_POISON = (
    exc.DataError,
    exc.IntegrityError,
    exc.InterfaceError,
    exc.NotSupportedError,
    exc.ProgrammingError,
)
# What SQLSTATE calls a limit of the program: a key that is too long, say.
_TOO_MUCH = "54"


def is_poison(error: Exception) -> bool:
    """Say whether what was to be written is at fault, so that it can never be."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return isinstance(error, _POISON) or state.startswith(_TOO_MUCH)


def _refusal(url: str, error: Exception) -> str:
    """Return what to tell whoever named a store that cannot be opened."""
    reason = " ".join(str(getattr(error, "orig", None) or error).split())
    advice = "Give a path that can be written, or a database URL,"
    if "disk I/O" in reason:
        beside = f"{sa.make_url(url).database}-wal and -shm"
        reason += (
            f" (if {beside} are of a file that was deleted: end what has that open, delete them)"
        )
    if isinstance(error, ModuleNotFoundError):
        package = "'spanlog[postgres]'" if error.name == "psycopg" else error.name
        advice = f"Install the driver (pip install {package}), or give a path"
    with suppress(Exception):
        url = sa.make_url(url).render_as_string(hide_password=True)
    return (
        f"cannot open the trace store {url}: {reason}. "
        f"{advice} to set_tracking_uri() or SPANLOG_TRACKING_URI"
    )


def _url(url: str) -> sa.URL:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError("traces are kept in SQLite or PostgreSQL")
    return parsed


def _identity(path: str | None) -> object:
    """Return what tells a file from the one that takes its place; None if there is none."""
    if path is None:
        return "no file"
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _begin_anew(path: str | None) -> None:
    """Remove what is left of a database whose file alone was deleted.

    While a program has that open, SQLite takes its log for the new file's, and opens neither.
    """
    left = [Path(f"{path}{end}") for end in ("-shm", "-wal")]
    if path is None or sys.platform == "win32" or not any(map(Path.exists, left)):
        return
    with suppress(OSError), _locked(Path(path).parent):  # SQLite says what is wrong, if anything is
        if not Path(path).exists():
            for file in left:
                file.unlink(missing_ok=True)
            Path(path).touch()  # whoever comes next sees that it is there


@contextmanager
def _locked(folder: Path) -> Generator[None]:
    """Be the only one of our processes that makes a file there, for a moment."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        end = time.monotonic() + _BUSY
        while True:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.005)
        yield
    finally:
        os.close(opened)


def _in_memory(url: sa.URL) -> bool:
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def _options(url: sa.URL) -> dict[str, Any]:
    if url.get_backend_name() == "postgresql":
        said = {name: value for name, value in _POSTGRESQL.items() if name not in url.query}
        return {"connect_args": said, "pool_pre_ping": True}
    if url.get_backend_name() != "sqlite":
        return {}
    options: dict[str, Any] = {"connect_args": {"timeout": _BUSY, "check_same_thread": False}}
    return {**options, "poolclass": sa.StaticPool} if _in_memory(url) else options


def _configure(engine: sa.Engine) -> None:
    """Set a database up for several processes."""
    if engine.dialect.name == "sqlite":
        _configure_sqlite(engine)
    elif engine.dialect.name == "postgresql":
        _configure_postgresql(engine)


def _configure_postgresql(engine: sa.Engine) -> None:
    """Have writers go side by side, but not beside one that must be alone."""

    @event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        how = connection.get_execution_options().get("spanlog")
        if how == "reads":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return
        patience = sa.func.set_config("lock_timeout", str(int(_PATIENCE * 1000)), True)
        lock = "pg_advisory_xact_lock" + ("" if how == "alone" else "_shared")
        connection.execute(sa.select(patience, getattr(sa.func, lock)(_LOCK)))


def _configure_sqlite(engine: sa.Engine) -> None:
    """Have a write-ahead log, and writers that queue up."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # `begun` begins; the driver's own way is too late
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA case_sensitive_like=ON")

    @event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        reads = connection.get_execution_options().get("spanlog") == "reads"
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
