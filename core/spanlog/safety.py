"""The one guard between our errors and the user's program.

Whatever goes wrong inside spanlog is reported here and goes no further. Under our own tests
(`SPANLOG_STRICT=1`) it is raised instead, so that no bug hides behind the guard.
"""

from __future__ import annotations

import functools
import logging
import os
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

logger = logging.getLogger("spanlog")

strict = os.environ.get("SPANLOG_STRICT") == "1"

_reported: set[str] = set()


def report(error: Exception, doing: str) -> None:
    """Log an error of ours, once a kind with its stack, or raise it under test.

    Args:
        error: What was caught.
        doing: What spanlog was doing, to end the sentence "spanlog failed while ...".
    """
    if strict:
        raise error
    kind = f"{doing}:{type(error).__name__}"
    first = kind not in _reported
    _reported.add(kind)
    logger.log(
        logging.WARNING if first else logging.DEBUG,
        "spanlog failed while %s; your program is not affected (%s)",
        doing,
        type(error).__name__,
        exc_info=error,
    )


def guarded(function: F) -> F:
    """Return a function of ours that a framework calls, so that no error of it goes further."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - the guard
            report(error, f"calling {function.__qualname__}")

    return cast("F", call)


def warn_once(key: str, message: str, *args: object) -> None:
    """Log a warning the first time `key` is seen in this process."""
    if key not in _reported:
        _reported.add(key)
        logger.warning(message, *args)
