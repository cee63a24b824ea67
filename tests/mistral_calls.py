"""How the tests of Mistral's SDK call it: sync and async alike, whatever a version can do."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import inspect
from typing import TYPE_CHECKING, Any

import pytest
from openai_calls import KEY, Client

if TYPE_CHECKING:
    from collections.abc import Callable


def package(module: str = "") -> Any:
    """Return the SDK, or a module of it, from where this version has it."""
    old = importlib.metadata.version("mistralai").startswith("1.")
    return importlib.import_module(("mistralai" if old else "mistralai.client") + module)


class Mistral(Client):
    """The client, which is sync and async, used in one of the two ways."""

    module = "mistralai"

    def new(self) -> Any:
        self.url = f"{self.server.url}/mistral"
        httpx = package(".basesdk").httpx
        self.http = httpx.AsyncClient() if self.is_async else httpx.Client()
        http = {"async_client" if self.is_async else "client": self.http}
        return package().Mistral(api_key=KEY, server_url=self.url, **http)

    def method(self, path: str, sdk: Any = None) -> Callable[..., Any]:
        path += "_async" if self.is_async and not path.endswith("_async") else ""
        try:
            found: Callable[..., Any] = functools.reduce(getattr, path.split("."), sdk or self.sdk)
        except AttributeError:
            pytest.skip(f"mistralai {importlib.metadata.version('mistralai')} has no {path}")
        return found

    async def call(self, path: str, sdk: Any = None, **kwargs: Any) -> Any:
        """Make a call; return its result, a stream as the list of its chunks."""
        result = self.method(path, sdk)(**kwargs)
        result = await result if inspect.isawaitable(result) else result
        streamed = hasattr(result, "__anext__") or hasattr(result, "__next__")
        return await self.read(result) if streamed else result

    async def close(self) -> None:
        closed = self.http.aclose() if self.is_async else self.http.close()
        if self.is_async:
            await closed
