"""A tool-calling weather agent, traced by one `autolog` and two decorators."""

from __future__ import annotations

import json
from typing import Any

import spanlog
from openai import OpenAI
from spanlog.model.span import SpanType

spanlog.openai.autolog()

MODEL = "gpt-4o-mini"

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Return the weather in a city right now.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]

WEATHER = {
    "london": ("light rain", 12),
    "nairobi": ("sunny", 24),
    "new york": ("cloudy", 9),
    "paris": ("partly cloudy", 15),
    "tokyo": ("clear", 18),
}


@spanlog.trace(span_type=SpanType.TOOL)
def get_weather(city: str) -> dict[str, Any]:
    """Look the weather up."""
    sky, celsius = WEATHER.get(city.lower(), ("unknown", None))
    return {"city": city, "sky": sky, "celsius": celsius}


@spanlog.trace(span_type=SpanType.AGENT)
def weather_agent(question: str) -> str:
    """Answer a question, asking for the weather as often as the model wants to know it."""
    client = OpenAI()
    messages: list[Any] = [{"role": "user", "content": question}]
    while True:
        completion = client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)
        reply = completion.choices[0].message
        if not reply.tool_calls:
            return reply.content or ""
        messages.append(reply.model_dump(exclude_none=True))
        for call in reply.tool_calls:
            if call.type == "function":
                result = get_weather(**json.loads(call.function.arguments))
                messages.append(
                    {"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)}
                )
