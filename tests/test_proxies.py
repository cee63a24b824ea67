"""What stands in the place of an object is that object in all that a program can see of it."""

from __future__ import annotations

import copy
import functools
import io
import itertools
import pickle
import statistics
import sys
import types
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from spanlog.instrument.patched import patched
from spanlog.record.span import LiveSpan
from spanlog.record.streams import Stepped, Watch, Watched, Worked
from spanlog.testing.alike import compared, differences, seen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


def numbers() -> Iterator[int]:
    yield from range(3)


async def numbers_async() -> AsyncIterator[int]:
    yield 1


class Plain:
    """An object that has nothing special."""


class Lines:
    """A stream that is iterated anew each time, has a length, and is closed."""

    def __init__(self) -> None:
        self.lines = [1, 2]

    def __iter__(self) -> Iterator[int]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)

    def __bool__(self) -> bool:
        return False

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def close(self) -> None:
        pass


class Copied:
    """An iterator that says how it is copied, pickled, compared and described."""

    def __init__(self, left: int = 3) -> None:
        self.left = left

    def __iter__(self) -> Copied:
        return self

    def __next__(self) -> int:
        if not self.left:
            raise StopIteration
        self.left -= 1
        return self.left

    def __copy__(self) -> Copied:
        return Copied(self.left)

    def __reduce__(self) -> Any:
        return Copied, (self.left,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Copied)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Copied({self.left})"


class Slots:
    """What cannot be referred to weakly, and has no attributes of its own."""

    __slots__ = ("value",)


class Unasked:
    """An async stream that is a context manager and no iterator."""

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def aclose(self) -> None:
        pass


OBJECTS: dict[str, Callable[[], Any]] = {
    "generator": numbers,
    "async generator": numbers_async,
    "plain": Plain,
    "lines": Lines,
    "copied": Copied,
    "slots": Slots,
    "async context": Unasked,
    "list iterator": lambda: iter([1, 2]),
    "map": lambda: map(str, [1]),
    "chain": lambda: itertools.chain([1], [2]),
    "tee": lambda: itertools.tee([1, 2])[0],
    "bytes": lambda: io.BytesIO(b"ab"),
    "namespace": lambda: types.SimpleNamespace(a=1),
}
STREAMS: dict[str, Callable[[Any], Any]] = {
    "stepped": Stepped,
    "watched": lambda thing: Watched(thing, Watch(LiveSpan("x"), lambda *_: None)),
    "worked": lambda thing: Worked(thing, Watch(LiveSpan("x"), lambda *_: None)),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("made", OBJECTS.values(), ids=OBJECTS)
@pytest.mark.parametrize("stand_in", STREAMS.values(), ids=STREAMS)
def test_a_stream_cannot_be_told_from_its_stand_in(
    stand_in: Callable[[Any], Any], made: Callable[[], Any]
) -> None:
    assert differences(made, lambda: stand_in(made())) == {}


class Tool:
    """A callable of a user's."""

    def __init__(self, factor: int = 2) -> None:
        self.factor = factor

    def __call__(self, value: int) -> int:
        """Multiply."""
        return value * self.factor

    def __len__(self) -> int:
        return self.factor


def double(value: int = 2) -> int:
    """Double it."""
    return 2 * value


async def double_later(value: int = 2) -> int:
    """Double it later."""
    return 2 * value


class Owner:
    """What functions are patched of."""

    def plain(self, value: int = 2) -> int:
        """Double it."""
        return 2 * value

    async def later(self, value: int = 2) -> int:
        """Double it later."""
        return 2 * value

    def items(self, value: int = 2) -> Iterator[int]:
        """Yield it."""
        yield value

    @classmethod
    def of_class(cls, value: int = 2) -> int:
        """Double it."""
        return 2 * value

    @staticmethod
    def static(value: int = 2) -> int:
        """Double it."""
        return 2 * value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Owner)

    def __hash__(self) -> int:
        return 1


CALLABLES: dict[str, Callable[[], Any]] = {
    "function": lambda: double,
    "function of another's": lambda: statistics.mean,
    "coroutine function": lambda: double_later,
    "generator function": lambda: numbers,
    "async generator function": lambda: numbers_async,
    "tool": Tool,
    "partial": lambda: functools.partial(double, 3),
    "builtin": lambda: len,
    "bound method": lambda: Owner().plain,
    "class": lambda: Tool,
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("made", CALLABLES.values(), ids=CALLABLES)
def test_a_callable_cannot_be_told_from_its_traced_form(made: Callable[[], Any]) -> None:
    traced = lambda: spanlog.trace(made())  # noqa: E731
    assert differences(made, traced) == {}


@pytest.mark.parametrize("call", ["double", "double_later", "numbers", "numbers_async"])
def test_a_decorated_function_is_pickled_and_copied_as_the_one_that_is_found(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules[__name__]
    original = getattr(module, call)
    before = seen(lambda: original)
    with monkeypatch.context() as running:
        running.delattr(module, call)  # as while the module is run
        traced = spanlog.trace(original)
    monkeypatch.setattr(module, call, traced)
    found = compared(before, seen(lambda: traced))
    assert found.keys() == ({"dir", "vars"} if call == "double" else set())  # its `__wrapped__`


METHODS = ("plain", "later", "items", "of_class", "static")
WAYS: dict[str, Callable[[type, str], Any]] = {
    "of the class": lambda owner, name: getattr(owner, name),
    "of an object": lambda owner, name: getattr(owner(), name),
    "as it stands": lambda owner, name: vars(owner)[name],
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("name", METHODS)
def test_a_function_cannot_be_told_from_what_is_patched_over_it(
    monkeypatch: pytest.MonkeyPatch, name: str, way: Callable[[type, str], Any]
) -> None:
    calls: list[Any] = []

    def wrapper(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        calls.append((instance, args, kwargs))
        return wrapped(*args, **kwargs)

    before = seen(lambda: way(Owner, name))
    monkeypatch.setattr(Owner, name, patched(vars(Owner)[name], wrapper, Owner, name))
    after = seen(lambda: way(Owner, name))
    assert compared(before, after) == {}
    owner = Owner()
    work = getattr(owner, name)(3)
    if name == "later":
        work.close()
    assert calls == [({"of_class": Owner, "static": None}.get(name, owner), (3,), {})]


def test_what_a_copy_of_a_traced_callable_does_is_recorded(
    traces: Callable[[], list[Any]],
) -> None:
    tool = spanlog.trace(Tool(3), name="tool")
    for one in (tool, copy.copy(tool), copy.deepcopy(tool), pickle.loads(pickle.dumps(tool))):
        assert one(2) == 6
        assert isinstance(one, Tool)
    assert copy.copy(tool).__wrapped__ is not tool.__wrapped__
    assert [trace.info.name for trace in traces()] == ["tool"] * 4
