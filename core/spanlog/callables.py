"""What stands in the place of a callable that is traced; in all else it is the callable itself."""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING, Any

import wrapt

from spanlog.decorator import trace

if TYPE_CHECKING:
    from collections.abc import Callable

    from spanlog.decorator import _Traced


class TracedCallable(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """A callable whose calls are traced; to `inspect`, pickle and `isinstance` it is itself."""

    def __init__(
        self, wrapped: Callable[..., Any], traced: _Traced, call: Callable[..., Any]
    ) -> None:
        super().__init__(wrapped)
        self._self_traced = traced
        self._self_call = call

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call it, and record the call."""
        return self._self_call(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        get = getattr(type(self.__wrapped__), "__get__", None)
        bound = self.__wrapped__ if get is None else get(self.__wrapped__, instance, owner)
        return self if bound is self.__wrapped__ else MethodType(self, instance)

    def __copy__(self) -> TracedCallable:
        return self

    def __deepcopy__(self, memo: object) -> TracedCallable:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle a function by its name, another callable by what makes it anew."""
        name = getattr(self.__wrapped__, "__qualname__", None)
        return name or (trace, self._self_traced.arguments)


class _BoundTracedFunction(wrapt.BoundFunctionWrapper):  # type: ignore[type-arg]
    def __reduce_ex__(self, protocol: Any) -> Any:
        return getattr, (self._self_instance, self.__name__)


class TracedFunction(wrapt.FunctionWrapper):  # type: ignore[type-arg]
    """A function in whose place a wrapper stands; to `inspect` and pickle it is the function."""

    __bound_function_wrapper__ = _BoundTracedFunction

    def __reduce_ex__(self, protocol: Any) -> str:
        return str(self.__qualname__)

    def __copy__(self) -> TracedFunction:
        return self

    def __deepcopy__(self, memo: object) -> TracedFunction:
        return self
