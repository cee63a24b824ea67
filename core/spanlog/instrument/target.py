"""Where a library is entered: its functions that are wrapped, and its own hooks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]


@dataclass(frozen=True)
class Target:
    """A function to wrap.

    Args:
        at: Where it is: "module:function" or "module:Class.method". One that a version of the
            library lacks is left out, so a function that has moved is two targets.
        wrapper: Is called in its place with the function, bound to its object, that object (None
            for a plain function), the positional and the named arguments; see `traced`.
        in_place: The function stays, its code changes: so a program that has it by `from module
            import function` is traced too. For functions and coroutine functions only.
        derived: The method is abstract: it is wrapped in each class that overrides it, those that
            are made later included.
    """

    at: str
    wrapper: Wrapper
    in_place: bool = False
    derived: bool = False

    @property
    def module(self) -> str:
        """The module that must be imported first."""
        return self.at.partition(":")[0]


@dataclass(frozen=True)
class Hook:
    """A library's own hook.

    Args:
        module: The module that must be imported first. Name a package, not a module in it, where
            the package imports that module itself: the package is not whole yet by then.
        install: Puts in what is to be called, given the module; returns what takes it out again.
    """

    module: str
    install: Callable[[ModuleType], Callable[[], object]]
