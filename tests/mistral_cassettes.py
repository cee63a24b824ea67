"""How recordings of Mistral are replayed through its own SDK; they are in OpenAI's wire shape."""

from __future__ import annotations

import importlib.util
import inspect
from typing import Any

import spanlog
from cassettes import Exchange, Said, Sdk
from mistral_calls import package
from openai_cassettes import clients, recorded, said

Json = dict[str, Any]

# What the methods call otherwise than the wire does.
_ARGUMENTS = {"input": "inputs"}


class _Resource:
    """A resource of the SDK with one method for all, as other SDKs have it."""

    def __init__(self, resource: Any, whole: str, streamed: str, *, sync: bool) -> None:
        form = "" if sync else "_async"
        self._resource = resource
        self._whole, self._streamed = whole + form, streamed + form

    def create(self, *, stream: bool = False, extra_body: Json) -> Any:
        method = getattr(self._resource, self._streamed if stream else self._whole)
        asked = {_ARGUMENTS.get(name, name): value for name, value in extra_body.items()}
        known = inspect.signature(method).parameters
        return method(**{name: value for name, value in asked.items() if name in known})


class _Client:
    def __init__(self, url: str, *, sync: bool) -> None:
        self._http = package(".basesdk").httpx
        self._http = self._http.Client() if sync else self._http.AsyncClient()
        http = {"client" if sync else "async_client": self._http}
        sdk = package().Mistral(api_key="recorded-key", server_url=url, **http)
        self.chat = _Resource(sdk.chat, "complete", "stream", sync=sync)
        self.embeddings = _Resource(sdk.embeddings, "create", "", sync=sync)
        self.sdk = sdk
        self.close = self._http.close if sync else self._http.aclose


def _said(route: str, exchange: Exchange) -> Said:
    """Return what a reply says; some tell of cached tokens under a name of Mistral's own."""
    found = said(route, exchange)
    for told in (*exchange.events, exchange.answered or {}):
        cached = (told.get("usage") or {}).get("num_cached_tokens")
        if cached is not None:
            found.usage["gen_ai.usage.cache_read.input_tokens"] = cached
    return found


def _mistral() -> Sdk:
    base = package(".basesdk")

    def client(exchange: Exchange, url: str, prefix: str, sync: bool) -> Any:
        key = "mistral", url, sync
        if key not in clients:
            clients[key] = _Client(url, sync=sync)
        return clients[key]

    def validate(exchange: Exchange, outputs: Json) -> object:
        return package().models.ChatCompletionResponse.model_validate(outputs)

    return Sdk(
        ["mistral"],
        ["mistral.ai"],
        spanlog.mistral.autolog,
        client,
        {"v1/chat/completions": "chat.create", "v1/embeddings": "embeddings.create"},
        "v1",
        _said,
        recorded,
        validate,
        (vars(base).get("errors") or base.models).SDKError,
    )


MISTRAL = [_mistral()] if importlib.util.find_spec("mistralai") else []
