"""What a search says that it cannot understand."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class FilterError(ValueError):
    """A filter, an order or a page token cannot be understood; the message shows where."""


def misread(text: str, start: int, problem: str) -> FilterError:
    """Return the error that points at a place in a filter."""
    place = f"{text}\n{' ' * start}^"
    return FilterError(f"the filter does not parse at character {start}: {problem}\n{place}")


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the sentence that leads from a wrong word to a right one."""
    known = list(known)
    near = difflib.get_close_matches(word, known, 1)
    return f"Did you mean {near[0]}?" if near else f"There are {', '.join(known)}."
