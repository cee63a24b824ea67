"""What there is to be said of each integration, for people who look what is traced."""

from __future__ import annotations

import inspect
import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from spanlog.instrument.integration import Integration
from spanlog.instrument.registry import Entry, entries


@dataclass(frozen=True)
class Listed:
    """An integration.

    Attributes:
        name: What it goes by: `spanlog.<name>`.
        install: What pip installs; None where the integration cannot be loaded.
        installed: The library's version, where it is installed.
        tested: The oldest and the newest version that the integration is tested with.
        on: Whether `spanlog.autolog()` traces the library here.
        covers: What is covered, or what is wrong.
    """

    name: str
    install: str | None
    installed: str | None
    tested: tuple[str, str] | None
    on: bool
    covers: str


def listed() -> Iterator[Listed]:
    """Yield what there is, by name; it loads the integrations, not their libraries."""
    for _, entry in sorted(entries().items()):
        yield _listed(entry)


def _listed(entry: Entry) -> Listed:
    try:
        home = entry.load()
        integration: Integration = home.integration
    except Exception as error:  # noqa: BLE001 - others' integrations may be broken
        broken = f"cannot be loaded: {type(error).__name__}: {error}"
        return Listed(entry.name, None, None, None, False, broken)
    return Listed(
        entry.name,
        integration.install,
        _version(integration),
        integration.tested,
        integration.installed(),
        (inspect.getdoc(home) or "").partition("\n\n")[0].replace("\n", " "),
    )


def _version(integration: Integration) -> str | None:
    if integration.module in sys.stdlib_module_names:
        return platform.python_version()
    try:
        return metadata.version(integration.install)
    except metadata.PackageNotFoundError:
        return None
