"""One library: where it is entered, and whether it is on."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import threading
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from spanlog.instrument.imports import when_imported
from spanlog.instrument.in_place import InPlace
from spanlog.instrument.patch import ABSENT, Derived, Hooked, Patch
from spanlog.instrument.patched import patched
from spanlog.instrument.target import Hook, Target, Wrapper
from spanlog.safety import logger, report


def prepare() -> None:
    """Import what records and what keeps it; `autolog()` does not need them before a library."""
    from spanlog.record.recorder import default_recorder

    recorder = default_recorder()
    if recorder.sink is None:  # else the program has said what keeps it
        sys.modules["spanlog"]._keep()  # not imported: the floors above are the package's to know
    recorder.prepare()


class Integration:
    """One library: where it is entered, and whether it is on.

    Args:
        library: The name it goes by here: `spanlog.<library>`.
        module: The module that a program imports.
        install: What pip installs.
        targets: The functions to wrap, and the library's own hooks. A function that this version
            of the library lacks is left out.
        tested: The oldest and the newest version that it is tested with.
    """

    def __init__(
        self,
        library: str,
        module: str,
        install: str,
        *targets: Target | Hook,
        tested: tuple[str, str] | None = None,
    ) -> None:
        self.library = library
        self.module = module
        self.install = install
        self.targets = targets
        self.tested = tested
        self.on = False
        self.explicit = False
        self.silent = False
        self._lock = threading.RLock()
        self._patches: dict[Target | Hook, Patch | InPlace | Derived | Hooked] = {}
        self._awaited: set[str] = set()

    def autolog(self, log_traces: bool = True, disable: bool = False, silent: bool = False) -> None:
        """Trace the calls made with this library: `spanlog.<library>.autolog()`.

        Args:
            log_traces: False turns tracing off and puts the library's own functions back.
            disable: True does the same; both are there because MLflow has both.
            silent: True keeps warnings about the library to itself.

        Raises:
            ImportError: The library is not installed.
        """
        on = log_traces and not disable
        if on and not self.installed():
            raise ImportError(
                f"spanlog.{self.library}.autolog() needs {self.module}, which is not installed: "
                f"pip install {self.install}"
            )
        self.explicit = True
        self.switch(on, silent)

    def installed(self) -> bool:
        """Say whether the library can be imported, without importing it."""
        if sys.modules.get(self.module) is not None:
            return True
        try:
            return importlib.util.find_spec(self.module) is not None
        except ModuleNotFoundError:
            return False

    def switch(self, on: bool, silent: bool = False) -> None:
        """Turn it on or off; either twice is as good as once."""
        with self._lock:
            self.on, self.silent = on, silent
            if on:
                for module in dict.fromkeys(target.module for target in self.targets):
                    self._patch_when_imported(module)
            else:
                last_first = reversed(self._patches.items())  # one may wrap what another did
                self._patches = {t: patch for t, patch in last_first if not patch.undo()}

    def _patch_when_imported(self, module: str) -> None:
        if module in sys.modules:
            self._patch(sys.modules[module])
        elif module not in self._awaited:
            self._awaited.add(module)
            when_imported(module, self._imported)

    def _imported(self, module: ModuleType) -> None:
        try:
            with self._lock:
                if self.on:
                    self._patch(module)
        except Exception as error:  # noqa: BLE001 - the guard: the import must not fail
            report(error, f"preparing {module.__name__}")

    def _patch(self, module: ModuleType) -> None:
        """Wrap the targets of a module that is imported now."""
        if module.__name__.partition(".")[0] not in sys.stdlib_module_names:
            prepare()  # with a library that will be recorded, not without
        targets = [target for target in self.targets if target.module == module.__name__]
        found = [self._apply(target, module) for target in targets]
        if not any(found) and not self.silent:
            logger.warning(
                "spanlog: this version of %s has none of the functions that spanlog knows in %s; "
                "its calls are not recorded",
                self.module,
                module.__name__,
            )

    def _apply(self, target: Target | Hook, module: ModuleType) -> bool:
        if target in self._patches:
            return True
        if isinstance(target, Hook):
            self._patches[target] = Hooked(target.install(module))
            return True
        *path, name = target.at.partition(":")[2].split(".")
        owner: Any = module
        for part in path:
            owner = getattr(owner, part, None)
        call = self._switched(target.wrapper)
        if target.derived and owner is not None:
            self._patches[target] = Derived(owner, name, call)
            return True
        original = inspect.getattr_static(owner, name, ABSENT)
        if original is ABSENT:
            logger.debug("spanlog: %s is not there", target.at)
            return False
        if target.in_place and isinstance(original, FunctionType):
            if not self._is_in_place(original):
                self._patches[target] = InPlace(original, call)
            return True
        wrapper = patched(original, call, owner, name)
        self._patches[target] = Patch(owner, name, vars(owner).get(name, ABSENT), wrapper)
        setattr(owner, name, wrapper)
        return True

    def _is_in_place(self, function: FunctionType) -> bool:
        """Say whether a function is changed already, by another of the names that it goes by."""
        changed = (patch for patch in self._patches.values() if isinstance(patch, InPlace))
        return any(patch.function is function for patch in changed)

    def _switched(self, wrapper: Wrapper) -> Wrapper:
        """Return the wrapper so that it does nothing while the integration is off."""

        def switched(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
            if self.on:
                return wrapper(wrapped, instance, args, kwargs)
            return wrapped(*args, **kwargs)

        return switched
