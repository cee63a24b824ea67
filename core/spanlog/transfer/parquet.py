"""Traces as a Parquet table: a row a trace, its spans in one column as a list of structs.

Inputs, outputs, attributes, events and assessments are JSON as text. `contents` has the binary
content of attachments, in the first row that has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from spanlog.model.capture import capture
from spanlog.model.codec import FILE
from spanlog.model.span import Span
from spanlog.model.trace import Trace, TraceData, TraceInfo
from spanlog.model.usage import ATTRIBUTES
from spanlog.transfer.errors import BrokenFileError, reading
from spanlog.transfer.jsonl import bundled
from spanlog.transfer.room import VALUE, check_size, size_of_json, together

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from spanlog.store.bundles import Bundle

# What of a file is in memory at a time: a row group. The writer keeps 75 KB about each until the
# file is whole.
_ROWS = 500
_SIZE = 2**23
_PARTS = 100_000  # row groups and columns
_BROKEN = "the file cannot be read"
_TEXTS = ("name", "state", "client_request_id", "request_preview", "response_preview")
_LONG = ("inputs", "outputs", "attributes", "events")
_COSTS = ("input_cost", "output_cost", "total_cost")


def write(path: Path, bundles: Iterable[Bundle]) -> None:
    """Write a file, a row group at a time."""
    arrow, parquet = _arrow()
    schema = _schema(arrow)
    sized = ((row, _size(row)) for row in map(_row, bundles))
    with parquet.ParquetWriter(path, schema, compression="zstd") as file:
        for rows in together(sized, _ROWS, _SIZE):
            file.write_table(arrow.Table.from_pylist(rows, schema))


def read(path: Path, most: int) -> Iterator[tuple[int, int, Bundle]]:
    """Go through a file, a row group at a time.

    Args:
        path: The file.
        most: How large a row group may be, and a trace.

    Yields:
        The number of the row, how large the trace is, and the trace.

    Raises:
        BrokenFileError: A row is not what it has to be.
    """
    arrow, parquet = _arrow()
    number = 0
    with reading(1, _BROKEN):
        file = _open(parquet, path, most)
    with file:
        for group in range(file.num_row_groups):
            with reading(number + 1, _BROKEN):
                table = _table(file, group, most, number + 1)
            for start in range(table.num_rows):
                number += 1
                with reading(number):
                    (row,) = table.slice(start, 1).to_pylist()
                    size = _size(row) + sum(size_of_json(text.encode()) for text in _json(row))
                    check_size(number, size, most)
                    bundle = _bundle(row)
                    del row  # each is gone before the next takes as much
                yield number, size, bundle
                del bundle
            del table
            arrow.default_memory_pool().release_unused()


def _open(parquet: Any, path: Path, most: int) -> Any:
    """Open a file so that a text is read once that its columns repeat."""
    with parquet.ParquetFile(
        path, thrift_string_size_limit=min(most, 2**31 - 1), thrift_container_size_limit=_PARTS
    ) as file:
        footer = file.metadata
    columns = (column for group in range(footer.num_row_groups) for column in _of(footer, group))
    repeated = {
        column.path_in_schema
        for column in columns
        if column.has_dictionary_page and column.physical_type == "BYTE_ARRAY"
    }
    return parquet.ParquetFile(path, metadata=footer, read_dictionary=list(repeated))


def _of(footer: Any, group: int) -> Iterator[Any]:
    """Return what a footer says of the columns of a row group."""
    of_group = footer.row_group(group)
    return map(of_group.column, range(of_group.num_columns))


def _table(file: Any, group: int, most: int, number: int) -> Any:
    """Return a row group, if there is room for it."""
    from spanlog.transfer.columns import check_kind, size_of

    arrow, _ = _arrow()
    known = set(_schema(arrow).names)
    fields = [field for field in file.schema_arrow if field.name in known]
    for field in fields:
        check_kind(field)
    size = 0
    for column in _of(file.metadata, group):
        if column.path_in_schema.split(".")[0] in known:
            if "DELTA_BYTE_ARRAY" in column.encodings:
                raise BrokenFileError(number, "its texts are encoded by what they begin with")
            size += column.total_uncompressed_size + VALUE * column.num_values
    check_size(number, size, most, "the row group")
    table = file.read_row_group(group, [field.name for field in fields])
    sizes = (size_of(chunk) for column in table.columns for chunk in column.chunks)
    check_size(number, sum(sizes), most, "the row group")
    return table


def _size(value: Any) -> int:
    """Return how large a row is, or what is in it."""
    if isinstance(value, dict):
        return sum(map(_size, value.values()))
    if isinstance(value, list | tuple):
        return sum(map(_size, value))
    return VALUE + (len(value) if isinstance(value, str | bytes) else 0)


def _json(row: dict[str, Any]) -> Iterator[str]:
    """Return what of a row is JSON that is parsed."""
    yield from row["assessments"]
    for span in row["spans"]:
        yield from (span["attributes"], span["events"])


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise ImportError("Parquet needs pyarrow: pip install 'spanlog[parquet]'") from error
    return pa, pq


def _schema(pa: Any) -> Any:
    text, number = pa.string(), pa.int64()
    pairs = pa.map_(text, text)
    span = {
        **dict.fromkeys(("span_id", "parent_span_id", "name", "span_type"), text),
        **dict.fromkeys(("start_time_unix_nano", "end_time_unix_nano"), number),
        **dict.fromkeys(("status", "status_message"), text),
        **dict.fromkeys(_LONG, pa.large_string()),
    }
    content = {"sha256": text, "content": pa.large_binary()}
    columns = {
        "trace_id": text,
        "experiment_id": text,
        "experiment": text,
        "request_time": pa.timestamp("ms", "UTC"),
        "execution_duration_ms": number,
        **dict.fromkeys(_TEXTS, text),
        "tags": pairs,
        "trace_metadata": pairs,
        "token_usage": pa.struct(list(dict.fromkeys(ATTRIBUTES, number).items())),
        "cost": pa.struct(list(dict.fromkeys(_COSTS, pa.float64()).items())),
        "assessments": pa.list_(text),
        "spans": pa.list_(pa.struct(list(span.items()))),
        "attachments": pa.list_(text),
        "contents": pa.list_(pa.struct(list(content.items()))),
    }
    return pa.schema(list(columns.items()))


def _row(bundle: Bundle) -> dict[str, Any]:
    info = bundle.trace.info
    used = info.token_usage or {}
    return {
        **info.to_dict(),
        "experiment": bundle.experiment,
        "request_time": info.request_time,
        "tags": list(info.tags.items()),
        "trace_metadata": list(info.trace_metadata.items()),
        "token_usage": {k: used[k] for k in ATTRIBUTES if k in used and abs(used[k]) < 2**63},
        "assessments": [capture(said.to_dict()).decode() for said in info.assessments],
        "spans": [FILE.row(span._parts()) for span in bundle.trace.data.spans],
        "attachments": bundle.attachments,
        "contents": [{"sha256": k, "content": c} for k, c in bundle.contents.items()],
    }


def _bundle(row: dict[str, Any]) -> Bundle:
    info = {
        **row,
        "request_time": row["request_time"].isoformat(timespec="milliseconds"),
        "cost": {k: v for k, v in (row["cost"] or {}).items() if v is not None} or None,
        "assessments": [orjson.loads(text) for text in row["assessments"]],
    }
    of_trace = {"trace_id": row["trace_id"]}
    spans = [Span._stored(*FILE.read(of_trace | span)) for span in row["spans"]]
    contents = {held["sha256"]: held["content"] for held in row["contents"]}
    trace = Trace(TraceInfo.from_dict(info), TraceData(spans))
    return bundled(trace, row | {"contents": contents})
