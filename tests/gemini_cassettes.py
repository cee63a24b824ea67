"""How recordings of Gemini are replayed through Google's own SDK, and what they say."""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

import spanlog
from cassettes import Exchange, Said, Sdk, Unreadable
from openai_cassettes import clients

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanlog.entities import Span

Json = dict[str, Any]

_METHODS = {
    "generateContent": "models.generate_content",
    "streamGenerateContent": "models.generate_content_stream",
    "embedContent": "models.embed_content",
    "batchEmbedContents": "models.embed_content",
    "interactions": "interactions.create",
}
# What of a request the SDK takes beside the configuration, and not in it.
_BESIDE = ("contents", "content", "generationConfig", "embedContentConfig", "requests")


class _Client:
    """The client for one exchange: its methods take the body that was recorded."""

    def __init__(self, sdk: Any, exchange: Exchange, *, sync: bool) -> None:
        self._sdk = sdk if sync else sdk.aio
        self._request = sdk._api_client.request if sync else sdk._api_client.async_request
        self._exchange = exchange
        self.models = self

    @property
    def interactions(self) -> Any:
        return self._sdk.interactions

    def generate_content(self, **body: Any) -> Any:
        return self._generate(self._sdk.models.generate_content, body)

    def generate_content_stream(self, **body: Any) -> Any:
        return self._generate(self._sdk.models.generate_content_stream, body)

    def embed_content(self, **body: Any) -> Any:
        asked = body.get("requests") or [body]
        config = asked[0].get("embedContentConfig") or asked[0]
        config = {key: value for key, value in config.items() if key not in (*_BESIDE, "model")}
        contents = [one["content"] for one in asked]
        return self._sdk.models.embed_content(model=self._model, contents=contents, config=config)

    def _generate(self, method: Any, body: Json) -> Any:
        beside = {key: value for key, value in body.items() if key not in _BESIDE}
        config = {**body.get("generationConfig", {}), **beside}
        return method(model=self._model, contents=body["contents"], config=config)

    @property
    def _model(self) -> str:
        return self._exchange.url.path.rpartition("/")[2].partition(":")[0]

    def __getattr__(self, method: str) -> Any:
        """Return what makes a request that calls no model."""

        def send(route: str, *, body: Any = None, **_options: Any) -> Any:
            return self._request(method, route.removeprefix("/"), body or {})

        return send


class _Google(Sdk):
    def route(self, exchange: Exchange) -> tuple[str, str]:
        """Return the version of the API and the method of the model, or the rest of the path."""
        version, _, rest = exchange.url.path[1:].partition("/")
        method = rest.rpartition(":")[2]
        return version, method if method in self.methods else rest


def _gemini() -> Sdk:
    genai = importlib.import_module("google.genai")
    credentials = importlib.import_module("google.oauth2.credentials").Credentials

    def client(exchange: Exchange, url: str, version: str, sync: bool) -> Any:
        if "streamGenerate" in exchange.url.path and not exchange.is_events:
            raise Unreadable("a stream in a form that the SDK does not ask for")
        _, _, kind, project, _, location, *_ = (*exchange.url.path.split("/"), *[""] * 6)
        key = "gemini", url, version, project if kind == "projects" else None
        if key not in clients:
            proof = (
                {"credentials": credentials("token"), "project": project, "location": location}
                if kind == "projects"
                else {"api_key": "AIza-recorded-key"}
            )
            clients[key] = genai.Client(
                **proof,
                vertexai=kind == "projects",
                http_options={"base_url": url, "api_version": version},
            )
            clients[key].close = getattr(clients[key], "close", lambda: None)
        return _Client(clients[key], exchange, sync=sync)

    def validate(exchange: Exchange, outputs: Json) -> object:
        if exchange.has_error or genai.__version__ == "1.0.0" or "candidates" not in outputs:
            return None  # 1.0 knows fewer fields than there are
        return genai.types.GenerateContentResponse.model_validate(outputs, extra="ignore")

    return _Google(
        ["google-gemini", "google-vertex"],
        ["generativelanguage.googleapis.com", "aiplatform.googleapis.com"],
        spanlog.gemini.autolog,
        client,
        _METHODS,
        "",
        _said,
        _recorded,
        validate,
        genai.errors.APIError,
    )


# What they say.

