"""How recordings of OpenAI are replayed, and what they and those in its wire shape say."""

from __future__ import annotations

import base64
import importlib
import importlib.util
import re
import struct
from typing import TYPE_CHECKING, Any

import spanlog
from cassettes import Exchange, Said, Sdk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanlog.entities import Span

Json = dict[str, Any]

clients: dict[tuple[Any, ...], Any] = {}
"""The clients that have been made, of all SDKs that are replayed here."""

_USAGE = {
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "input_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "total_tokens": "gen_ai.usage.total_tokens",
}
_DETAILS = {
    "cached": "gen_ai.usage.cache_read.input_tokens",
    "cache_write": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
    "accepted_prediction": "openai.usage.accepted_prediction_tokens",
    "rejected_prediction": "openai.usage.rejected_prediction_tokens",
}


def _openai_usage(usage: Json | None) -> dict[str, int]:
    usage = usage or {}
    cached = usage.get("prompt_cache_hit_tokens", usage.get("cached_tokens"))
    counts = {_DETAILS["cached"]: cached} if cached is not None else {}
    counts |= {_USAGE[name]: count for name, count in usage.items() if name in _USAGE}
    for sort, side in (
        ("prompt", "input"),
        ("input",) * 2,
        ("completion", "output"),
        ("output",) * 2,
    ):
        for name, count in (usage.get(f"{sort}_tokens_details") or {}).items():
            kind = name.removesuffix("_tokens")
            if kind in ("audio", "image", "text"):
                counts[f"gen_ai.usage.{kind}.{side}_tokens"] = count
            elif kind in _DETAILS:
                counts[_DETAILS[kind]] = count
    return {name: count for name, count in counts.items() if count is not None}


def _openai_reply(route: str, reply: Json) -> Said:
    """Read a reply that was not streamed."""
    said = Said(reply.get("id"), reply.get("model"), _openai_usage(reply.get("usage")))
    if route.startswith("responses"):
        ended = (reply.get("incomplete_details") or {}).get("reason") or reply.get("status")
        said.reasons = [ended] if ended else []
        said.content = reply["output"]
    elif "choices" in reply:
        said.reasons = [c["finish_reason"] for c in reply["choices"] if c.get("finish_reason")]
        said.content = [_choice(choice) for choice in reply["choices"]]
    elif route == "embeddings":
        said.content = [_vector(item["embedding"]) for item in reply["data"]]
    else:
        said.content = [reply.get("data")]
    return said


def _vector(embedding: Any) -> list[float]:
    if isinstance(embedding, list):
        return [struct.unpack("f", struct.pack("f", number))[0] for number in embedding]
    data = base64.b64decode(embedding)
    return list(struct.unpack(f"{len(data) // 4}f", data))


_TEXTS = ("content", "refusal", "reasoning", "reasoning_content")


def _choice(choice: Json) -> Json:
    message = choice.get("message") or {}
    texts = {name: _flat(message.get(name)) for name in _TEXTS}
    texts["text"] = choice.get("text") or ""
    calls = [
        (call.get("id"), call["function"]["name"], call["function"].get("arguments"))
        for call in message.get("tool_calls") or ()
    ]
    old = message.get("function_call") or {}
    rest = {
        name: value
        for name, value in choice.items()
        if name not in ("message", "text", "logprobs") and value is not None
    }
    logprobs = (choice.get("logprobs") or {}).get("content") or []
    return {
        "role": message.get("role"),
        "texts": texts,
        "calls": calls,
        "function": (old.get("name"), old.get("arguments")),
        "annotations": message.get("annotations") or [],
        "reasoning": _details(message.get("reasoning_details") or []),
        "logprobs": [item["token"] for item in logprobs],
        "rest": rest,
    }


def _flat(content: Any) -> str:
    """Return the text of a message's content, which Mistral also sends in parts."""
    if isinstance(content, list):
        return "".join(_flat(part.get("thinking") or part.get("text")) for part in content)
    return content or ""


def _details(items: Sequence[Json]) -> list[Any]:
    return [
        (item["type"], *(item.get(key) or "" for key in ("summary", "text", "data", "signature")))
        for item in items
    ]


def _openai_chunks(chunks: Sequence[Json]) -> Json:
    """Put chunks together, as the reply that was not streamed."""
    reply: Json = {"choices": []}
    choices: dict[int, Json] = {}
    for chunk in chunks:
        for name in ("id", "model"):
            reply[name] = chunk.get(name) or reply.get(name)
        groq = chunk.get("x_groq") or {}
        reply["usage"] = chunk.get("usage") or reply.get("usage") or groq.get("usage")
        for piece in chunk.get("choices") or ():
            choice = choices.setdefault(
                piece["index"], {"message": {}, "logprobs": {"content": []}}
            )
            message, delta = choice["message"], piece.get("delta") or {}
            for name in piece.keys() - {"delta", "text", "logprobs"}:
                merged = isinstance(choice.get(name), dict)
                choice[name] = (
                    {**choice[name], **piece[name]}
                    if merged
                    else (choice.get(name) if piece[name] is None else piece[name])
                )
            choice["text"] = choice.get("text", "") + (piece.get("text") or "")
            choice["logprobs"]["content"] += (piece.get("logprobs") or {}).get("content") or []
            message["role"] = message.get("role") or delta.get("role")
            for name in _TEXTS:
                message[name] = message.get(name, "") + _flat(delta.get(name))
            message.setdefault("annotations", []).extend(delta.get("annotations") or ())
            _add_details(message.setdefault("reasoning_details", []), delta)
            if old := delta.get("function_call"):
                function = message.setdefault("function_call", {"name": "", "arguments": ""})
                function["name"] += old.get("name") or ""
                function["arguments"] += old.get("arguments") or ""
            for call in delta.get("tool_calls") or ():
                _add_call(message.setdefault("tool_calls", []), call)
    reply["choices"] = [choices[index] for index in sorted(choices)]
    return reply


