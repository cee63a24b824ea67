"""What a search says that it cannot understand."""

from __future__ import annotations

import difflib
import reprlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


_AROUND = 25_000  # characters of a filter that are shown on each side of a place
_quoting = reprlib.Repr()
_quoting.maxstring = 200


class FilterError(ValueError):
    """A filter, an order or a page token cannot be understood; the message shows where."""


def misread(text: str, start: int, problem: str) -> FilterError:
    """Return the error that points at a place in a filter."""
    line = text.rfind("\n", 0, start) + 1
    begin = max(line, start - _AROUND)
    after, *_ = text[start : start + _AROUND].split("\n")
    shown = ("..." if begin > line else "") + text[begin:start]
    place = f"{shown}{after}\n{' ' * len(shown)}^"
    return FilterError(f"the filter does not parse at character {start}: {problem}\n{place}")


def quoted(text: str) -> str:
    """Return a text as an error quotes it: without its middle where it is long."""
    return _quoting.repr(text)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the sentence that leads from a wrong word to a right one."""
    known = list(known)
    near = difflib.get_close_matches(word, known, 1)
    return f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
