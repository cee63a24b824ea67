"""The wire shapes of Google's models: generateContent, embedContent, predict."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from spanlog import semconv

from spanlog_integrations.wire import chat
from spanlog_integrations.wire.usage import google_usage

if TYPE_CHECKING:
    from spanlog.record.span import LiveSpan

Json = dict[str, Any]

_GENERATION = {
    "temperature": semconv.REQUEST_TEMPERATURE,
    "topP": semconv.REQUEST_TOP_P,
    "topK": semconv.REQUEST_TOP_K,
    "maxOutputTokens": semconv.REQUEST_MAX_TOKENS,
    "candidateCount": semconv.REQUEST_CHOICE_COUNT,
    "presencePenalty": semconv.REQUEST_PRESENCE_PENALTY,
    "frequencyPenalty": semconv.REQUEST_FREQUENCY_PENALTY,
    "seed": semconv.REQUEST_SEED,
    "stopSequences": semconv.REQUEST_STOP_SEQUENCES,
}
_THINKING = {
    "thinkingLevel": semconv.REQUEST_REASONING_LEVEL,
    "thinkingBudget": "gcp.gemini.request.thinking.budget_tokens",
}
_REQUEST = {
    "cachedContent": "gcp.gemini.request.cached_content",
    "serviceTier": "gcp.gemini.request.service_tier",
}
_PARAMETERS = {
    "sampleCount": semconv.REQUEST_CHOICE_COUNT,
    "outputDimensionality": semconv.EMBEDDINGS_DIMENSION_COUNT,
    "seed": semconv.REQUEST_SEED,
}
_RESPONSE = {"responseId": semconv.RESPONSE_ID, "modelVersion": semconv.RESPONSE_MODEL}
# What a part of a text may hold and still go on with the part before it.
_OF_A_TEXT = frozenset({"text", "thought", "thoughtSignature"})
# What a streamed candidate tells of bit by bit; all else is told again, or once.
_GROWING = frozenset({"citationMetadata", "groundingMetadata", "urlContextMetadata"})
# What is told of each token, so that two that are the same are two.
_OF_TOKENS = frozenset({"logprobsResult"})
_VALUES = ("stringValue", "numberValue", "boolValue")
# A step of a JSON path.
_STEP = re.compile(r"\[(\d{1,4})\]|([^.\[\]$'\"]+)")


def request(span: LiveSpan, body: Mapping[str, Any]) -> None:
    """Record the parameters of a request."""
    chat.facts(span, body, _REQUEST)
    if isinstance(config := body.get("generationConfig"), Mapping):
        chat.facts(span, config, _GENERATION)
        chat.facts(span, config.get("thinkingConfig"), _THINKING)
    embedded = body.get("requests") or [body]
    for held in (body.get("parameters"), body.get("embedContentConfig"), embedded[0]):
        chat.facts(span, held, _PARAMETERS)
    chat.tools(span, body.get("tools"))


def response(span: LiveSpan, reply: Json) -> None:
    """Record what a reply says of itself."""
    chat.facts(span, reply, _RESPONSE)
    told = [candidate.get("finishReason") for candidate in reply.get("candidates") or ()]
    blocked = (reply.get("promptFeedback") or {}).get("blockReason")
    if reasons := [reason for reason in (*told, blocked) if reason]:
        span.set_attribute(semconv.RESPONSE_FINISH_REASONS, reasons)
    google_usage(span, reply.get("usageMetadata"))
    embeddings = [one.get("embeddings") or {} for one in reply.get("predictions") or ()]
    counts = [(one.get("statistics") or {}).get("token_count") for one in embeddings]
    if told := [int(count) for count in counts if count is not None]:
        google_usage(span, {"promptTokenCount": sum(told), "totalTokenCount": sum(told)})


def fold(chunks: Sequence[Json]) -> Json:
    """Rebuild the reply that a stream of chunks spells out; each repeats the usage so far."""
    reply: Json = {}
    candidates: dict[int, Json] = {}
    for chunk in chunks:
        for piece in chunk.get("candidates") or ():
            _add_candidate(candidates.setdefault(piece.get("index") or 0, {}), piece)
        if candidates:
            reply["candidates"] = []  # in the place where it stands in a reply
        reply.update({k: v for k, v in chunk.items() if k != "candidates" and v is not None})
    if candidates:
        reply["candidates"] = [_finished(candidates[index]) for index in sorted(candidates)]
    return reply


def has_ended(reply: Json) -> bool:
    """Say whether every candidate has told why it ended."""
    candidates = reply.get("candidates") or ()
    return bool(candidates) and all("finishReason" in candidate for candidate in candidates)


def _add_candidate(candidate: Json, piece: Json) -> None:
    for key, value in piece.items():
        if key == "content":
            content = candidate.setdefault(key, {})
            for part in value.get("parts") or ():
                _add_part(content.setdefault("parts", []), part)
            content.update({k: v for k, v in value.items() if k != "parts"})
        elif key in _GROWING or key in _OF_TOKENS:
            candidate[key] = _grown(candidate.get(key), value, anew=key in _OF_TOKENS)
        elif value is not None:
            candidate[key] = value


def _grown(there: Any, piece: Any, *, anew: bool) -> Any:
    """Put together what was told so far and now, which may repeat what was told."""
    if isinstance(there, Mapping) and isinstance(piece, Mapping):
        grown = {key: _grown(there.get(key), value, anew=anew) for key, value in piece.items()}
        return {**there, **grown}
    if isinstance(there, list) and isinstance(piece, list):
        return [*there, *(item for item in piece if anew or item not in there)]
    return there if piece is None else piece


def _add_part(parts: list[Json], part: Json) -> None:
    """Add a part: a text goes on with the text before it, a call with the call it belongs to."""
    last = parts[-1] if parts else {}
    call = last.get("functionCall") or {}
    if _goes_on(last, part):
        last.update({**part, "text": last["text"] + part["text"]})
    elif call.get("willContinue") and "functionCall" in part:
        more = part["functionCall"]
        partial = [*call.get("partialArgs", ()), *more.get("partialArgs", ())]
        whole = {**call, "willContinue": False, **more, "partialArgs": partial}
        last.update({**part, "functionCall": whole})
    elif part != {"text": ""}:  # which only carries the end of the stream
        parts.append(dict(part))


def _goes_on(last: Json, part: Json) -> bool:
    texts = all("text" in one and one.keys() <= _OF_A_TEXT for one in (last, part))
    same = bool(last.get("thought")) == bool(part.get("thought"))
    return texts and same and "thoughtSignature" not in last


def _finished(candidate: Json) -> Json:
    """Give each function call that came in pieces the arguments that they spell out."""
    for part in candidate.get("content", {}).get("parts", ()):
        call = part.get("functionCall") or {}
        if "willContinue" in call:
            whole = {k: v for k, v in call.items() if k not in ("partialArgs", "willContinue")}
            args = _arguments(call.get("args") or {}, call.get("partialArgs") or ())
            part["functionCall"] = {**whole, "args": args}
    return candidate


def _arguments(arguments: Any, partial: Sequence[Json]) -> Any:
    """Set the values that stand at JSON paths such as `$.cities[0].name`."""
    texts: dict[str, str] = {}
    for piece in partial:
        path = piece.get("jsonPath", "$")
        value = next((piece[name] for name in _VALUES if name in piece), None)
        if isinstance(value, str):
            value = texts[path] = texts.get(path, "") + value
        steps = [key or int(index) for index, key in _STEP.findall(path)]
        arguments = _with(arguments, steps, value)
    return arguments


def _with(held: Any, steps: Sequence[str | int], value: Any) -> Any:
    """Return data with a value at a path."""
    if not steps:
        return value
    step, *rest = steps
    if isinstance(step, int):
        items = list(held) if isinstance(held, list) else []
        items += [None] * (step + 1 - len(items))
        items[step] = _with(items[step], rest, value)
        return items
    fields = dict(held) if isinstance(held, Mapping) else {}
    return {**fields, step: _with(fields.get(step), rest, value)}
