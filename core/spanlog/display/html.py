"""A trace as a piece of HTML that needs nothing else: no script, no file, no network."""

from __future__ import annotations

import contextlib
import time
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeGuard

import orjson

from spanlog.capture import capture, decode
from spanlog.display.outline import Outline, Row, one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from spanlog.entities import Span, SpanEvent, Trace

# Characters of one value, and of all values of a trace, that are shown.
_VALUE = 20_000
_TRACE = 1_000_000
# Browsers give up on elements nested some 500 deep; deeper spans follow one another.
_NESTED = 100
# Deeper spans are not indented further.
_INDENTED = 20

# What messages are in LangChain's and OpenAI's words where they have no role.
_MESSAGE_TYPES = (
    *("human", "ai", "system", "tool"),
    *("function_call", "function_call_output", "reasoning"),
)


def render(trace: Trace) -> str:
    """Return a trace as HTML: a tree with times, where each span opens to show what it holds."""
    outline = Outline(trace)
    times = [t for row in outline.rows for t in (row.span.start_time_ns, row.span.end_time_ns) if t]
    page = _Page(min(times, default=0), max(times, default=0))
    out = [f'<div class="spanlog"><style>{_style()}</style>{_head(outline, trace, page)}<ul>']
    rows = outline.rows
    ends: list[str] = []
    for row, depth_below in zip(rows, [*(row.depth for row in rows[1:]), 0], strict=False):
        out.append(page.span(row))
        if depth_below > row.depth and row.depth < _NESTED:
            out.append('<details class="kids" open><summary title="Fold"></summary><ul>')
            ends.append("</ul></details></li>")
        else:
            out.append("</li>")
            ends.append("")
        while len(ends) > depth_below:
            out.append(ends.pop())
    out.append("</ul></div>")
    return "".join(out)


@cache
def _style() -> str:
    return files("spanlog.display").joinpath("trace.css").read_text("utf-8")


def _head(outline: Outline, trace: Trace, page: _Page) -> str:
    info = trace.info
    began = time.localtime(info.request_time / 1000)
    figures = [
        outline.took,
        outline.tokens,
        f"{len(outline.rows):,} span{'' if len(outline.rows) == 1 else 's'}",
        time.strftime("%Y-%m-%d %H:%M:%S", began),
    ]
    known = [("tags", info.tags), ("metadata", info.trace_metadata)]
    facts = [(f"{of} {key}", value) for of, pairs in known for key, value in pairs.items()]
    facts += [("assessment", decode(capture(assessment))) for assessment in info.assessments]
    shown = [f"<span>{figure}</span>" for figure in figures if figure]
    return (
        f'<header><b>{escape(_short(outline.name))}</b><span class="state {info.state.value}">'
        f"{outline.state}</span>{''.join(shown)}<code>{escape(outline.trace_id)}</code></header>"
        f"{page.folded('Tags and metadata', facts)}"
    )


