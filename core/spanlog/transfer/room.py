"""How large a trace may be that is imported, so that no file has an import take all memory.

Its size is about what it takes in Python. An import takes a few times as much: a trace is there as
it was read, as values, and as it is written.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from spanlog.transfer.errors import BrokenFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")

VALUE = 40  # bytes that a value is counted as, besides its text
_WIDEST = re.compile(rb"[\xf0-\xff]|\\u[dD]")


def size_of_json(text: bytes) -> int:
    """Return about how many bytes JSON takes once it is parsed, and not less."""
    return size_of_text(text) + VALUE * (1 + sum(map(text.count, (b",", b":", b"[", b"{"))))


def size_of_text(text: bytes) -> int:
    """Return how many bytes a text takes at most: all characters are as wide as the widest."""
    if text.isascii() and rb"\u" not in text:
        return len(text)
    return len(text) * (4 if _WIDEST.search(text) else 2)


def check_size(number: int, size: int, most: int, what: str = "the trace") -> None:
    """See to it that there is room.

    Args:
        number: Of the line or row.
        size: How many bytes it takes.
        most: How many it may take.
        what: What takes them.

    Raises:
        BrokenFileError: There is none.
    """
    if size > most:
        raise BrokenFileError(
            number,
            f"{what} takes more than {most / 1_000_000:g} MB; to import it, raise trace_mb, "
            "--trace-mb or SPANLOG_IMPORT_TRACE_MB",
        )


def together(items: Iterable[tuple[T, int]], count: int, size: int) -> Iterator[list[T]]:
    """Put items together, as many as are good to have in memory at a time.

    Args:
        items: Each with its size.
        count: So many at most.
        size: So large at most, unless one alone is larger.

    Yields:
        A list, which is emptied before the next item is taken.
    """
    group: list[T] = []
    left = size
    for item, its in items:
        if group and its > left:
            yield group
            group.clear()
            left = size
        group.append(item)
        left -= its
        del item
        if left <= 0 or len(group) == count:
            yield group
            group.clear()
            left = size
    if group:
        yield group
