"""What any floor may raise."""

from __future__ import annotations


class Unavailable(Exception):  # noqa: N818 - it says how things are; it is no fault of ours
    """A sink cannot take anything now, and may later: a locked file, a full disk."""
