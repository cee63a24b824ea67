"""Something that happened at one moment of a span."""

from __future__ import annotations

import os
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spanlog import semconv
from spanlog.model.capture import safe_str

_OURS = str(Path(__file__).parent.parent) + os.sep


@dataclass
class SpanEvent:
    """Something that happened at one moment of a span. `timestamp` is in nanoseconds."""

    name: str
    attributes: dict[str, Any] = field(default_factory=dict)
    timestamp: int = field(default_factory=time.time_ns)

    @classmethod
    def from_exception(cls, error: BaseException) -> SpanEvent:
        """Return the `exception` event of OpenTelemetry: type, message and stack."""
        return cls(
            "exception",
            {
                semconv.EXCEPTION_TYPE: _type_name(error),
                semconv.EXCEPTION_MESSAGE: safe_str(error),
                semconv.EXCEPTION_STACKTRACE: _stack(error),
            },
        )


def _type_name(error: BaseException) -> str:
    kind = type(error)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )


def _stack(error: BaseException) -> str:
    """Return the formatted stack, from the user's first frame on."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OURS):
        frames = frames.tb_next
    try:
        return (
            "".join(traceback.format_exception(type(error), error, frames))
            .encode("utf-8", "backslashreplace")
            .decode()
        )
    except Exception:  # noqa: BLE001 - an exception class may break its own formatting
        return "".join(traceback.format_tb(frames)) + safe_str(error)
