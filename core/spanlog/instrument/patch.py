"""Put a wrapper in the place of a function, and take it away again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spanlog.instrument.patched import patched
from spanlog.instrument.target import Wrapper

ABSENT: Any = object()


@dataclass
class Patch:
    """A wrapper that stands in the place of an attribute."""

    owner: Any
    name: str
    original: Any  # what `vars(owner)` held, or ABSENT where the attribute was inherited
    wrapper: Any

    def undo(self) -> bool:
        """Put back exactly what was there, unless someone has wrapped our wrapper since."""
        if vars(self.owner).get(self.name) is not self.wrapper:
            return False
        if self.original is ABSENT:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.original)
        return True


class Hooked:
    """A hook of a library that is in use."""

    def __init__(self, take_out: Callable[[], object]) -> None:
        self._take_out = take_out

    def undo(self) -> bool:
        """Take out what was put in."""
        self._take_out()
        return True


class Derived:
    """A method of the classes derived from one, each wrapped where it has its own."""

    def __init__(self, base: type, name: str, wrapper: Wrapper) -> None:
        self._base, self._name, self._wrapper = base, name, wrapper
        self._patches: list[Patch] = []
        for cls in _derived(base):
            self._wrap(cls)
        self._patches.append(self._watch())

    def _watch(self) -> Patch:
        """Be told of classes that are made from now on."""
        base = self._base
        original = vars(base).get("__init_subclass__", ABSENT)

        def made(cls: type, /, **kwargs: Any) -> None:
            if original is ABSENT:
                super(base, cls).__init_subclass__(**kwargs)  # type: ignore[arg-type]
            else:
                original.__get__(None, cls)(**kwargs)
            self._wrap(cls)

        watching: Any = classmethod(made)
        setattr(base, "__init_subclass__", watching)  # noqa: B010 - a type has no such attribute
        return Patch(base, "__init_subclass__", original, watching)

    def _wrap(self, cls: type) -> None:
        original = vars(cls).get(self._name, ABSENT)
        if original is not ABSENT:
            wrapper = patched(original, self._wrapper, cls, self._name)
            self._patches.append(Patch(cls, self._name, original, wrapper))
            setattr(cls, self._name, wrapper)

    def undo(self) -> bool:
        """Put back exactly what was there, unless someone has wrapped a wrapper of ours since."""
        self._patches = [patch for patch in self._patches if not patch.undo()]
        return not self._patches


def _derived(base: type) -> list[type]:
    """Return the classes derived from a class, directly or not, each once."""
    directly: list[type] = base.__subclasses__()
    found = [cls for direct in directly for cls in (direct, *_derived(direct))]
    return list(dict.fromkeys(found))
