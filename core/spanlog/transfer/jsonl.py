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

from spanlog.model import codec
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
                    bundle = _bundle(orjson.loads(line))
                del line  # each is gone before the next takes as much
                yield number, size, bundle
                del bundle
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BrokenFileError(number + 1, f"the compressed file is broken: {error}") from error


def bundled(trace: Trace, data: Any) -> Bundle:
    """Return a trace with all that belongs to it.

    Args:
        trace: The trace.
        data: What the file holds beside it, by the names of a line.
    """
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


def _bundle(data: Any) -> Bundle:
    return bundled(Trace.from_dict(data), data)


def _line(bundle: Bundle) -> bytes:
    line: dict[str, Any] = {
        "experiment": bundle.experiment,
        "info": codec.json(bundle.trace.info.to_dict()),
        "data": {"spans": [_span(span) for span in bundle.trace.data.spans]},
    }
    if bundle.attachments:
        line["attachments"] = bundle.attachments
    if bundle.contents:
        line["contents"] = {key: b64encode(c).decode() for key, c in bundle.contents.items()}
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _span(span: Span) -> dict[str, Any]:
    parts, data = span._parts(), span.to_dict()
    return codec.spliced(parts, data) | codec.inexact(parts, data)
