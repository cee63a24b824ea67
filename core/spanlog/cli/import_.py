"""`spanlog import`: read traces from files."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from spanlog.cli.store import json_option, location, place, store_option


@click.command("import")
@click.argument(
    "paths",
    nargs=-1,
    required=True,
    metavar="PATH...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--experiment", metavar="NAME", help="Put them into this experiment.")
@click.option(
    "--trace-mb",
    type=click.FloatRange(min=0),
    metavar="MB",
    help="How many megabytes a trace may take; 50, or SPANLOG_IMPORT_TRACE_MB.",
)
@store_option
@json_option
def import_(
    paths: tuple[Path, ...],
    experiment: str | None,
    trace_mb: float | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Read traces from files that `spanlog export` wrote.

    They come into the experiments they were in, by name, or into the one that is given. Traces
    that are in the store already stay as they are, so importing twice changes nothing. A store is
    made if there is none. Of a file that is broken, or has a trace that is too large, nothing is
    imported; the line is named.

    \b
      spanlog import traces.jsonl.gz
      spanlog import monday.parquet tuesday.parquet --experiment week
      spanlog import traces.jsonl --store copy.db
      spanlog import videos.jsonl --trace-mb 500

    Ends with 1 if a file is broken or has no traces.
    """
    from spanlog.cli.output import put_json
    from spanlog.runtime import default
    from spanlog.transfer import BrokenFileError, import_traces

    there = default().move(location(store))
    empty = False
    for path in paths:
        try:
            done = import_traces(path, experiment, trace_mb)
        except BrokenFileError as error:
            raise click.ClickException(f"{error}. Nothing of this file was imported.") from None
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        except (ImportError, OSError) as error:
            raise click.ClickException(str(error)) from None
        empty = empty or not sum(done)
        if as_json:
            put_json({"path": str(path), **done._asdict()})
        else:
            known = f"; {done.skipped:,} were there already" if done.skipped else ""
            text = f"{path}: imported {done.imported:,} into {place(there.url)}{known}."
            click.echo(text if sum(done) else f"{path}: there are no traces.", err=True)
    sys.exit(1 if empty else 0)
