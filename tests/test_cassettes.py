"""Recorded exchanges with real providers, replayed through the SDK: untraced, then traced.

Tracing changes no request, no result and no exception; and there is one span for each call of a
model, which says what the recorded body says. What it says is read here by a reader of its own.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import re
import struct
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from anthropic_cassettes import ANTHROPIC
from cassettes import (
    FOLDER,
    Cassette,
    Exchange,
    Player,
    Said,
    Sdk,
    Unreadable,
    load,
    paths,
)

from fixtures.loopback import Loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from spanlog.entities import Span

openai = pytest.importorskip("openai")
pytest.importorskip("yaml")
pytestmark = [
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"there are no recordings in {FOLDER}"),
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),  # of the SDK's streams
]

Json = dict[str, Any]


# How a call is made. Each form returns what the caller gets to see of the result.


async def _awaited(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def _entered(stack: AsyncExitStack, manager: Any) -> Any:
    if hasattr(manager, "__aenter__"):
        return await stack.enter_async_context(manager)
    return stack.enter_context(manager)


async def _items(stream: Any) -> AsyncIterator[Any]:
    if hasattr(stream, "__aiter__"):
        async for item in stream:
            yield item
    else:
        for item in stream:
            yield item


async def _seen(result: Any) -> Any:
    """Return a result as plain data."""
    if hasattr(result, "model_dump"):
        return result.model_dump(mode="json", warnings=False)
    if isinstance(result, (str, bytes, dict, list, type(None))):
        return result
    items: list[Any] = []
    try:
        async for item in _items(result):
            items.append(await _seen(item))
    except Exception as error:
        return [*items, _error(error)]
    return items


def _error(error: BaseException) -> Json:
    body = getattr(error, "body", None)
    return {"raised": f"{type(error).__module__}.{type(error).__name__}: {error}", "body": body}


async def _create(resource: Any, name: str, arguments: Json) -> Any:
    return await _seen(await _awaited(getattr(resource, name)(**arguments)))


async def _raw(resource: Any, name: str, arguments: Json) -> Any:
    reply = await _awaited(getattr(resource.with_raw_response, name)(**arguments))
    return [reply.status_code, await _seen(await _awaited(reply.parse()))]


async def _streaming(resource: Any, name: str, arguments: Json) -> Any:
    async with AsyncExitStack() as stack:
        made = getattr(resource.with_streaming_response, name)(**arguments)
        reply = await _entered(stack, made)
        return [reply.status_code, await _seen(await _awaited(reply.parse()))]


async def _helped(resource: Any, name: str, arguments: Json) -> Any:
    """Use `.stream()` for what is streamed and `.parse()` for the rest."""
    if name == "parse":
        return await _create(resource, name, arguments)
    arguments = {key: value for key, value in arguments.items() if key != "stream"}
    async with AsyncExitStack() as stack:
        stream = await _entered(stack, resource.stream(**arguments))
        return await _seen(stream)


# Each with whether the client is sync.
FORMS = [(form, sync) for form in (_create, _raw, _streaming, _helped) for sync in (True, False)]


# The replayed calls.


class Skipped(Exception):
    """Why an exchange is not replayed."""


@dataclass
class Outcome:
    """What came of a call: what went out and what its caller saw, or why it was not made."""

    form: str
    sync: bool
    exchange: Exchange = field(repr=False)
    sent: list[tuple[str, bytes]] = field(default_factory=list)
    seen: Any = None
    skipped: str | None = None


@dataclass
class Replay:
    """The calls of a cassette, made in one form."""

    sdk: Sdk
    server: Loopback
    player: Player
    form: Callable[[Any, str, Json], Awaitable[Any]]
    sync: bool

    async def run(self, cassette: Cassette) -> list[Outcome]:
        """Make the calls that the SDK can make."""
        return [await self._outcome(exchange) for exchange in cassette.exchanges]

    async def _outcome(self, exchange: Exchange) -> Outcome:
        self.player.expected = exchange
        self.player.received.clear()
        outcome = Outcome(self.form.__name__, self.sync, exchange)
        try:
            outcome.seen = await self.call(exchange)
        except Skipped as reason:
            outcome.skipped = str(reason)
        except self.sdk.failure as error:
            outcome.seen = _error(error)
        except Exception as error:
            outcome.skipped = f"the SDK raises {type(error).__name__}"
        outcome.sent = [(request.path, request.body) for request in self.player.received]
        if not outcome.skipped and [path for path, _ in outcome.sent] != [exchange.url.path]:
            outcome.skipped = "the SDK asks something else"
        return outcome

    async def call(self, exchange: Exchange) -> Any:
        sdk = self.sdk
        if not exchange.url.netloc.endswith(tuple(sdk.hosts)):
            raise Skipped("another service's")
        prefix, route = sdk.route(exchange)
        client = sdk.client(exchange, self.server.url, prefix, self.sync)
        method = sdk.method(exchange)
        if method is None:
            return await self._other(client, exchange, route)
        resource, _, name = method.rpartition(".")
        if self.form is _helped:
            name = "stream" if exchange.asked.get("stream") else "parse"
        found = reduce(getattr, resource.split("."), client)
        if not hasattr(found, name):
            raise Skipped("there is no such form")
        return await self.form(found, name, _arguments(getattr(found, name), exchange.asked))

    async def _other(self, client: Any, exchange: Exchange, route: str) -> Any:
        options = {"cast_to": object}
        if exchange.method != "GET":
            options["body"] = exchange.asked
        send = getattr(client, exchange.method.lower())
        return await _seen(await _awaited(send(f"/{route}", **options)))


def _arguments(method: Callable[..., Any], body: Json) -> Json:
    known = inspect.signature(method).parameters
    extra = {name: value for name, value in body.items() if name not in known and name != "stream"}
    return {
        **{name: value for name, value in body.items() if name not in extra},
        **({"extra_body": extra} if extra else {}),
    }


# OpenAI's bodies.

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


def _openai_said(route: str, exchange: Exchange) -> Said:
    if exchange.status >= 400:
        return Said()
    if not exchange.is_events:
        return _openai_reply(route, exchange.answered)
    fold = _openai_events if route.startswith("responses") else _openai_chunks
    events = [event for event in exchange.events if not event.get("error")]
    return _openai_reply(route, fold(events))


def _openai_recorded(route: str, span: Span) -> Said:
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


def _openai_validate(exchange: Exchange, outputs: Json) -> object:
    """Hold the SDK's own type against it; Groq's and Mistral's replies are not quite of it."""
    theirs = exchange.url.netloc in ("api.groq.com", "api.mistral.ai")
    if theirs or not exchange.url.path.endswith("/chat/completions"):
        return None
    return openai.types.chat.ChatCompletion.model_validate(outputs)


