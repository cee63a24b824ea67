"""Traces that have something of everything a view shows, for the tests that open a browser."""

from __future__ import annotations

import base64
import json
import struct
import zlib

import pytest
import spanlog
from spanlog.entities import SpanEvent, SpanType, Trace

SCRIPT = '</script><script>window.harm = 1</script><img src="x" onerror="window.harm = 2">'
DOCUMENTS = [
    {"page_content": "Long trips go first class.", "metadata": {"source": "rail.md"}, "id": "d1"},
    {"page_content": "Seats are reserved.", "metadata": {"source": "seats.md"}, "id": "d2"},
]
_USAGE = {
    "gen_ai.request.model": "m-1",
    "gen_ai.usage.input_tokens": 1234,
    "gen_ai.usage.output_tokens": 56,
}
_CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "lookup", "arguments": json.dumps({"city": "Kyoto"})},
}


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def picture(side: int = 64) -> bytes:
    """Return a PNG that does not compress well, so that it becomes an attachment."""
    lines = (
        bytes([0, *((x * y * 7 + c * 85) % 256 for x in range(side) for c in range(3))])
        for y in range(side)
    )
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"".join(lines), 0))
    return b"\x89PNG\r\n\x1a\n" + body + _chunk(b"IEND", b"")


def last_trace() -> Trace:
    """Return the trace that ended last."""
    trace = spanlog.get_trace(spanlog.get_last_active_trace_id())
    assert trace is not None
    return trace


def _lookup() -> None:
    spanlog.get_current_active_span().add_event(SpanEvent("retry", {"attempt": 2}))
    raise ConnectionError("refused by the host")


def record_agent() -> Trace:
    """Record an agent: a model that sees a picture and calls a tool, a search, a failure."""
    image = "data:image/png;base64," + base64.b64encode(picture()).decode()
    asked = [
        {"role": "system", "content": "You plan trips."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Where is this?"},
                {"type": "image_url", "image_url": {"url": image}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [_CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": '{"sky": "clear"}'},
    ]
    answer = {"role": "assistant", "content": "In Kyoto.", "reasoning_content": "A shrine."}
    reply = {"id": "r-1", "choices": [{"index": 0, "message": answer}]}
    with spanlog.start_span("agent", SpanType.AGENT) as agent:
        spanlog.update_current_trace(tags={"env": "dev"}, session_id="s-1", user="ann")
        agent.set_inputs({"question": "Where is this?"})
        with spanlog.start_span("ChatOpenAI", SpanType.CHAT_MODEL, _USAGE) as outer:
            outer.set_inputs({"model": "m-1", "messages": asked})
            with spanlog.start_span("chat m-1", SpanType.CHAT_MODEL, _USAGE) as inner:
                inner.set_inputs({"model": "m-1", "messages": asked})
                inner.set_outputs(reply)
            outer.set_outputs(reply)
        with spanlog.start_span("index", SpanType.RETRIEVER) as search:
            search.set_outputs(DOCUMENTS)
        with pytest.raises(ConnectionError), spanlog.start_span("lookup", SpanType.TOOL):
            _lookup()
        agent.set_outputs("In Kyoto.")
    return last_trace()


def record_hostile() -> Trace:
    """Record a trace that holds markup wherever a text may be."""
    with spanlog.start_span(SCRIPT, SCRIPT, {SCRIPT: SCRIPT}) as root:
        spanlog.update_current_trace(tags={SCRIPT: SCRIPT}, session_id=SCRIPT)
        root.set_inputs({SCRIPT: [SCRIPT]})
        root.set_outputs([{"page_content": SCRIPT, "metadata": {"source": SCRIPT}}])
        root.add_event(SpanEvent(SCRIPT, {SCRIPT: SCRIPT}))
        root.record_exception(ValueError(SCRIPT))
        with spanlog.start_span(SCRIPT, SpanType.CHAT_MODEL) as model:
            call = {"id": SCRIPT, "function": {"name": SCRIPT, "arguments": SCRIPT}}
            link = {"type": "image_url", "image_url": {"url": "javascript:window.harm = 3"}}
            model.set_inputs(
                [{"role": SCRIPT, "content": [{"type": "text", "text": SCRIPT}, link]}]
            )
            model.set_outputs({"role": "assistant", "content": SCRIPT, "tool_calls": [call]})
    for span_id in (None, root.span_id):
        said = {"name": SCRIPT, "value": SCRIPT, "rationale": SCRIPT, "span_id": span_id}
        spanlog.log_feedback(trace_id=root.trace_id, **said)
    return last_trace()


def record_many(count: int = 5_000) -> Trace:
    """Record a trace of many spans."""
    with spanlog.start_span("root"):
        for number in range(count - 1):
            with spanlog.start_span(f"step {number}"):
                pass
    return last_trace()
