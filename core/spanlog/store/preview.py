"""A trace's request and response in a line: what a list of traces shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spanlog.model.capture import decode

_LENGTH = 1_000
# Larger data is not parsed for its preview; its beginning is shown.
_PARSED = 100_000


def request_preview(data: bytes | str | None) -> str | None:
    """Return the last thing the user said, or the inputs themselves, in 1,000 characters."""
    return _preview(data, "user")


def response_preview(data: bytes | str | None) -> str | None:
    """Return what the assistant said, or the outputs themselves, in 1,000 characters."""
    return _preview(data, "assistant")


def _preview(data: bytes | str | None, role: str) -> str | None:
    if data is None:
        return None
    value = decode(data) if len(data) <= _PARSED else None
    text = _said(value, role)
    if not text:
        text = data if isinstance(data, str) else data[: 4 * _LENGTH].decode(errors="ignore")
    return text if len(text) <= _LENGTH else text[: _LENGTH - 3] + "..."


def _said(value: Any, role: str) -> str | None:
    """Find the text of a conversation in the shapes that programs pass around."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        return None
    if choices := _mappings(value.get("choices")):
        message = choices[0].get("message")
        return _text(message.get("content")) if isinstance(message, Mapping) else None
    if messages := _mappings(value.get("messages")):
        said = [message for message in messages if message.get("role", role) == role]
        return _text(said[-1].get("content")) if said else None
    if len(value) == 1:
        return _said(next(iter(value.values())), role)
    return None


def _text(content: Any) -> str | None:
    if isinstance(content, str):
        return content
    parts = [part.get("text") for part in _mappings(content)]
    return " ".join(part for part in parts if isinstance(part, str)) or None


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    """Return the JSON objects of a JSON array; none of anything else."""
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, Mapping)]
