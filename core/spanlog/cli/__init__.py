"""The command line: `spanlog`, a module for each job. `app` puts them together."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    try:
        from spanlog.cli.app import spanlog
    except ModuleNotFoundError as error:
        if error.name not in ("click", "rich"):
            raise
        sys.exit("the command line needs two more packages: pip install 'spanlog[cli]'")
    try:
        spanlog()
    except OSError as error:  # what is printed cannot be written: the disk is full, say
        sys.exit(f"Error: {error.strerror or error}")
