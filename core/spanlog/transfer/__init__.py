"""Traces in files: written from a store with all that belongs to them, and read into another.

A file is JSON lines (`.jsonl`, `.jsonl.gz`) or Parquet (`.parquet`), by its name. Either way what
is read back is equal to what was written.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from spanlog.api.search import experiments_or_current
from spanlog.errors import Unavailable
from spanlog.runtime import default
from spanlog.store.bundles import Bundle
from spanlog.store.errors import StoreError
from spanlog.store.filters import parse_filter, parse_order
from spanlog.transfer import jsonl, parquet
from spanlog.transfer.errors import BrokenFileError
from spanlog.transfer.room import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from spanlog.store.filters import Filter, Order
    from spanlog.store.sql import SqlStore

    Write = Callable[[Path, Iterable[Bundle]], None]
    # What is read comes with the number of its line or row, and its size.
    Read = Callable[[Path, int], Iterator[tuple[int, int, Bundle]]]

__all__ = ["BrokenFileError", "ImportResult", "export_traces", "import_traces"]

_FORMATS: dict[str, tuple[Write, Read, str]] = {
    ".jsonl": (jsonl.write, jsonl.read, "line"),
    ".jsonl.gz": (jsonl.write, jsonl.read, "line"),
    ".parquet": (parquet.write, parquet.read, "row"),
}
# So many traces are written in one transaction, and so large are they together.
_TOGETHER = 100
_SIZE = 2**23


class ImportResult(NamedTuple):
    """What came of an import.

    Args:
        imported: How many traces are new in the store.
        skipped: How many were there already, and stay as they are.
    """

    imported: int
    skipped: int


_PAGE = 100  # traces that are in memory together: a screenful of large ones is some megabytes


def export_traces(
    path: str | os.PathLike[str],
    experiment_ids: Sequence[str] | None = None,
    filter_string: str | None = None,
    max_results: int | None = None,
    order_by: Sequence[str] | None = None,
    locations: Sequence[str] | None = None,
) -> int:
    """Write traces to a file, with spans, tags, metadata, assessments and attachments.

    However many there are, few are in memory at a time. A file of that name is replaced once all
    is written.

    Args:
        path: A file whose name ends with `.jsonl`, `.jsonl.gz` or `.parquet`.
        experiment_ids: Of which experiments; of the current one by default.
        filter_string: Which traces, in the language of `search_traces`; all by default.
        max_results: How many at most; all by default.
        order_by: In which order; the newest first by default.
        locations: The experiment ids, by MLflow's newer name.

    Returns:
        How many were written.

    Raises:
        ValueError: The name ends otherwise.
        FilterError: The filter or the order does not parse.
        ImportError: It is Parquet, and pyarrow is not installed.
        OSError: The file cannot be written.
    """
    where, order = parse_filter(filter_string), parse_order(order_by or ())
    runtime = default()
    runtime.flush()
    ids = experiments_or_current(runtime, locations if experiment_ids is None else experiment_ids)
    return write_traces(runtime.store, Path(path), ids, where, order, max_results)


def write_traces(
    store: SqlStore,
    path: Path,
    experiment_ids: Sequence[str],
    where: Filter,
    order: Order,
    max_results: int | None,
) -> int:
    """Do as `export_traces`, with a filter and an order that are parsed."""
    write, _, _ = _format(path)
    count = 0

    def counted() -> Iterator[Bundle]:
        nonlocal count
        for bundle in _bundles(store, experiment_ids, where, order, max_results):
            count += 1
            yield bundle

    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(unfinished, counted())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def import_traces(
    path: str | os.PathLike[str],
    experiment: str | None = None,
    trace_mb: float | None = None,
) -> ImportResult:
    """Read traces from a file that `export_traces` wrote.

    The whole file is looked through first, so one that is broken leaves nothing behind. A trace
    that is in the store already stays as it is. The file may be of any length: what is in memory at
    a time is bounded by `trace_mb`.

    Args:
        path: The file.
        experiment: The name of the experiment that the traces shall belong to, which is made if
            need be; by default the one they came from, by its name.
        trace_mb: How many megabytes a trace may take: its text, twice or four times where that is
            not ASCII, and 40 bytes for each value of its JSON. In Parquet a row group may take as
            much. A file with a larger one is refused. By default `SPANLOG_IMPORT_TRACE_MB`, or 50.

    Raises:
        ValueError: The file's name does not say what is in it.
        BrokenFileError: Something in the file is not what it has to be; the message names the
            line and says why.
        ImportError: It is Parquet, and pyarrow is not installed.
        OSError: The file cannot be read, or is a directory or a device.
        Unavailable: The store cannot be written; the message says what is there already.
    """
    path = Path(path)
    _, read, numbered = _format(path)
    if not stat.S_ISREG(path.stat().st_mode):  # it is read twice, and has to have an end
        raise OSError(errno.EINVAL, "Not a regular file", str(path))
    most = default().settings.import_trace_bytes
    if trace_mb is not None:
        most = max(int(min(trace_mb, 1e12) * 1_000_000), 1)
    runtime = default()
    runtime.flush()
    store = runtime.store
    _check(store, read(path, most), path, numbered)

    def named(found: tuple[int, int, Bundle]) -> tuple[Bundle, int]:
        _, size, bundle = found
        bundle.experiment = experiment or bundle.experiment or runtime.settings.experiment
        return bundle, size

    total = imported = 0
    for some in together(map(named, read(path, most)), _TOGETHER, _SIZE):
        try:
            imported += store.restore(some)
        except Unavailable as error:
            raise StoreError(f"{error}. Of {path}, {total:,} traces are in the store.") from error
        total += len(some)
    return ImportResult(imported, total - imported)


def _format(path: Path) -> tuple[Write, Read, str]:
    for suffix, format_ in _FORMATS.items():
        if path.name.endswith(suffix):
            return format_
    raise ValueError(f"the name of the file must end with {', '.join(_FORMATS)}: {path}")


def _check(
    store: SqlStore, found: Iterator[tuple[int, int, Bundle]], path: Path, numbered: str
) -> None:
    """See to it that all of a file can be read and kept."""
    number = 0
    try:
        with closing(sqlite3.connect("")) as come:  # in a file of its own: there may be millions
            come.execute("CREATE TABLE contents (sha256 TEXT PRIMARY KEY) WITHOUT ROWID")
            for number, _, bundle in found:
                bundle.check()
                new = ((sha256,) for sha256 in bundle.contents)
                come.executemany("INSERT OR IGNORE INTO contents VALUES (?)", new)
                for sha256 in bundle.attachments:
                    known = come.execute("SELECT 1 FROM contents WHERE sha256 = ?", (sha256,))
                    if not (known.fetchone() or store.has_attachment(sha256)):
                        raise BrokenFileError(number, f"attachment {sha256} is not in the file")
                del bundle  # it is gone before the next is there
    except BrokenFileError as error:
        raise BrokenFileError(
            error.number, f"{path}, {numbered} {error.number}: {error}"
        ) from error
    except ValueError as error:
        raise BrokenFileError(number, f"{path}, {numbered} {number}: {error}") from error


def _bundles(
    store: SqlStore,
    experiment_ids: Sequence[str],
    where: Filter,
    order: Order,
    max_results: int | None = None,
) -> Iterator[Bundle]:
    """Go through the traces that fit a filter, each with all that belongs to it.

    However many there are, a page of them is in memory. Content comes with the first trace
    that has it.
    """
    names = {experiment.experiment_id: experiment.name for experiment in store.experiments()}
    left, token, come = max_results, None, set[str]()
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        page = store.search(experiment_ids, where, order, size, token)
        links = store.attachments_of([trace.info.trace_id for trace in page])
        for trace in page:
            has = links.get(trace.info.trace_id, [])
            contents = {sha256: store.attachment(sha256) for sha256 in has if sha256 not in come}
            come.update(has)
            yield Bundle(trace, names[trace.info.experiment_id], has, contents)
        token, left = page.token, None if left is None else left - len(page)
        if token is None:
            return
