"""A reply that was cut into pieces, in whatever way, is put together as it was."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spanlog_integrations import openai
from spanlog_integrations.seams.http import Body
from spanlog_integrations.wire import chat, sse

Json = dict[str, Any]

# Words that a careless reader of the wire would take for the wire's own.
WORDS = ["[DONE]", "data: [DONE]\n\n", '{"error"', '"type":"error"', '"response.completed"', "\r"]
TEXT = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=8)), max_size=4).map("".join)
NAME = st.sampled_from(["get_weather", "get_time", "a"])


def token(text: str) -> Json:
    return {"token": text, "logprob": -0.5, "bytes": list(text.encode()), "top_logprobs": []}


CALL = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["call_1", "call_2"]),
        "type": st.just("function"),
        "function": st.fixed_dictionaries({"name": NAME, "arguments": TEXT}),
    }
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.one_of(st.none(), TEXT)},
    optional={
        "refusal": st.one_of(st.none(), TEXT),
        "reasoning_content": TEXT,
        "tool_calls": st.lists(CALL, min_size=1, max_size=3),
    },
)
CHOICE = st.fixed_dictionaries(
    {
        "message": MESSAGE,
        "finish_reason": st.sampled_from(["stop", "length", "tool_calls"]),
        "logprobs": st.one_of(
            st.none(),
            st.fixed_dictionaries({"content": st.lists(TEXT.map(token), max_size=3)}),
        ),
    }
)
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@st.composite
def cut(draw: st.DrawFn, text: str) -> list[str]:
    """Cut a text into pieces, some of them empty."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]


@st.composite
def pieces_of(draw: st.DrawFn, choice: Json) -> list[Json]:
    """Spell a choice out in the pieces of a stream."""
    message = choice["message"]
    first = {"role": message["role"], "content": None}
    pieces: list[Json] = [{"delta": first, "logprobs": None, "finish_reason": None}]
    for field in ("content", "refusal", "reasoning_content"):
        if field in message:
            parts = [None] if message[field] is None else draw(cut(message[field]))
            pieces += [{"delta": {field: part}} for part in parts]
    for index, call in enumerate(message.get("tool_calls", ())):
        begun = {"index": index, **call, "function": {**call["function"], "arguments": ""}}
        pieces.append({"delta": {"tool_calls": [begun]}})
        for part in draw(cut(call["function"]["arguments"])):
            more = {"index": index, "function": {"arguments": part}}
            pieces.append({"delta": {"tool_calls": [more]}})
    if choice["logprobs"]:
        pieces.append({"delta": {}, "logprobs": {"content": []}})
        pieces += [
            {"delta": {}, "logprobs": {"content": [one]}} for one in choice["logprobs"]["content"]
        ]
    pieces.append({"delta": {}, "finish_reason": choice["finish_reason"]})
    return [{"index": choice["index"], "finish_reason": None, **piece} for piece in pieces]


