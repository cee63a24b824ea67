"""Ids and clocks: what names a span and what times it."""

from __future__ import annotations

import os
import random
import time

# The trace id of spans that are not recorded.
NO_TRACE = "SPANLOG_NO_OP_SPAN_TRACE_ID"

_random = random.Random()  # noqa: S311 - ids need to be unique, not secret


def _reseed() -> None:
    """Start a new sequence, so that a forked child does not repeat its parent's ids."""
    _random.seed(os.urandom(16))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reseed)


def new_trace_id() -> str:
    """Return 32 hex digits: 15 of the time in 4,096ths of a millisecond, 17 random.

    The leading time keeps traces that were made together near each other in the store's index, and
    in the order in which they began. The shape is that of W3C Trace Context, whose random part is
    the rightmost 56 bits.
    """
    ms, ns = divmod(time.time_ns(), 1_000_000)
    return f"{(ms << 12) + (ns << 12) // 1_000_000:015x}{_random.getrandbits(68):017x}"


def new_span_id() -> str:
    """Return 16 random hex digits, never all zero (W3C Trace Context)."""
    return f"{_random.getrandbits(64) or 1:016x}"


def clock_offset() -> int:
    """Return what to add to `time.perf_counter_ns()` to get the time of day, in nanoseconds.

    A trace takes it once: within a trace durations are then right even if the clock is set.
    """
    return time.time_ns() - time.perf_counter_ns()
