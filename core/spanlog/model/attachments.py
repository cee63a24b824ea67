"""Binary content in inputs and outputs: kept once, by its SHA-256, beside the traces that have it.

Images, sound and documents come as base64, as they are on the wire. Where such a text is large,
the store keeps the bytes, once for all spans that have them, and inputs and outputs hold a
reference in its place: `attachment:sha256-<64 hex digits>?type=image/png&size=48213&as=data`.
"""

from __future__ import annotations

import binascii
import hashlib
import re
from base64 import b64decode, b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

_REFERENCE = re.compile(
    r"attachment:sha256-([0-9a-f]{64})\?type=([\w.+-]+/[\w.+-]+)&size=(\d+)&as=(data|base64url|base64)"
)
# A JSON string that is nothing but base64, or a `data:` URI (RFC 2397) of it.
_ENCODED = re.compile(
    rb'"(?:data:([\w.+-]+/[\w.+-]+);base64,)?([A-Za-z0-9+/]{32,}={0,2}|[A-Za-z0-9_-]{32,}={0,2})"'
)
# What names the type of the content beside it, in the requests of Anthropic, Google and OpenAI.
_BESIDE = re.compile(rb'"(?:media_?type|mime_?type)":"([\w.+-]+/[\w.+-]+)"', re.IGNORECASE)
_REACH = 160
_UNKNOWN = "application/octet-stream"
# What files of a type begin with.
_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1aE\xdf\xa3", "video/webm"),
)
_IN_RIFF = {b"WAVE": "audio/wav", b"WEBP": "image/webp", b"AVI ": "video/x-msvideo"}
_DECODERS: tuple[tuple[str, Callable[[bytes], bytes], Callable[[bytes], bytes]], ...] = (
    ("base64", b64decode, b64encode),
    ("base64url", urlsafe_b64decode, urlsafe_b64encode),
)


class Contents(Protocol):
    """Where binary content is kept."""

    def attachment(self, sha256: str, /) -> bytes:
        """Return content by its SHA-256."""
        raise NotImplementedError


def _nowhere() -> Contents:
    raise LookupError("no store is in use: load the trace from its own")


# Where the content is of what did not come out of a store: in the one that is in use.
kept_in: Callable[[], Contents] = _nowhere


@dataclass(frozen=True)
class Attachment:
    """Binary content of a span, which stands in its inputs or outputs as a reference.

    Args:
        sha256: The SHA-256 of the content, in hex digits.
        media_type: Like `image/png`; `application/octet-stream` where it is not known.
        size: Of the content, in bytes.
        encoding: What the reference stands for: "data" a `data:` URI, "base64" or "base64url" the
            bare text.
    """

    sha256: str
    media_type: str
    size: int
    encoding: str = "data"
    _contents: Contents | None = field(default=None, repr=False, compare=False)

    @property
    def reference(self) -> str:
        """The text that stands in inputs and outputs for the content."""
        return (
            f"attachment:sha256-{self.sha256}"
            f"?type={self.media_type}&size={self.size}&as={self.encoding}"
        )

    @property
    def content(self) -> bytes:
        """The content itself, from the store that the span came from, else from that in use.

        Raises:
            StoreError: The store does not have it.
        """
        return (self._contents or kept_in()).attachment(self.sha256)

    def encoded(self, content: bytes) -> str:
        """Return the text that the program sent or received: what the reference stands for."""
        if self.encoding == "data":
            return f"data:{self.media_type};base64,{b64encode(content).decode()}"
        encode = next(encode for name, _, encode in _DECODERS if name == self.encoding)
        return encode(content).decode()

    @classmethod
    def of(cls, reference: str) -> Attachment | None:
        """Return what a text refers to, if it is a reference."""
        found = _REFERENCE.fullmatch(reference)
        return _attachment(found) if found else None


def _attachment(found: re.Match[str], contents: Contents | None = None) -> Attachment:
    return Attachment(found[1], found[2], int(found[3]), found[4], contents)


def references(text: str | None, contents: Contents | None = None) -> list[Attachment]:
    """Return what a JSON text refers to, each once, in the order in which it stands there.

    Args:
        text: The JSON.
        contents: Where the content is; in the store that is in use by default.
    """
    if not text or "attachment:sha256-" not in text:
        return []
    return list(dict.fromkeys(_attachment(it, contents) for it in _REFERENCE.finditer(text)))


def take_out(data: bytes, keep: Callable[[str, bytes], object], most: int) -> bytes:
    """Return JSON with references in place of the large binary content in it.

    Args:
        data: JSON.
        keep: Is given the SHA-256 of each content and the content.
        most: How many bytes of content may stay.
    """
    least = most * 4 // 3
    pieces: list[bytes] = []
    copied = 0
    for start, end in _long(data, least):
        found = _ENCODED.fullmatch(data, start, end)
        reference = found and _reference(data, found, keep)
        if reference:
            pieces += data[copied:start], reference
            copied = end
    return b"".join([*pieces, data[copied:]]) if pieces else data


def _long(data: bytes, least: int) -> Iterator[tuple[int, int]]:
    """Yield where something stands between two quotes that is longer than `least`.

    It covers one of the places so far apart: between them there is no need to look.
    """
    end, place = 0, least
    while place < len(data):
        start = data.rfind(b'"', end, place)
        end = data.find(b'"', place)
        if end < 0:
            return
        if 0 <= start < end - least:
            yield start, end + 1
        place = end + least


def _reference(
    data: bytes, found: re.Match[bytes], keep: Callable[[str, bytes], object]
) -> bytes | None:
    """Keep the content of a text and return what refers to it; None if that is no content."""
    media_type = _media_type(data, found)
    decoded = _decoded(found[2]) if media_type else None
    if media_type is None or decoded is None:
        return None
    encoding, content = decoded
    sha256 = hashlib.sha256(content).hexdigest()
    keep(sha256, content)
    how = "data" if found[1] else encoding
    return f'"{Attachment(sha256, media_type, len(content), how).reference}"'.encode()


def _media_type(data: bytes, found: re.Match[bytes]) -> str | None:
    """Return of which type the content is; None for a text that only looks like base64."""
    told = found[1]
    if told is None:
        beside = data[max(found.start() - _REACH, 0) : found.start()]
        after = data[found.end() : found.end() + _REACH]
        named = [*_BESIDE.findall(beside)[-1:], *_BESIDE.findall(after)[:1]]
        told = named[0] if named else None
    if told is not None and told != _UNKNOWN.encode():
        return str(told, "ascii").lower()
    return _sniffed(found[2]) or (_UNKNOWN if told else None)


def _sniffed(text: bytes) -> str | None:
    try:
        begins = b64decode(text[:32].replace(b"-", b"+").replace(b"_", b"/"))
    except binascii.Error:
        return None
    if begins.startswith(b"RIFF"):
        return _IN_RIFF.get(begins[8:12])
    if begins[4:8] == b"ftyp":
        return "video/mp4"
    return next((kind for mark, kind in _BEGINNINGS if begins.startswith(mark)), None)


def _decoded(text: bytes) -> tuple[str, bytes] | None:
    """Return how a text is encoded and what it says, if that can be turned back into the text."""
    for name, decode, encode in _DECODERS:
        try:
            content = decode(text)
        except binascii.Error:
            continue
        if encode(content) == text:
            return name, content
    return None
