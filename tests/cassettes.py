"""Recorded exchanges with real providers: read them, and serve them again.

Nothing of them belongs to the project; they are looked for in `SPANLOG_CASSETTES`.
"""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from fixtures.loopback import Reply, Request

if TYPE_CHECKING:
    from spanlog.entities import Span

Json = dict[str, Any]

FOLDER = Path(
    os.environ.get("SPANLOG_CASSETTES", Path(__file__).parents[2] / "shared" / "cassettes")
)

# Headers that speak of the connection or of a form of the body that is not kept.
_DROPPED = ("connection", "content-encoding", "content-length", "set-cookie", "transfer-encoding")


class Unreadable(Exception):
    """A recording that cannot be served."""


@dataclass(frozen=True)
class Exchange:
    """One request and its reply. Header names are in lower case; bodies are not compressed."""

    method: str
    url: SplitResult
    request: bytes
    status: int
    headers: Mapping[str, str]
    reply: bytes

    @property
    def asked(self) -> Any:
        """The request's JSON; None where it has none."""
        return _json(self.request)

    @property
    def answered(self) -> Any:
        """The reply's JSON; None where it has none."""
        return _json(self.reply)

    @property
    def events(self) -> list[Any]:
        """The JSON of the reply's server-sent events, up to `[DONE]`, but for pings."""
        blocks = re.split(r"\r?\n\r?\n", self.reply.decode())
        lines = [[li[5:].strip() for li in b.splitlines() if li[:5] == "data:"] for b in blocks]
        data = ["\n".join(found) for found in lines if found]
        end = data.index("[DONE]") if "[DONE]" in data else len(data)
        events = [json.loads(event) for event in data[:end]]
        return [event for event in events if event.get("type") != "ping"]

    @property
    def is_events(self) -> bool:
        """Whether the reply is server-sent events."""
        return "event-stream" in self.headers.get("content-type", "")

    @property
    def has_error(self) -> bool:
        """Whether the reply is an error, or its stream tells of one."""
        told = (event.get("error") or event.get("type") == "error" for event in self.events)
        return self.status >= 400 or (self.is_events and any(told))

    def first_events(self, count: int) -> Exchange:
        """Return the exchange as if the reply had ended after so many events."""
        return replace(self, reply=b"".join(self._pieces()[:count]))

    def _pieces(self) -> list[bytes]:
        return re.findall(rb".+?(?:\r?\n\r?\n|\Z)", self.reply, re.DOTALL)

    def served(self) -> Reply:
        """Return the reply as the server sends it: a stream event by event."""
        body = self._pieces() if self.is_events else self.reply
        return Reply(self.status, self.headers, body)


@dataclass(frozen=True)
class Cassette:
    """A file of exchanges: `source/provider/...`."""

    path: Path
    exchanges: Sequence[Exchange]

    @property
    def name(self) -> str:
        """The path inside the folder of recordings."""
        return self.path.relative_to(FOLDER).with_suffix("").as_posix()


@dataclass
class Player:
    """A router that answers with the recorded reply to the request that is expected next."""

    expected: Exchange | None = None
    received: list[Request] = field(default_factory=list)

    def __call__(self, request: Request) -> Reply | None:
        self.received.append(request)
        expected = self.expected
        if expected is None or (request.method, request.path) != (
            expected.method,
            expected.url.path,
        ):
            return None
        return expected.served()


@dataclass(frozen=True)
class Sdk:
    """An SDK that replays recordings.

    Args:
        providers: The folders whose recordings it replays.
        hosts: What the names of their hosts end with; exchanges with other hosts are left out.
        autolog: Turns tracing on and off.
        client: Makes a client, async or not, for an exchange that the server at an address plays.
        methods: Routes that call a model, some with their query, and the SDK's method for each.
        resources: What the path of a route begins with, after the server's own prefix.
        said: What the reply to a call of a model says.
        recorded: What its span says.
        validate: Raises where a folded stream has not the shape of a whole reply.
        failure: The base class of the SDK's own exceptions.
    """

    providers: Sequence[str]
    hosts: Sequence[str]
    autolog: Callable[..., None]
    client: Callable[[Exchange, str, str, bool], Any]
    methods: Mapping[str, str]
    resources: str
    said: Callable[[str, Exchange], Said]
    recorded: Callable[[str, Span], Said]
    validate: Callable[[Exchange, Json], object]
    failure: type[Exception]

    def route(self, exchange: Exchange) -> tuple[str, str]:
        """Return the prefix of the path and the route behind it."""
        found = re.fullmatch(rf"(.*?)/((?:{self.resources})(?:/.*)?)", exchange.url.path)
        return (found[1], found[2]) if found else ("", exchange.url.path[1:])

    def method(self, exchange: Exchange) -> str | None:
        """Return the SDK's method that makes an exchange, if that is a call of a model."""
        route, query = self.route(exchange)[1], exchange.url.query
        method = self.methods.get(f"{route}?{query}") or self.methods.get(route)
        return method if exchange.method == "POST" else None


@dataclass
class Said:
    """What a reply says, whether it was streamed or not."""

    id: str | None = None
    model: str | None = None
    usage: dict[str, int] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    content: list[Any] = field(default_factory=list)


def paths(provider: str) -> list[Path]:
    """Return the files of a provider, of all sources."""
    return sorted(FOLDER.glob(f"*/{provider}/**/*.yaml"))


def load(path: Path) -> Cassette:
    """Read a file."""
    yaml = import_module("yaml")
    recorded = yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return Cassette(path, list(_exchanges(recorded["interactions"])))


def _exchanges(interactions: Sequence[Mapping[str, Any]]) -> Iterator[Exchange]:
    for interaction in interactions:
        request, response = interaction["request"], interaction["response"]
        headers = {
            name.lower(): value if isinstance(value, str) else ", ".join(value)
            for name, value in response["headers"].items()
        }
        reply = _decoded(_body(response), headers.get("content-encoding", ""))
        headers = {name: value for name, value in headers.items() if name not in _DROPPED}
        headers.setdefault("content-type", _content_type(reply))  # some sources drop all headers
        yield Exchange(
            request["method"].upper(),
            urlsplit(request["uri"]),
            _body(request),
            response["status"]["code"],
            headers,
            reply,
        )


def _body(message: Mapping[str, Any]) -> bytes:
    if "parsed_body" in message:
        return json.dumps(message["parsed_body"]).encode()
    body = message.get("body") or b""
    text = (body.get("string") or b"") if isinstance(body, Mapping) else body
    return text.encode() if isinstance(text, str) else bytes(text)


def _decoded(body: bytes, encoding: str) -> bytes:
    """Return a body without its compression, which some recordings have undone already."""
    if body[:2] == b"\x1f\x8b":
        return gzip.decompress(body)
    if encoding == "br" and body.lstrip()[:1] not in (b"{", b"[", b"d", b"e"):
        raise Unreadable("compressed with brotli")
    return body


def _content_type(body: bytes) -> str:
    start = body.lstrip()
    if start[:1] in (b"{", b"["):
        return "application/json"
    events = start.startswith((b"data:", b"event:", b":"))
    return "text/event-stream" if events else "application/octet-stream"


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None
