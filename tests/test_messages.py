"""What was said reads the same whatever the provider."""

from __future__ import annotations

import re
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import spanlog
from cassettes import FOLDER, Unreadable, load, paths
from hypothesis import given
from hypothesis import strategies as st
from spanlog.entities import ChatMessage, Media, Tool, ToolCall, ToolResult
from spanlog.model import messages

from fixtures.bodies import fill

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanlog.entities import Trace

PNG = "iVBORw0KGgoAAAANSUhEUgAA"
CITY = {"city": "Zürich"}

# The same conversation, as each provider is sent it.
CONVERSATIONS: dict[str, Any] = {
    "openai": {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Where is this?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                ],
            },
            {
                "role": "assistant",
                "content": "I look.",
                "reasoning_content": "Mountains.",
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {"name": "find", "arguments": '{"city": "Zürich"}'},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "found"},
        ]
    },
    "openai-responses": {
        "instructions": "Be brief.",
        "input": [
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "Where is this?"},
                    {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
                ],
            },
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Mountains."}]},
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "I look."}],
            },
            {
                "type": "function_call",
                "call_id": "c1",
                "name": "find",
                "arguments": '{"city": "Zürich"}',
            },
            {"type": "function_call_output", "call_id": "c1", "output": "found"},
        ],
    },
    "anthropic": {
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Where is this?"},
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PNG},
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Mountains.", "signature": "x"},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_use", "id": "c1", "name": "find", "input": CITY},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "c1",
                        "content": [{"type": "text", "text": "found"}],
                    }
                ],
            },
        ],
    },
    "gemini": {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {
                "role": "user",
                "parts": [
                    {"text": "Where is this?"},
                    {"inlineData": {"mimeType": "image/png", "data": PNG}},
                ],
            },
            {
                "role": "model",
                "parts": [
                    {"text": "Mountains.", "thought": True},
                    {"text": "I look."},
                    {"functionCall": {"id": "c1", "name": "find", "args": CITY}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": "c1", "name": "find", "response": "found"}},
                ],
            },
        ],
    },
    "bedrock": {
        "system": [{"text": "Be brief."}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"text": "Where is this?"},
                    {
                        "image": {
                            "format": "png",
                            "source": {"bytes": f"data:image/png;base64,{PNG}"},
                        }
                    },
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"reasoningContent": {"reasoningText": {"text": "Mountains."}}},
                    {"text": "I look."},
                    {"toolUse": {"toolUseId": "c1", "name": "find", "input": CITY}},
                ],
            },
            {
                "role": "user",
                "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "found"}]}}],
            },
        ],
    },
    "mistral": {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Where is this?"},
                    {"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "Mountains."}]},
                    {"type": "text", "text": "I look."},
                ],
                "tool_calls": [{"id": "c1", "function": {"name": "find", "arguments": CITY}}],
            },
            {"role": "tool", "tool_call_id": "c1", "name": "find", "content": "found"},
        ]
    },
    "langchain": [
        [
            {"type": "system", "content": "Be brief."},
            {
                "type": "human",
                "content": [
                    {"type": "text", "text": "Where is this?"},
                    {"type": "image", "base64": "", "url": f"data:image/png;base64,{PNG}"},
                ],
            },
            {
                "type": "ai",
                "content": [
                    {"type": "reasoning", "reasoning": "", "summary": [{"text": "Mountains."}]},
                    {"type": "text", "text": "I look."},
                    {"type": "tool_call", "id": "c1", "name": "find", "args": CITY},
                ],
                "tool_calls": [{"id": "c1", "name": "find", "args": CITY, "type": "tool_call"}],
            },
            {"type": "tool", "tool_call_id": "c1", "name": "find", "content": "found"},
        ]
    ],
}
SAID = [
    ChatMessage("system", "Be brief."),
    ChatMessage(
        "user", "Where is this?", media=[Media("image/png", f"data:image/png;base64,{PNG}", 18)]
    ),
    ChatMessage("assistant", "I look.", "Mountains.", [ToolCall("c1", "find", CITY)]),
    ChatMessage("tool", tool_results=[ToolResult("c1", "find", "found")]),
]


@pytest.mark.parametrize("provider", CONVERSATIONS)
def test_a_conversation_is_the_same_in_every_shape(provider: str) -> None:
    assert messages.read(CONVERSATIONS[provider], None, of_model=True) == SAID


TOOLS: dict[str, Any] = {
    "openai": {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}},
    "openai-responses": {"type": "function", "name": "f", "description": "d", "parameters": {}},
    "anthropic": {"name": "f", "description": "d", "input_schema": {}},
    "gemini": {"functionDeclarations": [{"name": "f", "description": "d", "parameters": {}}]},
    "bedrock": {"toolSpec": {"name": "f", "description": "d", "inputSchema": {"json": {}}}},
}


@pytest.mark.parametrize("provider", TOOLS)
def test_a_tool_is_the_same_in_every_shape(provider: str) -> None:
    offered = [TOOLS[provider]]
    assert messages.read_tools(offered, None) == [Tool("f", "d", {})]
    asked = {"toolConfig": {"tools": offered}} if provider == "bedrock" else {"tools": offered}
    assert messages.read_tools(None, asked) == [Tool("f", "d", {})]
    assert messages.read_tools(None, {"body": asked}) == [Tool("f", "d", {})]


@pytest.mark.parametrize(
    "tool", [{"type": "web_search"}, {"web_search": {}}, {"type": "custom", "name": "web_search"}]
)
def test_a_tool_of_the_provider_has_its_name(tool: Any) -> None:
    (found,) = messages.read_tools([tool], None)
    assert found.name == "web_search"


