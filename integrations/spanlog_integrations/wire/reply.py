"""What replies have in common on every wire: JSON or text, and errors told of inside them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import orjson
from spanlog import semconv

if TYPE_CHECKING:
    from spanlog.record.span import LiveSpan


def parsed(text: str | bytes) -> Any:
    """Return JSON as data; what is none, or cut off, as text; and what is no text as it is."""
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(text)
    with suppress(UnicodeDecodeError):
        return text.decode() if isinstance(text, bytes) else text
    return text


def failed(span: LiveSpan, error: Any) -> None:
    """Give a span the error that a provider told of inside a reply."""
    details = error if isinstance(error, Mapping) else {"message": error}
    named = details.get("status")  # as Google has it, beside a number as the code
    kind = named if isinstance(named, str) else details.get("code") or details.get("type")
    kind = str(kind or "error")
    message = str(details.get("message") or "")
    if span.status.status_code != "ERROR":
        span.set_status_error(f"{kind}: {message}" if message else kind)
    span.set_attribute(semconv.ERROR_TYPE, kind)
    span.set_attribute(semconv.ERROR_BODY, details)
