"""Ids and clocks: what names a span and what times it."""

from __future__ import annotations

import os
import random
import time

_random = random.Random()  # noqa: S311 - ids need to be unique, not secret


def _reseed() -> None:
    """Start a new sequence, so that a forked child does not repeat its parent's ids."""
    _random.seed(os.urandom(16))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reseed)


def new_trace_id() -> str:
    """Return 32 hex digits: 12 of the time in milliseconds, 20 random.

    The leading time keeps traces that were made together near each other in the store's index.
    The shape is that of W3C Trace Context, whose random part is the rightmost 56 bits.
    """
    return f"{time.time_ns() // 1_000_000:012x}{_random.getrandbits(80):020x}"


def new_span_id() -> str:
    """Return 16 random hex digits, never all zero (W3C Trace Context)."""
    return f"{_random.getrandbits(64) or 1:016x}"


def clock_offset() -> int:
    """Return what to add to `time.perf_counter_ns()` to get the time of day, in nanoseconds.

    A trace takes it once: within a trace durations are then right even if the clock is set.
    """
    return time.time_ns() - time.perf_counter_ns()
