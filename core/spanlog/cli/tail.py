"""`spanlog tail`: traces as they come."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from spanlog.cli.store import (
    condition,
    filter_options,
    find,
    json_option,
    location,
    place,
    quoted,
    store_option,
)
from spanlog.entities import TraceState
from spanlog.store import exists, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from rich.text import Text

    from spanlog.entities import Trace
    from spanlog.store.sql import SqlStore

_PAUSE = 0.3  # seconds between looks
# A trace is seen later than it begins: written a while after, by clocks that are not quite ours.
_LATE = 15_000  # ms


@click.command()
@click.argument("filter", default="", metavar="[FILTER]")
@filter_options
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(0),
    default=10,
    help="How many old ones.",
    show_default=True,
)
@click.option("--tree", is_flag=True, help="Show each trace as a tree when it has ended.")
@store_option
@json_option
def tail(
    filter: str,  # noqa: A002 - the name that users see
    experiment: str | None,
    since: int | None,
    before: int | None,
    lines: int,
    tree: bool,
    store: str | None,
    as_json: bool,
) -> None:
    """Show traces as they come.

    Each has a line when it is first seen running, and one when it has ended.

    \b
      spanlog tail
      spanlog tail --tree "name = 'agent'"
      spanlog tail -n 0 --json "status = 'ERROR'"

    Begin before your program: where there is no store yet, it waits for one. End it with Ctrl-C.
    """
    from spanlog.cli.output import cells, listed, put, put_json

    where = condition(filter, experiment, since, before)
    try:
        for trace in _changes(location(store), where, lines):
            if tree and trace.info.state is TraceState.IN_PROGRESS:
                continue
            if as_json:
                put_json(trace.to_dict() if tree else listed(trace))
            elif tree:
                put(trace, "")
            else:
                put(_line(cells(trace)), cut=True)
    except KeyboardInterrupt:
        sys.exit(130)


def _changes(url: str, where: str, lines: int) -> Iterator[Trace]:
    """Give some old traces, then each when it is first seen and when its state has changed."""
    states: dict[str, TraceState] = {}
    looked = _now()
    if not exists(url):
        click.echo(f"Waiting for {place(url)} …", err=True)
    else:
        store = open_store(url)
        recent = find(store, _all(where, _since(looked)))
        old = find(store, where, lines) if lines else []
        states = {trace.info.trace_id: trace.info.state for trace in [*recent, *old]}
        yield from _whole(store, reversed(old))
    while True:
        time.sleep(_PAUSE)
        if not exists(url):  # not yet, or no longer
            continue
        store = open_store(url)
        running = [id_ for id_, state in states.items() if state is TraceState.IN_PROGRESS]
        meant, looked = _since(looked), _now()
        if running:
            meant = f"({meant} OR trace_id IN ({', '.join(map(quoted, running))}))"
        found = find(store, _all(where, meant))
        news = [t for t in reversed(found) if states.get(t.info.trace_id) is not t.info.state]
        states = {trace.info.trace_id: trace.info.state for trace in found}
        for trace in _whole(store, news):
            states[trace.info.trace_id] = trace.info.state
            yield trace


def _now() -> int:
    return time.time_ns() // 1_000_000


def _since(looked: int) -> str:
    return f"timestamp_ms >= {looked - _LATE}"


def _all(*parts: str) -> str:
    return " AND ".join(filter(None, parts))


def _whole(store: SqlStore, light: Iterable[Trace]) -> Iterator[Trace]:
    """Read traces again, with their spans."""
    return (trace for one in light if (trace := store.get(one.info.trace_id)))


def _line(cells: Sequence[Text]) -> Text:
    """Return a line whose first columns are below each other."""
    from rich.text import Text

    widths = (12, 11, 8)
    rest = [cell for cell in cells[len(widths) :] if cell]
    return Text("  ").join([*map(_padded, cells, widths), *rest])


def _padded(cell: Text, width: int) -> Text:
    cell.pad_right(width - cell.cell_len)
    return cell
