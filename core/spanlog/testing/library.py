"""What the suite knows of a library: how a program calls it, and how its replies are read."""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import inspect
import re
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from spanlog.testing.loopback import Router


class Library:
    """A library, and how a program calls it.

    Calls are made with a sync or an async client; what they return is awaited where it can be.
    The model's name chooses the scenario that the loopback server plays (`scenarios`).
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
    form: str = ""
    """Tells several ways to call one library from each other."""
    refused: str = r"4\d\d|500"
    """What the messages of errors that the server answers with match."""
    changing: str = "idempotency-key"
    """The headers of a request that are new in each, as a pattern."""
    until_text: int = 3
    """How many pieces of a stream it takes until there is text."""
    lazy: bool = False
    """Whether nothing is sent before a stream is read, so that one that is not is no call."""
    picky: bool = False
    """Whether some inputs are refused before there is a call of a model."""
    not_for_us: ClassVar[Mapping[str, str]] = {}
    """The tests that do not apply, and why."""

    def __str__(self) -> str:
        return "-".join(filter(None, [self.name, self.form]))

    def answered(self, model: str) -> str:
        """Return the model that a span names, for the one that is asked."""
        return f"{model}-2026-01-01"

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

    @property
    def closes(self) -> bool:
        """Whether streams can be closed."""
        return True

    def leave(self, client: Any) -> Any:
        """Close a client."""
        return client.close()

    def caller(self, client: Any) -> Any:
        """Return the object whose methods tracing wraps."""
        return client

    def can_be_cancelled(self) -> bool:
        """Say whether a task that waits for a reply can be cancelled."""
        return True

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

    def need_close(self) -> None:
        """Skip the test where streams cannot be closed."""
        if not self.library.closes:
            pytest.skip("streams of this version cannot be closed")

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
