"""A trace while it runs: what its spans share, and who records them."""

from __future__ import annotations

import time
from typing import Any, Protocol

from spanlog.model.header import TraceHeader
from spanlog.model.ids import clock_offset


class Records(Protocol):
    """What a running span needs of the recorder that it is recorded by."""

    prepared: bool
    epoch: int

    def prepare(self) -> None:
        """Import what it takes to record."""

    def begin_trace(self, name: str) -> LiveTrace:
        """Begin a trace."""
        raise NotImplementedError

    def started(self, span: Any, /) -> None:
        """Note that a span is open."""

    def ended(self, span: Any, /) -> None:
        """Take a span that ended."""

    def changed(self, trace: LiveTrace, /) -> None:
        """Take what has newly been said of a trace."""


class LiveTrace:
    """What the spans of a running trace share."""

    __slots__ = (
        "client_request_id",
        "clock",
        "dropped",
        "dropped_spans",
        "epoch",
        "experiment",
        "metadata",
        "name",
        "own",
        "recorder",
        "request_preview",
        "request_time",
        "response_preview",
        "secrets",
        "state",
        "tags",
        "trace_id",
    )

    def __init__(
        self, trace_id: str, name: str | None, experiment: str, recorder: Records, *, own: bool
    ) -> None:
        self.trace_id = trace_id
        self.name = name
        self.experiment = experiment
        self.recorder = recorder
        self.own = own
        self.epoch = recorder.epoch
        self.clock = clock_offset()
        self.request_time = time.time_ns() // 1_000_000
        self.tags: dict[str, str] = {}
        self.metadata: dict[str, str] = {}
        self.client_request_id: str | None = None
        self.request_preview: str | None = None
        self.response_preview: str | None = None
        self.state: str | None = None
        self.secrets: set[str] = set()  # which errors may repeat
        self.dropped = False
        self.dropped_spans = 0

    def adopted(self) -> LiveTrace:
        """Return what a forked child goes on with: it adds spans to its parent's trace."""
        return LiveTrace(self.trace_id, None, self.experiment, self.recorder, own=False)

    def header(self) -> TraceHeader:
        """Return what is known now. Its tags are told once: later they may be changed elsewhere."""
        return TraceHeader(
            self.trace_id,
            self.experiment,
            self.own,
            self.name,
            self.request_time,
            {key: self.tags.pop(key) for key in list(self.tags)},
            dict(self.metadata),
            self.client_request_id,
            self.request_preview,
            self.response_preview,
            self.state,
            self.dropped_spans,
        )


# Who records a trace that begins where nothing says who does.
default: Records
