"""A trace as static HTML, for where no scripts run: a tree that opens and folds."""

from __future__ import annotations

import time
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeGuard, TypeVar

import orjson

from spanlog import semconv
from spanlog.display import data
from spanlog.display.outline import Outline, Row
from spanlog.model.capture import capture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from spanlog.display.data import Held
    from spanlog.model.messages import ChatMessage
    from spanlog.model.span import Span, SpanEvent
    from spanlog.model.trace import Trace

_Item = TypeVar("_Item")

# Characters of one value, and of all values of a trace, that are shown.
_VALUE = 2_000
_TRACE = 200_000
# Spans that are shown.
_ROWS = 500
# Browsers give up on elements nested some 500 deep; deeper spans follow one another.
_NESTED = 100
# Deeper spans are not indented further.
_INDENTED = 20


def render(trace: Trace, known: dict[str, Held] | None = None) -> str:
    """Return a trace as HTML: a tree with times, where each span opens to show what it holds.

    Args:
        trace: The trace.
        known: What spans hold, by their id; what is read here is put there.
    """
    outline = Outline(trace)
    times = [t for row in outline.rows for t in (row.span.start_time_ns, row.span.end_time_ns) if t]
    page = _Page(min(times, default=0), max(times, default=0), {} if known is None else known)
    out = [f'<div class="spanlog"><style>{_style()}</style>{_head(outline, trace, page)}<ul>']
    rows = outline.rows[:_ROWS]
    ends: list[str] = []
    for row, depth_below in zip(rows, [*(row.depth for row in rows[1:]), 0], strict=False):
        out.append(page.span(row))
        if depth_below > row.depth and row.depth < _NESTED:
            fold = "" if row.doubled else " open"
            out.append(f'<details class="kids"{fold}><summary title="Fold"></summary><ul>')
            ends.append("</ul></details></li>")
        else:
            out.append("</li>")
            ends.append("")
        while len(ends) > depth_below:
            out.append(ends.pop())
    left_out = len(outline.rows) - len(rows)
    out.append(f"</ul>{f'<p>{left_out:,} more spans are not shown</p>' if left_out else ''}</div>")
    return "".join(out)


@cache
def _style() -> str:
    return files("spanlog.display").joinpath("static.css").read_text("utf-8")


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
    facts: list[tuple[str, Any]] = [
        (f"{of} {key}", value) for of, pairs in known for key, value in pairs.items()
    ]
    facts += [("assessment", assessment.to_dict()) for assessment in info.assessments]
    shown = " ".join(f"<span>{figure}</span>" for figure in figures if figure)
    # The spaces are for where styles are taken out, as from notebooks that are not trusted.
    return (
        f'<header><b>{escape(_short(outline.name))}</b> <span class="state {info.state.value}">'
        f"{outline.state}</span> {shown} <code>{escape(outline.trace_id)}</code></header>"
        f"{page.folded('Tags and metadata', facts)}"
    )


class _Page:
    """Draws the spans of one trace, within the room that its values have together.

    Args:
        begin: When the trace began, in nanoseconds since 1970.
        end: When it ended, or the last moment known of it.
        known: What spans hold, by their id; what is read is put there.
    """

    def __init__(self, begin: int, end: int, known: dict[str, Held]) -> None:
        self._known = known
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
        name += f" <em>{escape(row.kind)}</em>" if row.kind else ""
        name += " <small>parent missing</small>" if row.orphan else ""
        told = ((row.note, "note"), (error, "why"))
        why = "".join(
            f' <span class="{c}">{escape(_short(text))}</span>' for text, c in told if text
        )
        state = " failed" if error else "" if span.end_time_ns else " open"
        return (
            f'<li style="--d:{min(row.depth, _INDENTED)}"><details '
            f'class="span {row.family}{state}">'
            f'<summary><span class="name">{name}</span> '
            f'<span class="tokens">{row.tokens}</span> <span class="took">{row.took}</span>'
            f'<span class="bar"><i style="left:{start:.2%};width:{width:.2%}"></i></span>'
            f'{why}</summary><div class="inside">{self._inside(span, error)}</div></details>'
        )

    def _inside(self, span: Span, error: str) -> str:
        failures = [e for e in span.events if e.name == "exception"]
        others = [e for e in span.events if e.name != "exception"]
        why = [self._pre(_stack(e)) for e in failures] or ([self._pre(error)] if error else [])
        held, said = None, []
        if self._room > 0:
            held = self._known[span.span_id] = data.Held.by(span)
            said = [*held.asked, *held.answered]
        parts = [
            f"<h4>Error</h4>{''.join(why)}" if why else "",
            self._each(said, self._message),
            self._data("Inputs", span.inputs_json, held and held.inputs, folded=bool(said)),
            self._data("Outputs", span.outputs_json, held and held.outputs, folded=bool(said)),
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

    def _data(self, title: str, text: str | None, value: Any, *, folded: bool) -> str:
        """Draw inputs or outputs, given as JSON and as what that says."""
        if text is None or text == "null":
            return ""
        if self._room <= 0:
            return f"<h4>{title}</h4>{_left_out(len(text))}"
        if not folded:
            return f"<h4>{title}</h4>{self._value(value)}"
        return (
            f'<details class="more"><summary>{title}</summary>'
            f"{self._pre(value if isinstance(value, str) else _pretty(value))}</details>"
        )

    def _value(self, value: Any) -> str:
        if isinstance(value, str):
            return self._text(value)
        if _are_documents(value):
            return self._each(value, self._document)
        return self._pre(_pretty(value))

    def _each(self, items: Sequence[_Item], draw: Callable[[_Item], str]) -> str:
        """Draw items for as long as there is room."""
        out = []
        for number, item in enumerate(items):
            if self._room <= 0:
                out.append(f"<p>… {len(items) - number:,} more are not shown</p>")
                break
            out.append(draw(item))
        return "".join(out)

    def _message(self, message: ChatMessage) -> str:
        role = escape(_short(message.role))
        body = [self._text(message.text)] if message.text else []
        if message.reasoning:
            body.append(f"<h5>reasoning</h5>{self._text(message.reasoning)}")
        body += [f"<p>{escape(_short(m.media_type))}</p>" for m in message.media]
        body += [self._tool(f"calls {c.name}", c.arguments) for c in message.tool_calls]
        body += [self._tool(f"{r.name or 'tool'} answers", r.content) for r in message.tool_results]
        return f'<div class="message" data-role="{role}"><h5>{role}</h5>{"".join(body)}</div>'

    def _tool(self, title: str, value: Any) -> str:
        text = value if isinstance(value, str) else _pretty(value)
        return f'<div class="call"><h5>{escape(_short(title))}</h5>{self._pre(text)}</div>'

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
    stack = facts.get(semconv.EXCEPTION_STACKTRACE)
    return str(stack or f"{facts.get('exception.type')}: {facts.get('exception.message')}")


def _are_documents(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, dict) and "page_content" in item for item in value)
    )
