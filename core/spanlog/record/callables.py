"""What stands in the place of a function of the program's whose calls are traced."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from spanlog.record.proxies import CallableProxy


def named(function: Any) -> Any:
    """Return what is found by the name of a function, where one of that name is found."""
    found = sys.modules.get(getattr(function, "__module__", None) or "")
    for name in str(getattr(function, "__qualname__", "")).split("."):
        found = getattr(found, name, None)
    return found


class TracedCallable(CallableProxy):
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

    class _Instead(CallableProxy._Instead):
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
