"""`spanlog run`: record a program as it is.

Python itself runs the program, in place of this process: what it sees of its arguments, its
`__main__`, its stack and its end is as ever. Only `startup/sitecustomize.py` runs before it, which
Python looks for wherever PYTHONPATH says, and which turns recording on.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from spanlog.cli.store import location, store_option

_STARTUP = str(Path(__file__).parent / "startup")


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    options_metavar="[--store PATH] [--experiment NAME]",
)
@click.argument("program", nargs=-1, required=True, type=click.UNPROCESSED)
@store_option
@click.option("--experiment", metavar="NAME", help="The experiment that the traces belong to.")
def run(program: tuple[str, ...], store: str | None, experiment: str | None) -> None:
    """Run a Python program and record what it does.

    \b
      spanlog run agent.py --question "And tomorrow?"
      spanlog run -m agents.weather
      spanlog run --store ci.db -m pytest

    PROGRAM is what you would write after `python`. The program is not changed: as if it began with
    spanlog.autolog(). So do the Python programs that it starts.
    """
    if sys.flags.ignore_environment or sys.flags.no_site:
        raise click.UsageError("python -E, -I and -S leave no way into the program")
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [_STARTUP, os.environ.get("PYTHONPATH")])),
        "SPANLOG_TRACKING_URI": location(store),
    }
    if experiment:
        environment["SPANLOG_EXPERIMENT_NAME"] = experiment
    command = [sys.executable, *_interpreter_options(), *program]
    if os.name == "nt":  # where exec returns to the shell at once
        sys.exit(subprocess.call(command, env=environment))  # noqa: S603
    sys.stdout.flush()
    os.execve(sys.executable, command, environment)  # noqa: S606


def _interpreter_options() -> list[str]:
    """Return what was said to this Python itself, as in `python -X dev -m spanlog run`."""
    options = sys.orig_argv[1 : -len(sys.argv)]
    return options[:-1] if options[-1:] == ["-m"] else options
