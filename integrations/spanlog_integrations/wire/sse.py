"""Server-sent events: what a streamed reply is made of on the wire."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from spanlog.safety import logger


class Events(NamedTuple):
    """The JSON of each event, in order, and whether the stream said that it is over."""

    data: list[dict[str, Any]]
    over: bool


def parse(body: bytes) -> Events:
    """Return the events of a body, as the WHATWG HTML standard splits it.

    An event that the connection cut in two is left out, as the standard has it.
    """
    found: list[dict[str, Any]] = []
    lines: list[bytes] = []
    for line in body.splitlines():
        if line.startswith(b"data:"):
            lines.append(line[5:].removeprefix(b" "))
        elif not line and lines:
            data = b"\n".join(lines)
            lines = []
            if data.startswith(b"[DONE]"):
                return Events(found, over=True)
            event = json_of(data)
            if isinstance(event, dict):
                found.append(event)
    return Events(found, over=b"\n".join(lines).startswith(b"[DONE]"))


def json_of(data: bytes) -> Any:
    """Return what an event holds; None where it is no JSON."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        logger.debug("spanlog: an event of a stream is no JSON: %r", data[:200])
        return None
