"""Who may talk to the server: the pages that it served itself, on this machine.

A page of another site can send requests to a server on the loopback interface, and a name that
an attacker owns can be made to mean 127.0.0.1. So the Host has to be a loopback name, and whoever
says where a request comes from has to say: from here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NAMES = ("localhost", "127.0.0.1", "::1")
_FROM_HERE = ("same-origin", "none")
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; media-src 'self' data:; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Lets only requests of this machine's own pages through, and sets the headers of replies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "http" and (why := _refusal(Headers(scope=scope), scope["path"])):
            await PlainTextResponse(why, 403)(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await self._app(scope, receive, send_guarded)


def _refusal(headers: Headers, path: str) -> str:
    host = headers.get("host", "")
    if urlsplit(f"//{host}").hostname not in _NAMES:
        return "this server answers to localhost only"
    if headers.get("origin", f"http://{host}") != f"http://{host}":
        return "this server answers to its own pages only"
    if path.startswith("/api/") and headers.get("sec-fetch-site", "none") not in _FROM_HERE:
        return "this server answers to its own pages only"
    return ""
