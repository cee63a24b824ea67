"""`spanlog ui`: the traces in the browser."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from spanlog import runtime
from spanlog.cli.store import location, place, store_option


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=7788,
    show_default=True,
    help="Of the address; 0 for any.",
)
@click.option("--open", "open_", is_flag=True, help="Open the browser, too.")
@store_option
def ui(port: int, open_: bool, store: str | None) -> None:
    """Show the traces in the browser, until Ctrl+C.

    The pages are served on this machine and for this machine only; new traces appear by themselves.

    \b
      spanlog ui
      spanlog ui --open --store ~/runs/spanlog.db
    """
    if not all(map(importlib.util.find_spec, ("starlette", "uvicorn"))):
        raise click.ClickException("the pages need two more packages: pip install 'spanlog[ui]'")
    url = location(store)
    # The pages need not wait until a database could be asked.
    if url.startswith("sqlite:///") and not Path(place(url)).exists():
        raise click.ClickException(
            f"there is no trace store at {place(url)}. "
            "Name one with --store or SPANLOG_TRACKING_URI."
        )
    from spanlog.ui import server

    runtime.default().settings.tracking_uri = url
    server.run(port, click.launch if open_ else None)