def _unparsed(reply: Any) -> Any:
    """Leave out what `.parse()` adds to what was on the wire."""
    if isinstance(reply, list):
        return [_unparsed(item) for item in reply]
    if not isinstance(reply, dict):
        return reply
    return {k: _unparsed(v) for k, v in reply.items() if k not in ("parsed", "parsed_arguments")}


_clients: dict[tuple[Any, ...], Any] = {}


def _openai_client(exchange: Exchange, url: str, prefix: str, sync: bool) -> Any:
    version = re.search(r"api-version=([^&]+)", exchange.url.query)
    key = (url, prefix, version and version[1], sync)
    if key not in _clients:
        options = {"api_key": "recorded-key", "max_retries": 0}
        if "/deployments/" in prefix:
            options |= {"azure_endpoint": url, "api_version": version[1] if version else "x"}
            options["azure_deployment"] = prefix.rpartition("/")[2]
            _clients[key] = (openai.AzureOpenAI if sync else openai.AsyncAzureOpenAI)(**options)
        else:
            make = openai.OpenAI if sync else openai.AsyncOpenAI
            _clients[key] = make(base_url=url + prefix, **options)
    return _clients[key]


SDKS = [
    Sdk(
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
        _openai_client,
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
        _openai_said,
        _openai_recorded,
        _openai_validate,
        openai.OpenAIError,
    ),
    *ANTHROPIC,
]

FILES = [(sdk, path) for sdk in SDKS for provider in sdk.providers for path in paths(provider)]
CASES = [
    pytest.param(number, *case, id="/".join((*case[1].relative_to(FOLDER).parts[:2], case[1].stem)))
    for number, case in enumerate(FILES)
]


class Counts:
    """How many exchanges were replayed, by source and provider, and why others were not."""

    def __init__(self) -> None:
        self.replayed: Counter[str] = Counter()
        self.spans: Counter[str] = Counter()
        self.left_out: Counter[tuple[str, str]] = Counter()

    def add(self, where: str, sdk: Sdk, outcome: Outcome) -> None:
        if outcome.skipped is not None:
            self.left_out[where, outcome.skipped] += 1
        else:
            self.replayed[where] += 1
            self.spans[where] += sdk.method(outcome.exchange) is not None

    def lines(self) -> Iterator[str]:
        """Yield the report's lines."""
        for where, count in sorted(self.replayed.items()):
            out = [f"{n} {why}" for (w, why), n in sorted(self.left_out.items()) if w == where]
            yield f"{where}: {count} exchanges replayed, {self.spans[where]} calls of a model" + (
                f"; left out: {', '.join(out)}" if out else ""
            )