class _Page:
    """Draws the spans of one trace, within the room that its values have together.

    Args:
        begin: When the trace began, in nanoseconds since 1970.
        end: When it ended, or the last moment known of it.
    """

    def __init__(self, begin: int, end: int) -> None:
        self._begin = begin
        self._length = max(end - begin, 1)
        self._room = _TRACE

    def span(self, row: Row) -> str:
        """Draw a span, without the spans below it."""
        span, error = row.span, row.error
        start = (span.start_time_ns - self._begin) / self._length
        took = self._length if span.duration_ns is None else span.duration_ns
        width = max(min(took / self._length, 1 - start), 0)
        name = f"<b>{escape(_short(row.name))}</b>"
        name += f"<em>{escape(row.kind)}</em>" if row.kind else ""
        name += "<small>parent missing</small>" if row.orphan else ""
        why = f'<span class="why">{escape(_short(error))}</span>' if error else ""
        state = " failed" if error else "" if span.end_time_ns else " open"
        return (
            f'<li style="--d:{min(row.depth, _INDENTED)}"><details '
            f'class="span {row.family}{state}">'
            f'<summary><span class="name">{name}</span>'
            f'<span class="tokens">{row.tokens}</span><span class="took">{row.took}</span>'
            f'<span class="bar"><i style="left:{start:.2%};width:{width:.2%}"></i></span>'
            f'{why}</summary><div class="inside">{self._inside(span, error)}</div></details>'
        )

    def _inside(self, span: Span, error: str) -> str:
        failures = [e for e in span.events if e.name == "exception"]
        others = [e for e in span.events if e.name != "exception"]
        why = [self._pre(_stack(e)) for e in failures] or ([self._pre(error)] if error else [])
        parts = [
            f"<h4>Error</h4>{''.join(why)}" if why else "",
            self._data("Inputs", span.inputs_json),
            self._data("Outputs", span.outputs_json),
            self.folded("Attributes", span.attributes.items()),
            self.folded("Events", [(self._moment(e), e.attributes) for e in others]),
        ]
        return "".join(parts) or "<p>Nothing more was recorded.</p>"

    def _moment(self, event: SpanEvent) -> str:
        return f"{event.name} +{(event.timestamp - self._begin) / 1e6:,.0f} ms"

    def folded(self, title: str, pairs: Iterable[tuple[str, Any]]) -> str:
        """Draw names and values as a table that can be opened; nothing if there are none."""
        known = list(pairs)
        if not known:
            return ""
        if self._room <= 0:
            return f"<p>{title} ({len(known)}) are not shown</p>"
        rows = [f"<tr><th>{self._cut(name)}</th><td>{self._fact(v)}</td></tr>" for name, v in known]
        return (
            f'<details class="more"><summary>{title} ({len(known)})</summary>'
            f"<table>{''.join(rows)}</table></details>"
        )

    def _fact(self, value: Any) -> str:
        if isinstance(value, (dict, list)):
            return self._pre(_pretty(value))
        return self._text(value if isinstance(value, str) else _pretty(value))

    def _data(self, title: str, text: str | None) -> str:
        """Draw inputs or outputs."""
        if text is None or text == "null":
            return ""
        if self._room <= 0:
            return f"<h4>{title}</h4>{_left_out(len(text))}"
        try:
            value = orjson.loads(text)
        except orjson.JSONDecodeError:  # nested too deeply
            return f"<h4>{title}</h4>{self._pre(text)}"
        return f"<h4>{title}</h4>{self._value(value)}"

    def _value(self, value: Any) -> str:
        if isinstance(value, str):
            return self._text(value)
        if _is_list_of(value, "page_content"):
            return self._each(value, self._document)
        messages, rest = _chat(value)
        if not messages:
            return self._pre(_pretty(value))
        more = rest.items() if isinstance(rest, dict) else ()
        return self._each(messages, self._message) + self.folded("Other fields", more)

    def _each(self, items: list[Any], draw: Callable[[dict[str, Any]], str]) -> str:
        """Draw items for as long as there is room."""
        out = []
        for number, item in enumerate(items):
            if self._room <= 0:
                out.append(f"<p>… {len(items) - number:,} more are not shown</p>")
                break
            out.append(draw(item))
        return "".join(out)

    def _message(self, message: dict[str, Any]) -> str:
        """Draw a chat message, in the shapes of OpenAI, Anthropic and LangChain."""
        rest = {key: value for key, value in message.items() if value not in (None, "", [], {})}
        role = str(rest.pop("role", None) or rest.get("type") or "message")
        if rest.get("type") in (role, "message"):
            del rest["type"]
        parts = rest.pop("content", [])
        calls = rest.pop("tool_calls", [])
        if "name" in rest and "arguments" in rest:
            calls = [{key: rest.pop(key) for key in ("name", "arguments")}]
        body = [self._part(part) for part in (parts if isinstance(parts, list) else [parts])]
        body += [self._call(call) for call in (calls if isinstance(calls, list) else [calls])]
        body.append(self.folded("Other fields", rest.items()))
        role = escape(role)
        return f'<div class="message" data-role="{role}"><h5>{role}</h5>{"".join(body)}</div>'

    def _part(self, part: Any) -> str:
        if isinstance(part, str):
            return self._text(part)
        if isinstance(part, dict):
            text = part.get("text")
            if isinstance(text, str) and not any(part[k] for k in part.keys() - {"type", "text"}):
                return self._text(text)
            if part.get("type") == "tool_use":
                return self._call(part)
        return self._pre(_pretty(part))

    def _call(self, call: Any) -> str:
        """Draw the call of a tool that a model asks for."""
        called = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(called, dict) or "name" not in called:
            return self._pre(_pretty(call))
        arguments: Any = next(
            (called[k] for k in ("arguments", "args", "input") if k in called), {}
        )
        if isinstance(arguments, str):
            with contextlib.suppress(orjson.JSONDecodeError):  # a model may write anything
                arguments = orjson.loads(arguments)
        text = arguments if isinstance(arguments, str) else _pretty(arguments)
        name = escape(one_line(str(called["name"])))
        return f'<div class="call"><h5>calls <b>{name}</b></h5>{self._pre(text)}</div>'

    def _document(self, document: dict[str, Any]) -> str:
        rest = {key: value for key, value in document.items() if value is not None}
        text, facts = rest.pop("page_content", ""), rest.pop("metadata", None)
        facts = facts if isinstance(facts, dict) else {"metadata": facts} if facts else {}
        return (
            f'<div class="document">{self._text(str(text))}'
            f"{self.folded('Metadata', [*facts.items(), *rest.items()])}</div>"
        )

    def _text(self, text: str) -> str:
        return f'<div class="text">{self._cut(text)}</div>'

    def _pre(self, text: str) -> str:
        return f"<pre>{self._cut(text)}</pre>"

    def _cut(self, text: str) -> str:
        """Escape as much of a text as there is room for, and say how much is left out."""
        room = min(_VALUE, max(self._room, 0))
        shown = text[:room]
        self._room -= len(shown) + 100  # the markup around it
        left_out = len(text) - len(shown)
        return escape(shown) + (_left_out(left_out) if left_out else "")


