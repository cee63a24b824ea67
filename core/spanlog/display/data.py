"""What the view of a trace shows, as JSON: its spans in reading order, and what each holds.

The outline of a trace is light: names, times, figures, errors. What a span holds comes apart from
it, so that a page asks for it when the span is looked at. Large values are cut in both.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from spanlog import semconv
from spanlog.display.outline import Outline, one_line
from spanlog.model import messages
from spanlog.model.capture import capture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from spanlog.model.assessments import Assessment
    from spanlog.model.messages import ChatMessage, Media
    from spanlog.model.span import Span
    from spanlog.model.trace import Trace

Json = dict[str, Any]

# Keys that stand for what JSON or the room has no place for; no program has such keys.
CUT = "\x00cut"  # [the beginning of a text, how long it is]
MORE = "\x00more"  # how many items or keys follow
NUMBER = "\x00number"  # an integer that JavaScript would round

_EXACT = 2**53
_DEEPEST = 60
_NAME = 300


class Room:
    """How much of the values is shown: so many characters of each text, and of all together.

    Args:
        text: Of one text.
        total: Of all.
    """

    def __init__(self, text: float = 20_000, total: float = 1_000_000) -> None:
        self._text = text
        self.left = total

    def cut(self, value: Any, depth: int = 0) -> Any:
        """Return as much of a value as there is room for, with marks where some is left out."""
        if depth == _DEEPEST and isinstance(value, (dict, list)):
            value = capture(value).decode()
        if isinstance(value, str):
            room = max(min(self._text, self.left), 0)
            self.left -= min(len(value), room) + 8
            return value if len(value) <= room else {CUT: [value[: int(room)], len(value)]}
        if isinstance(value, dict):
            pairs: Json = {}
            for key, item in value.items():
                if self.left <= 0:
                    pairs[MORE] = len(value) - len(pairs)
                    break
                self.left -= len(key) + 8
                pairs[key] = self.cut(item, depth + 1)
            return pairs
        if isinstance(value, list):
            items: list[Any] = []
            for item in value:
                if self.left <= 0:
                    items.append({MORE: len(value) - len(items)})
                    break
                items.append(self.cut(item, depth + 1))
            return items
        self.left -= 8
        if type(value) is int and abs(value) > _EXACT:
            return {NUMBER: str(value)}
        return value


def outline(trace: Trace) -> Json:
    """Return a trace without what its spans hold. Times are nanoseconds since it began."""
    info, shown, room = trace.info, Outline(trace), Room()
    times = [row.span.start_time_ns for row in shown.rows]
    begin = min(times, default=info.request_time * 1_000_000)
    return {
        "id": info.trace_id,
        "name": _short(shown.name),
        "state": info.state.value,
        "time": info.request_time,
        "took": shown.took_ns,
        "usage": info.token_usage,
        "cost": _total(info.cost),
        "experiment": info.experiment_id,
        "client_request_id": info.client_request_id,
        "tags": Room().cut(info.tags),
        "metadata": Room().cut(info.trace_metadata),
        "assessments": [_assessment(said, room) for said in info.assessments if said.valid],
        "begin": begin // 1_000_000,
        "spans": [
            {
                "id": row.span.span_id,
                "depth": row.depth,
                "name": _short(row.name),
                "type": _short(row.kind),
                "family": row.family,
                "start": row.span.start_time_ns - begin,
                "end": None if row.span.end_time_ns is None else row.span.end_time_ns - begin,
                **_told(
                    error=_short(row.error),
                    note=_short(row.note),
                    orphan=row.orphan,
                    doubled=row.doubled,
                    model=row.span.model,
                    usage=row.span.usage,
                    cost=_total(row.span.cost),
                ),
            }
            for row in shown.rows
        ],
    }


@dataclass(frozen=True)
class Held:
    """What went into a span and came out of it, read once for all that shows it.

    Args:
        inputs: The inputs; the JSON text itself where that cannot be read.
        outputs: The outputs, the same.
        asked: The messages that were sent.
        answered: Those that were answered.
    """

    inputs: Any
    outputs: Any
    asked: list[ChatMessage]
    answered: list[ChatMessage]

    @classmethod
    def by(cls, span: Span) -> Held:
        """Read what a span holds."""
        inputs, outputs = span.inputs, span.outputs
        of_model = span.span_type in messages.MODELS
        return cls(inputs, outputs, *messages.conversation(inputs, outputs, of_model=of_model))


def contents(span: Span, room: Room, known: Held | None = None) -> Json:
    """Return what a span holds; what is empty is left out.

    Args:
        span: The span.
        room: How much of it is shown.
        known: What it holds, where that has been read.
    """
    found = known or Held.by(span)
    inputs, outputs = found.inputs, found.outputs
    tools = messages.read_tools(span.get_attribute(semconv.TOOL_DEFINITIONS), inputs)
    held = {} if inputs is None else {"inputs": room.cut(inputs)}
    if outputs is not None:
        held["outputs"] = room.cut(outputs)
    return held | _told(
        failures=[room.cut(failure) for failure in _failures(span)],
        messages=[
            room.cut(_message(message, reply=reply))
            for reply, said in ((False, found.asked), (True, found.answered))
            for message in said
        ],
        tools=room.cut(
            [dataclasses.asdict(tool) for tool in tools]
            if span.span_type in messages.MODELS
            else []
        ),
        attributes=room.cut(span.attributes),
        events=[
            room.cut(
                {
                    "name": event.name,
                    "time": event.timestamp - span.start_time_ns,
                    "attributes": event.attributes,
                }
            )
            for event in span.events
            if event.name != "exception"
        ],
    )


def holds(span: Span, text: str) -> bool:
    """Say whether a text stands anywhere in a span, in whatever letter case."""
    wanted = text.casefold()
    if wanted in f"{span.name}\n{span.span_type}\n{span.status.description}".casefold():
        return True
    wanted = orjson.dumps(text).decode()[1:-1].casefold()
    facts = capture([span.attributes, *(event.attributes for event in span.events)]).decode()
    held = (span.inputs_json, span.outputs_json, facts)
    return any(wanted in part.casefold() for part in held if part)


def script_json(value: Any) -> str:
    """Return JSON that may stand inside `<script>`, where `</script>` in a text would end it."""
    text = orjson.dumps(value).decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _told(**facts: Any) -> Json:
    """Return the facts that say something."""
    return {name: fact for name, fact in facts.items() if fact}


def _failures(span: Span) -> Iterator[Json]:
    """Yield the errors of a span: its exceptions, or what its status says."""
    raised = [event.attributes for event in span.events if event.name == "exception"]
    for facts in raised:
        yield {
            "type": str(facts.get(semconv.EXCEPTION_TYPE) or "error"),
            "message": str(facts.get(semconv.EXCEPTION_MESSAGE) or ""),
            "stack": str(facts.get(semconv.EXCEPTION_STACKTRACE) or ""),
        }
    if not raised and span.status.status_code.value == "ERROR":
        yield {"type": "", "message": span.status.description or "failed", "stack": ""}


def _assessment(said: Assessment, room: Room) -> Json:
    told = said.to_dict()
    held = {name: room.cut(told[name]) for name in ("rationale", "metadata")}
    judged = {name: room.cut(value) for name, value in told[said.kind].items()}
    return {**told, **held, said.kind: judged}


def _message(message: ChatMessage, *, reply: bool) -> Json:
    return {"role": message.role} | _told(
        text=message.text,
        reasoning=message.reasoning,
        calls=[dataclasses.asdict(call) for call in message.tool_calls],
        results=[dataclasses.asdict(result) for result in message.tool_results],
        media=[_medium(medium) for medium in message.media],
        reply=reply,
    )


def _medium(medium: Media) -> Json:
    return {"type": medium.media_type, "url": medium.url, "size": medium.size}


def _total(cost: dict[str, float] | None) -> float | None:
    return None if cost is None else cost.get("total_cost")


def _short(text: str) -> str:
    return text if len(text) <= _NAME else one_line(text[: _NAME - 1]) + "…"
