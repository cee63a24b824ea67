"""Traces as HTML that needs nothing else: the view, and a static tree where no scripts run."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from functools import cache
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from spanlog.display import data, html
from spanlog.store.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanlog.model.trace import Trace

# Characters of values, and bytes of images and sound, that a page keeps of its traces together.
_VALUES = 2_000_000
_ATTACHMENTS = 2_000_000

# Each after those that it imports.
_MODULES = ("dom", "values", "chat", "assessment", "contents", "tree", "trace", "notebook")
_INDENT = re.compile(r"^\s+", re.MULTILINE)
# Of modules that become one script without types. No string of theirs looks like a comment.
_UNNEEDED = re.compile(r"^(?:import [^;]*;\n|export |//.*\n)|/\*\*[\s\S]*?\*/\s*", re.MULTILINE)


def render(traces: Sequence[Trace], more: int = 0) -> str:
    """Return traces as HTML.

    Args:
        traces: The traces.
        more: How many there are that are not shown.
    """
    script, css = _view()
    key = traces[0].info.trace_id
    room = _VALUES // len(traces)
    static, pages = [], []
    for trace in traces:
        known: dict[str, data.Held] = {}
        static.append(html.render(trace, known))
        pages.append(_page(trace, known, room, _ATTACHMENTS // len(traces)))
    version = hashlib.sha256((script + css).encode()).hexdigest()[:8]
    call = f"mount({data.script_json(key)}, {data.script_json(version)}, {data.script_json(css)});"
    rest = f"<p>and {more:,} more</p>" if more else ""
    return (
        f'<div data-spanlog="{escape(key)}">'
        f'<div class="spanlog-static">{"".join(static)}{rest}</div>'
        f'<script type="application/json">'
        f"{data.script_json({'pages': pages, 'more': more})}</script>"
        f'<script type="module">{script}\n{call}</script></div>'
    )


@cache
def _view() -> tuple[str, str]:
    """Return the view as one script, and its style."""
    folder = files("spanlog.display") / "view"
    modules = "".join((folder / f"{name}.js").read_text("utf-8") for name in _MODULES)
    css = (folder / "trace.css").read_text("utf-8")
    return _UNNEEDED.sub("", _INDENT.sub("", modules)), _INDENT.sub("", css)


def _page(
    trace: Trace, known: dict[str, data.Held], values: float, attachments: int
) -> dict[str, Any]:
    room = data.Room(total=values)
    kept: dict[str, str] = {}
    for span in trace.data.spans:
        for attachment in span.attachments:
            if attachment.sha256 in kept or attachment.size > attachments:
                continue
            try:
                content = attachment.content
            except StoreError:  # the trace is of another store
                continue
            attachments -= attachment.size
            url = f"data:{attachment.media_type};base64,{b64encode(content).decode()}"
            kept[attachment.sha256] = url
    return {
        "trace": data.outline(trace),
        "spans": {
            span.span_id: data.contents(span, room, known.get(span.span_id))
            for span in trace.data.spans
        },
        "attachments": kept,
    }
