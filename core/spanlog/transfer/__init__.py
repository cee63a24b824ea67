"""Traces in files: written from a store with all that belongs to them, and read into another.

A file is JSON lines (`.jsonl`, `.jsonl.gz`) or Parquet (`.parquet`), by its name. Either way what
is read back is equal to what was written.
"""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from spanlog import config
from spanlog.recorder import Unavailable, recorder
from spanlog.search import experiments_or_current
from spanlog.store import StoreError, current_store
from spanlog.store.filters import parse_filter, parse_order
from spanlog.transfer import jsonl, parquet
from spanlog.transfer.errors import BrokenFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from spanlog.store.bundles import Bundle
    from spanlog.store.sql import SqlStore

    Write = Callable[[Path, Iterable[Bundle]], None]
    # What is read comes with the number of its line or row.
    Read = Callable[[Path], Iterator[tuple[int, Bundle]]]

__all__ = ["BrokenFileError", "ImportResult", "export_traces", "import_traces"]

_FORMATS: dict[str, tuple[Write, Read, str]] = {
    ".jsonl": (jsonl.write, jsonl.read, "line"),
    ".jsonl.gz": (jsonl.write, jsonl.read, "line"),
    ".parquet": (parquet.write, parquet.read, "row"),
}
_TOGETHER = 100  # so many traces are written in one transaction


class ImportResult(NamedTuple):
    """What came of an import.

    Args:
        imported: How many traces are new in the store.
        skipped: How many were there already, and stay as they are.
    """

    imported: int
    skipped: int


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
    path = Path(path)
    write, _, _ = _format(path)
    where, order = parse_filter(filter_string), parse_order(order_by or ())
    recorder.flush()
    ids = experiments_or_current(locations if experiment_ids is None else experiment_ids)
    count = 0

    def counted() -> Iterator[Bundle]:
        nonlocal count
        for bundle in current_store().bundles(ids, where, order, max_results):
            count += 1
            yield bundle

    unfinished = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        write(unfinished, counted())
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def import_traces(path: str | os.PathLike[str], experiment: str | None = None) -> ImportResult:
    """Read traces from a file that `export_traces` wrote.

    The whole file is looked through first, so one that is broken leaves nothing behind. A trace
    that is in the store already stays as it is.

    Args:
        path: The file.
        experiment: The name of the experiment that the traces shall belong to, which is made if
            need be; by default the one they came from, by its name.

    Raises:
        ValueError: The file's name does not say what is in it.
        BrokenFileError: Something in the file is not what it has to be; the message names the
            line and says why.
        ImportError: It is Parquet, and pyarrow is not installed.
        OSError: The file cannot be read.
        Unavailable: The store cannot be written; the message says what is there already.
    """
    path = Path(path)
    _, read, numbered = _format(path)
    recorder.flush()
    store = current_store()
    _check(store, read, path, numbered)
    total = imported = 0
    found = _named(read(path), experiment)
    while some := list(islice(found, _TOGETHER)):
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


def _check(store: SqlStore, read: Read, path: Path, numbered: str) -> None:
    """See to it that all of a file can be read and kept."""
    come: set[str] = set()
    number = 0
    try:
        for number, bundle in read(path):
            bundle.check()
            come.update(bundle.contents)
            for sha256 in set(bundle.attachments) - come:
                if not store.has_attachment(sha256):
                    raise BrokenFileError(number, f"attachment {sha256} is not in the file")
    except BrokenFileError as error:
        raise BrokenFileError(
            error.number, f"{path}, {numbered} {error.number}: {error}"
        ) from error
    except ValueError as error:
        raise BrokenFileError(number, f"{path}, {numbered} {number}: {error}") from error


def _named(found: Iterator[tuple[int, Bundle]], experiment: str | None) -> Iterator[Bundle]:
    for _, bundle in found:
        bundle.experiment = experiment or bundle.experiment or config.experiment
        yield bundle
