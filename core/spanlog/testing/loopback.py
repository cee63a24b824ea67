"""An HTTP server on the loopback interface that tests point a provider SDK at.

It knows nothing of any provider: routers turn a request into a reply, and a reply can be sent
whole, piece by piece, slowly, or be cut off.
"""

from __future__ import annotations

import email
import json
import selectors
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self


@dataclass(frozen=True)
class Request:
    """What a client sent; header names are in lower case, the path is still percent-encoded."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON; None when there is no body."""
        return json.loads(self.body) if self.body else None

    @property
    def form(self) -> dict[str, str]:
        """The fields of a multipart body, without its files."""
        head = f"content-type: {self.headers.get('content-type', '')}\r\n\r\n"
        fields = {}
        for part in email.message_from_bytes(head.encode() + self.body).walk():
            name = part.get_param("name", header="content-disposition")
            if isinstance(name, str) and part.get_filename() is None:
                content = part.get_payload(decode=True)
                assert isinstance(content, bytes)
                fields[name] = content.decode()
        return fields


@dataclass(frozen=True)
class Reply:
    """What the server sends back.

    Attributes:
        status: The HTTP status.
        headers: Headers besides the length, which the server sets.
        body: Bytes are sent whole with their length; a list is sent as one chunk a piece, each
            flushed, so that the client receives the pieces one by one.
        delay: Seconds between the pieces.
        cut: Drop the TCP connection after the pieces, without the chunk that ends the body.
        wait: Seconds before the reply starts.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | list[bytes] = b""
    delay: float = 0
    cut: bool = False
    wait: float = 0


Router = Callable[[Request], "Reply | None"]


class Loopback:
    """Serve what routers answer on a free port of 127.0.0.1, within a `with` block.

    The first router that answers a request wins; without one it gets a 404. Routers run in the
    thread of their connection, so they may run at the same time.

    Attributes:
        url: `http://127.0.0.1:PORT`.
        requests: All requests in the order of arrival. Threads may read and clear it at any time.
    """

    def __init__(self, *routers: Router) -> None:
        self.requests: list[Request] = []
        self._routers = routers
        self._server = _Server(self._answer)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), name="loopback", daemon=True
        )
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server.drop_connections()
        self._thread.join()

    def _answer(self, request: Request) -> Reply:
        self.requests.append(request)
        for router in self._routers:
            reply = router(request)
            if reply is not None:
                return reply
        error = {"message": f"No route: {request.method} {request.path}", "type": "not_found"}
        body = json.dumps({"error": error}).encode()
        return Reply(404, {"content-type": "application/json"}, body)


class _Server(ThreadingHTTPServer):
    """The threads and the open connections."""

    daemon_threads = True
    request_queue_size = 128  # the default of 5 makes parallel clients wait a second to connect

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        self.answer = answer
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Connection)

    def server_bind(self) -> None:
        # HTTPServer would also ask the name service for the host's name, which can take seconds.
        TCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        """End all connections, which also wakes the threads that wait on them."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Connection(BaseHTTPRequestHandler):
    """One connection of a client: reads its requests and writes the replies."""

    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # buffered, so that the head and the first piece leave in one packet

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()

    def finish(self) -> None:
        with suppress(ConnectionError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the overridden name
        """Keep the tests' output clean."""

    def _serve(self) -> None:
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, url.path, dict(parse_qsl(url.query)), headers, self._read())
        self._write(self.server.answer(request))

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _read(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(chunks)

    def _write(self, reply: Reply) -> None:
        self._idle(reply.wait)
        whole = isinstance(reply.body, bytes)
        self.send_response_only(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if whole:
            self.send_header("content-length", str(len(reply.body)))
        else:
            self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        if isinstance(reply.body, bytes):
            self.wfile.write(reply.body)
        else:
            self._write_pieces(reply.body, reply.delay)
            if not reply.cut:
                self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
        self.close_connection = self.close_connection or reply.cut

    def _write_pieces(self, pieces: list[bytes], delay: float) -> None:
        for index, piece in enumerate(pieces):
            if index:
                self.wfile.flush()
                self._idle(delay)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))

    def _idle(self, seconds: float) -> None:
        """Wait, but no longer than the connection lives."""
        if not seconds:
            return
        with selectors.DefaultSelector() as selector:
            selector.register(self.connection, selectors.EVENT_READ)
            if selector.select(seconds) and not self.connection.recv(1, socket.MSG_PEEK):
                raise ConnectionResetError
