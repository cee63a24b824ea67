"""`spanlog delete`: delete traces for good."""

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
    trace_id,
)


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--filter", metavar="FILTER", help="Those that fit a filter.")
@filter_options
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@store_option
@json_option
def delete(
    ids: tuple[str, ...],
    filter: str | None,  # noqa: A002 - the name that users see
    experiment: str | None,
    since: int | None,
    before: int | None,
    yes: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Delete traces for good, after asking.

    Those with the IDs, or all that fit what the options say.

    \b
      spanlog delete last
      spanlog delete 0f0ac785 81aa90b2
      spanlog delete --before 30d --yes
      spanlog delete --filter "tags.env = 'test'" --experiment nightly

    Ends with 1 if there are none, or if you say no.
    """
    where = condition(filter, experiment, since, before)
    if bool(ids) == bool(where.node):
        raise click.UsageError("say which traces: by their IDs, or by options like --before")
    there = opened(store)
    doomed = [trace_id(there, id_) for id_ in ids]
    if where.node:
        doomed = [trace.info.trace_id for trace in find(there, where)]
    if not doomed:
        click.echo("There are no such traces.", err=True)
        sys.exit(1)
    if not yes:
        count = f"{len(doomed):,} traces" if len(doomed) > 1 else f"trace {doomed[0]}"
        click.confirm(f"Delete {count} from {place(there.url)}?", abort=True, err=True)
    deleted = there.delete(trace_ids=doomed)
    if as_json:
        from spanlog.cli.output import put_json

        put_json({"deleted": doomed})
    else:
        click.echo(f"Deleted {deleted:,}.")
