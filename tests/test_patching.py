"""The engine calls the original once, passes on what it gave, and can be taken away entirely."""

from __future__ import annotations

import asyncio
import copy
import functools
import gc
import importlib
import inspect
import itertools
import logging
import pickle
import socket
import sys
import threading
import traceback
import typing
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from spanlog import safety
from spanlog.instrument import Call, Hook, Integration, Target, TracedCall, traced
from spanlog.record.context import current_span
from spanlog.record.span import LiveSpan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spanlog.entities import Trace

LIBRARY = '''
import functools
import wrapt

calls = []

def run(*args, **kwargs):
    """Run."""
    calls.append((args, kwargs))
    (action,) = args[-1:] or [None]
    return action() if callable(action) else action

def main(*args, **kwargs): return run(None, *args, **kwargs)

class Base:
    def inherited(self, *args, **kwargs): return run(self, *args, **kwargs)

class Client(Base):
    def plain(self, *args, mode: str = "a", **kwargs): return run(self, *args, mode=mode, **kwargs)
    async def later(self, *args, **kwargs): return run(self, *args, **kwargs)
    @functools.wraps(later)
    def looks_plain(self, *args, **kwargs): return self.later(*args, **kwargs)
    @wrapt.decorator
    def told(wrapped, instance, args, kwargs):
        assert isinstance(instance, Client)
        return wrapped(*args, **kwargs)
    @told
    def decorated(self, *args, **kwargs): return run(self, *args, **kwargs)
    @staticmethod
    def static(*args, **kwargs): return run(*args, **kwargs)
    @classmethod
    def of_class(cls, *args, **kwargs): return run(cls, *args, **kwargs)
'''
METHODS = ("plain", "later", "looks_plain", "inherited", "decorated", "static", "of_class")
FUNCTIONS = ("main", *(f"Client.{name}" for name in METHODS))
_numbers = itertools.count()


class Fake:
    """A library of its own for each test, and its integration."""

    def __init__(self, folder: Path) -> None:
        self.name = f"fakelib{next(_numbers)}"
        self.begin: Callable[[Call], TracedCall | None] = lambda call: TracedCall(
            LiveSpan("call", parent=current_span())
        )
        (folder / f"{self.name}.py").write_text(LIBRARY)
        targets = [
            Target(f"{self.name}:{path}", traced(lambda call: self.begin(call)))
            for path in (*FUNCTIONS, "gone", "Client.gone", "Gone.gone")
        ]
        self.integration = Integration("fake", self.name, "fake-lib", *targets)

    def load(self) -> Any:
        return importlib.import_module(self.name)

    def switch(self, on: bool) -> None:
        self.integration.switch(on)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fake]:
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    fake = Fake(tmp_path)
    yield fake
    fake.switch(False)
    sys.modules.pop(fake.name, None)


def call(library: Any, path: str, *args: Any, **kwargs: Any) -> Any:
    """Call a function of the library; what it returns is awaited where it can be."""
    owner = library.Client() if "." in path else library
    result = getattr(owner, path.removeprefix("Client."))(*args, **kwargs)
    if not inspect.isawaitable(result):
        return result

    async def work() -> Any:
        return await result

    return asyncio.run(work())


@pytest.mark.parametrize("path", FUNCTIONS)
def test_the_original_is_called_once_with_the_very_arguments_and_its_result_is_passed_on(
    fake: Fake, traces: Callable[[], list[Trace]], path: str
) -> None:
    library = fake.load()
    fake.switch(True)
    argument, result = [1], object()
    assert call(library, path, argument, lambda: result, named=argument) is result
    ((args, kwargs),) = library.calls
    assert args[-2] is argument
    assert kwargs["named"] is argument
    assert len(traces()) >= 1
    assert all(span.status.status_code == "OK" for t in traces() for span in t.data.spans)


@pytest.mark.parametrize("path", FUNCTIONS)
@pytest.mark.parametrize(
    "error", [ValueError(1, 2), KeyboardInterrupt(), SystemExit(3), asyncio.CancelledError("x")]
)
def test_the_very_exception_goes_on_and_is_recorded(
    fake: Fake, traces: Callable[[], list[Trace]], path: str, error: BaseException
) -> None:
    library = fake.load()
    fake.switch(True)
    context, args = error.__context__, error.args

    def fail() -> None:
        raise error

    caught: BaseException | None = None
    try:
        call(library, path, fail)
    except BaseException as raised:
        caught = raised
    if path in ("Client.later", "Client.looks_plain") and not isinstance(error, Exception):
        assert type(caught) is type(error)  # asyncio.run makes another of these
    else:
        assert caught is error
        assert (error.__context__, error.args) == (context, args)
    assert len(library.calls) == 1
    for trace in traces():
        for span in trace.data.spans:
            assert span.status.description.startswith(type(error).__name__)


