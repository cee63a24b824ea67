"""Be told when a module has been imported.

`wrapt` does the same, but takes 50 ms to be imported, which `autolog()` is not to take.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Hear = Callable[[ModuleType], object]

_waiting: dict[str, list[Hear]] = {}
_lock = threading.Lock()


def when_imported(name: str, hear: Hear) -> None:
    """Have `hear` called with a module once it has been imported; not if it is imported already.

    Args:
        name: The module.
        hear: What it raises is raised by the import.
    """
    with _lock:
        _waiting.setdefault(name, []).append(hear)
        if _finder not in sys.meta_path:
            sys.meta_path.insert(0, _finder)


class _Finder:
    """Finds what the finders behind it find, and sees to it that the import is told of."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in _waiting:
            return None
        behind = sys.meta_path[sys.meta_path.index(self) + 1 :]
        finds = (finder.find_spec for finder in behind if hasattr(finder, "find_spec"))
        specs = (find(name, path, target) for find in finds)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and hasattr(spec.loader, "exec_module"):
            watched: Any = _Loader(spec.loader)
            spec.loader = watched
        return spec


class _Loader:
    """Stands in the place of a module's loader until that has loaded it."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        name = module.__name__
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        with _lock:
            told = _waiting.pop(name, ())
        for hear in told:
            hear(sys.modules.get(name, module))


_finder: Any = _Finder()
