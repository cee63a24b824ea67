"""One example of a golden set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass
class DatasetRecord:
    """One example of a dataset: a copy of what went into and came out of a trace.

    Args:
        inputs: What went in.
        outputs: What came out.
        expectations: What should have come out: the trace's expectations by their names.
        trace_id: The trace it was taken from, which may have been deleted since.
    """

    inputs: Any
    outputs: Any
    expectations: dict[str, Any]
    trace_id: str
