"""`spanlog export`: write traces to a file."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from spanlog.cli.store import condition, filter_options, json_option, opened, store_option


@click.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path))
@click.argument("filter", default="", metavar="[FILTER]")
@filter_options
@click.option("-n", "--limit", type=click.IntRange(1), help="How many at most; all by default.")
@store_option
@json_option
def export(
    path: Path,
    filter: str,  # noqa: A002 - the name that users see
    experiment: str | None,
    since: int | None,
    before: int | None,
    limit: int | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Write traces to a file, the newest first, or those that fit a FILTER.

    With all that belongs to them: spans, tags, feedback, attachments. The name of PATH says how:
    .jsonl and .jsonl.gz are JSON lines, .parquet is Parquet. `spanlog import` reads them back.

    \b
      spanlog export traces.jsonl.gz
      spanlog export failed.jsonl "status = 'ERROR'" --since 7d
      spanlog export nightly.parquet --experiment nightly

    A file that is there is replaced. Ends with 1 if there are no such traces.
    """
    from spanlog.store.filters import parse_order
    from spanlog.transfer import write_traces

    where = condition(filter, experiment, since, before)
    there = opened(store)
    try:
        count = write_traces(there, path, there.experiment_ids(), where, parse_order(()), limit)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    except ImportError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from None
    if as_json:
        from spanlog.cli.output import put_json

        put_json({"exported": count, "path": str(path)})
    else:
        click.echo(
            f"Wrote {count:,} to {path}." if count else "There are no such traces.", err=True
        )
    sys.exit(0 if count else 1)
