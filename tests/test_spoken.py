"""What was said is text in every list, whatever has said it."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import spanlog
from cassettes import FOLDER, Unreadable, load, paths
from hypothesis import given
from hypothesis import strategies as st
from spanlog import spoken
from spanlog.model import messages
from spanlog.model.capture import capture

from fixtures import openai_routes
from fixtures.bodies import fill
from fixtures.loopback import Loopback

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanlog.entities import ChatMessage, Trace

FIXTURES = Path(__file__).parent.parent / "fixtures"
REPLIES = sorted(FIXTURES.glob("*/*.json"))
# What frameworks were given and have returned, as the roots of their traces hold it.
ROOTS: list[dict[str, Any]] = orjson.loads((FIXTURES / "roots.json").read_bytes())


def asked(value: Any, *, of_model: bool = False) -> str:
    return spoken.preview(capture(value), reply=False, of_model=of_model)


def answered(value: Any, *, of_model: bool = False) -> str:
    return spoken.preview(capture(value), reply=True, of_model=of_model)


def is_said(text: str, found: list[ChatMessage]) -> bool:
    """Say whether a preview is what a message says, or the tools that it calls."""
    told = [(m.text, ", ".join(map(str, m.tool_calls))) for m in found]
    return any(text[:997] and one.startswith(text[:997]) for each in told for one in each)


@pytest.mark.parametrize("path", [pytest.param(p, id=f"{p.parent.name}-{p.stem}") for p in REPLIES])
def test_a_recorded_reply_is_text_where_anything_was_said(path: Path) -> None:
    reply = orjson.loads(fill(path.read_bytes(), defaultdict(str)))
    found = messages.read(None, reply, of_model=True)
    if any(message.text or message.tool_calls for message in found):
        assert is_said(answered(reply, of_model=True), found)


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"there are no recordings in {FOLDER}")
@pytest.mark.parametrize(
    "provider",
    sorted({path.name for path in FOLDER.glob("*/*") if path.is_dir()}) or [None],
)
def test_what_real_providers_were_asked_and_answered_is_text(provider: str) -> None:
    for path in paths(provider):
        try:
            exchanges = load(path).exchanges
        except Unreadable:
            continue
        for exchange in exchanges:
            replied = not exchange.is_events and isinstance(exchange.answered, dict)
            for body, reply in ((exchange.asked, False), (replied and exchange.answered, True)):
                if not isinstance(body, dict):
                    continue
                told = (None, body) if reply else (body, None)
                found = messages.read(*told, of_model=True)
                if any(message.text.strip() for message in found):
                    text = (answered if reply else asked)(body, of_model=True)
                    assert is_said(text, found), (path, text)


@pytest.mark.parametrize("root", [pytest.param(root, id=root["of"]) for root in ROOTS])
def test_what_a_framework_was_asked_and_answered_is_text(root: dict[str, Any]) -> None:
    assert asked(root["inputs"]) == root["request"]
    assert answered(root["outputs"]) == root["response"]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("hello", "hello"),
        ({"question": "Where?"}, "Where?"),
        ({"anything": "Where?"}, "Where?"),
        ({"text": {"of": "Where?"}}, "Where?"),
        ({"query": "Where?", "k": 4}, "Where?"),
        ({"message": "Where?", "chat_history": [{"role": "user", "content": "Hi"}]}, "Where?"),
        ({"city": "Rome", "days": 3, "vip": True}, "city: Rome, days: 3, vip: true"),
        ({"messages": [["user", "Hi"], ["ai", "Hello"], ["human", "Where?"]]}, "Where?"),
        ({"messages": [{"role": "system", "content": "Be brief."}]}, "Be brief."),
        (["a", "b"], '["a","b"]'),
        ({"a": {"b": 1}, "c": 2}, '{"a":{"b":1},"c":2}'),
        (7, "7"),
        ("", '""'),
    ],
)
def test_a_request_in_a_line(inputs: Any, said: str) -> None:
    assert asked(inputs) == said


CALL = {"id": "c1", "function": {"name": "find", "arguments": '{"city": "Rome"}'}}


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({"choices": [{"message": {"role": "assistant", "tool_calls": [CALL, CALL]}}]}, "find 2x"),
        ({"role": "assistant", "content": "", "tool_calls": [CALL]}, 'find({"city": "Rome"})'),
        ({"choices": [{"text": "one"}, {"text": "two"}]}, "one"),
        (
            {
                "messages": [
                    {"role": "user", "content": "?"},
                    {"role": "assistant", "content": "I look.", "tool_calls": [CALL]},
                    {"role": "tool", "tool_call_id": "c1", "content": "found"},
                    {"role": "assistant", "content": "There."},
                ]
            },
            "There.",
        ),
        ({"content": [{"type": "image", "source": {"data": "", "url": "x"}}]}, "[image]"),
        ({"response": "There.", "source_nodes": [{"page_content": "x"}]}, "There."),
        ({"topic": "cats", "joke": "Why?", "final_joke": "Because."}, "Because."),
        ({"reasoning": "Known.", "label": "spam"}, "spam"),
        ({"reasoning": "Known.", "label": "spam", "score": 0.5}, "label: spam, score: 0.5"),
        ([{"page_content": "x", "metadata": {}}], '[{"page_content":"x","metadata":{}}]'),
        ({"embedding": [[0.5]]}, '{"embedding":[[0.5]]}'),
        (None, "null"),
    ],
)
def test_a_response_in_a_line(outputs: Any, said: str) -> None:
    twice = 'find({"city": "Rome"}), find({"city": "Rome"})'
    assert answered(outputs, of_model="choices" in (outputs or ())) == said.replace(
        "find 2x", twice
    )


# Whatever it is, and however large.

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("choices", "messages", "message", "content", "role", "text", "answer"),
                    *("question", "reasoning", "__interrupt__", "value", "action_requests"),
                ]
            ),
            inner,
        )
    ),
)


@given(JSON, st.booleans(), st.booleans())
def test_any_data_has_a_preview(value: Any, reply: bool, of_model: bool) -> None:
    preview = spoken.preview(capture(value), reply=reply, of_model=of_model)
    assert isinstance(preview, str)
    assert 0 < len(preview) <= 1000


def test_a_long_text_is_cut() -> None:
    assert asked("x" * 200_000) == "x" * 997 + "..."
    assert asked(["x" * 200_000]) == "x" * 997 + "..."
    assert asked([1] * 3_000_000) == ("[" + "1," * 500)[:997] + "..."


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_data_nested_too_deeply_is_shown_as_it_is(opening: str) -> None:
    data = opening * 900 + "1" + {"[": "]", '{"a":': "}"}[opening] * 900
    for reply in (False, True):
        assert spoken.preview(data, reply=reply, of_model=True)[:4] in (data[:4], "1")
    assert spoken.preview("[" * 5000, reply=False, of_model=False) == "[" * 997 + "..."


def conversation(size: int) -> dict[str, Any]:
    """Return what a model is sent in an agent's loop, in at least so many bytes of JSON."""
    said: list[Any] = [{"role": "user", "content": "Find the flights"}]
    for n in range(size // 4_000):
        call = {"id": f"c{n}", "function": {"name": "find", "arguments": "{}"}}
        said.append({"role": "assistant", "content": None, "tool_calls": [call]})
        said.append({"role": "tool", "tool_call_id": f"c{n}", "content": "x" * 4_000})
    return {"model": "m", "messages": said}


def test_a_long_conversation_has_the_last_thing_the_user_said(
    traces: Callable[[], list[Trace]],
) -> None:
    for size in (500_000, 3_000_000):
        with spanlog.start_span("agent", "LLM") as span:
            span.set_inputs(conversation(size))
            spanlog.flush()  # which writes the open root
    assert [trace.info.request_preview for trace in traces()] == ["Find the flights"] * 2


def test_a_root_that_is_written_again_and_again_is_read_once(
    traces: Callable[[], list[Trace]], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bool] = []
    preview = spoken.preview

    def counted(data: str, *, reply: bool, of_model: bool) -> str:
        read.append(reply)
        return preview(data, reply=reply, of_model=of_model)

    monkeypatch.setattr(spoken, "preview", counted)
    with spanlog.start_span("agent") as span:
        span.set_inputs({"question": "Where?"})
        for _ in range(3):
            spanlog.flush()
        assert traces()[0].info.request_preview == "Where?"
        assert read == [False]
        span.set_inputs({"question": "Where to?"})
        span.set_outputs({"answer": "There."})
    (trace,) = traces()
    assert (trace.info.request_preview, trace.info.response_preview) == ("Where to?", "There.")
    assert read == [False, False, True]


def test_a_large_picture_beside_a_question_does_not_hide_it(
    traces: Callable[[], list[Trace]],
) -> None:
    picture = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 250_000
    parts = [
        {"type": "image_url", "image_url": {"url": picture}},
        {"type": "text", "text": "Where is this?"},
    ]
    with spanlog.start_span("chat", "CHAT_MODEL") as span:
        span.set_inputs({"messages": [{"role": "user", "content": parts}]})
    assert traces()[0].info.request_preview == "Where is this?"


@pytest.mark.slow
def test_data_that_is_hard_to_read_takes_no_long_time() -> None:
    parts = [{"type": "text", "text": "a"}] * (spoken.READ // 30)
    hard: list[Any] = [
        {"messages": [{"role": "user", "content": parts}]},
        parts,
        list(range(spoken.READ // 8)),
    ]
    for _ in range(100):
        hard[-1] = [hard[-1]]
    for value in hard:
        data = orjson.dumps(value)
        assert len(data) <= spoken.READ
        began = time.thread_time()
        spoken.preview(data, reply=False, of_model=True)
        assert time.thread_time() - began < 5


def test_replies_of_openais_responses_are_text_in_the_list(
    traces: Callable[[], list[Trace]],
) -> None:
    openai = pytest.importorskip("openai")
    spanlog.openai.autolog()
    try:
        with Loopback(openai_routes.router) as server:
            client = openai.OpenAI(api_key="sk-test", base_url=f"{server.url}/v1", max_retries=0)
            if not hasattr(client, "responses"):
                pytest.skip("this version has no responses")
            client.responses.create(model="plain", input="What is the capital of France?")
            client.responses.create(model="tools", input="And the weather?")
    finally:
        spanlog.openai.autolog(disable=True)
    plain, tools = (trace.info for trace in traces())
    assert plain.request_preview == "What is the capital of France?"
    assert plain.response_preview == openai_routes.TEXT["plain"]
    assert tools.request_preview == "And the weather?"
    assert re.match(r"\w+\(\{.*\}\)", tools.response_preview or "")
