"""`spanlog traces`: find traces."""

from __future__ import annotations

import sys

import click

from spanlog.cli.store import (
    condition,
    filter_options,
    find,
    json_option,
    none_found,
    opened,
    store_option,
)


@click.command()
@click.argument("filter", default="", metavar="[FILTER]")
@filter_options
@click.option(
    "-n", "--limit", type=click.IntRange(1), default=20, help="How many at most.", show_default=True
)
@click.option(
    "--order-by", multiple=True, metavar="FIELD [DESC]", help="The newest first by default."
)
@store_option
@json_option
def traces(
    filter: str,  # noqa: A002 - the name that users see
    experiment: str | None,
    since: int | None,
    before: int | None,
    limit: int,
    order_by: tuple[str, ...],
    store: str | None,
    as_json: bool,
) -> None:
    """List traces, the newest first, or those that fit a FILTER.

    \b
      spanlog traces --since 1h
      spanlog traces "status = 'ERROR' AND tags.env = 'prod'"
      spanlog traces "span.type = 'TOOL' AND span.duration_ms > 500"
      spanlog traces "trace.text LIKE '%refund%'" --order-by "execution_time_ms DESC"
      spanlog traces "name = 'agent'" --json | jq -r .trace_id

    The id in a line is the end of the whole one; `spanlog show` takes either. Ends with 1 if there
    are none. The README has all fields and operators.
    """
    from spanlog.cli.output import HEADINGS, SPARE, cells, listed, put, put_json, table

    where = condition(filter, experiment, since, before)
    found = find(opened(store), where, limit, order_by)
    if as_json:
        for trace in found:
            put_json(listed(trace))
    elif found:
        put(table(HEADINGS, [cells(trace) for trace in found], fixed=4, spare=SPARE))
        if found.token:
            click.echo(f"\nThere are more than {limit}: --limit shows more of them.", err=True)
    else:
        click.echo(none_found(where), err=True)
    sys.exit(0 if found else 1)