_INPUT = ("promptTokenCount", "toolUsePromptTokenCount", "total_input_tokens")
_OUTPUT = ("candidatesTokenCount", "thoughtsTokenCount", "total_output_tokens")
_CACHED = ("cachedContentTokenCount", "total_cached_tokens")
_THOUGHT = ("thoughtsTokenCount", "total_thought_tokens")
_USAGE = {
    "gen_ai.usage.input_tokens": (*_INPUT, "total_tool_use_tokens"),
    "gen_ai.usage.output_tokens": (*_OUTPUT, "total_thought_tokens"),
    "gen_ai.usage.total_tokens": ("totalTokenCount", "total_tokens"),
    "gen_ai.usage.cache_read.input_tokens": _CACHED,
    "gen_ai.usage.reasoning.output_tokens": _THOUGHT,
}


def _usage(told: Json) -> dict[str, int]:
    counts = {
        ours: [told[name] for name in theirs if name in told] for ours, theirs in _USAGE.items()
    }
    return {name: sum(found) for name, found in counts.items() if found}


def _said(route: str, exchange: Exchange) -> Said:
    replies = exchange.events if exchange.is_events else [exchange.answered]
    if exchange.status >= 400:
        return Said()
    return _interaction(replies) if route == "interactions" else _model(replies)


def _recorded(route: str, span: Span) -> Said:
    outputs = span.outputs
    if outputs is None:
        return Said()
    content = (_interaction if route == "interactions" else _model)([outputs]).content
    return Said(
        span.get_attribute("gen_ai.response.id"),
        span.get_attribute("gen_ai.response.model"),
        {name: n for name in _USAGE if (n := span.get_attribute(name)) is not None},
        span.get_attribute("gen_ai.response.finish_reasons") or [],
        content,
    )


def _model(replies: Sequence[Json]) -> Said:
    """Read the reply of a model, or the chunks of one."""
    last = {key: value for reply in replies for key, value in reply.items()}
    pieces = [candidate for reply in replies for candidate in reply.get("candidates") or ()]
    numbers = sorted({piece.get("index", 0) for piece in pieces})
    candidates = [[p for p in pieces if p.get("index", 0) == number] for number in numbers]
    reasons = [p["finishReason"] for told in candidates for p in told if p.get("finishReason")]
    blocked = last.get("promptFeedback", {}).get("blockReason")
    embeddings = last.get("embeddings") or last.get("embedding")
    return Said(
        last.get("responseId"),
        last.get("modelVersion"),
        _usage(last.get("usageMetadata") or {}),
        reasons + ([blocked] if blocked else []),
        [*map(_candidate, candidates), embeddings, last.get("promptFeedback")],
    )


def _candidate(told: Sequence[Json]) -> Json:
    parts = [part for piece in told for part in piece.get("content", {}).get("parts", ())]
    texts: dict[bool, str] = {False: "", True: ""}
    for part in parts:
        texts[bool(part.get("thought"))] += part.get("text", "")
    facts: Json = {}
    for key, value in ((k, v) for piece in told for k, v in piece.items() if k != "content"):
        grows = key in ("groundingMetadata", "citationMetadata", "urlContextMetadata")
        facts[key] = {**facts.get(key, {}), **value} if grows else value
    return {
        "texts": texts,
        "signatures": [p["thoughtSignature"] for p in parts if "thoughtSignature" in p],
        "others": [part for part in parts if "text" not in part],
        "roles": {p["content"].get("role") for p in told if p.get("content")},
        "facts": facts,
    }


def _interaction(replies: Sequence[Json]) -> Said:
    """Read an interaction, or the events of one."""
    whole: Json = functools.reduce(lambda a, b: {**a, **b.get("interaction", {})}, replies, {})
    steps: dict[int, Json] = {}
    for event in replies:
        if "index" in event:
            step = steps.setdefault(event["index"], {"text": "", "signature": None})
            step.update(event.get("step") or {})
            delta = event.get("delta") or {}
            summary = delta.get("content") or {}
            step["text"] += delta.get("text") or summary.get("text") or ""
            step["signature"] = delta.get("signature") or step["signature"]
    if not steps and len(replies) == 1:
        whole = dict(replies[0])
    told = [_step(step) for step in whole.get("steps") or ()]
    status = whole.get("status")
    return Said(
        whole.get("id"),
        whole.get("model"),
        _usage(whole.get("usage") or {}),
        [status] if status else [],
        told or [(s.get("type"), s["text"], s["signature"]) for _, s in sorted(steps.items())],
    )


def _step(step: Json) -> tuple[Any, str, Any]:
    parts = [*(step.get("content") or ()), *(step.get("summary") or ())]
    text = "".join(part.get("text", "") for part in parts)
    return step.get("type"), text, step.get("signature")


GEMINI = [_gemini()] if spanlog.gemini.integration.installed() else []
