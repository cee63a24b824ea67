"""What every integration with a provider's SDK must do: how a library joins the suite.

A library describes its calls in a subclass of `Library` and is put in `LIBRARIES`; each test of
`test_conformance.py` then runs for it, with its sync and with its async client.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import importlib.util
import inspect
import re
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import spanlog

from fixtures import openai_routes
from fixtures.loopback import Loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence

    from spanlog.entities import Span, Trace

    from fixtures.loopback import Router


class Library:
    """A library, and how a program calls it.

    Calls are made with a sync or an async client; what they return is awaited where it can be.
    The model's name chooses the scenario that the loopback server plays (`fixtures/README.md`).
    """

    name: str
    """`spanlog.<name>` traces it."""
    module: str
    """What a program imports."""
    install: str
    """What pip installs."""
    router: Router
    """Answers its requests."""
    text: Mapping[str, str]
    """What the model says in each scenario."""
    patched: Sequence[str]
    """The functions that tracing wraps: "module:Class.method"."""
    not_for_us: ClassVar[Mapping[str, str]] = {}
    """The tests that do not apply, and why."""

    def wrapped(self) -> list[tuple[Any, str]]:
        """Return the functions that tracing wraps, as owners and names."""
        found = []
        for path in self.patched:
            module, _, names = path.partition(":")
            *parts, name = names.split(".")
            owner = functools.reduce(getattr, parts, importlib.import_module(module))
            found.append((owner, name))
        return found

    def client(self, url: str, *, is_async: bool, retries: int = 0) -> Any:
        """Return a new client of the server at `url`."""
        raise NotImplementedError

    def plain(self, client: Any, model: str, text: object = "Hi") -> Any:
        """Ask for a whole reply."""
        raise NotImplementedError

    def stream(self, client: Any, model: str) -> Any:
        """Ask for a streamed reply."""
        raise NotImplementedError

    def raw(self, client: Any, model: str, *, stream: bool = False) -> Any:
        """Ask for a reply that gives its HTTP response too."""
        raise NotImplementedError

    def streaming_response(self, client: Any, model: str) -> Any:
        """Return the context manager of a reply that is not read yet; None if there is none."""
        raise NotImplementedError

    def stream_type(self, *, is_async: bool) -> type:
        """Return the class of the library's streams."""
        raise NotImplementedError

    def close(self, stream: Any) -> Any:
        """Close a stream."""
        raise NotImplementedError

    def http_response(self, stream: Any) -> Any:
        """Return the HTTP response behind a stream."""
        raise NotImplementedError

    def text_of(self, reply: Any) -> str:
        """Return what the model says in a reply."""
        raise NotImplementedError

    def text_of_chunk(self, chunk: Any) -> str:
        """Return what the model says in a piece of a stream."""
        raise NotImplementedError

    def text_recorded(self, outputs: Any) -> str:
        """Return what the model says by the outputs of a span."""
        raise NotImplementedError

    def data(self, reply: Any) -> Any:
        """Return a reply or a chunk as plain data, to compare it with another."""
        raise NotImplementedError


class Calls:
    """The calls of a library with one client, sync and async ones alike."""

    def __init__(self, library: Library, url: str, *, is_async: bool) -> None:
        self.library = library
        self.url = url
        self.is_async = is_async
        self.client = self.new_client()

    def new_client(self, retries: int = 0) -> Any:
        return self.library.client(self.url, is_async=self.is_async, retries=retries)

    async def plain(self, model: str, text: object = "Hi") -> Any:
        return await self.now(self.library.plain(self.client, model, text))

    async def stream(self, model: str) -> Any:
        return await self.now(self.library.stream(self.client, model))

    async def raw(self, model: str, *, stream: bool = False) -> Any:
        return await self.now(self.library.raw(self.client, model, stream=stream))

    async def close(self, stream: Any) -> None:
        await self.now(self.library.close(stream))

    @staticmethod
    async def now(result: Any) -> Any:
        """Return a result, awaited where it can be."""
        return await result if inspect.isawaitable(result) else result

    @staticmethod
    async def collect() -> None:
        """Have the garbage collected, and async generators closed that were in it."""
        for _ in range(2):
            gc.collect()
            await asyncio.sleep(0.002)

    def iterate(self, stream: Any) -> Any:
        return stream.__aiter__() if self.is_async else iter(stream)

    async def read(self, iterator: Any, count: int) -> list[Any]:
        """Read some pieces of a stream and leave it there."""
        if self.is_async:
            return [await iterator.__anext__() for _ in range(count)]
        return [next(iterator) for _ in range(count)]

    async def read_all(self, stream: Any) -> list[Any]:
        if self.is_async:
            return [chunk async for chunk in stream]
        return list(stream)

    async def read_stream(self, model: str) -> list[Any]:
        return await self.read_all(await self.stream(model))

    def need_stream_manager(self) -> None:
        """Skip the test where streams cannot be used in a `with` statement."""
        kind = self.library.stream_type(is_async=self.is_async)
        if not hasattr(kind, "__aenter__" if self.is_async else "__enter__"):
            pytest.skip("streams of this version are no context managers")

    async def enter(self, manager: Any) -> Any:
        return await manager.__aenter__() if self.is_async else manager.__enter__()

    async def leave(self, manager: Any, error: BaseException | None = None) -> Any:
        left = (type(error), error, error.__traceback__) if error else (None, None, None)
        return await manager.__aexit__(*left) if self.is_async else manager.__exit__(*left)

    async def outcome(self, work: Any) -> str:
        """Return all that a program can see of a call, but for what is new in each."""
        try:
            result = await work
        except Exception as error:
            plain = {k: v for k, v in vars(error).items() if isinstance(v, (str, int))}
            seen = [type(error), str(error), error.args, plain, type(error.__cause__)]
        else:
            whole = result if isinstance(result, list) else [result]
            seen = [type(whole[0]), [self.library.data(one) for one in whole]]
        return re.sub(r"req_\d+|0x[0-9a-f]+|\d{8,}", "N", repr(seen))


