"""Which integrations there are, spanlog's own and others', and all of them turned on at once.

A package makes an integration known by entry points. Those of the group "spanlog.integrations" have
the name that it goes by in `spanlog`, and name the module that holds `integration` and `autolog`.
That module is loaded when the library is imported. Where the library's module is not called like
the integration, entry points of the group "spanlog.modules" have the name of the library's module,
and name the integration.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from spanlog.instrument.declared import declared
from spanlog.instrument.imports import when_imported
from spanlog.safety import warn_once

if TYPE_CHECKING:
    from spanlog.instrument.integration import Integration

# The package of spanlog's own, for a checkout of the source that is not installed.
OWN = "spanlog_integrations"


class Entry:
    """An integration, which may not be loaded yet.

    Args:
        name: What it goes by: `spanlog.<name>`.
        home: The module that holds `integration` and `autolog`.
        modules: The library's modules, of which the first to be imported has it loaded.
    """

    def __init__(self, name: str, home: str, modules: Iterable[str]) -> None:
        self.name = name
        self.home = home
        self.modules = tuple(modules)
        self._lock = threading.RLock()
        self._integration: Integration | None = None
        self._wanted: tuple[bool, bool] | None = None  # on, and silent; None: nobody has said
        self._waits = False

    def load(self) -> ModuleType:
        """Return the module that holds the integration, which is on if `autolog()` was called."""
        home = import_module(self.home)
        with self._lock:
            self._integration = home.integration
            self._apply()
        return home

    def switch(self, on: bool, silent: bool) -> None:
        """Turn it on or off, now or when its library is imported; not if it was told by itself."""
        with self._lock:
            self._wanted = on, silent
            must_wait = on and not self._waits and not self._is_imported()
            self._waits = self._waits or must_wait
        if must_wait:
            for module in self.modules:
                when_imported(module, self._hear)
        self._hear()

    def _is_imported(self) -> bool:
        return any(module in sys.modules for module in self.modules)

    def _apply(self) -> None:
        integration, wanted = self._integration, self._wanted
        if integration is None or wanted is None or integration.explicit:
            return
        if self._is_imported() or not wanted[0]:
            integration.switch(*wanted)

    def _hear(self, _module: ModuleType | None = None) -> None:
        """Do what is wanted; of a library that is imported, that may take the integration."""
        needs = self._wanted is not None and self._wanted[0] and self._is_imported()
        if self._integration is None and not needs:
            return
        try:
            self.load()
        except Exception as error:  # noqa: BLE001 - it may be anybody's; the library's import goes on
            warn_once(
                f"integration {self.name}",
                "spanlog: the integration %s (%s) cannot be loaded; %s is not traced (%s: %s)",
                self.name,
                self.home,
                " or ".join(self.modules),
                type(error).__name__,
                error,
            )


@cache
def entries() -> dict[str, Entry]:
    """Return all integrations by name."""
    own: dict[str, tuple[str, ...]] = import_module(OWN).LIBRARIES
    found = {name: Entry(name, f"{OWN}.{name}", modules) for name, modules in own.items()}
    for name, home, modules in declared():
        if name not in found:
            found[name] = Entry(name, home, modules)
        elif home != found[name].home:
            warn_once(
                f"integration {name} {home}",
                "spanlog: the integration %s (%s) is passed over: that name is %s's",
                name,
                home,
                found[name].home,
            )
    return found


def find(name: str) -> ModuleType:
    """Return the module of an integration: what `spanlog.<name>` is.

    Raises:
        KeyError: There is none of that name.
        ImportError: It cannot be loaded.
    """
    return entries()[name].load()


def autolog(log_traces: bool = True, disable: bool = False, silent: bool = False) -> None:
    """Trace every supported library, whether imported already or later.

    Those are the libraries that spanlog has an integration for, and those that other installed
    packages have one for. A library that was turned on or off by its own
    `spanlog.<library>.autolog()` stays as it was.

    Args:
        log_traces: False turns tracing off and puts the libraries' own functions back.
        disable: True does the same; both are there because MLflow has both.
        silent: True keeps warnings about libraries to itself.
    """
    for entry in entries().values():
        entry.switch(log_traces and not disable, silent)