async def test_whether_a_call_is_async_is_read_off_what_it_returns(
    fake: Fake, traces: Callable[[], list[Trace]]
) -> None:
    client = fake.load().Client()
    fake.begin = lambda call: TracedCall(LiveSpan("call")) if not current_span() else None
    fake.switch(True)
    work = client.looks_plain(lambda: 1)
    assert inspect.iscoroutine(work)
    assert work.__qualname__ == "Client.later"
    (trace,) = traces()
    assert trace.data.spans[0].end_time_ns is None
    assert await work == 1
    assert traces()[0].data.spans[0].outputs == 1


def test_a_coroutine_that_is_never_awaited_ends_its_span(
    fake: Fake, traces: Callable[[], list[Trace]]
) -> None:
    client = fake.load().Client()
    fake.switch(True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        client.later()
        gc.collect()
    assert traces()[0].data.spans[0].end_time_ns is not None


@pytest.mark.parametrize("imported", [True, False], ids=["imported before", "imported later"])
def test_off_leaves_everything_as_it_was(fake: Fake, imported: bool) -> None:
    if imported:
        before = look(fake.load())
        fake.switch(True)
    else:
        fake.switch(True)
        assert fake.name not in sys.modules
        fake.load()
    once = look(fake.load())
    fake.switch(True)
    assert look(fake.load()) == once
    assert "inherited" in vars(fake.load().Client)
    fake.switch(False)
    off = look(fake.load())
    assert off != once
    assert "inherited" not in vars(fake.load().Client)
    if imported:
        assert off == before
    fake.switch(True)
    assert {name for name, _ in look(fake.load())} == {name for name, _ in once}


def look(library: Any) -> list[tuple[str, int]]:
    """The names of the library's classes and functions, in their order, and what they are."""
    owners = (library, library.Client, library.Base)
    return [
        (name, id(value))
        for owner in owners
        for name, value in vars(owner).items()
        if not name.startswith("__")
    ]


def test_off_before_the_import_patches_nothing(fake: Fake) -> None:
    fake.switch(True)
    fake.switch(False)
    assert not hasattr(vars(fake.load().Client)["plain"], "__wrapped__")


def test_a_wrapper_that_another_put_on_ours_stays_and_ours_is_silent(
    fake: Fake, traces: Callable[[], list[Trace]]
) -> None:
    library = fake.load()
    fake.switch(True)
    ours, seen = library.Client.plain, []

    def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(args)
        return ours(self, *args, **kwargs)

    library.Client.plain = theirs
    fake.switch(False)
    assert vars(library.Client)["plain"] is theirs
    assert library.Client().plain(1) == 1
    assert traces() == []
    fake.switch(True)
    assert library.Client().plain(2) == 2
    assert len(traces()) == 1
    assert len(seen) == 2


@pytest.mark.parametrize("silent", [False, True])
def test_a_version_without_any_known_function_is_a_warning(
    fake: Fake, caplog: pytest.LogCaptureFixture, silent: bool
) -> None:
    fake.load()
    integration = Integration("fake", fake.name, "x", Target(f"{fake.name}:Gone.x", traced(None)))  # type: ignore[arg-type]
    integration.switch(True, silent)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * (not silent)
    integration.switch(False)


def test_signatures_docs_and_pickles_are_the_librarys_own(fake: Fake) -> None:
    library = fake.load()

    def seen() -> list[Any]:
        functions = [library.main, *(getattr(library.Client, name) for name in METHODS)]
        facts = (inspect.signature, inspect.iscoroutinefunction, inspect.getsource, inspect.getdoc)
        return [[fact(function) for fact in facts] for function in functions]

    before = seen()
    fake.switch(True)
    assert seen() == before
    for function in (library.main, library.Client.plain, library.Client.inherited):
        assert pickle.loads(pickle.dumps(function)) == function
    bound = pickle.loads(pickle.dumps(library.Client().plain))
    assert bound(7) == 7
    assert isinstance(vars(library.Client)["static"], staticmethod)
    assert isinstance(vars(library.Client)["of_class"], classmethod)


IN_PLACE = '''
import functools

def main(value, *rest, scale: int = 2, **more):
    """Multiply."""
    if isinstance(value, BaseException):
        raise value
    return value, rest, scale, more

alias = main

async def later(value, scale: int = 2):
    """Multiply later."""
    return main(value, scale=scale)

def decorate(function):
    call = stand_in = function
    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        return (call or stand_in)(*args, **kwargs)
    return wrapper

@decorate
def closed(value, scale: int = 2):
    return main(value, scale=scale)
'''
CHANGED = ("main", "alias", "later", "closed")


@pytest.fixture
def placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, Integration]]:
    """Give a library of which the code of functions is changed in place, and its integration."""
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    name = f"placed{next(_numbers)}"
    (tmp_path / f"{name}.py").write_text(IN_PLACE)
    wrapper = traced(lambda call: None if current_span() else TracedCall(LiveSpan("call")))
    targets = [Target(f"{name}:{function}", wrapper, in_place=True) for function in CHANGED]
    integration = Integration("fake", name, "x", *targets)
    yield importlib.import_module(name), integration
    integration.switch(False)
    sys.modules.pop(name, None)


