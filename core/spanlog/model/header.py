"""What is known of a trace apart from its spans, at one moment: what sinks are handed with them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class TraceHeader:
    """What the spans of a trace share, as far as the process that records them knows it.

    Args:
        trace_id: 32 hex digits.
        experiment: The name of the experiment that it belongs to.
        own: Whether it began in this process. Where it did not, its root is written elsewhere.
        name: What it is called; its root span's name by default.
        request_time: When this process began it, in milliseconds since 1970.
        tags: The tags that were set since the last header of the trace.
        metadata: All metadata that was set here.
        client_request_id: The id that the caller's own system gave the request.
        request_preview: A line that stands for the request in lists, where the program gave one.
        response_preview: A line that stands for the response.
        state: "OK" or "ERROR", where the program said how the trace counts.
        dropped_spans: How many of its spans were left out for want of room.
    """

    trace_id: str
    experiment: str
    own: bool = True
    name: str | None = None
    request_time: int = 0
    tags: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    client_request_id: str | None = None
    request_preview: str | None = None
    response_preview: str | None = None
    state: str | None = None
    dropped_spans: int = 0
