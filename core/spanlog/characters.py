"""Text where not every character can be written: what trees are drawn with has plainer forms."""

from __future__ import annotations

import codecs
import sys

# The name of the way to deal with what cannot be encoded, as `open` takes it.
PLAIN = "spanlog.plain"

_PLAINER = str.maketrans("│├└─…✗µ→←", "||`-~xu><")  # each as wide as what it stands for


def printable(text: str, encoding: str | None = None) -> str:
    """Return a text as far as it can be written.

    Args:
        text: The text.
        encoding: How it will be encoded; by default as `print` does here.
    """
    written_in: str = encoding or getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        return text.encode(written_in, PLAIN).decode(written_in)
    except LookupError:  # somebody's own stream
        return text


def fits(text: str) -> bool:
    """Say whether all of a text can be printed here."""
    return printable(text) == text


def _plainer(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAINER)
    return "".join(character if character.isascii() else "?" for character in text), error.end


codecs.register_error(PLAIN, _plainer)