@pytest.fixture(scope="module")
def counts(request: pytest.FixtureRequest) -> Iterator[Counts]:
    counts = Counts()
    yield counts
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    if reporter is not None and capture is not None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            for line in counts.lines():
                reporter.write_line(line)


@pytest.fixture(scope="module")
def player() -> Player:
    return Player()


@pytest.fixture(scope="module")
def server(player: Player) -> Iterator[Loopback]:
    with Loopback(player) as server:
        yield server


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    for client in _clients.values():
        loop.run_until_complete(_awaited(client.close()))
    _clients.clear()
    loop.close()


@pytest.mark.parametrize(("number", "sdk", "path"), CASES)
def test_a_recording_is_the_same_traced_and_its_spans_say_what_it_says(
    number: int,
    sdk: Sdk,
    path: Path,
    counts: Counts,
    server: Loopback,
    player: Player,
    loop: asyncio.AbstractEventLoop,
    caplog: pytest.LogCaptureFixture,
) -> None:
    where = "/".join(path.relative_to(FOLDER).parts[:2])
    try:
        cassette = load(path)
    except Unreadable as reason:
        counts.left_out[where, str(reason)] += 1
        pytest.skip(str(reason))
    # The plain form, and two of the others in turn.
    forms = [FORMS[0], *(FORMS[1 + (2 * number + i) % (len(FORMS) - 1)] for i in range(2))]
    replays = [Replay(sdk, server, player, *form) for form in forms]

    def run() -> list[Outcome]:
        return [found for each in replays for found in loop.run_until_complete(each.run(cassette))]

    untraced = run()
    sdk.autolog()
    try:
        traced = run()
    finally:
        sdk.autolog(disable=True)
    spanlog.flush()
    found = [
        span for trace in spanlog.search_traces(return_type="list") for span in trace.data.spans
    ]
    spans = iter(sorted(found, key=lambda span: span.start_time_ns))
    for before, after in zip(untraced, traced, strict=True):
        assert after == before
        if before.sent and sdk.method(before.exchange):
            check(sdk, before, next(spans))
    assert next(spans, None) is None
    assert not [record for record in caplog.records if record.name.startswith("spanlog")]
    for outcome in untraced[: len(cassette.exchanges)]:
        counts.add(where, sdk, outcome)


def check(sdk: Sdk, outcome: Outcome, span: Span) -> None:
    exchange = outcome.exchange
    if outcome.skipped or (exchange.is_events and failed(outcome.seen) and not exchange.has_error):
        return  # the SDK itself cannot read it, or not to its end
    route = sdk.route(exchange)[1]
    assert sdk.recorded(route, span) == sdk.said(route, exchange)
    assert (span.status.status_code == "ERROR") == failed(outcome.seen), span.status
    if exchange.status >= 400:
        assert span.get_attribute("http.response.status_code") == exchange.status
    elif exchange.is_events:
        assert span.get_attribute("spanlog.stream.chunks") == len(exchange.events)
        sdk.validate(exchange, span.outputs)


def failed(outcome: Any) -> bool:
    """Say whether a call raised, or a stream that it returned."""
    if isinstance(outcome, list):
        return any(map(failed, outcome[-1:]))
    return isinstance(outcome, dict) and "raised" in outcome


def test_a_response_without_its_last_event_says_all_that_came_before(
    server: Loopback, player: Player, loop: asyncio.AbstractEventLoop
) -> None:
    sdk = SDKS[0]
    streams = [
        (path.stem, exchange)
        for path in paths("openai")
        for exchange in load(path).exchanges
        if exchange.is_events and sdk.method(exchange) == "responses.create"
    ]
    sdk.autolog()
    try:
        for _, exchange in streams:
            replay = Replay(sdk, server, player, _create, True)
            player.expected = exchange.first_events(len(exchange.events) - 1)
            loop.run_until_complete(replay.call(player.expected))
    finally:
        sdk.autolog(disable=True)
    spanlog.flush()
    found = [
        span for trace in spanlog.search_traces(return_type="list") for span in trace.data.spans
    ]
    found.sort(key=lambda span: span.start_time_ns)
    for (name, exchange), span in zip(streams, found, strict=True):
        whole = exchange.events[-1]["response"]["output"]
        assert _lasting(span.outputs["output"]) == _lasting(whole), name


def _lasting(items: Sequence[Json]) -> list[Json]:
    """Leave out what is encrypted anew for the last event."""
    return [{k: v for k, v in item.items() if k != "encrypted_content"} for item in items]