class OpenAI(Library):
    name = module = install = "openai"
    router = staticmethod(openai_routes.router)
    text = openai_routes.TEXT
    patched = (
        "openai._base_client:SyncAPIClient.request",
        "openai._base_client:AsyncAPIClient.request",
    )

    def client(self, url: str, *, is_async: bool, retries: int = 0) -> Any:
        import openai

        make = openai.AsyncOpenAI if is_async else openai.OpenAI
        return make(api_key="sk-conformance", base_url=f"{url}/v1", max_retries=retries)

    def plain(self, client: Any, model: str, text: object = "Hi") -> Any:
        messages = [{"role": "user", "content": text}]
        return client.chat.completions.create(model=model, messages=messages)

    def stream(self, client: Any, model: str) -> Any:
        messages = [{"role": "user", "content": "Hi"}]
        usage = {"stream_options": {"include_usage": True}}
        create = client.chat.completions.create
        return create(model=model, messages=messages, stream=True, extra_body=usage)

    def raw(self, client: Any, model: str, *, stream: bool = False) -> Any:
        messages = [{"role": "user", "content": "Hi"}]
        create = client.chat.completions.with_raw_response.create
        return create(model=model, messages=messages, stream=stream)

    def streaming_response(self, client: Any, model: str) -> Any:
        completions = client.chat.completions
        if not hasattr(completions, "with_streaming_response"):
            return None
        messages = [{"role": "user", "content": "Hi"}]
        return completions.with_streaming_response.create(model=model, messages=messages)

    def stream_type(self, *, is_async: bool) -> type:
        import openai

        return openai.AsyncStream if is_async else openai.Stream

    def close(self, stream: Any) -> Any:
        is_async = hasattr(type(stream), "__anext__")
        return stream.response.aclose() if is_async else stream.response.close()

    def http_response(self, stream: Any) -> Any:
        return stream.response

    def text_of(self, reply: Any) -> str:
        return str(reply.choices[0].message.content)

    def text_of_chunk(self, chunk: Any) -> str:
        return "".join(choice.delta.content or "" for choice in chunk.choices)

    def text_recorded(self, outputs: Any) -> str:
        return str(outputs["choices"][0]["message"]["content"])

    def data(self, reply: Any) -> Any:
        return reply.model_dump()


LIBRARIES: Sequence[Library] = [OpenAI()]


# Fixtures.


@pytest.fixture(scope="module", params=LIBRARIES, ids=lambda library: library.name)
def library(request: pytest.FixtureRequest) -> Iterator[Library]:
    if importlib.util.find_spec(request.param.module) is None:
        pytest.skip(f"{request.param.module} is not installed")
    importlib.import_module(request.param.module)
    gc.collect()
    gc.freeze()  # so that collecting what a test left is quick
    yield request.param
    gc.unfreeze()


@pytest.fixture(scope="module")
def server(library: Library) -> Iterator[Loopback]:
    with Loopback(library.router) as server:
        yield server


@pytest.fixture
def autolog(request: pytest.FixtureRequest, library: Library) -> Iterator[Callable[..., None]]:
    """Give `spanlog.<library>.autolog`; afterwards it is off, as if it had never been called."""
    if why := library.not_for_us.get(request.node.originalname):
        pytest.skip(why)
    yield (autolog := getattr(spanlog, library.name).autolog)
    autolog(disable=True)
    getattr(spanlog, library.name).integration.explicit = False


@pytest.fixture(params=["sync", "async"])
async def untraced(
    request: pytest.FixtureRequest, library: Library, server: Loopback
) -> AsyncIterator[Calls]:
    """Give the calls of a client, untraced so far."""
    calls = Calls(library, server.url, is_async=request.param == "async")
    server.requests.clear()
    yield calls
    await calls.now(calls.client.close())


@pytest.fixture
def calls(untraced: Calls, autolog: Callable[..., None]) -> Calls:
    """Give the calls of a client that was made before tracing was turned on."""
    autolog()
    return untraced


@pytest.fixture
def spans(traces: Callable[[], list[Trace]]) -> Callable[[], list[Span]]:
    """Give all spans of the test's store, the oldest first."""
    return lambda: [span for trace in traces() for span in trace.data.spans]


@pytest.fixture
def one(spans: Callable[[], list[Span]]) -> Callable[[], Span]:
    """Give the only span of the test's store."""

    def read() -> Span:
        (span,) = spans()
        return span

    return read
