"""A message that was streamed in whatever pieces is put together as it was, from SSE and frames."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spanlog_integrations.wire import anthropic
from spanlog_integrations.wire.eventstream import frames as frames_of
from spanlog_integrations.wire.eventstream import parse as parse_frames
from spanlog_integrations.wire.sse import parse as parse_sse
from test_chat_fold import TEXT, cut

from fixtures import eventstream

Json = dict[str, Any]

INPUT = st.dictionaries(TEXT, st.one_of(TEXT, st.integers(-9, 9), st.none()), max_size=2)
CITATION = st.fixed_dictionaries({"type": st.just("char_location"), "cited_text": TEXT})
BLOCK = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("text"), "text": TEXT},
        optional={"citations": st.lists(CITATION, min_size=1, max_size=2)},
    ),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": TEXT, "signature": TEXT}),
    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": TEXT}),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["tool_use", "server_tool_use", "mcp_tool_use"]),
            "id": TEXT,
            "name": TEXT,
            "input": INPUT,
        }
    ),
)
MESSAGE = st.fixed_dictionaries(
    {
        "id": TEXT,
        "type": st.just("message"),
        "model": TEXT,
        "content": st.lists(BLOCK, max_size=4),
        "stop_reason": st.sampled_from(["end_turn", "tool_use"]),
        "usage": st.fixed_dictionaries(
            {"input_tokens": st.integers(0, 9), "output_tokens": st.integers(0, 9)}
        ),
    }
)
# What a block begins with, which its deltas then spell out.
EMPTY = {"text": "", "thinking": "", "signature": "", "input": {}, "citations": []}


@st.composite
def deltas_of(draw: st.DrawFn, block: Json) -> list[Json]:
    """Spell a block out in the pieces of a stream."""
    deltas: list[Json] = []
    for field, kind in (("text", "text_delta"), ("thinking", "thinking_delta")):
        if field in block:
            deltas += [{"type": kind, field: piece} for piece in draw(cut(block[field]))]
    for citation in block.get("citations", ()):
        place = draw(st.integers(0, len(deltas)))
        later = [i for i, delta in enumerate(deltas) if "citation" in delta]
        deltas.insert(
            max([place, *(i + 1 for i in later)]), {"type": "citations_delta", "citation": citation}
        )
    if "signature" in block:
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    if "input" in block:
        text = json.dumps(block["input"]) if block["input"] else ""
        deltas += [{"type": "input_json_delta", "partial_json": p} for p in draw(cut(text))]
    return deltas


@st.composite
def spelled(draw: st.DrawFn) -> tuple[Json, list[Json]]:
    """A message, and the events that a stream may spell it out in."""
    message = draw(MESSAGE)
    begun = {**message, "content": [], "stop_reason": None, "usage": {"input_tokens": 1}}
    events: list[Json] = [{"type": "message_start", "message": begun}]
    for index, block in enumerate(message["content"]):
        first = {name: EMPTY.get(name, value) for name, value in block.items()}
        events.append({"type": "content_block_start", "index": index, "content_block": first})
        for delta in draw(deltas_of(block)):
            events.append({"type": "content_block_delta", "index": index, "delta": delta})
        events.append({"type": "content_block_stop", "index": index})
    ended = {"stop_reason": message["stop_reason"]}
    events.append({"type": "message_delta", "delta": ended, "usage": message["usage"]})
    return message, [*events, {"type": "message_stop"}]


@given(spelled())
def test_a_message_that_was_cut_into_events_is_put_together_as_it_was(
    case: tuple[Json, list[Json]],
) -> None:
    message, events = case
    before = json.dumps(events)
    assert anthropic.fold(events) == message
    assert json.dumps(events) == before


@given(spelled(), st.data())
def test_a_stream_that_breaks_off_says_what_had_come(
    case: tuple[Json, list[Json]], data: st.DataObject
) -> None:
    message, events = case
    folded = anthropic.fold(events[: data.draw(st.integers(0, len(events)))])
    for block, whole in zip(folded["content"], message["content"], strict=False):
        for name in ("text", "thinking"):
            assert whole.get(name, "").startswith(block.get(name, ""))


@given(spelled(), st.sampled_from(["\n", "\r\n", "\r"]))
def test_sse_and_frames_hold_the_same_events(case: tuple[Json, list[Json]], line: str) -> None:
    _, events = case
    sse = "".join(f"event: {e['type']}{line}data: {json.dumps(e)}{line}{line}" for e in events)
    assert parse_sse(sse.encode()).data == events
    assert parse_frames(b"".join(map(chunk, events))).data == events


def chunk(event: Json) -> bytes:
    content = {"bytes": b64encode(json.dumps(event).encode()).decode(), "p": "abcd"}
    return eventstream.event("chunk", json.dumps(content).encode())


HEADER = st.one_of(
    st.text(max_size=9),
    st.booleans(),
    st.binary(max_size=9),
    st.tuples(st.sampled_from([2, 3, 4, 5, 8]), st.integers(0, 99)),
)
NAME = st.text(st.characters(max_codepoint=0x7F), min_size=1, max_size=9)
FRAME = st.tuples(st.dictionaries(NAME, HEADER, max_size=4), st.binary(max_size=40))
_NUMBERS = {2: ">Bb", 3: ">Bh", 4: ">Bi", 5: ">Bq", 8: ">Bq"}


def header(name: str, value: Any) -> bytes:
    if isinstance(value, bool):
        written = struct.pack(">B", 0 if value else 1)
    elif isinstance(value, tuple):
        written = struct.pack(_NUMBERS[value[0]], *value)
    else:
        data = value.encode() if isinstance(value, str) else value
        written = struct.pack(">BH", 7 if isinstance(value, str) else 6, len(data)) + data
    return struct.pack(">B", len(name)) + name.encode() + written


def frame(headers: Json, payload: bytes) -> bytes:
    head = b"".join(header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack(">I", crc32(prelude)) + head + payload
    return message + struct.pack(">I", crc32(message))


@given(st.lists(FRAME, max_size=4))
def test_frames_are_read_as_botocore_reads_them(frames: list[tuple[Json, bytes]]) -> None:
    body = b"".join(frame(*each) for each in frames)
    found = [(each.headers, each.payload) for each in frames_of(body)]
    texts = [({k: v for k, v in h.items() if isinstance(v, str)}, p) for h, p in frames]
    assert found == texts
    theirs = pytest.importorskip("botocore.eventstream").EventStreamBuffer()
    theirs.add_data(body)
    assert [each.payload for each in theirs] == [payload for _, payload in frames]


@given(st.lists(FRAME, min_size=1, max_size=4), st.data())
def test_frames_end_where_they_are_cut_off_or_broken(
    frames: list[tuple[Json, bytes]], data: st.DataObject
) -> None:
    written = [frame(*each) for each in frames]
    body = bytearray(b"".join(written))
    place = data.draw(st.integers(0, len(body) - 1))
    whole = sum(sum(map(len, written[: n + 1])) <= place for n in range(len(written)))
    expected = [payload for _, payload in frames[:whole]]
    assert [each.payload for each in frames_of(bytes(body[:place]))] == expected
    body[place] ^= data.draw(st.integers(1, 255))
    assert [each.payload for each in frames_of(bytes(body))] == expected


def test_an_exception_in_the_stream_is_an_error_event() -> None:
    body = chunk({"type": "message_stop"}) + eventstream.exception("throttlingException", "Slow.")
    error = {"type": "throttlingException", "message": "Slow."}
    assert parse_frames(body).data[1:] == [{"type": "error", "error": error}]
    body = eventstream.frame({":message-type": "error", ":error-code": "500"}, b"")
    assert parse_frames(body).data == [{"type": "error", "error": {"type": "500", "message": None}}]
