"""`spanlog tail`: traces as they come."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

import click

from spanlog.cli.store import (
    condition,
    exists,
    filter_options,
    find,
    json_option,
    location,
    place,
    store_option,
)
from spanlog.model.trace import TraceState
from spanlog.runtime import default

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.text import Text

    from spanlog.model.trace import Trace
    from spanlog.store.filters import Filter

_PAUSE = 0.3  # seconds between looks: what comes seems to come at once
_RECENT = 15_000  # ms; of these alone it is cheap to say which they are
_AT_ONCE = 500  # traces that are read together, and are in memory then


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

    fits = condition(filter, experiment, since, before)
    try:
        for trace in _changes(location(store), fits, lines, include_spans=tree):
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


def _changes(url: str, fits: Filter, lines: int, *, include_spans: bool) -> Iterator[Trace]:
    """Give some old traces, then each when it is first seen and when its state has changed.

    Not when it began tells whether a trace is new, but that it was not there at the last look: it
    may have been imported, or written when a store could be reached again.
    """
    from spanlog.store.filters import where

    known: dict[str, str] = {}
    looked = _now()
    if not exists(url):
        click.echo(f"Waiting for {place(url)} …", err=True)
    else:
        store = default().move(url)
        known = store.states()
        old = find(store, fits, lines, include_spans=include_spans) if lines else []
        known |= {trace.trace_id: trace.info.state.value for trace in old}
        yield from reversed(old)
    while True:
        time.sleep(_PAUSE)
        if not exists(url):  # not yet, or no longer
            continue
        store = default().move(url)
        counts = store.count_states()
        if counts == Counter(known.values()):
            continue
        since, looked = looked - _RECENT, _now()
        now = known | store.states(since)
        if counts != Counter(now.values()):  # it was not only those that begin now
            now = store.states()
        news = [id_ for id_, state in now.items() if known.get(id_) != state]
        known = now
        for i in range(0, len(news), _AT_ONCE):
            these = fits & where("trace_id", "IN", *news[i : i + _AT_ONCE])
            for trace in reversed(find(store, these, include_spans=include_spans)):
                known[trace.trace_id] = trace.info.state.value
                yield trace


def _now() -> int:
    return time.time_ns() // 1_000_000


def _line(cells: Sequence[Text]) -> Text:
    """Return a line whose first columns are below each other."""
    from rich.text import Text

    widths = (12, 11, 8)
    rest = [cell for cell in cells[len(widths) :] if cell]
    return Text("  ").join([*map(_padded, cells, widths), *rest])


def _padded(cell: Text, width: int) -> Text:
    cell.pad_right(width - cell.cell_len)
    return cell
