"""`spanlog datasets`: golden sets, which are listed, shown, added to, deleted."""

from __future__ import annotations

import sys

import click

from spanlog.cli.store import (
    condition,
    filter_options,
    find,
    json_option,
    opened,
    place,
    store_option,
)


@click.group(invoke_without_command=True)
@store_option
@json_option
@click.pass_context
def datasets(context: click.Context, store: str | None, as_json: bool) -> None:
    """List golden sets; add traces to them, show and delete them.

    \b
      spanlog datasets
      spanlog datasets add golden "feedback.correct = true" --since 7d
      spanlog datasets show golden
      spanlog datasets show golden --json > golden.jsonl
      spanlog datasets delete golden

    A dataset holds what went into and came out of traces, and what was expected of them
    (`spanlog.log_expectation`). These are copies: they stay when the traces change or are
    deleted. Ends with 1 if there are none.
    """
    if context.invoked_subcommand:  # what is said here holds for what comes after it
        said = {"store": store, "as_json": as_json}
        context.default_map = {context.invoked_subcommand: said}
        return
    from spanlog.cli.output import put, put_json, table, when

    found = opened(store).dataset_sizes()
    if as_json:
        for one in found:
            put_json(one._asdict())
    elif found:
        rows = [[when(one.create_time_ms), f"{one.records:,}", one.name] for one in found]
        put(table(("made", ">traces", "name"), rows, fixed=2))
    else:
        click.echo("There are no datasets yet.", err=True)
    sys.exit(0 if found else 1)


@datasets.command()
@click.argument("name")
@store_option
@json_option
def show(name: str, store: str | None, as_json: bool) -> None:
    """Show what is in a dataset: inputs, outputs, what was expected, the trace it is of.

    \b
      spanlog datasets show golden
      spanlog datasets show golden --json > golden.jsonl
      spanlog datasets show golden --json | jq .inputs

    Ends with 1 if there is none of that name, or nothing is in it.
    """
    from spanlog.cli.output import SHORT, flat, put, put_json, table

    there = opened(store)
    found = next(iter(there.datasets(name)), None)
    if found is None:
        raise click.ClickException(f"there is no dataset {name!r} in {place(there.url)}")
    if as_json:
        for record in found.records:
            put_json(vars(record))
    elif found.records:
        rows = [
            [
                record.trace_id[-SHORT:],
                *(flat(value) for value in (record.inputs, record.outputs, record.expectations)),
            ]
            for record in found.records
        ]
        put(table(("trace", "inputs", "outputs", "expected"), rows, fixed=1))
    else:
        click.echo("There is nothing in it.", err=True)
    sys.exit(0 if found.records else 1)


@datasets.command()
@click.argument("name")
@click.argument("filter", default="", metavar="[FILTER]")
@filter_options
@click.option("-n", "--limit", type=click.IntRange(1), help="How many at most; all by default.")
@store_option
@json_option
def add(
    name: str,
    filter: str,  # noqa: A002 - the name that users see
    experiment: str | None,
    since: int | None,
    before: int | None,
    limit: int | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Add traces to a dataset, or those that fit a FILTER, the newest first.

    It is made if there is none of that name. Traces that are in it already stay as they are, so
    adding twice changes nothing.

    \b
      spanlog datasets add golden "feedback.correct = true"
      spanlog datasets add refunds "trace.text LIKE '%refund%'" --since 7d -n 50

    Ends with 1 if there are no such traces.
    """
    where = condition(filter, experiment, since, before)
    there = opened(store)
    ids = [trace.trace_id for trace in find(there, where, limit)]
    if not ids:
        click.echo("There are no such traces.", err=True)
        sys.exit(1)
    if name in (one.name for one in there.dataset_sizes()):
        added = there.keep_more(name, ids)
    else:
        added = len(there.keep(name, ids).records)
    skipped = len(ids) - added
    if as_json:
        from spanlog.cli.output import put_json

        put_json({"name": name, "added": added, "skipped": skipped})
    else:
        known = f"; {skipped:,} were there already" if skipped else ""
        click.echo(f"Added {added:,} to {name}{known}.", err=True)


@datasets.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@store_option
@json_option
def delete(name: str, yes: bool, store: str | None, as_json: bool) -> None:
    """Delete a dataset for good, after asking. The traces it was taken from stay.

    \b
      spanlog datasets delete golden
      spanlog datasets delete golden --yes

    Ends with 1 if there is none of that name, or if you say no.
    """
    there = opened(store)
    size = next((one.records for one in there.dataset_sizes() if one.name == name), None)
    if size is None:
        raise click.ClickException(f"there is no dataset {name!r} in {place(there.url)}")
    if not yes:
        count = f"{size:,} trace{'' if size == 1 else 's'}"
        question = f"Delete dataset {name} with {count} from {place(there.url)}?"
        click.confirm(question, abort=True, err=True)
    there.delete_dataset(name)
    if as_json:
        from spanlog.cli.output import put_json

        put_json({"deleted": name})
    else:
        click.echo(f"Deleted {name}.")
