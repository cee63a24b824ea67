"""What the suite's tests are given: a server, a client's calls, what was recorded."""

from __future__ import annotations

import gc
import importlib
from typing import TYPE_CHECKING, Any

import pytest

import spanlog
from spanlog import safety
from spanlog.record import context
from spanlog.testing.library import Calls, Library
from spanlog.testing.loopback import Loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from spanlog.entities import Span, Trace


def libraries(*described: Library) -> Any:
    """Return the fixture `library`, with which each test runs for each library.

    Args:
        described: The libraries; those that are not installed are to be left out.
    """

    @pytest.fixture(scope="module", params=described, ids=str)
    def library(request: pytest.FixtureRequest) -> Iterator[Library]:
        importlib.import_module(request.param.module)
        gc.collect()
        gc.freeze()  # so that collecting what a test left is quick
        yield request.param
        gc.unfreeze()

    return library


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the test a store of its own; an integration's errors, which users never see, fail it."""
    monkeypatch.setattr(safety, "strict", True)
    context.CURRENT.set(None)
    spanlog.set_tracking_uri(str(tmp_path / "spanlog.db"))
    yield
    spanlog.flush()


@pytest.fixture
def traces() -> Callable[[], list[Trace]]:
    """Return what gives all traces of the test's store, the oldest first."""

    def read() -> list[Trace]:
        found = spanlog.search_traces(return_type="list", order_by=["timestamp_ms ASC"])
        return sorted(found, key=lambda trace: trace.data.spans[0].start_time_ns)

    return read


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
    await calls.now(library.leave(calls.client))


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
