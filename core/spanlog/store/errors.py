"""What is wrong with a store, or with what it is asked for."""

from __future__ import annotations

from spanlog.errors import Unavailable


class StoreError(Unavailable):
    """A store cannot be opened or read; the message says what to do."""


class NotFoundError(StoreError):
    """What was asked for is not in the store."""


# Users see these names in tracebacks, and import them from there.
StoreError.__module__ = NotFoundError.__module__ = "spanlog.store"
