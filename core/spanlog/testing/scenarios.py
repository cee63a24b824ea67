"""What the suite asks of a server: each scenario is named by the words of the requested model.

A router answers a model whose name begins with `plain`, `long` (200 pieces when streamed), `tools`,
`n2` or `errorevent` as it likes, as far as `Library.text` says; the words here end any request with
an error, or change how any reply is sent.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from spanlog.testing.loopback import Reply

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ERRORS = {"bad": 400, "unauthorized": 401, "limit": 429, "broken": 500}
"""The HTTP statuses of the error scenarios."""

_flaky_seen: set[str] = set()
_lock = threading.Lock()


def error(words: Collection[str], path: str, asked: Mapping[str, Any]) -> str | None:
    """The word of the error that shall end this request."""
    if "flaky" in words and first_time(path, asked):
        return "broken"
    return next((word for word in words if word in ERRORS), None)


def whole(status: int, headers: Mapping[str, str], body: bytes, words: Collection[str]) -> Reply:
    """A reply that is no stream, sent as the words ask."""
    wait = 30 if "hang" in words else 0.3 if "slow" in words else 0
    if "cut" in words:
        return Reply(status, headers, [body[: len(body) // 2]], cut=True, wait=wait)
    return Reply(status, headers, body, wait=wait)


def streamed(headers: Mapping[str, str], pieces: list[bytes], words: Collection[str]) -> Reply:
    """A streamed reply, sent as the words ask; each piece is an event or a line."""
    cut = "cut" in words
    if cut:
        pieces = pieces[: max(3, len(pieces) // 2)]
    if "split" in words:
        stream = b"".join(pieces)
        pieces = [stream[start : start + 7] for start in range(0, len(stream), 7)]
    delay = 30 if "hang" in words else 0.05 if "slow" in words else 0
    return Reply(200, headers, pieces, delay=delay, cut=cut)


def first_time(path: str, fields: Mapping[str, Any]) -> bool:
    """Whether this is the first request with this path and these fields, for `flaky`."""
    # Of the fields, not of the bytes: a retried upload has another multipart boundary.
    key = f"{path} {json.dumps(fields)}"
    with _lock:
        seen = key in _flaky_seen
        _flaky_seen.add(key)
    return not seen
