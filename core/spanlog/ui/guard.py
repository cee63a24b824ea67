"""Who may talk to the server: the pages that it served itself, on this machine.

A page of another site can send requests to a server on the loopback interface, and a name that
an attacker owns can be made to mean 127.0.0.1. So the Host has to be a loopback name, and whoever
says where a request comes from has to say: from here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.datastructures import Headers, MutableHeaders
from starlette.websockets import WebSocketClose

from spanlog import semconv
from spanlog.ui.refusals import refusal

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Starlette's TrustedHostMiddleware looks at what comes before the first colon only: it would have
# to let "[" through for [::1], takes anything for a port, and answers in plain text.
_HERE = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:[0-9]+)?", re.IGNORECASE)
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
        answer: ASGIApp = self._app
        if scope["type"] == "websocket":  # no page has one, and files fail at them
            answer = WebSocketClose()
        elif scope["type"] == "http" and (why := _why_not(Headers(scope=scope), scope["path"])):
            answer = refusal(403, why)

        async def send_guarded(message: Message) -> None:
            if message["type"] == semconv.HTTP_RESPONSE_START:
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        await answer(scope, receive, send_guarded)


def _why_not(headers: Headers, path: str) -> str:
    host = headers.get("host", "")
    if not _HERE.fullmatch(host):
        return "this server answers to localhost only"
    if headers.get("origin", f"http://{host}") != f"http://{host}":
        return "this server answers to its own pages only"
    if path.startswith("/api/") and headers.get("sec-fetch-site", "none") not in _FROM_HERE:
        return "this server answers to its own pages only"
    return ""