def _add_call(calls: list[Json], piece: Json) -> None:
    function = piece.get("function") or {}
    if function.get("name"):  # the provider names the function once a call
        calls.append({"id": piece.get("id"), "function": {**function}})
    else:
        whole = calls[piece.get("index") or 0]["function"]
        whole["arguments"] = (whole.get("arguments") or "") + (function.get("arguments") or "")


def _add_details(items: list[Json], delta: Json) -> None:
    """Put together the pieces of OpenRouter's reasoning: a piece goes on with one of its type."""
    for piece in delta.get("reasoning_details") or ():
        last = items[-1] if items else None
        if last is None or (last["type"], last.get("index")) != (piece["type"], piece.get("index")):
            items.append(last := {"type": piece["type"], "index": piece.get("index")})
        for name in ("summary", "text", "data", "signature"):
            last[name] = (last.get(name) or "") + (piece.get(name) or "")


def _openai_events(events: Sequence[Json]) -> Json:
    """Take the response that the last event holds; its items as they were when they were done."""
    reply: Json = next((event["response"] for event in reversed(events) if "response" in event), {})
    done = {
        e["output_index"]: e["item"] for e in events if e["type"] == "response.output_item.done"
    }
    return {**reply, "output": reply.get("output") or [done[index] for index in sorted(done)]}


def said(route: str, exchange: Exchange) -> Said:
    if exchange.status >= 400:
        return Said()
    if not exchange.is_events:
        return _openai_reply(route, exchange.answered)
    fold = _openai_events if route.startswith("responses") else _openai_chunks
    events = [event for event in exchange.events if not event.get("error")]
    return _openai_reply(route, fold(events))


def recorded(route: str, span: Span) -> Said:
    attributes, outputs = span.attributes, _unparsed(span.outputs)
    said = Said() if outputs is None else _openai_reply(route, outputs)
    said.id = attributes.get("gen_ai.response.id")
    said.model = attributes.get("gen_ai.response.model")
    said.reasons = attributes.get("gen_ai.response.finish_reasons", [])
    said.usage = {
        name: count
        for name, count in attributes.items()
        if name.startswith(("gen_ai.usage.", "openai.usage."))
    }
    return said


def _unparsed(reply: Any) -> Any:
    """Leave out what `.parse()` adds to what was on the wire."""
    if isinstance(reply, list):
        return [_unparsed(item) for item in reply]
    if not isinstance(reply, dict):
        return reply
    return {k: _unparsed(v) for k, v in reply.items() if k not in ("parsed", "parsed_arguments")}


def _openai() -> Sdk:
    openai = importlib.import_module("openai")

    def validate(exchange: Exchange, outputs: Json) -> object:
        """Hold the SDK's own type against it; Groq's and Mistral's replies are not quite of it."""
        theirs = exchange.url.netloc in ("api.groq.com", "api.mistral.ai")
        if theirs or not exchange.url.path.endswith("/chat/completions"):
            return None
        return openai.types.chat.ChatCompletion.model_validate(outputs)

    def client(exchange: Exchange, url: str, prefix: str, sync: bool) -> Any:
        version = re.search(r"api-version=([^&]+)", exchange.url.query)
        key = (url, prefix, version and version[1], sync)
        if key not in clients:
            options = {"api_key": "recorded-key", "max_retries": 0}
            if "/deployments/" in prefix:
                options |= {"azure_endpoint": url, "api_version": version[1] if version else "x"}
                options["azure_deployment"] = prefix.rpartition("/")[2]
                clients[key] = (openai.AzureOpenAI if sync else openai.AsyncAzureOpenAI)(**options)
            else:
                make = openai.OpenAI if sync else openai.AsyncOpenAI
                clients[key] = make(base_url=url + prefix, **options)
        return clients[key]

    return Sdk(
        ["openai", "azure-openai", "deepseek", "openrouter", "together", "groq", "mistral"],
        [
            "openai.com",
            "openai.azure.com",
            "deepseek.com",
            "openrouter.ai",
            "together.ai",
            "together.xyz",
            "groq.com",
            "mistral.ai",
        ],
        spanlog.openai.autolog,
        client,
        {
            "chat/completions": "chat.completions.create",
            "completions": "completions.create",
            "embeddings": "embeddings.create",
            "images/generations": "images.generate",
            "moderations": "moderations.create",
            "responses": "responses.create",
            "responses/compact": "responses.compact",
        },
        "assistants|chat|completions|conversations|embeddings|files|images|moderations|realtime"
        "|responses|threads|vector_stores",
        said,
        recorded,
        validate,
        openai.OpenAIError,
    )


OPENAI = [_openai()] if importlib.util.find_spec("openai") else []
