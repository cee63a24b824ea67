"""`spanlog integrations`: which libraries are traced, and how far."""

from __future__ import annotations

import inspect
import platform
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import TYPE_CHECKING

import click
from rich.text import Text

from spanlog.cli.output import put, put_json, table
from spanlog.cli.store import json_option
from spanlog.instrument.registry import Entry, entries

if TYPE_CHECKING:
    from spanlog.instrument.integration import Integration


@dataclass(frozen=True)
class _Listed:
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


def _listed(entry: Entry) -> _Listed:
    try:
        home = entry.load()
        integration: Integration = home.integration
    except Exception as error:  # noqa: BLE001 - others' integrations may be broken
        broken = f"cannot be loaded: {type(error).__name__}: {error}"
        return _Listed(entry.name, None, None, None, False, broken)
    return _Listed(
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


@click.command()
@json_option
def integrations(as_json: bool) -> None:
    """List the libraries that spanlog.autolog() traces in this environment.

    \b
      spanlog integrations            what is installed, what is tested, what is covered
      spanlog integrations --json     the same for programs

    Those of other packages are listed, too: they have an entry point "spanlog.integrations".
    """
    found = [_listed(entry) for _, entry in sorted(entries().items())]
    if as_json:
        for each in found:
            put_json(asdict(each))
        return
    headings = ("library", "", "installed", "tested", "covers")
    put(table(headings, [_cells(each) for each in found], fixed=4), cut=True)


def _cells(each: _Listed) -> list[str | Text]:
    return [
        Text(each.name, "bold" if each.on else "dim"),
        Text("on", "green") if each.on else Text("off", "dim"),
        each.installed or "-",
        " to ".join(each.tested) if each.tested else "",
        each.covers,
    ]
