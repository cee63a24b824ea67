"""What installed packages declare of integrations, by entry points."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.machinery import PathFinder

from spanlog.safety import warn_once

GROUP = "spanlog.integrations"
MODULES = "spanlog.modules"


def declared() -> list[tuple[str, str, list[str]]]:
    """Return of each integration its name, the module that has it, and the library's modules."""
    if not _may_be_some():
        return []
    from importlib.metadata import entry_points

    try:
        points = entry_points()
        integrations, modules = points.select(group=GROUP), points.select(group=MODULES)
    except Exception as error:  # noqa: BLE001 - what is installed may be broken
        warn_once("entry points", "spanlog: the installed packages cannot be read: %r", error)
        return []
    of: dict[str, list[str]] = {}
    for module in modules:
        of.setdefault(module.value, []).append(module.name)
    return [(point.name, point.value, of.get(point.name, [point.name])) for point in integrations]


def _may_be_some() -> bool:
    """Say whether a package but spanlog may declare some.

    `importlib.metadata` knows for sure, but takes 40 ms to be imported and to read all packages. A
    look at the files is as good where packages lie in folders, which is as pip installs them; not
    by `pathlib`, for the same reason.
    """
    for finder in sys.meta_path:
        if finder is not PathFinder and hasattr(finder, "find_distributions"):
            return True
    return any(map(_may_be_some_in, sys.path))


def _may_be_some_in(place: str) -> bool:
    folder = place or "."
    if not os.path.isdir(folder):  # noqa: PTH112
        return os.path.exists(folder)  # noqa: PTH110 - an archive
    wanted = GROUP.encode()
    return any(wanted in text and b"spanlog_integrations." not in text for text in _texts(folder))


def _texts(folder: str) -> Iterator[bytes]:
    with suppress(OSError), os.scandir(folder) as found:
        for entry in found:
            if entry.name.endswith((".dist-info", ".egg-info")):
                path = f"{entry.path}/entry_points.txt"
                with suppress(OSError), open(path, "rb") as file:  # noqa: PTH123
                    yield file.read()