# The replies of the fixtures: each has the text, the reasoning and the calls that its table says.

_FILES = [
    path
    for path in sorted((Path(__file__).parent.parent / "fixtures").glob("*/*.json"))
    if re.match(
        r"(?!.*embed)(chat|messages|complete|generate|responses|converse|conversations|interactions"
        r"|claude2|command|command-r|jamba|llama|mistral|mistral-chat|nova|titan|j2)\.",
        path.name,
    )
]


@pytest.mark.parametrize("path", [pytest.param(p, id=f"{p.parent.name}-{p.stem}") for p in _FILES])
def test_a_reply_reads_as_its_table_says(path: Path) -> None:
    routes = import_module(f"fixtures.{path.parent.name}_routes")
    scenario = path.stem.partition(".")[2]
    reply = orjson.loads(fill(path.read_bytes(), defaultdict(str)))
    found = messages.read(None, reply, of_model=True)
    assert {message.role for message in found} <= {"assistant"}
    assert "".join(m.text for m in found[:1]) == text_of(routes, path, scenario)
    thought = getattr(routes, "REASONING", None) or routes.THINKING
    assert [m.reasoning for m in found if m.reasoning] in ([], [thought], [THOUGHT_OF_A_SEARCH])
    if scenario in ("reasoning", "thinking"):
        assert found[0].reasoning == thought
    if scenario == "tools":
        assert [(c.name, c.arguments) for m in found for c in m.tool_calls] == list(
            routes.TOOL_CALLS
        )
        assert all(call.id for m in found for call in m.tool_calls) or "command" in path.name


THOUGHT_OF_A_SEARCH = "I should look up the weather."


def text_of(routes: Any, path: Path, scenario: str) -> str:
    calls = scenario in ("tools", "toolloop")
    silent = ("mistral-chat.tools.json", "generate.refusal.json")
    if path.name in silent or scenario in ("toolloop", "blocked", "failed"):
        return ""
    return str(routes.TEXT.get(scenario, "" if calls else None))


# Whatever it is.

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("messages", "content", "role", "type", "text", "parts", "tool_calls", "name"),
                    *("choices", "message", "output", "input", "function", "arguments", "source"),
                    *("id", "body", "tools", "system", "image", "data", "functionCall", "kwargs"),
                    *("candidates", "contents", "toolUse", "reasoning", "summary", "audio", "url"),
                ]
            ),
            inner
            | st.sampled_from(["user", "assistant", "tool", "tool_use", "tool_result", "image"]),
            max_size=4,
        )
    ),
    max_leaves=25,
)


@given(json_values, json_values, st.booleans())
def test_any_json_can_be_read(inputs: Any, outputs: Any, of_model: bool) -> None:
    found = messages.read(inputs, outputs, of_model=of_model)
    assert all(isinstance(message, ChatMessage) for message in found)
    orjson.dumps(found, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
    orjson.dumps(messages.read_tools(outputs, inputs), default=str)


def test_a_span_that_is_no_model_has_no_messages_but_those_it_has(
    one_trace: Callable[[], Trace],
) -> None:
    @spanlog.trace
    def answer(question: str) -> dict[str, Any]:
        with spanlog.start_span("graph") as span:
            span.set_inputs({"messages": [{"role": "user", "content": question}]})
        return {"content": "42", "text": "42"}

    answer("What is it?")
    outer, inner = one_trace().data.spans
    assert outer.chat_messages == []
    assert inner.chat_messages == [ChatMessage("user", "What is it?")]
    assert outer.tools == []


# In recordings of real providers.

CHAT = re.compile(
    r"chat/completions|/v1/completions|/responses|/messages|/complete|generateContent|/converse"
    r"|/invoke|/v[12]/chat|/api/chat|/api/generate"
)


@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"there are no recordings in {FOLDER}")
@pytest.mark.parametrize(
    "provider",
    sorted({path.name for path in FOLDER.glob("*/*") if path.is_dir()}) or [None],
)
def test_what_real_providers_were_asked_and_answered_is_read(
    provider: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answered = 0
    for path in paths(provider):
        try:
            exchanges = load(path).exchanges
        except Unreadable:
            continue
        for exchange in exchanges:
            path_ = exchange.url.path
            chat = CHAT.search(path_) and not re.search("count|embed|threads", path_)
            if not chat or exchange.status >= 400 or not isinstance(exchange.asked, dict):
                continue
            found = messages.read(exchange.asked, None, of_model=True)
            assert found, exchange.asked
            asked += 1
            reply = None if exchange.is_events else exchange.answered
            if isinstance(reply, dict) and said_anything(reply):
                found = messages.read(None, reply, of_model=True)
                assert [m for m in found if m.role == "assistant"], reply
                answered += 1
    with capsys.disabled():
        print(f"{provider}: {asked} requests and {answered} replies read as messages")


def said_anything(reply: Any) -> bool:
    """Say whether there is anything in a reply but why it is empty, or that it is to come."""
    why = (
        rb'"finish_reason":"content_filter"|blockReason|MODEL_ARMOR|"content":{}|"object":"response\.'
        rb'|"content":{"role":"model"}'
    )
    filtered = re.search(why, orjson.dumps(reply))
    empty = not any(reply.get(name) for name in ("choices", "candidates", "output", "content"))
    return not filtered and not (empty and ("status" in reply or "error" in reply))
