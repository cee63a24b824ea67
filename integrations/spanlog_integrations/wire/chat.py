"""The wire shape of OpenAI's chat completions, which many providers speak."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spanlog import semconv
from spanlog.model.capture import decode, wire

from spanlog_integrations.wire.usage import openai_usage

if TYPE_CHECKING:
    from spanlog.record.span import LiveSpan

Json = dict[str, Any]

_REQUEST = {
    "temperature": semconv.REQUEST_TEMPERATURE,
    "top_p": semconv.REQUEST_TOP_P,
    "top_k": semconv.REQUEST_TOP_K,
    "max_tokens": semconv.REQUEST_MAX_TOKENS,
    "max_completion_tokens": semconv.REQUEST_MAX_TOKENS,
    "max_output_tokens": semconv.REQUEST_MAX_TOKENS,
    "frequency_penalty": semconv.REQUEST_FREQUENCY_PENALTY,
    "presence_penalty": semconv.REQUEST_PRESENCE_PENALTY,
    "seed": semconv.REQUEST_SEED,
    "stream": semconv.REQUEST_STREAM,
    "reasoning_effort": semconv.REQUEST_REASONING_LEVEL,
    "service_tier": semconv.OPENAI_REQUEST_SERVICE_TIER,
    "previous_response_id": semconv.REQUEST_PREVIOUS_RESPONSE_ID,
    "dimensions": semconv.EMBEDDINGS_DIMENSION_COUNT,
}
_REASONING = {"effort": semconv.REQUEST_REASONING_LEVEL}
_RESPONSE = {
    "id": semconv.RESPONSE_ID,
    "model": semconv.RESPONSE_MODEL,
    "service_tier": semconv.OPENAI_RESPONSE_SERVICE_TIER,
    "system_fingerprint": semconv.OPENAI_RESPONSE_SYSTEM_FINGERPRINT,
    "status": semconv.RESPONSE_STATUS,
}
# The types of what SDKs put in a body for what was not given, and do not send.
UNSENT = frozenset({"NotGiven", "Omit"})
# Texts of a streamed message that stand whole in each piece; all others are spelled out in pieces.
_WHOLE = frozenset(
    {"type", "role", "model", "object", "status", "format", "finish_reason", "channel"}
)
# What is spelled out in a choice; the rest stands whole in each piece that has it.
_SPELLED = frozenset({"delta", "text", "logprobs"})
# Lists whose pieces may have no index: a text goes on with the text, a thought with the thought
# before it.
_IN_ORDER = frozenset({"content", "thinking"})
_GROWING = frozenset({"text", "thinking"})
# What a chunk has and the reply has not, or has in another place.
_STREAM_ONLY = frozenset({"choices", "obfuscation", "p"})


def request(span: LiveSpan, body: Mapping[str, Any]) -> None:
    """Record the parameters of a request."""
    facts(span, body, _REQUEST)
    if (stop := body.get("stop")) is not None:
        stops = [stop] if isinstance(stop, str) else stop
        span.set_attribute(semconv.REQUEST_STOP_SEQUENCES, stops)
    if (choices := body.get("n")) not in (None, 1):
        span.set_attribute(semconv.REQUEST_CHOICE_COUNT, choices)
    facts(span, body.get("reasoning"), _REASONING)
    tools(span, body.get("tools") or body.get("functions"))


def facts(span: LiveSpan, held: Any, names: Mapping[str, str]) -> None:
    """Record the facts that an object holds, where it is one, under our names."""
    if isinstance(held, Mapping):
        for theirs, ours in names.items():
            if (value := held.get(theirs)) is not None:
                span.set_attribute(ours, value)


def tools(span: LiveSpan, offered: Any) -> None:
    """Record the definitions of the tools that are offered to the model."""
    if offered:
        snapshot = wire(offered, UNSENT)
        span._read_later(
            lambda span: span.set_attribute(semconv.TOOL_DEFINITIONS, decode(snapshot))
        )


def response(span: LiveSpan, reply: Json) -> None:
    """Record what a reply says of itself."""
    for theirs, ours in _RESPONSE.items():
        if isinstance(value := reply.get(theirs), str):
            span.set_attribute(ours, value)
    if isinstance(choices := reply.get("choices"), list):
        reasons = [choice.get("finish_reason") for choice in choices]
        span.set_attribute(semconv.RESPONSE_FINISH_REASONS, [r for r in reasons if r])
    of_groq = reply.get("x_groq")  # where Groq tells of usage when it streams
    openai_usage(span, reply.get("usage") or (isinstance(of_groq, dict) and of_groq.get("usage")))


def fold(chunks: Sequence[Json], *, indexed: bool = False) -> Json:
    """Rebuild the completion that a stream of chunks spells out.

    Args:
        chunks: What was streamed.
        indexed: Tool calls have their index in a whole reply, too.
    """
    reply: Json = {}
    choices: dict[int, Json] = {}
    for chunk in chunks:
        for key, value in chunk.items():
            # Azure sends chunks about the filter in which id and model are "".
            if key not in _STREAM_ONLY and (value not in (None, "") or key not in reply):
                reply[key] = value
        for piece in chunk.get("choices") or ():
            _add_choice(choices.setdefault(piece.get("index") or 0, {}), piece)
    if isinstance(kind := reply.get("object"), str):
        reply["object"] = kind.removesuffix(".chunk")
    finished = [choices[index] for index in sorted(choices)]
    reply["choices"] = finished if indexed else [_finished(choice) for choice in finished]
    return reply


def _add_choice(choice: Json, piece: Json) -> None:
    for key, value in piece.items():
        if key in _SPELLED:
            _add(choice, "message" if key == "delta" else key, value)
        elif isinstance(value, Mapping) and isinstance(there := choice.get(key), Mapping):
            choice[key] = {**there, **value}
        elif value is not None or key not in choice:
            choice[key] = value


def _add(whole: Json, key: str, piece: Any) -> None:
    """Add a piece of a value to what there is of it."""
    there = whole.get(key)
    if there is None:
        whole[key] = None if piece is None else _first(piece, key)
    elif piece is None:
        pass
    elif key == "id":
        whole[key] = there or piece  # vLLM gives each piece of a call another one
    elif isinstance(piece, str) and isinstance(there, str):
        repeated = key in _WHOLE or (key == "name" and piece == there)
        whole[key] = (piece or there) if repeated else there + piece
    elif isinstance(piece, Mapping) and isinstance(there, dict):
        for inner, value in piece.items():
            _add(there, inner, value)
    elif isinstance(piece, list) and isinstance(there, list):
        extend(there, piece, key)
    elif isinstance(piece, str) and isinstance(there, list):  # Mistral: the text after the thoughts
        extend(there, [{"type": "text", "text": piece}] if piece else [], key)
    elif isinstance(piece, list) and isinstance(there, str) and key == "content":
        whole[key] = _first([*([{"type": "text", "text": there}] if there else ()), *piece], key)
    else:
        whole[key] = piece


def _first(piece: Any, key: str) -> Any:
    if isinstance(piece, Mapping):
        whole: Json = {}
        for inner, value in piece.items():
            _add(whole, inner, value)
        return whole
    if isinstance(piece, list):
        items: list[Any] = []
        extend(items, piece, key)
        return items
    return piece


def extend(items: list[Any], pieces: Sequence[Any], key: str) -> None:
    """Add to a list: items that are new, and pieces of those that are there."""
    for piece in pieces:
        item = _begun(items, piece, key)
        if item is None:
            items.append(_first(piece, key))
        elif key == "executed_tools":  # Groq tells of a tool again once it has run
            item.update(piece)
        else:
            for inner, value in piece.items():
                _add(item, inner, value)


def _begun(items: list[Any], piece: Any, key: str) -> Json | None:
    """Return the item that a piece goes on with: that of its index, or in some lists the last.

    OpenRouter gives the same index to reasoning of two types, Gemini to calls made in parallel.
    """
    if not isinstance(piece, Mapping):
        return None
    index, kind, id_ = (piece.get(name) for name in ("index", "type", "id"))
    if index is None:
        in_order = key == "tool_calls" or (key in _IN_ORDER and kind in _GROWING)
        found = items[-1:] if in_order else []
    else:
        found = [i for i in items if isinstance(i, dict) and i.get("index") == index]
    same = [
        i for i in found if isinstance(i, dict) and (not kind or i.get("type") in (None, "", kind))
    ]
    if not same:
        return None
    item: Json = same[-1]
    named = (piece.get("function") or piece.get("custom") or {}).get("name")
    return None if named and (index is None or (id_ and id_ != item.get("id"))) else item


def _finished(choice: Json) -> Json:
    """Drop the index of tool calls, which only the stream needs."""
    message = choice.get("message")
    if isinstance(message, dict):
        for call in message.get("tool_calls") or ():
            call.pop("index", None)
    return choice