def run(function: Any, *args: Any, **kwargs: Any) -> Any:
    result = function(*args, **kwargs)
    return asyncio.run(result) if inspect.iscoroutine(result) else result


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", CHANGED)
def test_a_function_changed_in_place_is_recorded_by_whatever_reference_it_is_called(
    placed: tuple[Any, Integration], traces: Callable[[], list[Trace]], name: str
) -> None:
    library, integration = placed
    taken = getattr(library, name)
    partial = functools.partial(taken, scale=3)
    wrapped = functools.wraps(taken)(lambda *args, **kwargs: taken(*args, **kwargs))
    code, held = taken.__code__, dict(vars(taken))
    argument, error = [1], ValueError("mine")
    for times in (1, 2):
        integration.switch(True)
        integration.switch(True)
        later_wrapped = functools.wraps(taken)(lambda *args, **kwargs: taken(*args, **kwargs))
        for function in (taken, getattr(library, name), partial, wrapped, later_wrapped):
            assert run(function, argument)[0] is argument
        with pytest.raises(ValueError, match="mine") as caught:
            run(taken, error)
        assert caught.value is error
        assert error.__context__ is None
        assert len(traces()) == 6 * times
        integration.switch(False)
        assert taken.__code__ is code
        assert vars(taken) == held
        assert inspect.signature(later_wrapped) == inspect.signature(taken)
        assert run(later_wrapped, 1)[0] == 1
        assert len(traces()) == 6 * times


def test_a_function_changed_in_place_looks_as_before(placed: tuple[Any, Integration]) -> None:
    library, integration = placed
    facts = (
        inspect.signature,
        inspect.getfullargspec,
        inspect.iscoroutinefunction,
        inspect.getsource,
        inspect.getdoc,
        lambda f: inspect.getclosurevars(f).nonlocals,
        inspect.unwrap,
        typing.get_type_hints,
        pickle.dumps,
        copy.deepcopy,
        repr,
        lambda f: (f.__name__, f.__qualname__, f.__defaults__, f.__kwdefaults__, f.__module__),
        lambda f: (f.__code__.co_name, f.__code__.co_filename, f.__code__.co_firstlineno),
    )

    def seen() -> list[Any]:
        return [[fact(getattr(library, name)) for fact in facts] for name in CHANGED]

    before = seen()
    integration.switch(True)
    assert seen() == before
    assert pickle.loads(pickle.dumps(library.main)) is library.main


def test_the_stack_of_an_error_shows_the_lines_of_a_function_changed_in_place(
    placed: tuple[Any, Integration],
) -> None:
    library, integration = placed
    integration.switch(True)
    for name in CHANGED:
        with pytest.raises(ValueError, match="mine") as caught:
            run(getattr(library, name), ValueError("mine"))
        frames = traceback.extract_tb(caught.value.__traceback__)
        assert frames[-1].line == "raise value"
        assert all(frame.line for frame in frames)


def test_a_coroutine_outlives_the_change_of_its_function(
    placed: tuple[Any, Integration], traces: Callable[[], list[Trace]]
) -> None:
    library, integration = placed
    before = library.later(1)
    integration.switch(True)
    during = library.later(2)
    assert during.__qualname__ == "later"
    integration.switch(False)
    assert [asyncio.run(work)[0] for work in (before, during)] == [1, 2]
    assert traces() == []
    integration.switch(True)
    with pytest.warns(RuntimeWarning, match="coroutine 'later' was never awaited"):
        del [library.later(3)][0]
    assert traces() == []


def test_code_that_another_has_put_in_a_function_since_stays(
    placed: tuple[Any, Integration], traces: Callable[[], list[Trace]]
) -> None:
    library, integration = placed
    integration.switch(True)
    library.main.__code__ = theirs = (lambda *args, **kwargs: "theirs").__code__
    integration.switch(False)
    assert library.main.__code__ is theirs
    integration.switch(True)
    assert library.main(1) == "theirs"
    assert traces() == []


class Broken(TracedCall):
    """A recording in which one method fails."""

    def __init__(self, where: str) -> None:
        self.where = where
        if where == "begin":
            raise RuntimeError("ours")
        super().__init__(LiveSpan("call"))

    def on_request(self) -> None:
        self.fail_in("asked")

    def on_response(self, result: Any) -> Any:
        self.fail_in("reply")
        return super().on_response(result)

    def on_error(self, error: BaseException) -> None:
        self.fail_in("failed")
        super().on_error(error)

    def fail_in(self, where: str) -> None:
        if where == self.where:
            raise RuntimeError("ours")