def _left_out(count: int) -> str:
    return f'<span class="cut">… {count:,} more characters are not shown</span>'


def _pretty(value: Any) -> str:
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
    except TypeError:  # nested too deeply
        return capture(value).decode()


def _short(text: str) -> str:
    return text if len(text) <= 300 else text[:299] + "…"


def _stack(event: SpanEvent) -> str:
    facts = event.attributes
    stack = facts.get("exception.stacktrace")
    return str(stack or f"{facts.get('exception.type')}: {facts.get('exception.message')}")


def _chat(value: Any) -> tuple[list[dict[str, Any]], Any]:
    """Split a value into the messages of a chat that it holds, and the rest of it."""
    if _is_chat(value):
        return value, None
    if not isinstance(value, dict):
        return [], value
    if _is_chat([value]):
        return [value], None
    rest = dict(value)
    choices = value.get("choices")
    if _is_list_of(choices, "message") and _is_chat([choice["message"] for choice in choices]):
        rest["choices"] = [{k: v for k, v in c.items() if k != "message"} for c in choices]
        return [choice["message"] for choice in choices], rest
    for key in ("messages", "input", "output"):
        if _is_chat(value.get(key)):
            return rest.pop(key), rest
    return [], value


def _is_chat(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(item, dict)
            and (
                ("role" in item and ("content" in item or "tool_calls" in item))
                or item.get("type") in _MESSAGE_TYPES
            )
            for item in value
        )
    )


def _is_list_of(value: Any, key: str) -> TypeGuard[list[dict[str, Any]]]:
    """Say whether a value is a list of objects that all have a key."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and key in item for item in value)
    )
