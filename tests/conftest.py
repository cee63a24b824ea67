"""What every test has: a store of its own, and tracing as a fresh program finds it."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
import threading
from typing import TYPE_CHECKING

import postgres
import pytest
import spanlog
from hypothesis import HealthCheck, settings
from spanlog import runtime, safety
from spanlog.record import context
from spanlog.testing.fixtures import one as one
from spanlog.testing.fixtures import spans as spans
from spanlog.testing.fixtures import traces as traces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser
    from spanlog.entities import Trace

# LiteLLM looks at these when it is imported: tests download no prices and no tokenizers.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# A shell has what it runs in the background ignore this, and so what the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A package of its own, whose tests one of ours runs.
collect_ignore = ["spanlog-ollama"]

# Imported by tests before it is their plugin.
pytest.register_assert_rewrite("frameworks", "openai_calls")

settings.register_profile(
    "spanlog",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
# For the quick part: what few examples do not find, the whole finds.
settings.register_profile("quick", settings.get_profile("spanlog"), max_examples=20)


def pytest_configure(config: pytest.Config) -> None:
    """Try fewer examples where what is slow is left out."""
    settings.load_profile("quick" if config.option.markexpr == "not slow" else "spanlog")


class ImportedByTheWriter:
    """Hears of each module that is imported for the first time, and by which thread.

    What the writer's thread imports, the program finds in `sys.modules` before it is whole. Python
    collects garbage in whatever thread it happens to be: what finalizers import is not counted.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.collecting = False

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        ours = threading.current_thread().name == "spanlog" and not self.collecting
        if ours and not name.startswith("spanlog"):
            self.names.append(name)

    def hear(self, phase: str, info: object) -> None:
        self.collecting = phase == "start"


imported_by_the_writer = ImportedByTheWriter()
gc.callbacks.append(imported_by_the_writer.hear)
sys.meta_path.insert(0, imported_by_the_writer)  # type: ignore[arg-type]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that is marked `stores` over each of them."""
    if metafunc.definition.get_closest_marker("stores"):
        server = pytest.param("postgresql", marks=pytest.mark.slow)
        metafunc.parametrize("tracking_uri", ["sqlite", server], indirect=True)


# The conformance suite is for other projects too, which need not know the mark.
SLOW_OF_THE_SUITE = {
    "test_a_stream_that_the_end_of_the_program_cuts_off_keeps_what_had_arrived",
    "test_autolog_for_all_imports_no_library_and_overrides_nothing_explicit",
}


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark as slow what takes a program that is slow to start: a browser, a server, a kernel."""
    fixtures = {"browser", "postgresql", "cells"} & set(getattr(item, "fixturenames", ()))
    if fixtures or getattr(item, "originalname", "") in SLOW_OF_THE_SUITE:
        item.add_marker("slow")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Return the URL of a PostgreSQL server."""
    with postgres.server() as url:
        yield url


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store without traces: to copy it takes a tenth of what it takes to make one."""
    path = tmp_path_factory.mktemp("empty") / "spanlog.db"
    spanlog.set_tracking_uri(str(path))
    spanlog.set_tracking_uri("sqlite://")
    assert [file.name for file in path.parent.iterdir()] == [path.name]  # it is closed
    return path


@pytest.fixture
def tracking_uri(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    empty_store: Path,
) -> Iterator[str]:
    """Return where the test's store is, for its subprocesses too."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield str(shutil.copy(empty_store, tmp_path / "spanlog.db"))
        return
    with postgres.schema(request.getfixturevalue("postgresql")) as uri:
        monkeypatch.setenv("SPANLOG_TRACKING_URI", uri)
        yield uri
        spanlog.set_tracking_uri("sqlite://")


@pytest.fixture
def quick(tracking_uri: str) -> None:
    """Have the test's store in memory if it may be: it is filled and emptied many times."""
    if "://" not in tracking_uri:
        spanlog.set_tracking_uri("sqlite://")


@pytest.fixture(autouse=True)
def fresh(tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give the test a store of its own; errors of ours, which users never see, fail it."""
    monkeypatch.setattr(safety, "strict", True)
    monkeypatch.setattr(safety, "_reported", set())
    monkeypatch.setattr(context, "enabled", True)
    context.CURRENT.set(None)
    context.SCOPE.set(None)
    before, mine = runtime.default(), runtime.Runtime(tracking_uri)
    mine.recorder.prepare()
    runtime.use(mine)
    yield
    spanlog.flush()
    mine.close()
    runtime.use(before)
    assert imported_by_the_writer.names == []


@pytest.fixture
def one_trace(traces: Callable[[], list[Trace]]) -> Callable[[], Trace]:
    """Return what gives the only trace of the test's store."""

    def read() -> Trace:
        (trace,) = traces()
        return trace

    return read


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[], bytes]:
    """Return what gives all bytes of the test's store."""

    def read() -> bytes:
        spanlog.flush()
        return b"".join(path.read_bytes() for path in tmp_path.glob("spanlog.db*"))

    return read


@pytest.fixture(scope="module", autouse=True)
def nothing_old_is_collected() -> None:
    """Have garbage be looked for among what a module makes only: many tests have it collected."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def no_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have clients load no certificates, which takes each long: the servers here need none."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))


@pytest.fixture
def content_inline(fresh: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have binary content stay where it is in inputs and outputs, to be compared."""
    monkeypatch.setattr(runtime.default().settings, "attachment_bytes", 10**9)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a real browser, which the machine must have."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    known = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = next(filter(None, map(shutil.which, known)), None)
    if path is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()
