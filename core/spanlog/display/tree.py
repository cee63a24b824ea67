"""A trace as a tree of text, for `print` and for rich."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from spanlog.characters import printable
from spanlog.display.outline import Outline, Row

if TYPE_CHECKING:
    import rich.tree

    from spanlog.model.trace import Trace

_WIDTH = 100
_KIND = 16  # columns that the span type has at most
_NOTE = 34  # columns that tokens and error have at least, where they need them
# Deeper spans are not indented further, and say how deep they are.
_DEEPEST = 8

_COLOURS = {
    "model": "cyan",
    "agent": "magenta",
    "tool": "yellow",
    "search": "green",
    "check": "blue",
    "other": "bright_black",
}


def render(trace: Trace) -> str:
    """Return a trace as text: a line for the trace and one for each span."""
    outline = Outline(trace)
    head = [
        _cut(outline.name, _WIDTH // 3),
        outline.state,
        outline.took,
        outline.tokens,
        outline.trace_id,
    ]
    lines = ["  ".join(filter(None, head))]
    rows = outline.rows
    kinds, kind_width = _column([row.kind for row in rows], _KIND)
    notes = [_note(row) for row in rows]
    took_width = max((len(row.took) for row in rows), default=0)
    room = _WIDTH - kind_width - took_width - 3 * len("  ")
    note_width = min(max(map(_width, notes), default=0), _NOTE)
    names, name_width = _column(
        [lead + row.name for lead, row in zip(_leads(rows), rows, strict=True)], room - note_width
    )
    for name, kind, row, note in zip(names, kinds, rows, notes, strict=True):
        cells = [name, kind, row.took.rjust(took_width), _cut(note, room - name_width)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def rich_tree(trace: Trace, encoding: str = "utf-8") -> rich.tree.Tree:
    """Return a trace as a tree that rich prints in colour, in characters that can be encoded."""
    from rich.text import Text
    from rich.tree import Tree

    def said(text: str) -> str:
        return printable(text, encoding)

    outline = Outline(trace)
    colour = {"OK": "green", "ERROR": "red"}.get(outline.state, "yellow")
    label = Text.assemble((said(outline.name), "bold"), "  ", (outline.state, colour))
    for figure in (outline.took, outline.tokens, outline.trace_id):
        if figure:
            label.append(said(f"  {figure}"), "dim")
    above = [Tree(label, guide_style="bright_black")]
    for row in outline.rows:
        depth = min(row.depth, _DEEPEST)
        label = Text(said(_deep(row) + row.name), "red" if row.error else "")
        if row.kind:
            label.append(said(f"  {row.kind}"), _COLOURS[row.family])
        label.append(said(f"  {row.took}"), "dim" if row.span.end_time_ns else "yellow")
        if note := _note(row):
            label.append(said(f"  {note}"), "red" if row.error else "dim")
        del above[depth + 1 :]
        above.append(above[depth].add(label))
    return above[0]


def _leads(rows: list[Row]) -> list[str]:
    """Return for each row the lines that join it to the rows above."""
    guides: list[str] = []
    leads = []
    for row in rows:
        del guides[row.depth :]
        shown = "".join(guides[-_DEEPEST:])
        if deep := _deep(row):
            shown = shown[len(deep) :]
        leads.append(f"{deep}{shown}{'└─ ' if row.last else '├─ '}")
        guides.append("   " if row.last else "│  ")
    return leads


def _deep(row: Row) -> str:
    return f"…{row.depth} " if row.depth > _DEEPEST else ""


def _note(row: Row) -> str:
    error = f"✗ {row.error}" if row.error else ""
    orphan = "(parent missing)" if row.orphan else ""
    return "  ".join(filter(None, [row.tokens, orphan, row.note, error]))


def _width(text: str) -> int:
    """Return how many columns a terminal needs for a text."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _cut(text: str, columns: int) -> str:
    if _width(text) <= columns:
        return text
    text = text[: columns - 1]
    while _width(text) > columns - 1:
        text = text[:-1]
    return text + "…"


def _column(texts: list[str], widest: int) -> tuple[list[str], int]:
    """Give texts the same width, and say which."""
    texts = [_cut(text, widest) for text in texts]
    width = max(map(_width, texts), default=0)
    return [text + " " * (width - _width(text)) for text in texts], width
