"""Wrap a function that programs have taken out of its module: its code is exchanged."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

from spanlog.instrument.target import Wrapper

# The code that takes the place of a function's own. A code object can only be exchanged for one
# with as many variables from outside, and names in it are looked up in the library: what it calls
# is one of its constants. It is one line, which a traceback takes for the first of the function.
_STAND_IN = """
def made({outside}):
    {kind} stand_in(*args, **kwargs): call = "call"; return {calls} if True else ({outside})
    return stand_in
"""


class InPlace:
    """A function whose code is exchanged for code that calls a wrapper around its twin."""

    def __init__(self, function: FunctionType, wrapper: Wrapper) -> None:
        self.function = function
        self._original = function.__code__
        self._signed = vars(function).keys() & {"__signature__", "__wrapped__"}
        twin = FunctionType(
            function.__code__,
            function.__globals__,
            function.__name__,
            function.__defaults__,
            function.__closure__,
        )
        twin.__kwdefaults__, twin.__qualname__ = function.__kwdefaults__, function.__qualname__

        def call(*args: Any, **kwargs: Any) -> Any:
            return wrapper(twin, None, args, kwargs)

        if not self._signed:
            vars(function)["__signature__"] = inspect.signature(function)
        function.__code__ = self._code = self._calling(call)

    def _calling(self, call: Callable[..., Any]) -> CodeType:
        is_async = self._original.co_flags & inspect.CO_COROUTINE
        source = _STAND_IN.format(
            outside=", ".join(f"_{number}" for number in range(len(self._original.co_freevars))),
            kind="async def" if is_async else "def",
            calls="await call(*args, **kwargs)" if is_async else "call(*args, **kwargs)",
        )
        made: dict[str, Any] = {}
        exec(source, made)  # noqa: S102 - our own source
        code: CodeType = made["made"](*self._original.co_freevars).__code__
        return code.replace(
            co_consts=tuple(call if const == "call" else const for const in code.co_consts),
            co_filename=self._original.co_filename,
            co_firstlineno=self._original.co_firstlineno,
            co_freevars=self._original.co_freevars,
            co_name=self._original.co_name,
        )

    def undo(self) -> bool:
        """Put back the function's own code, unless someone has exchanged ours since."""
        if self.function.__code__ is not self._code:
            return False
        self.function.__code__ = self._original
        if not self._signed:
            del vars(self.function)["__signature__"]
        return True
