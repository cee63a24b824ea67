"""How the tests of OpenAI's SDK call it: sync and async alike, whatever a version can do."""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import re
import urllib.request
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import spanlog

from fixtures.loopback import Loopback
from fixtures.openai_routes import router

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from spanlog.entities import Span, Trace

KEY = "sk-proj-0123456789abcdef"
HI = [{"role": "user", "content": "Grüß Gott"}]
CREATE = "chat.completions.create"
EMBED = {"input": ["a", "b"], "encoding_format": "float"}


class Route(NamedTuple):
    """A route that takes JSON: the SDK's method, the path, and what its spans are."""

    method: str
    path: str
    operation: str
    span_type: str
    fields: dict[str, Any]


ROUTES = {
    route.path: route
    for route in (
        Route(
            "chat.completions.create", "chat/completions", "chat", "CHAT_MODEL", {"messages": HI}
        ),
        Route("responses.create", "responses", "chat", "CHAT_MODEL", {"input": "Hi"}),
        Route("completions.create", "completions", "text_completion", "LLM", {"prompt": "x"}),
        Route("embeddings.create", "embeddings", "embeddings", "EMBEDDING", EMBED),
        Route("images.generate", "images/generations", "image_generation", "LLM", {"prompt": "x"}),
        Route("moderations.create", "moderations", "moderation", "GUARDRAIL", {"input": "x"}),
    )
}


class Client:
    """A sync or async client, called alike; what a version lacks skips the test."""

    HI = HI
    KEY = KEY
    ROUTES = ROUTES
    module = "openai"

    def __init__(self, server: Loopback, *, is_async: bool) -> None:
        self.server = server
        self.url = server.url
        self.is_async = is_async
        self.package = pytest.importorskip(self.module)
        self.sdk = self.new()

    def new(self) -> Any:
        return self.make(api_key=KEY, base_url=f"{self.url}/v1", max_retries=0)

    def make(self, kind: str = "OpenAI", **kwargs: Any) -> Any:
        return getattr(self.package, ("Async" if self.is_async else "") + kind)(**kwargs)

    def method(self, path: str, sdk: Any = None) -> Callable[..., Any]:
        """Return a method of the SDK; without it the test is skipped."""
        try:
            return functools.reduce(getattr, path.split("."), sdk or self.sdk)
        except AttributeError:
            pytest.skip(f"{self.module} {self.package.__version__} has no {path}")

    def fitting(self, method: Callable[..., Any], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return arguments that the method takes: it sends what its version knows not as extra."""
        known = inspect.signature(method).parameters
        if kwargs.get("stream") and "stream" not in known:
            pytest.skip(f"{self.module} {self.package.__version__} does not stream this")
        fitting = {name: value for name, value in kwargs.items() if name in known}
        if unknown := {name: value for name, value in kwargs.items() if name not in known}:
            fitting["extra_body"] = {**unknown, **kwargs.get("extra_body", {})}
        return fitting

    async def call(self, path: str, sdk: Any = None, **kwargs: Any) -> Any:
        """Make a call; return its result, a stream as the list of its chunks."""
        method = self.method(path, sdk)
        kwargs = self.fitting(method, kwargs)
        result = method(**kwargs)
        result = await result if inspect.isawaitable(result) else result
        return await self.read(result) if kwargs.get("stream") else result

    async def read(self, stream: Any) -> list[Any]:
        if not self.is_async:
            return list(stream)
        chunks = [chunk async for chunk in stream]
        await asyncio.sleep(0.01)  # the first versions leave closing to the loop
        return chunks

    async def managed(self, manager: Any, use: str) -> Any:
        """Call a method of what a context manager gives; read on until its end."""
        opened = await manager.__aenter__() if self.is_async else manager.__enter__()
        result = getattr(opened, use)()
        result = await result if inspect.isawaitable(result) else result
        if self.is_async:
            await manager.__aexit__(None, None, None)
        else:
            manager.__exit__(None, None, None)
        return result

    def answer(self, path: str, body: Any) -> Any:
        """Return what the server answers on a route, read without the SDK."""
        headers = {"content-type": "application/json"}
        data = json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/v1/{path}", data, headers)
        with urllib.request.urlopen(request) as reply:
            return self.masked(json.load(reply))

    @staticmethod
    def masked(value: Any) -> Any:
        """Return data without the numbers that are new in each reply."""
        return json.loads(re.sub(r"0\d{7}", "N", json.dumps(value)))


@pytest.fixture(scope="module")
def openai_server() -> Iterator[Loopback]:
    with Loopback(router) as server:
        yield server


@pytest.fixture
def traced() -> Iterator[None]:
    spanlog.openai.autolog()
    yield
    spanlog.openai.autolog(disable=True)
    spanlog.openai.integration.explicit = False


@pytest.fixture(params=["sync", "async"])
async def client(
    request: pytest.FixtureRequest, openai_server: Loopback, traced: None, no_certificates: None
) -> AsyncIterator[Client]:
    """Give a client, whose calls are traced."""
    openai_server.requests.clear()
    client = Client(openai_server, is_async=request.param == "async")
    yield client
    closed = client.sdk.close()
    if inspect.isawaitable(closed):
        await closed


@pytest.fixture
def last(traces: Callable[[], list[Trace]]) -> Callable[[], Span]:
    """Give the span of the last call; it has ended, and is the only one of its trace."""

    def read() -> Span:
        (span,) = traces()[-1].data.spans
        assert span.end_time_ns is not None
        return span

    return read
