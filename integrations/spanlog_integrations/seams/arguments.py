"""The arguments of a call, without what is secret in them.

For libraries that take a call's settings, credentials among them, as plain named arguments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from spanlog_integrations.seams.http import file
from spanlog_integrations.wire import chat

# The arguments that are content: in what the user writes to a model, no name means a secret.
_CONTENT = frozenset(
    {"documents", "functions", "input", "messages", "prompt", "query", "response_format", "tools"}
)
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
SECRET = re.compile(
    r"api[_-]?key|access_key|private_key|oci_key|secret|passw|credential|headers?$|^authorization$"
    r"|^token$|(access|ad|auth|bearer|hf|id|identity|refresh|security|session)_token|token_provider",
    re.IGNORECASE,
)
# Environment variables that hold secrets: only looked at to take them out of an error's texts.
_SECRET_VARIABLE = re.compile(r"key|token|secret|passw|credential", re.IGNORECASE)


class Arguments:
    """The arguments of a call, by their names, without secrets and objects.

    Attributes:
        inputs: The arguments.
        secrets: What was left out.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.secrets: list[str] = []
        self.inputs = {
            name: value
            if name in _CONTENT
            else _files(value)
            if name in _FILES
            else self._open(value)
            for name, value in given.items()
            if not self._is_hidden(name, value)
        }
        self.inputs = dict(chat.without_secrets(self.inputs))

    def _is_hidden(self, name: Any, value: Any) -> bool:
        if not isinstance(name, str):
            return False
        if not SECRET.search(name):
            return name in _OBJECTS
        self.secrets += _texts(value)
        return True

    def _open(self, value: Any) -> Any:
        """Return a setting without the secrets in it: fallbacks have keys of their own."""
        if isinstance(value, dict):
            held = {k: v for k, v in value.items() if not self._is_hidden(k, v)}
            return {name: self._open(item) for name, item in held.items()}
        return [self._open(item) for item in value] if isinstance(value, list) else value


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    return [value] if isinstance(value, str) and len(value) >= 4 else []


def _files(value: Any) -> Any:
    return [file(item) for item in value] if isinstance(value, list) else file(value)


def secrets_of(settings: Mapping[str, Any]) -> list[str]:
    """Return the secrets that a library finds in its settings or in the environment."""
    found = [v for name, v in settings.items() if SECRET.search(name) and isinstance(v, str)]
    found += [value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name)]
    return [secret for secret in found if len(secret) >= 8]
