"""What is wrong with a file."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


class BrokenFileError(ValueError):
    """A line of a file, or a row of a table, is not what it has to be.

    Args:
        number: Which one, from 1.
        reason: Why.
    """

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number


@contextmanager
def reading(number: int) -> Generator[None]:
    """Say which line or row it is that turns out to be no trace.

    Raises:
        BrokenFileError: Something is missing in it, or is of another kind.
    """
    try:
        yield
    except KeyError as error:
        raise BrokenFileError(number, f"{error} is missing") from error
    except (AttributeError, StopIteration, TypeError, ValueError) as error:
        raise BrokenFileError(number, f"it is not a trace: {error}") from error
