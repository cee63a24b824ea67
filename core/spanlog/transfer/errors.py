"""What is wrong with a file."""

from __future__ import annotations


class BrokenFileError(ValueError):
    """A line of a file, or a row of a table, is not what it has to be.

    Args:
        number: Which one, from 1.
        reason: Why.
    """

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason)
        self.number = number
