"""`spanlog integrations`: which libraries are traced, and how far."""

from __future__ import annotations

from dataclasses import asdict

import click
from rich.text import Text

from spanlog.cli.output import put, put_json, table
from spanlog.cli.store import json_option
from spanlog.instrument.listing import Listed, listed


@click.command()
@json_option
def integrations(as_json: bool) -> None:
    """List the libraries that spanlog.autolog() traces in this environment.

    \b
      spanlog integrations            what is installed, what is tested, what is covered
      spanlog integrations --json     the same for programs

    Those of other packages are listed, too: they have an entry point "spanlog.integrations".
    """
    found = list(listed())
    if as_json:
        for each in found:
            put_json(asdict(each))
        return
    headings = ("library", "", "installed", "tested", "covers")
    put(table(headings, [_cells(each) for each in found], fixed=4), cut=True)


def _cells(each: Listed) -> list[str | Text]:
    return [
        Text(each.name, "bold" if each.on else "dim"),
        Text("on", "green") if each.on else Text("off", "dim"),
        each.installed or "-",
        " to ".join(each.tested) if each.tested else "",
        each.covers,
    ]
