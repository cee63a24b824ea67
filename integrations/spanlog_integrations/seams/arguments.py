"""The arguments of a call, for libraries that take its settings as plain named arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spanlog_integrations.seams.http import file

_FILES = frozenset({"file", "image", "mask"})
# The arguments that are objects of the program's or of LiteLLM's own, and say nothing of the call.
_OBJECTS = frozenset(
    {
        "attempted_targets",
        "callbacks",
        "client",
        "failure_callback",
        "litellm_logging_obj",
        "logger_fn",
        "original_function",
        "original_generic_function",
        "shared_session",
        "success_callback",
    }
)


class Arguments:
    """The arguments of a call, by their names, without objects.

    Attributes:
        inputs: The arguments.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.inputs = {
            name: _files(value) if name in _FILES else value
            for name, value in given.items()
            if name not in _OBJECTS
        }


def _files(value: Any) -> Any:
    return [file(item) for item in value] if isinstance(value, list) else file(value)
