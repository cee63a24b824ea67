"""`@spanlog.trace`: a span for each call of a function."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from types import (
    AsyncGeneratorType,
    CoroutineType,
    FunctionType,
    GeneratorType,
    coroutine,
)
from typing import Any, Protocol, TypeVar, overload

from spanlog import semconv
from spanlog.model.capture import capture
from spanlog.record.arguments import binder
from spanlog.record.awaiting import Under, awaited
from spanlog.record.callables import TracedCallable, named
from spanlog.record.context import CURRENT, current_span, recording
from spanlog.record.recorder import default_recorder
from spanlog.record.span import LiveSpan
from spanlog.safety import report

F = TypeVar("F", bound=Callable[..., Any])
Reducer = Callable[[list[Any]], Any]

# What a generator yields is kept up to this many items: it may go on for ever.
_MAX_ITEMS = 10_000


@overload
def trace(func: F) -> F: ...
@overload
def trace(
    func: None = None,
    name: str | None = None,
    span_type: str = "UNKNOWN",
    attributes: Mapping[str, Any] | None = None,
    output_reducer: Reducer | None = None,
) -> Callable[[F], F]: ...
@overload
def trace(
    func: F,
    name: str | None = None,
    span_type: str = "UNKNOWN",
    attributes: Mapping[str, Any] | None = None,
    output_reducer: Reducer | None = None,
) -> F: ...
def trace(
    func: Callable[..., Any] | None = None,
    name: str | None = None,
    span_type: str = "UNKNOWN",
    attributes: Mapping[str, Any] | None = None,
    output_reducer: Reducer | None = None,
) -> Any:
    """Record each call of a function as a span: its arguments, its result, its errors.

    Works on functions, coroutines, generators, async generators, methods, class methods, static
    methods and any other callable, as a decorator with or without arguments, or around a function
    of someone else's: `mean = spanlog.trace(statistics.mean)`.

    The span of a generator ends when the generator is exhausted, closed or collected; its outputs
    are the list of what it yielded.

    Args:
        func: The function, where `trace` is used without arguments.
        name: The span's name; the function's by default.
        span_type: What kind of work it is, from `spanlog.entities.SpanType`.
        attributes: Facts to record with each span.
        output_reducer: For a generator: makes the outputs of the list of what it yielded.
    """
    if func is None:
        return functools.partial(
            trace,
            name=name,
            span_type=span_type,
            attributes=attributes,
            output_reducer=output_reducer,
        )
    if isinstance(func, (classmethod, staticmethod)):
        inner = trace(func.__func__, name, span_type, attributes, output_reducer)
        return type(func)(inner)
    if not callable(func):
        raise TypeError(f"trace() takes a function, not {func!r}; a name is given as name=...")
    default_recorder().prepare()
    traced = _Traced(func, name, span_type, attributes, output_reducer)
    later = any(runs_later(func) for runs_later in _RUNS_LATER)
    if isinstance(func, FunctionType) and not later and named(func) is not func:
        return functools.wraps(func)(traced.now())  # the quickest, and pickled by its name
    call = traced.later() if later else traced.now()
    return TracedCallable(func, call, trace, traced.arguments)


_RUNS_LATER = (
    inspect.iscoroutinefunction,
    inspect.isgeneratorfunction,
    inspect.isasyncgenfunction,
)


class _Traced:
    """A function that is traced, and how."""

    def __init__(
        self,
        function: Callable[..., Any],
        name: str | None,
        span_type: str,
        attributes: Mapping[str, Any] | None,
        reducer: Reducer | None,
    ) -> None:
        named = function.func if isinstance(function, functools.partial) else function
        self.arguments = (function, name, span_type, attributes, reducer)
        self.function = function
        self.name = name or getattr(named, "__name__", None) or type(function).__name__
        self.span_type = span_type
        self.attributes = dict(attributes or {})
        self.reducer = reducer
        self.bind = binder(function)

    def inputs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes | None:
        """Take the arguments as they are now."""
        try:
            return capture(self.bind(args, kwargs))
        except Exception as error:  # noqa: BLE001 - the guard
            report(error, f"recording the inputs of {self.name}")
            return None

    def open(self, inputs: bytes | None, parent: LiveSpan | None) -> LiveSpan:
        """Begin the span of a call."""
        span = LiveSpan(self.name, self.span_type, parent, inputs)
        if self.attributes:
            span.set_attributes(self.attributes)
        return span

    def now(self) -> Callable[..., Any]:
        """Return the traced form of a function whose body runs when it is called."""
        function, inputs, begin = self.function, self.inputs, self.open

        def traced(*args: Any, **kwargs: Any) -> Any:
            if not recording():
                return function(*args, **kwargs)
            before = CURRENT.get()
            span = begin(inputs(args, kwargs), current_span())
            CURRENT.set(span)
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                span._fail(error)
                raise
            finally:
                CURRENT.set(before)
            if type(result) in _KINDS and not _has_begun(result):
                return self.run(result, None, span)
            span._finish(capture(result))
            return result

        return traced

    def later(self) -> Callable[..., Any]:
        """Return the traced form of a function whose body runs when it is awaited or iterated."""
        function, inputs = self.function, self.inputs

        def traced(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if not recording() or type(result) not in _KINDS:
                return result
            return self.run(result, inputs(args, kwargs), None)

        return traced

    def run(self, work: Any, inputs: bytes | None, span: LiveSpan | None) -> Any:
        """Return what runs a coroutine or generator in its place, under the span of the call.

        Args:
            work: The coroutine or generator.
            inputs: The arguments.
            span: The span, where it has begun.
        """
        if type(work) is CoroutineType:
            call = _Awaited(self, inputs, span)
            within = Under(call.begin, LiveSpan._fail)
            return awaited(work, within, call.finish, None if span is None else span.end)
        return drive(work, _Call(self, work, inputs, span))


class _Awaited:
    """A call of a traced function that is awaited."""

    __slots__ = ("_inputs", "_span", "_traced")

    def __init__(self, traced: _Traced, inputs: bytes | None, span: LiveSpan | None) -> None:
        self._traced = traced
        self._inputs = inputs
        self._span = span

    def begin(self) -> LiveSpan:
        """Return the span, which begins now if it has not."""
        self._span = self._span or self._traced.open(self._inputs, current_span())
        return self._span

    def finish(self, result: Any) -> Any:
        """End the span with the result."""
        assert self._span is not None
        self._span._finish(capture(result))
        return result


class Items(Protocol):
    """What keeps the items that a generator yields, and ends the span of its call."""

    def add(self, item: Any, /) -> None:
        """Keep an item."""

    def finish(self, span: LiveSpan, /, *, stopped: bool = False) -> None:
        """End the span; the consumer may have stopped before the end."""

    def fail(self, span: LiveSpan, error: BaseException, /) -> None:
        """End the span with an error."""


class Run(Protocol):
    """A call whose body is still to run, by `drive`."""

    def begin(self) -> tuple[Any, LiveSpan]:
        """Return what is to run, and the span of the call."""
        raise NotImplementedError

    def yielded(self) -> Items:
        """Return what keeps the items that a generator yields."""
        raise NotImplementedError


class _Call:
    """A call of a traced function that is a generator, whose body is still to run."""

    __slots__ = ("_inputs", "_span", "_traced", "_work")

    def __init__(
        self, traced: _Traced, work: Any, inputs: bytes | None, span: LiveSpan | None
    ) -> None:
        self._traced = traced
        self._work = work
        self._inputs = inputs
        self._span = span

    def begin(self) -> tuple[Any, LiveSpan]:
        """Return what is to run, and the span of the call, which begins now if it has not."""
        work, self._work = self._work, None
        return work, self._span or self._traced.open(self._inputs, current_span())

    def yielded(self) -> _Yielded:
        """Return what keeps the items that a generator yields."""
        return _Yielded(self._traced.reducer)

    def __del__(self) -> None:
        if self._work is not None and self._span is not None:
            self._span.end()


class _Yielded:
    """What a generator has yielded, each item as it was when it was yielded."""

    def __init__(self, reducer: Reducer | None) -> None:
        self._reducer = reducer
        self._items: list[Any] = []
        self._left_out = 0

    def add(self, item: Any) -> None:
        if len(self._items) < _MAX_ITEMS:
            self._items.append(item if self._reducer else capture(item))
        else:
            self._left_out += 1

    def finish(self, span: LiveSpan, *, stopped: bool = False) -> None:
        """End the span with the items as its outputs."""
        if stopped:
            span.set_attribute(semconv.STREAM_COMPLETED, False)
        if self._left_out:
            span.set_attribute(semconv.ITEMS_LEFT_OUT, self._left_out)
        span._finish(self._outputs())

    def fail(self, span: LiveSpan, error: BaseException) -> None:
        """End the span with an error, and with the items that there had been."""
        span._keep_outputs(self._outputs())
        span._fail(error)

    def _outputs(self) -> bytes | None:
        if self._reducer is None:
            return b"[" + b",".join(self._items) + b"]"
        try:
            return capture(self._reducer(self._items))
        except Exception as error:  # noqa: BLE001 - the user's reducer must not end the stream
            report(error, "calling the output_reducer")
            return capture(self._items)


class _Inside:
    """What is current inside a generator's body, which the consumer's code must not see."""

    def __init__(self, span: LiveSpan) -> None:
        self._inner: LiveSpan | None = span
        self._outer: LiveSpan | None = None

    def __enter__(self) -> None:
        self._outer = CURRENT.get()
        CURRENT.set(self._inner)

    def __exit__(self, *exc: object) -> None:
        self._inner = CURRENT.get()
        CURRENT.set(self._outer)


def _generate(call: Run) -> Generator[Any, Any, Any]:
    work, span = call.begin()
    items, inside = call.yielded(), _Inside(span)
    step, value = work.send, None
    closing = False
    try:
        while True:
            with inside:
                item = step(value)
            items.add(item)
            try:
                step, value = work.send, (yield item)
            except BaseException as error:  # noqa: BLE001 - `throw` and `close` go to the generator
                step, value, closing = work.throw, error, isinstance(error, GeneratorExit)
    except StopIteration as stop:
        items.finish(span, stopped=closing)
        return stop.value
    except GeneratorExit:
        items.finish(span, stopped=True)
        raise
    except BaseException as error:
        items.fail(span, error)
        raise


@coroutine
def _generate_awaitable(call: Run) -> Generator[Any, Any, Any]:
    """Run a generator that `types.coroutine` has made awaitable."""
    return (yield from _generate(call))


async def _generate_async(call: Run) -> AsyncGenerator[Any, Any]:
    work, span = call.begin()
    items, inside = call.yielded(), _Inside(span)
    step, value = _first_step(work), None
    closing = False
    try:
        while True:
            with inside:
                item = await step(value)
            items.add(item)
            try:
                step, value = work.asend, (yield item)
            except BaseException as error:  # noqa: BLE001 - `athrow`, `aclose` go to the generator
                step, value, closing = work.athrow, error, isinstance(error, GeneratorExit)
    except StopAsyncIteration:
        items.finish(span, stopped=closing)
    except GeneratorExit:
        items.finish(span, stopped=True)
        raise
    except BaseException as error:
        items.fail(span, error)
        raise


def _first_step(work: AsyncGenerator[Any, Any]) -> Callable[[Any], Awaitable[Any]]:
    """Return `asend` of a generator that the event loop is not to know of.

    The loop closes the generators it knows when it ends: it is to close ours, which closes this.
    """

    def first(value: Any) -> Awaitable[Any]:
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(None, None)
        try:
            return work.asend(value)
        finally:
            sys.set_asyncgen_hooks(*hooks)

    return first


def _has_begun(work: Any) -> bool:
    """Say whether a coroutine or generator is under way: then it is not ours to wrap."""
    of = _KINDS[type(work)]
    frame = getattr(work, f"{of}_frame")
    if frame is None or getattr(work, f"{of}_running"):
        return True
    if sys.version_info < (3, 11):
        return bool(frame.f_lasti >= 0)
    return bool(getattr(work, f"{of}_suspended", False))  # Python 3.11 has no `ag_suspended`


# What the attributes of a coroutine or generator begin with that tell of its state.
_KINDS = {CoroutineType: "cr", GeneratorType: "gi", AsyncGeneratorType: "ag"}


def drive(work: Any, call: Run) -> Any:
    """Return what runs a generator in its place, and looks like it.

    While it runs, and not while its consumer does, the span of the call is current.
    """
    generate: Callable[[Run], Any] = _generate
    if type(work) is AsyncGeneratorType:
        generate = _generate_async
    elif work.gi_code.co_flags & inspect.CO_ITERABLE_COROUTINE:
        generate = _generate_awaitable
    driver: Any = generate(call)
    driver.__name__, driver.__qualname__ = work.__name__, work.__qualname__
    return driver
