"""Recorded exchanges with real providers, replayed through the SDK: untraced, then traced.

Tracing changes no request, no result and no exception; and there is one span for each call of a
model, which says what the recorded body says. What it says is read here by a reader of its own.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import re
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
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
    Sdk,
    Unreadable,
    load,
    paths,
)
from gemini_cassettes import GEMINI
from groq_cassettes import GROQ
from mistral_cassettes import MISTRAL
from openai_cassettes import OPENAI, clients

from fixtures.loopback import Loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
    from pathlib import Path

    from spanlog.entities import Span

pytest.importorskip("yaml")
pytestmark = [
    pytest.mark.usefixtures("content_inline"),
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
        except (Skipped, Unreadable) as reason:
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
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        return body
    extra = {name: value for name, value in body.items() if name not in known and name != "stream"}
    return {
        **{name: value for name, value in body.items() if name not in extra},
        **({"extra_body": extra} if extra else {}),
    }


SDKS = [*OPENAI, *ANTHROPIC, *GEMINI, *GROQ, *MISTRAL]

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
        for where in sorted({*self.replayed, *(where for where, _ in self.left_out)}):
            out = [f"{n} {why}" for (w, why), n in sorted(self.left_out.items()) if w == where]
            replayed = f"{self.replayed[where]} exchanges replayed"
            yield f"{where}: {replayed}, {self.spans[where]} calls of a model" + (
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
    for client in clients.values():
        loop.run_until_complete(_awaited(client.close()))
    clients.clear()
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
    if any(outcome.skipped for outcome in traced):
        gc.collect()  # a stream that the SDK could not read to its end is left to the collector
        loop.run_until_complete(asyncio.sleep(0.01))
    spanlog.flush()
    found = [
        span
        for trace in spanlog.search_traces(return_type="list")
        for span in trace.data.spans
        if span.get_attribute("server.address") is not None  # else the SDK has not sent it
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
    said = sdk.said(route, exchange)
    if "sig=" in repr(said):  # an address that whoever has it may use
        signed = re.sub(r"(?<=[?&]sig=)[^&\"]+", "[redacted]", json.dumps(said.content))
        said = replace(said, content=json.loads(signed))
    assert sdk.recorded(route, span) == said
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
    if not OPENAI:
        pytest.skip("openai is not installed")
    (sdk,) = OPENAI
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
