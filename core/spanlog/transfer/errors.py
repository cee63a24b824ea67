"""What is wrong with a file, and where."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Generator

_LONGEST = 500  # characters of a message: what it quotes may be as long as the file
_NO_TRACE = (
    *(ArithmeticError, AttributeError, LookupError, OSError, RuntimeError, StopIteration),
    *(TypeError, ValueError),
)


class BrokenFileError(ValueError):
    """A line of a file, or a row of a table, is not what it has to be.

    Args:
        number: Of the line or row.
        reason: What is wrong with it.
    """

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(reason if len(reason) <= _LONGEST else f"{reason[:_LONGEST]}...")
        self.number = number


@contextmanager
def reading(number: int, otherwise: str = "it is not a trace") -> Generator[None]:
    """Say which line or row it is that turns out to be no trace.

    Args:
        number: Of the line or row.
        otherwise: What is to be said of it where it is nothing that is known.

    Raises:
        BrokenFileError: Something is missing in it, or is of another kind.
    """
    try:
        yield
    except BrokenFileError:
        raise
    except orjson.JSONDecodeError as error:
        raise BrokenFileError(number, f"it is not JSON: {error}") from error
    except KeyError as error:
        raise BrokenFileError(number, f"{error} is missing") from error
    except _NO_TRACE as error:
        raise BrokenFileError(number, f"{otherwise}: {error}") from error
