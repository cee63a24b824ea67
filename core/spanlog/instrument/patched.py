"""What stands in the place of a library's function; in all but being called it is the function."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from spanlog.instrument.target import Wrapper
from spanlog.record.proxies import CallableProxy


class Patched(CallableProxy):
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

    class _Instead(CallableProxy._Instead):
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
