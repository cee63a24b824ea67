"""A trace's request and response in a line: what a list of traces shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spanlog.capture import decode

_LENGTH = 1_000
# Larger data is not parsed for its preview; its beginning is shown.
_PARSED = 100_000


def request_preview(data: str | None) -> str | None:
    """Return the last thing the user said, or the inputs themselves, in 1,000 characters."""
    return _preview(data, "user")


def response_preview(data: str | None) -> str | None:
    """Return what the assistant said, or the outputs themselves, in 1,000 characters."""
    return _preview(data, "assistant")


def _preview(data: str | None, role: str) -> str | None:
    if data is None:
        return None
    value = decode(data) if len(data) <= _PARSED else None
    text = _said(value, role) or data
    return text if len(text) <= _LENGTH else text[: _LENGTH - 3] + "..."


def _said(value: Any, role: str) -> str | None:
    """Find the text of a conversation in the shapes that programs pass around."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        return None
    if value.get("choices"):
        return _text(value["choices"][0].get("message", {}).get("content"))
    messages = value.get("messages")
    if isinstance(messages, Sequence) and not isinstance(messages, str):
        said = [m for m in messages if isinstance(m, Mapping) and m.get("role", role) == role]
        return _text(said[-1].get("content")) if said else None
    if len(value) == 1:
        return _said(next(iter(value.values())), role)
    return None


def _text(content: Any) -> str | None:
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        parts = [p.get("text") for p in content if isinstance(p, Mapping)]
        return " ".join(part for part in parts if isinstance(part, str)) or None
    return None
