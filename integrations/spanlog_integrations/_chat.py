"""The wire shape of OpenAI's chat completions, which many providers speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spanlog.capture import capture, decode
from spanlog.spans import LiveSpan
from spanlog_integrations._usage import openai_usage

Json = dict[str, Any]

_REQUEST = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_output_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "stream": "gen_ai.request.stream",
    "reasoning_effort": "gen_ai.request.reasoning.level",
    "service_tier": "openai.request.service_tier",
    "previous_response_id": "gen_ai.request.previous_response.id",
    "dimensions": "gen_ai.embeddings.dimension.count",
}
_RESPONSE = {
    "id": "gen_ai.response.id",
    "model": "gen_ai.response.model",
    "service_tier": "openai.response.service_tier",
    "system_fingerprint": "openai.response.system_fingerprint",
    "status": "gen_ai.response.status",
}
# Texts of a streamed message that stand whole in each piece; all others are spelled out in pieces.
_WHOLE = frozenset({"id", "type", "role", "model", "object", "status", "format", "finish_reason"})


def request(span: LiveSpan, body: Mapping[str, Any]) -> None:
    """Record the parameters of a request."""
    facts = span.set_attribute
    for theirs, ours in _REQUEST.items():
        if (value := body.get(theirs)) is not None:
            facts(ours, value)
    if (stop := body.get("stop")) is not None:
        facts("gen_ai.request.stop_sequences", [stop] if isinstance(stop, str) else stop)
    if (choices := body.get("n")) not in (None, 1):
        facts("gen_ai.request.choice.count", choices)
    if isinstance(reasoning := body.get("reasoning"), Mapping) and reasoning.get("effort"):
        facts("gen_ai.request.reasoning.level", reasoning["effort"])
    if tools := body.get("tools") or body.get("functions"):
        snapshot = capture(tools)
        span.put_off(lambda span: span.set_attribute("gen_ai.tool.definitions", decode(snapshot)))


def response(span: LiveSpan, reply: Json) -> None:
    """Record what a reply says of itself."""
    for theirs, ours in _RESPONSE.items():
        if isinstance(value := reply.get(theirs), str):
            span.set_attribute(ours, value)
    if isinstance(choices := reply.get("choices"), list):
        reasons = [choice.get("finish_reason") for choice in choices]
        span.set_attribute("gen_ai.response.finish_reasons", [r for r in reasons if r])
    openai_usage(span, reply.get("usage"))


def fold(chunks: Sequence[Json]) -> Json:
    """Rebuild the completion that a stream of chunks spells out."""
    reply: Json = {}
    choices: dict[int, Json] = {}
    for chunk in chunks:
        for key, value in chunk.items():
            if key != "choices" and (value is not None or key not in reply):
                reply[key] = value
        for piece in chunk.get("choices") or ():
            _add_choice(choices.setdefault(piece.get("index", 0), {}), piece)
    if "object" in reply:
        reply["object"] = reply["object"].removesuffix(".chunk")
    reply["choices"] = [_finished(choices[index]) for index in sorted(choices)]
    return reply


def _add_choice(choice: Json, piece: Json) -> None:
    for key, value in piece.items():
        _add(choice, "message" if key == "delta" else key, value)


def _add(whole: Json, key: str, piece: Any) -> None:
    """Add a piece of a value to what there is of it."""
    there = whole.get(key)
    if there is None:
        whole[key] = None if piece is None else _first(piece)
    elif piece is None:
        pass
    elif isinstance(piece, str) and isinstance(there, str):
        repeated = key in _WHOLE or (key == "name" and piece == there)
        whole[key] = (piece or there) if repeated else there + piece
    elif isinstance(piece, Mapping) and isinstance(there, dict):
        for inner, value in piece.items():
            _add(there, inner, value)
    elif isinstance(piece, list) and isinstance(there, list):
        _extend(there, piece)
    else:
        whole[key] = piece


def _first(piece: Any) -> Any:
    if isinstance(piece, Mapping):
        whole: Json = {}
        for key, value in piece.items():
            _add(whole, key, value)
        return whole
    if isinstance(piece, list):
        items: list[Any] = []
        _extend(items, piece)
        return items
    return piece


def _extend(items: list[Any], pieces: Sequence[Any]) -> None:
    """Add to a list: a piece with an index goes to the item of that index."""
    for piece in pieces:
        index = piece.get("index") if isinstance(piece, Mapping) else None
        same = next((i for i in items if index is not None and i.get("index") == index), None)
        if same is None:
            items.append(_first(piece))
        else:
            for key, value in piece.items():
                _add(same, key, value)


def _finished(choice: Json) -> Json:
    """Drop the index of tool calls, which only the stream needs."""
    message = choice.get("message")
    if isinstance(message, dict):
        for call in message.get("tool_calls") or ():
            call.pop("index", None)
    return choice
