"""How recordings of Anthropic are replayed, and what they say."""

from __future__ import annotations

import importlib
import importlib.util
import json
from typing import TYPE_CHECKING, Any

import spanlog
from cassettes import Exchange, Said, Sdk

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanlog.entities import Span

Json = dict[str, Any]

_clients: dict[tuple[str, bool], Any] = {}
_SPELLED = {"text_delta": "text", "thinking_delta": "thinking"}


def _message(events: Sequence[Json]) -> Json:
    """Put events together, as the reply that was not streamed."""
    reply: Json = {}
    content: list[Json] = []
    for event in events:
        if event["type"] == "message_start":
            reply = {**event["message"], "usage": {**event["message"]["usage"]}}
        elif event["type"] == "content_block_start":
            content.append({**event["content_block"], "spelled": ""})
            assert event["index"] == len(content) - 1
        elif event["type"] == "content_block_delta":
            _add(content[event["index"]], event["delta"])
        elif event["type"] == "message_delta":
            told = {**event["delta"], "context_management": event.get("context_management")}
            reply |= {name: value for name, value in told.items() if value is not None}
            counts = event["usage"].items()
            reply["usage"] |= {name: count for name, count in counts if count is not None}
    for block in content:
        if spelled := block.pop("spelled"):
            block["input"] = json.loads(spelled)
    return {**reply, "content": content}


def _add(block: Json, delta: Json) -> None:
    kind = delta["type"]
    if kind in _SPELLED:
        block[_SPELLED[kind]] += delta[_SPELLED[kind]]
    elif kind == "input_json_delta":
        block["spelled"] += delta["partial_json"]
    elif kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or []), delta["citation"]]
    else:
        block |= {name: value for name, value in delta.items() if name != "type"}


def _usage(usage: Json | None) -> dict[str, int]:
    if not usage:
        return {}
    cache = {
        "cache_read": usage.get("cache_read_input_tokens"),
        "cache_creation": usage.get("cache_creation_input_tokens"),
    }
    counts = {f"{kind}.input_tokens": count for kind, count in cache.items() if count is not None}
    counts["input_tokens"] = usage["input_tokens"] + sum(counts.values())
    counts["output_tokens"] = usage["output_tokens"]
    counts["total_tokens"] = counts["input_tokens"] + counts["output_tokens"]
    if (details := usage.get("output_tokens_details")) is not None:
        counts["reasoning.output_tokens"] = details["thinking_tokens"]
    return {f"gen_ai.usage.{name}": count for name, count in counts.items()}


def _reply(reply: Json) -> Said:
    """Read a reply that was not streamed."""
    said = Said(reply.get("id"), reply.get("model"), _usage(reply.get("usage")))
    said.reasons = [reply["stop_reason"]] if reply.get("stop_reason") else []
    more = [reply[name] for name in ("container", "context_management") if reply.get(name)]
    said.content = [*_unparsed(reply.get("content") or [reply.get("completion")]), *more]
    return said


def _unparsed(content: Sequence[Any]) -> list[Any]:
    """Leave out what `.parse()` adds to what was on the wire."""
    added = ("parsed_output",)
    return [
        {k: v for k, v in block.items() if k not in added} if isinstance(block, dict) else block
        for block in content
    ]


def _said(route: str, exchange: Exchange) -> Said:
    if exchange.status >= 400:
        return Said()
    if not exchange.is_events:
        return _reply(exchange.answered)
    events = [event for event in exchange.events if not event.get("error")]
    if route.endswith("complete"):
        return _reply({**events[-1], "completion": "".join(e["completion"] for e in events)})
    return _reply(_message(events))


def _recorded(route: str, span: Span) -> Said:
    attributes = span.attributes
    said = Said() if span.outputs is None else _reply(span.outputs)
    said.id = attributes.get("gen_ai.response.id")
    said.model = attributes.get("gen_ai.response.model")
    said.reasons = attributes.get("gen_ai.response.finish_reasons", [])
    said.usage = {name: n for name, n in attributes.items() if name.startswith("gen_ai.usage.")}
    return said


def _anthropic() -> Sdk:
    anthropic = importlib.import_module("anthropic")

    def client(exchange: Exchange, url: str, prefix: str, sync: bool) -> Any:
        if (url, sync) not in _clients:
            make = anthropic.Anthropic if sync else anthropic.AsyncAnthropic
            _clients[url, sync] = make(api_key="recorded-key", base_url=url, max_retries=0)
        return _clients[url, sync]

    def validate(exchange: Exchange, outputs: Json) -> object:
        if exchange.url.path.endswith("/complete") or not hasattr(anthropic.types, "beta"):
            return None
        usage = {"input_tokens": 0, "output_tokens": 0}  # old ones lack what newer types need
        return anthropic.types.beta.BetaMessage.model_validate({**outputs, "usage": usage})

    return Sdk(
        ["anthropic"],
        ["anthropic.com"],
        spanlog.anthropic.autolog,
        client,
        {
            "v1/messages?beta=true": "beta.messages.create",
            "v1/messages": "messages.create",
            "v1/complete": "completions.create",
        },
        "v1",
        _said,
        _recorded,
        validate,
        anthropic.AnthropicError,
    )


ANTHROPIC = [_anthropic()] if importlib.util.find_spec("anthropic") else []
