"""A call of a library's function that is traced: its arguments, and what is recorded of it."""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import Any, NamedTuple

from spanlog.instrument.target import Wrapper
from spanlog.model.capture import wire
from spanlog.record.awaiting import Under, awaited
from spanlog.record.context import CURRENT, recording
from spanlog.record.span import LiveSpan
from spanlog.safety import report


class Call(NamedTuple):
    """A call of a target: the object it was made on, and its arguments."""

    instance: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """Return an argument, however it was passed."""
        if len(self.args) > position:
            return self.args[position]
        return self.kwargs.get(name, default)


class TracedCall:
    """A call in progress, with its span, which has begun.

    An integration derives a class from this for each kind of call, and overrides what differs. An
    error in one of the methods is reported and goes no further; the call goes on.
    """

    def __init__(self, span: LiveSpan) -> None:
        self.span = span

    def on_request(self) -> None:
        """Record facts of the request. Called before the function is."""

    def on_response(self, result: Any) -> Any:
        """Record what the function returned, or its coroutine, and end the span.

        A stream ends the span later: then this returns the stream, watched (`Watched`).

        Returns:
            What the program gets, which is `result` or what stands in its place.
        """
        self.span._finish(wire(result))
        return result

    def on_error(self, error: BaseException) -> None:
        """Record what the function raised and end the span. The error goes on to the program."""
        self.span._fail(error)


def traced(begin: Callable[[Call], TracedCall | None]) -> Wrapper:
    """Return the wrapper of a function whose calls are traced.

    The function is called once, with the program's own arguments, and while it runs its span is
    current. Whether it is async is seen by what it returns.

    Args:
        begin: Opens the span of a call; returns None for a call that is not to be recorded.
    """

    def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not recording():
            return wrapped(*args, **kwargs)
        call = None
        try:
            call = begin(Call(instance, args, kwargs))
            if call is not None:
                call.on_request()
        except Exception as error:  # noqa: BLE001 - the guard
            report(error, f"recording a call of {getattr(wrapped, '__qualname__', wrapped)}")
        if call is None:
            return wrapped(*args, **kwargs)
        before = CURRENT.get()
        CURRENT.set(call.span)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            fail(call, error)
            raise
        finally:
            CURRENT.set(before)
        if type(result) is CoroutineType:
            return _awaited(call, result)
        return respond(call, result)

    return wrapper


def _awaited(call: TracedCall, coroutine: Any) -> Any:
    within = Under(lambda: call.span, lambda _, error: fail(call, error))
    return awaited(coroutine, within, lambda result: respond(call, result), call.span.end)


def respond(call: TracedCall, result: Any) -> Any:
    """Have a call record its result; return what the program gets."""
    try:
        return call.on_response(result)
    except Exception as error:  # noqa: BLE001 - the guard
        call.span.end()
        report(error, f"recording the response to {call.span.name}")
        return result


def fail(call: TracedCall, failure: BaseException) -> None:
    """Have a call record its error."""
    try:
        call.on_error(failure)
    except Exception as error:  # noqa: BLE001 - the guard
        call.span._fail(failure)
        report(error, f"recording the error of {call.span.name}")
