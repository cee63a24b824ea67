"""What stands in the place of a function, to see its calls; in all else it is the function."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import MethodType, ModuleType
from typing import Any

from spanlog.record.proxies import Proxy

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]


class _Callable(Proxy):
    """A callable that is called through its proxy, as a method too."""

    __slots__ = ()

    class _Instead(Proxy._Instead):
        """A method of an object is a method whose function is the proxy."""

        def __get__(self: Any, instance: object, owner: type | None = None) -> Any:
            bound = self.__wrapped__.__get__(instance, owner)
            is_method = instance is not None and bound is not self.__wrapped__
            return MethodType(self, instance) if is_method else self


class TracedCallable(_Callable):
    """A callable whose calls are traced.

    Args:
        wrapped: The callable.
        call: What is called in its place.
        again: Makes the like of another callable.
        arguments: What `again` is called with, the callable first.
    """

    __slots__ = ("_self_again", "_self_arguments", "_self_call")

    def __init__(
        self,
        wrapped: Callable[..., Any],  # noqa: ARG002 - `Proxy` keeps it
        call: Callable[..., Any],
        again: Callable[..., Any],
        arguments: tuple[Any, ...],
    ) -> None:
        self._self_call = call
        self._self_again = again
        self._self_arguments = arguments

    class _Instead(_Callable._Instead):
        """A call is recorded."""

        def __call__(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            return self._self_call(*args, **kwargs)

        def __reduce_ex__(self: Any, protocol: Any) -> Any:
            """Pickle it by its name where it is found by that, else by what makes it anew."""
            if named(self) is self:
                return self.__qualname__
            return self._self_again, self._self_arguments

    def _self_copied(self, copied: Any) -> Any:
        return self._self_again(copied, *self._self_arguments[1:])


class Patched(_Callable):
    """What stands in a function's place, and is pickled as what is found in that place."""

    __slots__ = ("_self_place", "_self_wrapper")

    def __init__(
        self,
        original: Any,  # noqa: ARG002 - `Proxy` keeps it
        wrapper: Wrapper,
        owner: Any,
        name: str,
    ) -> None:
        self._self_wrapper = wrapper
        self._self_place = owner, name

    class _Instead(_Callable._Instead):
        """A call goes through the wrapper."""

        def __call__(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            return self._self_wrapper(self.__wrapped__, None, args, kwargs)

        def __reduce_ex__(self: Any, protocol: Any) -> Any:
            owner, name = self._self_place
            return name if isinstance(owner, ModuleType) else (getattr, (owner, name))


class PatchedMethod(Patched):
    """The same for a function whose first argument is the object that it is called on."""

    __slots__ = ()

    class _Instead(Patched._Instead):
        """A call goes through the wrapper, with the object."""

        def __call__(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            if not args:  # which is its own error
                return self.__wrapped__(*args, **kwargs)
            bound = self.__wrapped__.__get__(args[0], type(args[0]))
            return self._self_wrapper(bound, args[0], args[1:], kwargs)


def named(function: Any) -> Any:
    """Return what is found by the name of a function, where one of that name is found."""
    found = sys.modules.get(getattr(function, "__module__", None) or "")
    for name in str(getattr(function, "__qualname__", "")).split("."):
        found = getattr(found, name, None)
    return found


def patched(original: Any, wrapper: Wrapper, owner: Any, name: str) -> Any:
    """Return what takes the place of a function, static method or class method of a class."""
    if isinstance(original, staticmethod):
        function: Any = Patched(original.__func__, wrapper, owner, name)
        return type(original)(function)
    if isinstance(original, classmethod):
        method: Any = PatchedMethod(original.__func__, wrapper, owner, name)
        return type(original)(method)
    if not callable(original):
        return original
    is_method = isinstance(owner, type) and hasattr(type(original), "__get__")
    return (PatchedMethod if is_method else Patched)(original, wrapper, owner, name)
