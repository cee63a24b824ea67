"""What is measured. A measure runs one round: the program untraced, then traced."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from conformance import LIBRARIES

from fixtures.loopback import Loopback, Request
from fixtures.openai_routes import router

if TYPE_CHECKING:
    from conformance import Library

    from tests.benchmarks.tracers import Tracer

Work = Callable[[], object]
Round = tuple[float, float]  # the value without and with tracing
_LIMIT = 1.0  # seconds that a half of a round may take, for as long as a single call permits


@dataclass(frozen=True)
class Measure:
    """A measure; `value` is one of "time", "rate", "memory". A fresh one needs a new process."""

    name: str
    run: Callable[[Tracer, str], Round]
    value: str = "time"
    fresh: bool = False


def _timed(
    work: Work, batches: int, size: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Return the seconds that one call takes: the lower quartile of several batches."""
    gc.collect()
    taken: list[float] = []
    calls = range(size)
    end = time.perf_counter() + _LIMIT
    while len(taken) < batches and (not taken or time.perf_counter() < end):
        start = clock()
        for _ in calls:
            work()
        taken.append((clock() - start) / size)
    return sorted(taken)[len(taken) // 4]


def _add(x: int, y: int = 1) -> int:
    return x + y


def _take(value: object) -> None:
    return None


def _tree(leaf: Callable[..., Any]) -> Callable[[], None]:
    def root() -> None:
        for number in range(9):
            leaf(number)

    return root


def _call(tracer: Tracer, server: str) -> Round:
    traced = tracer.trace(_add)
    size = 10 if tracer.slow else 100
    return _timed(lambda: _add(1), 20, size), _timed(lambda: traced(1), 20, size)


def _disabled(tracer: Tracer, server: str) -> Round:
    traced = tracer.trace(_add)
    with tracer.off():
        return _timed(lambda: _add(1), 20, 1000), _timed(lambda: traced(1), 20, 1000)


def _nine_children(tracer: Tracer, server: str) -> Round:
    plain, traced = _tree(_add), tracer.trace(_tree(tracer.trace(_add)))
    size = 2 if tracer.slow else 10
    return _timed(plain, 20, size), _timed(traced, 20, size)


def _input(value: Callable[[], object], size: int, tracer: Tracer, server: str) -> Round:
    traced, given = tracer.trace(_take), value()
    return _timed(lambda: _take(given), 5, size), _timed(lambda: traced(given), 5, size)


def _text(size: int) -> object:
    return "x" * size


def _nodes(size: int) -> object:
    """Return nested lists and dictionaries that take so many bytes as JSON."""
    node = {"id": 1, "name": "a node", "score": 0.25, "tags": ["a", "b"], "next": {"id": 2}}
    return [dict(node, id=number, next={"id": number}) for number in range(size // 75)]


def _stored(seconds: Callable[[], float], tracer: Tracer, traces: int) -> tuple[float, int]:
    """Return what storing traces of ten spans takes by a clock, and the number of spans."""
    root = tracer.trace(_tree(tracer.trace(_add)))
    gc.collect()
    start = seconds()
    for _ in range(traces):
        root()
    tracer.flush()
    return seconds() - start, traces * 10


def _cpu(tracer: Tracer, server: str) -> Round:
    taken, spans = _stored(time.process_time, tracer, 20 if tracer.slow else 300)
    return 0.0, taken / spans


def _throughput(tracer: Tracer, server: str) -> Round:
    taken, spans = _stored(time.perf_counter, tracer, 20 if tracer.slow else 300)
    return 0.0, spans / taken


def _memory(tracer: Tracer, server: str) -> Round:
    if tracer.slow:
        raise NotImplementedError  # it would take many minutes
    before = _resident()
    for _ in range(10):
        _stored(time.perf_counter, tracer, 500)
    gc.collect()
    return 0.0, _resident() - before


def _resident() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        raise NotImplementedError from None  # only Linux tells
    return pages * os.sysconf("SC_PAGE_SIZE")


# A call of the OpenAI SDK, to the loopback server or to a transport that answers from memory.

_ASKED: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "You are a travel guide. " * 20},
        {"role": "user", "content": "What should I see in Lisbon in two days? " * 5},
    ],
    "temperature": 0.2,
}


def _canned(http: Any) -> Any:
    """Return a transport that answers at once with the bodies of the loopback server."""

    class Pieces(http.SyncByteStream, http.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, pieces: list[bytes]) -> None:
            self.pieces = pieces

        def __iter__(self) -> Iterator[bytes]:
            return iter(self.pieces)

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in self.pieces:
                yield piece

    @lru_cache
    def reply(path: str, model: str, stream: bool) -> Any:
        body = orjson.dumps({"model": model, "stream": stream, **_ASKED})
        return router(Request("POST", path, {}, {}, body))

    def answer(request: Any) -> Any:
        asked = orjson.loads(request.content)
        found = reply(request.url.path, asked["model"], asked.get("stream", False))
        whole = isinstance(found.body, bytes)
        content = {"content": found.body} if whole else {"stream": Pieces(found.body)}
        return http.Response(found.status, headers=found.headers, **content)

    return http.MockTransport(answer)


