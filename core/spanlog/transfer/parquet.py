"""Traces as a Parquet table: a row a trace, its spans in one column as a list of structs.

Inputs, outputs, attributes, events and assessments are JSON as text. `contents` has the binary
content of attachments, in the first row that has it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from spanlog.capture import capture
from spanlog.transfer.errors import BrokenFileError, reading
from spanlog.transfer.jsonl import events, unpack
from spanlog.usage import ATTRIBUTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from spanlog.entities import Span
    from spanlog.store.bundles import Bundle

# What of a file is in memory at a time: a row group. The writer keeps 75 KB about each until the
# file is whole.
_ROWS = 500
_CHARACTERS = 2**23
_TOGETHER = 100
_TEXTS = ("name", "state", "client_request_id", "request_preview", "response_preview")
_LONG = ("inputs", "outputs", "attributes", "events")
_COSTS = ("input_cost", "output_cost", "total_cost")


def write(path: Path, bundles: Iterable[Bundle]) -> None:
    """Write a file, a row group at a time."""
    arrow, parquet = _arrow()
    schema = _schema(arrow)
    with parquet.ParquetWriter(path, schema, compression="zstd") as file:
        for rows in _groups(map(_row, bundles)):
            file.write_table(arrow.Table.from_pylist(rows, schema))


def read(path: Path) -> Iterator[tuple[int, Bundle]]:
    """Go through a file, a row at a time.

    Raises:
        BrokenFileError: A row is not what it has to be.
    """
    arrow, parquet = _arrow()
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_TOGETHER):
                for row in batch.to_pylist():
                    number += 1
                    yield number, unpack(number, _line(number, row))
    except (arrow.ArrowInvalid, arrow.ArrowNotImplementedError) as error:
        raise BrokenFileError(number + 1, str(error)) from error


def _groups(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Put rows together, as many as are good to have in memory."""
    group: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        group.append(row)
        size += sum(len(held["content"]) for held in row["contents"])
        for span in row["spans"]:
            size += sum(len(span[name] or "") for name in _LONG)
        if len(group) == _ROWS or size >= _CHARACTERS:
            yield group
            group, size = [], 0
    if group:
        yield group


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
        "spans": [_span(span) for span in bundle.trace.data.spans],
        "attachments": bundle.attachments,
        "contents": [{"sha256": k, "content": c} for k, c in bundle.contents.items()],
    }


def _span(span: Span) -> dict[str, Any]:
    return {
        "span_id": span.span_id,
        "parent_span_id": span.parent_id,
        "name": span.name,
        "span_type": span.span_type,
        "start_time_unix_nano": span.start_time_ns,
        "end_time_unix_nano": span.end_time_ns,
        "status": span._code,
        "status_message": span._message,
        "inputs": span.inputs_json,
        "outputs": span.outputs_json,
        "attributes": capture(span.attributes).decode(),
        "events": capture(events(span)).decode(),
    }


def _line(number: int, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row as a line of JSON would have it."""
    with reading(number):
        return {
            "experiment": row["experiment"],
            "info": {
                **row,
                "request_time": row["request_time"].isoformat(timespec="milliseconds"),
                "cost": {k: v for k, v in (row["cost"] or {}).items() if v is not None} or None,
                "assessments": [orjson.loads(text) for text in row["assessments"]],
            },
            "data": {"spans": [_span_line(row["trace_id"], span) for span in row["spans"]]},
            "attachments": row["attachments"],
            "contents": {held["sha256"]: held["content"] for held in row["contents"]},
        }


def _span_line(trace_id: str, span: dict[str, Any]) -> dict[str, Any]:
    return {
        **span,
        "trace_id": trace_id,
        "status": {"code": span["status"], "message": span["status_message"]},
        "inputs": None,
        "outputs": None,
        "inputs_json": span["inputs"],
        "outputs_json": span["outputs"],
        "attributes": orjson.loads(span["attributes"]),
        "events": orjson.loads(span["events"]),
    }
