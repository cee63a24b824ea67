"""How commands print: a line a trace that fits the terminal, or JSON."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spanlog.characters import fits
from spanlog.display.outline import Outline, one_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from spanlog.model.trace import Trace

SHORT = 8  # characters of an id, from its end: it begins with the time
HEADINGS = ("began", "status", ">took", "id", "name", "tokens", "request")
SPARE = {"tokens": 100, "request": 60, ">took": 50}
_LONGEST = 1_000  # characters of a cell: more than any terminal's line
_COLOURS = {"OK": "green", "ERROR": "red"}


def put(*things: RenderableType, cut: bool = False) -> None:
    """Print to the terminal; `cut` lines that do not fit instead of wrapping them."""
    console = Console(highlight=False, soft_wrap=False)
    for thing in things:
        console.print(thing, no_wrap=cut or None, overflow="ellipsis" if cut else None)


def put_json(data: Any) -> None:
    """Print a line of JSON."""
    put_json_text(orjson.dumps(data, default=str).decode())


def put_json_text(text: str) -> None:
    """Print JSON, with escapes where a character cannot be written."""
    click.echo(text if fits(text) else json.dumps(json.loads(text)))


def listed(trace: Trace) -> dict[str, Any]:
    """Return a trace without its spans as JSON data."""
    return {**trace.info.to_dict(), "token_usage": trace.info.token_usage}


def cells(trace: Trace) -> list[Text]:
    """Return what a line says of a trace: when, how, how long, its id, name, tokens, request."""
    outline = Outline(trace)
    return [
        Text(when(trace.info.request_time), "dim"),
        Text(outline.state, _COLOURS.get(outline.state, "yellow")),
        Text(outline.took),
        Text(trace.info.trace_id[-SHORT:], "cyan"),
        Text(outline.name, "bold"),
        Text(outline.tokens, "dim"),
        Text(one_line(trace.info.request_preview or ""), "dim"),
    ]


def flat(value: Any) -> str:
    """Return the beginning of data on one line, a text as it is."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return one_line(text[:_LONGEST])


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    *,
    fixed: int,
    spare: Mapping[str, int] | None = None,
) -> Table:
    """Return a table whose lines are cut where they do not fit.

    Args:
        headings: One for each column; a column with ">" before it is of numbers.
        rows: The cells.
        fixed: How many columns, from the first, are never cut.
        spare: The columns that a narrow terminal does without, and how wide it has to be for each.
    """
    width = Console().width
    shown = [i for i, heading in enumerate(headings) if width >= (spare or {}).get(heading, 0)]
    fixed = sum(i < fixed for i in shown)
    headings = [headings[i] for i in shown]
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for i, heading in enumerate(headings):
        made.add_column(
            heading.removeprefix(">"),
            justify="right" if heading.startswith(">") else "left",
            no_wrap=i < fixed,
        )
    for row in rows:
        made.add_row(*(_uncut(row[i]) for i in shown))
    return made


def _uncut(cell: str | Text) -> Text:
    text = Text(cell) if isinstance(cell, str) else cell
    text.no_wrap, text.overflow = True, "ellipsis"
    return text


def when(ms: int) -> str:
    """Write a time, as short as it can be."""
    then, now = dt.datetime.fromtimestamp(ms / 1_000), dt.datetime.now()
    if then.date() == now.date():
        return f"{then:%H:%M:%S}"
    return f"{then:%b %d %H:%M}" if then.year == now.year else f"{then:%Y-%m-%d}"
