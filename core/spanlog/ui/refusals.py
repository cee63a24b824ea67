"""How the server refuses: with a status, and one line of JSON that says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import Response

from spanlog.model.capture import capture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request


def refusal(
    status: int, why: str, headers: Mapping[str, str] | None = None, **more: str
) -> Response:
    """Return the reply that refuses a request.

    Args:
        status: Its status.
        why: The reason.
        headers: Its headers.
        more: What is told beside the line.
    """
    said = {"error": " ".join(why.split()), **more}
    return Response(capture(said), status, headers, "application/json")


def by_http(_: Request, error: Exception) -> Response:
    """Return the reply to what HTTP itself has a status for."""
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, error.detail, error.headers)