@lru_cache
def _clients(server: str) -> tuple[Any, Any]:
    import openai

    to: dict[str, Any] = {"api_key": "k", "base_url": f"{server or 'http://canned'}/v1"}
    if server:
        return openai.OpenAI(**to), openai.AsyncOpenAI(**to)
    base = openai.DefaultHttpxClient.__mro__[1]
    transport = _canned(import_module(base.__module__.partition(".")[0]))
    return (
        openai.OpenAI(**to, http_client=openai.DefaultHttpxClient(transport=transport)),
        openai.AsyncOpenAI(**to, http_client=openai.DefaultAsyncHttpxClient(transport=transport)),
    )


@lru_cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _openai(stream: bool, later: bool, canned: bool, tracer: Tracer, server: str) -> Round:
    client, async_client = _clients("" if canned else server)
    asked = {**_ASKED, "model": "long" if stream else "plain", "stream": stream}

    def call() -> None:
        reply = client.chat.completions.create(**asked)
        if stream:
            for _ in reply:
                pass

    async def call_later() -> None:
        reply = await async_client.chat.completions.create(**asked)
        if stream:
            async for _ in reply:
                pass

    def work() -> None:
        _loop().run_until_complete(call_later()) if later else call()

    # What the loopback server adds is noise: without it, what the caller's thread works is exact.
    clock = time.thread_time if canned else time.perf_counter
    count = 6 if stream else 60
    tracer.openai(False)
    untraced = _timed(work, count, 1, clock)
    tracer.openai(True)
    try:
        work()
        return untraced, _timed(work, count, 1, clock)
    finally:
        tracer.openai(False)


# Calls of the other providers' SDKs, as the conformance suite describes them.


@lru_cache
def _sdk(library: Library) -> Any:
    return library.client(Loopback(library.router).__enter__().url, is_async=False)


def _provider(library: Library, stream: bool, tracer: Tracer, server: str) -> Round:
    tracer.library(library.name, False)
    client = _sdk(library)

    def work() -> None:
        if stream:
            for _ in library.stream(client, "long"):
                pass
        else:
            library.plain(client, "plain")

    work()
    untraced = _timed(work, 40, 1, time.thread_time)
    tracer.library(library.name, True)
    try:
        work()
        return untraced, _timed(work, 40, 1, time.thread_time)
    finally:
        tracer.library(library.name, False)


# An agent of LangGraph that calls a model in each of its steps.

_STEPS = 20
_STEPS_SPANS = 3 * _STEPS + 1  # the graph, and in each step a node, the model and the way on


@lru_cache
def _agent() -> Any:
    try:
        from langchain_core.language_models.fake_chat_models import FakeListChatModel
        from langgraph.graph import END, StateGraph
    except ImportError:
        raise NotImplementedError from None

    model = FakeListChatModel(responses=["Go on. " * 20])

    def step(state: dict[str, Any]) -> dict[str, Any]:
        return {"step": state["step"] + 1, "said": model.invoke("What next? " * 20).content}

    graph: Any = StateGraph(dict)
    graph.add_node("agent", step)
    graph.set_entry_point("agent")
    graph.add_conditional_edges("agent", lambda state: END if state["step"] == _STEPS else "agent")
    return graph.compile()


def _langgraph(later: bool, tracer: Tracer, server: str) -> Round:
    """Return the CPU that a span takes, in all threads: of the agent untraced, and traced."""
    agent, asked = _agent(), {"step": 0}

    def work() -> None:
        if later:
            _loop().run_until_complete(agent.ainvoke(asked, {"recursion_limit": 100}))
        else:
            agent.invoke(asked, {"recursion_limit": 100})

    tracer.langchain(False)
    work()
    untraced = _timed(work, 10, 1, time.process_time)
    tracer.langchain(True)
    try:
        work()
        return untraced / _STEPS_SPANS, _timed(work, 10, 1, time.process_time) / _STEPS_SPANS
    finally:
        tracer.langchain(False)


def _all() -> Iterator[Measure]:
    yield Measure("decorated call", _call)
    yield Measure("root with nine children", _nine_children)
    yield Measure("disabled decorated call", _disabled)
    for stream in (False, True):
        for later in (False, True):
            for canned in (True, False):
                what = "openai stream of 200" if stream else "openai call"
                name = f"{what}, {'async' if later else 'sync'}{', CPU' if canned else ''}"
                yield Measure(name, partial(_openai, stream, later, canned))
    for later in (False, True):
        name = f"langgraph, 20 steps, {'async' if later else 'sync'}, a span"
        yield Measure(name, partial(_langgraph, later))
    for size, name, calls in ((10**4, "10 KB", 20), (10**6, "1 MB", 1), (10**7, "10 MB", 1)):
        for kind, make in (("string", _text), ("nodes", _nodes)):
            yield Measure(f"input: {kind} of {name}", partial(_input, partial(make, size), calls))
    for library in LIBRARIES:
        if library.name != "openai":
            for stream in (False, True):
                what = f"{library} {'stream of 200' if stream else 'call'}, CPU"
                yield Measure(what, partial(_provider, library, stream))
    yield Measure("CPU per stored span", _cpu)
    yield Measure("spans stored per second", _throughput, "rate")
    yield Measure("memory after 50,000 spans", _memory, "memory", fresh=True)


MEASURES = {measure.name: measure for measure in _all()}
