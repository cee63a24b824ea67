"""The server of `spanlog ui`: its pages, and behind them what they ask for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from functools import cache
from importlib.resources import as_file, files
from typing import TYPE_CHECKING

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from spanlog.ui import refusals
from spanlog.ui.guard import Guard

if TYPE_CHECKING:
    import os

    from starlette.types import Receive, Scope, Send


def run(port: int, ready: Callable[[str], object] | None = None) -> None:
    """Serve until the program is interrupted.

    Args:
        port: Of the address; where it is taken, another one is.
        ready: Is called with the address.
    """
    with _listening(port) as listener:
        address = f"http://localhost:{listener.getsockname()[1]}"
        print(f"{address}  shows the traces, until Ctrl+C", flush=True)  # noqa: T201
        threading.Thread(target=_api, daemon=True).start()
        if ready:
            ready(address)
        options = uvicorn.Config(app(), log_level="warning", access_log=False, lifespan="off")
        uvicorn.Server(options).run(sockets=[listener])


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError:
        return socket.create_server(("127.0.0.1", 0))


def app() -> Starlette:
    """Return the application."""
    with as_file(files("spanlog")) as package:
        assets, view = package / "ui" / "assets", package / "display" / "view"
    routes = [
        Route("/", lambda _: HTMLResponse((assets / "index.html").read_bytes())),
        Mount("/assets", _Files(directory=assets)),
        Mount("/view", _Files(directory=view)),
        Mount("/api", _answer),
    ]
    handlers = {HTTPException: refusals.by_http}
    return Starlette(routes=routes, middleware=[Middleware(Guard)], exception_handlers=handlers)


class _Files(StaticFiles):
    """The files of a folder, whole: older Starlettes fail at odd ranges, and at zero characters."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [header for header in scope["headers"] if header[0] != b"range"]
        await super().__call__({**scope, "headers": headers}, receive, send)

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        return ("", None) if "\0" in path else super().lookup_path(path)


@cache
def _api() -> Starlette:
    """Return what answers under `/api`. It takes a while to load, so pages need not wait for it."""
    from spanlog.ui import api

    return api.app()


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    answer = await run_in_threadpool(_api)
    await answer(scope, receive, send)