@st.composite
def streams(draw: st.DrawFn) -> tuple[Json, list[Json]]:
    """A completion, and the chunks of a stream that spells it out."""
    choices = draw(st.lists(CHOICE, min_size=1, max_size=3))
    for index, choice in enumerate(choices):
        choice["index"] = index
    head = {"id": "chatcmpl-1", "created": 5, "model": "m"}
    waiting = [draw(pieces_of(choice)) for choice in choices]
    chunks = []
    while any(waiting):
        turn = draw(st.sampled_from([pieces for pieces in waiting if pieces]))
        chunks.append({**head, "object": "chat.completion.chunk", "choices": [turn.pop(0)]})
    chunks.append({**head, "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
    whole = {**head, "object": "chat.completion", "choices": choices, "usage": USAGE}
    return whole, chunks


@given(streams())
def test_a_completion_in_any_pieces_folds_back_to_itself(stream: tuple[Json, list[Json]]) -> None:
    whole, chunks = stream
    before = copy.deepcopy(chunks)
    assert chat.fold(chunks) == whole
    assert chunks == before


@given(streams(), st.data())
def test_on_the_wire_in_any_pieces_it_is_the_same(
    stream: tuple[Json, list[Json]], data: st.DataObject
) -> None:
    whole, chunks = stream
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    noise = data.draw(st.lists(st.sampled_from(["", ": ping", "event: x", "id: 3", "retry: 5"])))
    lines = "".join(f"{line}{end}" for line in noise)
    ascii_only = data.draw(st.booleans())
    events = [f"data: {json.dumps(chunk, ensure_ascii=ascii_only)}" for chunk in chunks]
    wire = "".join(f"{lines}{event}{end}{end}" for event in [*events, "data: [DONE]"]).encode()
    assert chat.fold(sse.parse(wire).data) == whole
    assert sse.parse(wire).over

    route = openai._route("chat/completions", "chat", "CHAT_MODEL")
    headers = {"content-type": "text/event-stream"}
    http = SimpleNamespace(headers=headers, status_code=200, request=None)
    body = Body(route, http, streamed=True)
    places = sorted(data.draw(st.lists(st.integers(1, len(wire) - 1), max_size=6)))
    pieces: list[bytes] = []
    for a, b in zip([0, *places], [*places, len(wire)], strict=True):
        pieces.append(wire[a:b])
        seen = sse.parse(b"".join(pieces)).data
        assert seen == chunks[: len(seen)]
        if body.is_over(pieces):
            assert seen == chunks


@pytest.mark.parametrize(
    ("body", "data", "over"),
    [
        (b"", [], False),
        (b'data: {"a": 1}\n\n', [{"a": 1}], False),
        (b'data:{"a": 1}\r\n\r\n', [{"a": 1}], False),
        (b'data: {"a":\ndata: 1}\n\n', [{"a": 1}], False),
        (b'data: {"a": 1}\n', [], False),
        (b'data: {"a": 1}\n\ndata: {"b"', [{"a": 1}], False),
        (b": ping\n\n\n\n", [], False),
        (b"data: [1]\n\ndata: no json\n\n", [], False),
        (b'data: {"a": 1}\n\ndata: [DONE]', [{"a": 1}], True),
        (b'data: [DONE]\n\ndata: {"a": 1}\n\n', [], True),
        ('data: {"a": "\u2028\x85"}\n\n'.encode(), [{"a": "\u2028\x85"}], False),
        (b"\xff\xfe\n\ndata: {}\n\n", [{}], False),
    ],
)
def test_events_are_split_as_the_standard_has_it(body: bytes, data: list[Json], over: bool) -> None:
    assert sse.parse(body) == (data, over)


def chunk(**choice: Any) -> Json:
    return {"choices": [{"index": 0, **choice}]}


LEGACY = {"tokens": ["a", "b"], "token_logprobs": [-1, -2], "top_logprobs": [None, {"b": -2}]}
FIRST, SECOND = ({name: [values[i]] for name, values in LEGACY.items()} for i in (0, 1))
AZURE = {"id": "", "model": "", "object": "", "choices": []}
NAMED = {"id": "x", "model": "m", "object": "chat.completion.chunk", "choices": []}


@pytest.mark.parametrize(
    ("chunks", "whole"),
    [
        ([], {"choices": []}),
        ([chunk(text="a"), chunk(text="b")], chunk(text="ab")),
        (
            [chunk(text="a", logprobs=FIRST), chunk(text="b", logprobs=SECOND)],
            chunk(text="ab", logprobs=LEGACY),
        ),
        (  # it tells of its filter, first and last, with nothing else
            [{**AZURE, "prompt_filter_results": [1]}, NAMED, AZURE],
            {**NAMED, "object": "chat.completion", "prompt_filter_results": [1]},
        ),
        (
            [
                chunk(delta={"function_call": {"name": "f", "arguments": "{"}}),
                chunk(delta={"function_call": {"name": "f", "arguments": "}"}}),
            ],
            chunk(message={"function_call": {"name": "f", "arguments": "{}"}}),
        ),
    ],
    ids=["nothing", "text", "legacy logprobs", "azure", "name in each piece"],
)
def test_shapes_of_other_times_and_servers(chunks: list[Json], whole: Json) -> None:
    assert chat.fold(chunks) == whole
