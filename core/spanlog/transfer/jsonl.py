"""Traces as JSON lines: a line is `Trace.to_json()` and what else belongs to the trace.

Beside `info` and `data` it has `experiment` (the name), `attachments` (the SHA-256 of each) and
`contents` (base64 by SHA-256, in the first line that has the content). Where the JSON of inputs or
outputs would change if it were parsed and written again, it stands once more as text, under
`inputs_json` or `outputs_json`.
"""

from __future__ import annotations

import binascii
import gzip
import zlib
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Literal

import orjson

from spanlog.model.capture import capture
from spanlog.model.trace import Trace
from spanlog.store.bundles import Bundle
from spanlog.transfer.errors import BrokenFileError, reading
from spanlog.transfer.room import check_size, size_of_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from spanlog.model.span import Span

_PROPORTION = 200  # texts that repeat one another compress to a 120th
_EMPTY = 1_000  # bytes that an empty line is counted as


def write(path: Path, bundles: Iterable[Bundle]) -> None:
    """Write a file."""
    with _open(path, "wb") as file:
        for bundle in bundles:
            file.write(_line(bundle))


def read(path: Path, most: int) -> Iterator[tuple[int, int, Bundle]]:
    """Go through a file, a line at a time.

    Args:
        path: The file.
        most: How large a trace may be.

    Yields:
        The number of the line, how large the trace is, and the trace.

    Raises:
        BrokenFileError: A line is not what it has to be.
    """
    number = length = empty = 0
    try:
        with _open(path, "rb") as file:
            raw: Any = getattr(file, "fileobj", file)
            while line := file.readline(most + 1):
                number += 1
                length += len(line)
                if line.isspace():
                    empty += _EMPTY
                    check_size(number, empty, most, "a run of empty lines")
                    continue
                empty, size = 0, size_of_json(line)
                check_size(number, size, most)
                if length > max(most, _PROPORTION * raw.tell()):
                    raise BrokenFileError(
                        number,
                        f"what is compressed has become over {_PROPORTION} times as long; "
                        "to import it, decompress the file first",
                    )
                with reading(number):
                    bundle = unpack(orjson.loads(line))
                del line  # each is gone before the next takes as much
                yield number, size, bundle
                del bundle
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BrokenFileError(number + 1, f"the compressed file is broken: {error}") from error


def unpack(data: Any) -> Bundle:
    """Return the trace that a line holds, with all that belongs to it.

    Args:
        data: What the line holds, parsed.
    """
    trace = Trace.from_dict(data)
    for span, held in zip(trace.data.spans, data["data"]["spans"], strict=True):
        span._inputs = held.get("inputs_json", span._inputs)
        span._outputs = held.get("outputs_json", span._outputs)
    return Bundle(
        trace,
        data.get("experiment", ""),
        list(data.get("attachments") or ()),
        {sha256: _bytes(text) for sha256, text in (data.get("contents") or {}).items()},
    )


def _open(path: Path, mode: Literal["rb", "wb"]) -> BinaryIO | gzip.GzipFile:
    return gzip.GzipFile(path, mode) if path.name.endswith(".gz") else path.open(mode)


def _bytes(content: str | bytes) -> bytes:
    if isinstance(content, bytes):
        return content
    try:
        return b64decode(content, validate=True)
    except binascii.Error as error:
        raise ValueError(f"the content of an attachment is not base64: {error}") from error


def _line(bundle: Bundle) -> bytes:
    info = bundle.trace.info.to_dict()
    line: dict[str, Any] = {
        "experiment": bundle.experiment,
        "info": {**info, "assessments": [_json(said) for said in info["assessments"]]},
        "data": {"spans": [_span(span) for span in bundle.trace.data.spans]},
    }
    if bundle.attachments:
        line["attachments"] = bundle.attachments
    if bundle.contents:
        line["contents"] = {key: b64encode(c).decode() for key, c in bundle.contents.items()}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _span(span: Span) -> dict[str, Any]:
    """Return a span as `Span.to_dict` does, its data as JSON that is not written anew."""
    data: dict[str, Any] = {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_span_id": span.parent_id,
        "name": span.name,
        "span_type": span.span_type,
        "start_time_unix_nano": span.start_time_ns,
        "end_time_unix_nano": span.end_time_ns,
        "status": {"code": span._code, "message": span._message},
        "attributes": _json(span._attributes),
        "events": _json(events(span)),
    }
    for name, text in (("inputs", span.inputs_json), ("outputs", span.outputs_json)):
        data[name], exact = _as_it_is(text)
        if not exact:
            data[f"{name}_json"] = text
    return data


def events(span: Span) -> list[dict[str, Any]]:
    """Return the events of a span as `Span.to_dict` does."""
    return [
        {"name": e.name, "time_unix_nano": e.timestamp, "attributes": e.attributes}
        for e in span.events
    ]


def _json(value: Any) -> orjson.Fragment:
    return orjson.Fragment(capture(value))


def _as_it_is(text: str | None) -> tuple[orjson.Fragment | None, bool]:
    """Return JSON as a part of a line, and whether it is the same once it was read from there."""
    if text is None:
        return None, True
    try:
        value = orjson.loads(text)
        exact = value is not None and capture(value) == text.encode()
    except orjson.JSONDecodeError:  # a number too large, a NaN, a nesting too deep
        return None, False
    return orjson.Fragment(text), exact
