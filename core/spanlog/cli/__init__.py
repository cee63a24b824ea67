"""The command line: `spanlog`, a module for each job. `app` puts them together."""

from __future__ import annotations

import io
import os
import sys


def main() -> None:
    """Run the command line."""
    try:
        from spanlog.cli.app import spanlog
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit("the command line needs two more packages: pip install 'spanlog[cli]'")
    _write_any_character()
    try:
        try:
            spanlog()
        finally:
            if sys.stdout:
                sys.stdout.flush()  # as it ends, Python would find out too late
    except BrokenPipeError:  # whoever reads has seen enough
        _forget_output()
        sys.exit(1)
    except OSError as error:  # what is printed cannot be written: the disk is full, say
        _forget_output()
        sys.exit(f"Error: {error.strerror or error}")


def _write_any_character() -> None:
    from spanlog.characters import PLAIN

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=PLAIN)


def _forget_output() -> None:
    """Have Python not try once more to write what cannot be written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
