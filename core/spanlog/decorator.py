"""`@spanlog.trace`: a span for each call of a function."""

from __future__ import annotations

import functools
import inspect
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from contextlib import suppress
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, TypeVar, overload

import wrapt

from spanlog.arguments import binder
from spanlog.capture import capture
from spanlog.context import CURRENT, current_span, open_span, recording
from spanlog.safety import report
from spanlog.spans import LiveSpan

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
    traced = _Traced(func, name, span_type, attributes, output_reducer)
    plain: Any = inspect.unwrap(func)
    if any(runs_later(plain) for runs_later in _RUNS_LATER):
        return TracedFunction(func, traced.call_later)
    return traced.function_now()


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

    def function_now(self) -> Any:
        """Return the traced form of a function whose body runs when it is called."""
        function, inputs, begin = self.function, self.inputs, self.open

        @functools.wraps(function)
        def traced(*args: Any, **kwargs: Any) -> Any:
            if not recording():
                return function(*args, **kwargs)
            before = CURRENT.get()
            span = begin(inputs(args, kwargs), open_span(before))
            CURRENT.set(span)
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                span.fail(error)
                raise
            finally:
                CURRENT.set(before)
            if type(result) in _DRIVERS:
                return self.go_on(result, span)
            span.finish(capture(result))
            return result

        with suppress(TypeError, ValueError):  # some builtins have no signature
            traced.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return traced

    def call_later(
        self, wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any
    ) -> Any:
        """Call a function whose body runs later: when it is awaited or iterated."""
        result = wrapped(*args, **kwargs)
        if not recording() or type(result) not in _DRIVERS:
            return result
        inputs = self.inputs(args if instance is None else (instance, *args), kwargs)
        return self._drive(result, lambda: self.open(inputs, current_span()))

    def go_on(self, result: Any, span: LiveSpan) -> Any:
        """Keep a span open until what the function handed out has run too."""
        later = self._drive(result, lambda: span)
        weakref.finalize(later, span.end).atexit = False  # it may never be started
        return later

    def _drive(self, work: Any, begin: Callable[[], LiveSpan]) -> Any:
        driver = _DRIVERS[type(work)](work, begin, self.reducer)
        driver.__name__, driver.__qualname__ = work.__name__, work.__qualname__
        return driver


class _BoundTracedFunction(wrapt.BoundFunctionWrapper):  # type: ignore[misc]
    def __reduce_ex__(self, protocol: Any) -> Any:
        return getattr, (self._self_instance, self.__name__)


class TracedFunction(wrapt.FunctionWrapper):  # type: ignore[misc]
    """A function in whose place a wrapper stands; to `inspect` and pickle it is the function."""

    __bound_function_wrapper__ = _BoundTracedFunction

    def __reduce_ex__(self, protocol: Any) -> str:
        return str(self.__qualname__)


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
            span.set_attribute("spanlog.stream.completed", False)
        if self._left_out:
            span.set_attribute("spanlog.items_left_out", self._left_out)
        span.finish(self._outputs())

    def fail(self, span: LiveSpan, error: BaseException) -> None:
        """End the span with an error, and with the items that there had been."""
        span.keep_outputs(self._outputs())
        span.fail(error)

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


async def _await(
    work: Coroutine[Any, Any, Any], begin: Callable[[], LiveSpan], reducer: Reducer | None
) -> Any:
    span = begin()
    before = CURRENT.get()
    CURRENT.set(span)
    try:
        result = await work
    except BaseException as error:
        span.fail(error)
        raise
    finally:
        if CURRENT.get() is span:
            CURRENT.set(before)
    span.finish(capture(result))
    return result


def _generate(
    work: Generator[Any, Any, Any], begin: Callable[[], LiveSpan], reducer: Reducer | None
) -> Generator[Any, Any, Any]:
    span, items = begin(), _Yielded(reducer)
    inside = _Inside(span)
    step, value = work.send, None
    try:
        while True:
            with inside:
                item = step(value)
            items.add(item)
            try:
                step, value = work.send, (yield item)
            except GeneratorExit:
                with inside:
                    last = work.close()
                items.finish(span, stopped=True)
                return last
            except BaseException as error:  # noqa: BLE001 - `throw` goes to the generator
                step, value = work.throw, error
    except StopIteration as stop:
        items.finish(span)
        return stop.value
    except BaseException as error:
        items.fail(span, error)
        raise


async def _generate_async(
    work: AsyncGenerator[Any, Any], begin: Callable[[], LiveSpan], reducer: Reducer | None
) -> AsyncGenerator[Any, Any]:
    span, items = begin(), _Yielded(reducer)
    inside = _Inside(span)
    step, value = work.asend, None
    try:
        while True:
            with inside:
                item = await step(value)
            items.add(item)
            try:
                step, value = work.asend, (yield item)
            except GeneratorExit:
                items.finish(span, stopped=True)
                with inside:
                    await work.aclose()
                return
            except BaseException as error:  # noqa: BLE001 - `athrow` goes to the generator
                step, value = work.athrow, error
    except StopAsyncIteration:
        items.finish(span)
    except BaseException as error:
        items.fail(span, error)
        raise


_DRIVERS: dict[type, Callable[..., Any]] = {
    CoroutineType: _await,
    GeneratorType: _generate,
    AsyncGeneratorType: _generate_async,
}
