"""The commands, together. It ends with 0 when it found something, 1 when not, 2 when misused."""

from __future__ import annotations

from typing import Any

import click
import rich  # noqa: F401 - every command prints with it: to miss it now gives a clear error

import spanlog as package
from spanlog.cli.datasets import datasets
from spanlog.cli.delete import delete
from spanlog.cli.demo import demo
from spanlog.cli.export import export
from spanlog.cli.import_ import import_
from spanlog.cli.integrations import integrations
from spanlog.cli.run import run
from spanlog.cli.show import show
from spanlog.cli.stats import stats
from spanlog.cli.tail import tail
from spanlog.cli.traces import traces
from spanlog.cli.ui import ui
from spanlog.errors import Unavailable


class _Group(click.Group):
    """Commands in the order in which they were added; what is wrong with a store is said."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Unavailable as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package.__version__, message="%(prog)s %(version)s")
def spanlog() -> None:
    """Record what a GenAI program does, and look at it.

    \b
      spanlog run agent.py                  record a program as it is
      spanlog traces "status = 'ERROR'"     find what went wrong
      spanlog show last --io                see what was said
      spanlog ui                            or look at it in the browser

    Traces are kept in ./spanlog.db; SPANLOG_TRACKING_URI or --store names another place. With
    --json a command prints JSON, a line for each thing found. It ends with 0 if it found or did
    something, with 1 if not, with 2 if it was misused.
    """


for _command in (
    demo,
    run,
    traces,
    show,
    tail,
    stats,
    ui,
    export,
    import_,
    datasets,
    delete,
    integrations,
):
    spanlog.add_command(_command)