@pytest.mark.parametrize("path", ["main", "Client.plain", "Client.later"])
@pytest.mark.parametrize("where", ["begin", "asked", "reply", "failed"])
def test_our_own_failure_reaches_nobody_and_costs_no_span_that_is_open(
    fake: Fake,
    traces: Callable[[], list[Trace]],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    where: str,
    path: str,
) -> None:
    library = fake.load()
    fake.begin = lambda call: Broken(where)
    fake.switch(True)
    mine = ValueError("mine")

    def fail() -> None:
        raise mine

    monkeypatch.setattr(safety, "strict", False)
    assert call(library, path, lambda: 5) == 5
    with pytest.raises(ValueError, match="mine") as caught:
        call(library, path, fail)
    assert caught.value is mine
    assert len(library.calls) == 2
    warned = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(warned) == 1
    assert "your program is not affected" in warned[0].getMessage()
    states = [trace.data.spans[0].status.status_code.value for trace in traces()]
    assert states == ([] if where == "begin" else ["OK", "ERROR"])
    monkeypatch.setattr(safety, "strict", True)
    with pytest.raises(RuntimeError, match="ours"):
        call(library, path, fail if where == "failed" else lambda: 5)


def test_recording_opens_no_connection(
    fake: Fake, traces: Callable[[], list[Trace]], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    monkeypatch.setattr(socket.socket, "connect", lambda *args: opened.append(args))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_: opened.append(args))
    library = fake.load()
    fake.switch(True)
    call(library, "Client.plain", 1)
    assert len(traces()) == 1
    assert opened == []


def test_what_cannot_be_patched_breaks_no_import(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(safety, "strict", False)
    target = Target(f"{fake.name}:calls.append", traced(lambda call: None))
    integration = Integration("fake", fake.name, "x", target)
    integration.switch(True)
    assert fake.load().calls == []
    assert "your program is not affected" in caplog.text


def test_on_and_off_from_many_threads_end_as_the_last_one_says(fake: Fake) -> None:
    library = fake.load()
    before = look(library)

    def toggle() -> None:
        for _ in range(50):
            fake.switch(True)
            library.Client().plain(1)
            fake.switch(False)

    threads = [threading.Thread(target=toggle) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert look(library) == before


def test_a_hook_is_put_in_once_the_library_is_imported_and_taken_out_when_off(fake: Fake) -> None:
    hooked: list[str] = []

    def install(module: Any) -> Callable[[], object]:
        hooked.append(module.__name__)
        return hooked.clear

    fake.integration = Integration("fake", fake.name, "fake-lib", Hook(fake.name, install))
    for _ in range(2):
        fake.switch(True)
        fake.switch(True)
        assert hooked == ([fake.name] if fake.name in sys.modules else [])
        fake.load()
        assert hooked == [fake.name]
        fake.switch(False)
        assert hooked == []


def test_methods_of_derived_classes_are_wrapped_whenever_the_classes_are_made(
    fake: Fake, traces: Callable[[], list[Trace]]
) -> None:
    library = fake.load()
    told: list[str] = []

    class Early(library.Base):  # type: ignore[misc]
        def inherited(self) -> str:
            return "early"

        def __init_subclass__(cls, **kwargs: Any) -> None:
            told.append(cls.__name__)

    before = [dict(vars(owner)) for owner in (library.Base, Early)]
    at = f"{fake.name}:Base."
    targets = [
        Target(at + name, traced(lambda call: fake.begin(call)), derived=True)
        for name in ("inherited", "other")
    ]
    library.Base.other = lambda self: None
    fake.integration = Integration("fake", fake.name, "fake-lib", *targets)
    fake.switch(True)

    class Late(library.Base):  # type: ignore[misc]
        def inherited(self) -> str:
            return "late"

        def other(self) -> str:
            return "other"

    class Later(Early):
        pass

    assert [Early().inherited(), Late().inherited(), Late().other()] == ["early", "late", "other"]
    assert Later().inherited() == "early"
    library.Base().inherited()
    assert len(traces()) == 4
    assert told == ["Later"]
    fake.switch(False)
    del library.Base.other
    assert [dict(vars(owner)) for owner in (library.Base, Early)] == before
    assert type(vars(Late)["inherited"]).__name__ == "function"


def test_an_explicit_wish_for_what_is_not_installed_is_an_error_with_the_pip_line() -> None:
    integration = Integration("absent", "absent_library", "absent-lib")
    with pytest.raises(ImportError, match="pip install absent-lib"):
        integration.autolog(log_traces=True, disable=False, silent=False)
    integration.autolog(log_traces=True, disable=True, silent=False)
    assert not integration.on
