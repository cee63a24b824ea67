"""A span as plain data, as JSON and as a row of a table, and back: the only place that knows how.

What went in and came out is JSON text that is kept as it is. Where text is wanted, it is put in
as it stands; where Python data is wanted, each way parses it once and passes it on. Nothing keeps
the parsed data: so it is the caller's own, who may change it, and a long list of spans stays small.
To parse anew takes a fifth of the time of a copy.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from spanlog.model.capture import capture, decode
from spanlog.model.event import SpanEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Json = dict[str, Any]
_CONTENT = ("inputs", "outputs")


class Parts(NamedTuple):
    """All that a span is made of, by the names of the store; inputs and outputs are JSON."""

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    span_type: str
    start_time_ns: int
    end_time_ns: int | None
    status: str
    status_message: str
    inputs: bytes | str | None
    outputs: bytes | str | None
    attributes: Json
    events: list[SpanEvent]


def as_text(data: bytes | str | None) -> str | None:
    """Return JSON as text."""
    return data.decode() if isinstance(data, bytes) else data


def plain(data: bytes | str | None) -> Any:
    """Return what inputs or outputs are as Python data, which is the caller's own.

    That is the JSON text itself where it cannot be read: nested too deeply, or not JSON at all, as
    a file may bring it.
    """
    try:
        return decode(data)
    except orjson.JSONDecodeError:
        return as_text(data)


def to_dict(parts: Parts) -> Json:
    """Return a span as plain data."""
    return {
        "trace_id": parts.trace_id,
        "span_id": parts.span_id,
        "parent_span_id": parts.parent_id,
        "name": parts.name,
        "span_type": parts.span_type,
        "start_time_unix_nano": parts.start_time_ns,
        "end_time_unix_nano": parts.end_time_ns,
        "status": {"code": parts.status, "message": parts.status_message},
        "inputs": plain(parts.inputs),
        "outputs": plain(parts.outputs),
        "attributes": parts.attributes,
        "events": _from_events(parts.events, FILE.time),
    }


def spliced(parts: Parts, data: Json) -> Json:
    """Return a span as what orjson writes: all in it that is JSON already goes in as it stands.

    Args:
        parts: The span.
        data: What `to_dict` makes of it.
    """
    held = ((name, as_text(getattr(parts, name))) for name in _CONTENT)
    # No JSON text is equal to what it says; what is equal could not be read.
    raw = {n: orjson.Fragment(text) for n, text in held if text is not None and text != data[n]}
    return data | raw | {name: json(data[name]) for name in ("attributes", "events")}


def inexact(parts: Parts, data: Json) -> Json:
    """Return the inputs and outputs whose text is another once it was parsed and written again.

    They are given as text, by the names under which `from_dict` prefers them.

    Args:
        parts: The span.
        data: What `to_dict` makes of it.
    """
    held = ((name, as_text(getattr(parts, name))) for name in _CONTENT)
    return {f"{name}_json": text for name, text in held if text != _written(data[name])}


def from_dict(data: Mapping[str, Any]) -> Parts:
    """Return the span that `to_dict` wrote; what `inexact` gave beside it is taken first."""
    status = data["status"]
    inputs, outputs = (
        data[f"{name}_json"] if f"{name}_json" in data else _written(data.get(name))
        for name in _CONTENT
    )
    return Parts(
        trace_id=data["trace_id"],
        span_id=data["span_id"],
        parent_id=data.get("parent_span_id"),
        name=data["name"],
        span_type=data["span_type"],
        start_time_ns=data["start_time_unix_nano"],
        end_time_ns=data.get("end_time_unix_nano"),
        status=status["code"],
        status_message=status.get("message", ""),
        inputs=inputs,
        outputs=outputs,
        attributes=dict(data.get("attributes") or {}),
        events=_to_events(data.get("events") or [], FILE.time),
    )


class Table:
    """How a span stands in a row of a table.

    Args:
        columns: The names of the columns, in the order of `Parts`.
        time: What the time of an event is called in the JSON of the last one.
    """

    def __init__(self, columns: tuple[str, ...], time: str) -> None:
        self.columns = columns
        self.time = time
        self._values = itemgetter(*columns)

    def row(self, parts: Parts) -> Json:
        """Return the row of a span."""
        content = as_text(parts.inputs), as_text(parts.outputs)
        values = (*parts[:-4], *content, *self.facts(parts))
        return dict(zip(self.columns, values, strict=True))

    def facts(self, parts: Parts) -> tuple[str, str]:
        """Return attributes and events as JSON text: the values of the last two columns."""
        attributes, events = parts.attributes, parts.events
        return (
            capture(attributes).decode() if attributes else "{}",
            capture(_from_events(events, self.time)).decode() if events else "[]",
        )

    def read(self, row: Mapping[str, Any]) -> Parts:
        """Return the span that a row holds."""
        *values, attributes, events = self._values(row)
        values += dict(decode(attributes)), _to_events(decode(events), self.time)
        return Parts._make(values)


_IN_FILES = {
    "parent_id": "parent_span_id",
    "start_time_ns": "start_time_unix_nano",
    "end_time_ns": "end_time_unix_nano",
}
STORE = Table(Parts._fields, time="timestamp")
FILE = Table(tuple(_IN_FILES.get(name, name) for name in Parts._fields), time="time_unix_nano")


def json(value: Any) -> orjson.Fragment:
    """Return any data as JSON that is put in as it stands."""
    return orjson.Fragment(capture(value))


def _written(value: Any) -> str | None:
    return None if value is None else capture(value).decode()


def _from_events(events: Iterable[SpanEvent], time: str) -> list[Json]:
    return [{"name": e.name, time: e.timestamp, "attributes": e.attributes} for e in events]


def _to_events(events: Iterable[Json], time: str) -> list[SpanEvent]:
    return [SpanEvent(e["name"], e["attributes"], e[time]) for e in events]
