"""How recordings of Groq are replayed through its own SDK; they are in OpenAI's wire shape."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import spanlog
from cassettes import Exchange, Sdk
from openai_cassettes import clients, recorded, said

Json = dict[str, Any]


def _groq() -> Sdk:
    groq = importlib.import_module("groq")

    def client(exchange: Exchange, url: str, prefix: str, sync: bool) -> Any:
        key = "groq", url, sync
        if key not in clients:
            make = groq.Groq if sync else groq.AsyncGroq
            clients[key] = make(api_key="recorded-key", base_url=url, max_retries=0)
        return clients[key]

    def validate(exchange: Exchange, outputs: Json) -> object:
        if exchange.has_error:
            return None  # there is only the beginning of a reply
        for choice in outputs["choices"]:
            choice["message"].setdefault("role", "assistant")  # not all streams tell it
        return groq.types.chat.ChatCompletion.model_validate(outputs)

    return Sdk(
        ["groq"],
        ["groq.com"],
        spanlog.groq.autolog,
        client,
        {"openai/v1/chat/completions": "chat.completions.create"},
        "openai",
        said,
        recorded,
        validate,
        groq.GroqError,
    )


GROQ = [_groq()] if importlib.util.find_spec("groq") else []
