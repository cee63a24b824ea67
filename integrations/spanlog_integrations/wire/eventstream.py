"""The binary frames in which AWS streams a model's events to a client that is not AWS's own.

A frame is `total length | headers length | CRC of the two | headers | payload | CRC of all before`,
all numbers big-endian.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import crc32
from collections.abc import Iterator
from struct import pack, unpack_from
from typing import Any, NamedTuple

from spanlog_integrations.wire.sse import Events, json_of

CONTENT_TYPE = "application/vnd.amazon.eventstream"

# A header's value by the number of its type: how many bytes, where that is not told before it.
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_TEXT = 7


class Frame(NamedTuple):
    """A frame; of its headers those that are text."""

    headers: dict[str, str]
    payload: bytes


def frames(body: bytes) -> Iterator[Frame]:
    """Yield the frames of a body, up to one that was cut off or is broken."""
    at = 0
    while len(body) - at >= 16:
        size, head = unpack_from(">II", body, at)
        frame = body[at : at + size]
        if not 16 + head <= size == len(frame) or frame[-4:] != pack(">I", crc32(frame[:-4])):
            return
        yield Frame(dict(_headers(frame[12 : 12 + head])), frame[12 + head : -4])
        at += size


def _headers(data: bytes) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(data):
        end = at + 1 + data[at]
        name, kind = data[at + 1 : end].decode(), data[end]
        at = end + 1
        if kind in _SIZES:
            at += _SIZES[kind]
            continue
        (size,) = unpack_from(">H", data, at)
        if kind == _TEXT:
            yield name, data[at + 2 : at + 2 + size].decode()
        at += 2 + size


def parse(body: bytes) -> Events:
    """Return the events that a model streams in the chunks of a body; errors as Anthropic does."""
    found: list[dict[str, Any]] = []
    for headers, payload in frames(body):
        content = json_of(payload)
        content = content if isinstance(content, dict) else {}
        if headers.get(":message-type") != "event":
            kind = headers.get(":exception-type") or headers.get(":error-code")
            message = content.get("message") or headers.get(":error-message")
            found.append({"type": "error", "error": {"type": kind, "message": message}})
        elif isinstance(event := json_of(b64decode(content.get("bytes") or "")), dict):
            found.append(event)
    return Events(found, over=False)
