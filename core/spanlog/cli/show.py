"""`spanlog show`: one trace as a tree, and what went in and out of its spans."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from spanlog import semconv
from spanlog.cli.store import json_option, opened, place, store_option, trace_id
from spanlog.model.messages import MODELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from spanlog.model.messages import ChatMessage
    from spanlog.model.span import Span
    from spanlog.model.trace import Trace

_LONGEST = 4_000  # characters of one value: a screen full or two


@click.command()
@click.argument("id", default="last")
@click.option("--io", is_flag=True, help="Show what went in and out of every span, too.")
@store_option
@json_option
def show(id: str, io: bool, store: str | None, as_json: bool) -> None:  # noqa: A002 - as users see it
    """Show a trace as a tree: the last one, or that with an ID.

    \b
      spanlog show
      spanlog show 0f0ac785
      spanlog show last --io
      spanlog show last --json | jq '.data.spans[].name'

    The ID may be shortened to its beginning or its end.
    """
    from spanlog.cli.output import put, put_json_text

    there = opened(store)
    found = there.get(trace_id(there, id))
    if found is None:
        raise click.ClickException(f"the trace is no longer in {place(there.url)}")
    if as_json:
        put_json_text(found.to_json())
    else:
        put(found, *(_contents(found) if io else ()))


def _contents(trace: Trace) -> Iterator[RenderableType]:
    from rich.padding import Padding
    from rich.text import Text

    from spanlog.display.outline import Outline

    for row in Outline(trace).rows:
        yield Text(f"\n{row.name}", "bold")
        for said, content in _parts(row.span):
            yield Text(f"  {said}", "cyan")
            yield Padding(Text(_cut(_printable(content))), (0, 0, 0, 4), expand=False)


def _parts(span: Span) -> Iterator[tuple[str, str]]:
    messages = span.chat_messages if span.span_type in MODELS else []
    for message in messages:
        yield message.role, _said(message)
    if not messages:
        for name, value in (("inputs", span.inputs), ("outputs", span.outputs)):
            if value is not None:
                yield name, _plain(value)
    for event in span.events:
        if semconv.EXCEPTION_TYPE in event.attributes:
            yield "error", str(event.attributes.get(semconv.EXCEPTION_STACKTRACE, "")).strip()


def _said(message: ChatMessage) -> str:
    lines = [f"(thinking) {message.reasoning}"] if message.reasoning else []
    lines += [message.text] if message.text else []
    lines += [f"→ {call}" for call in message.tool_calls]
    lines += [f"← {result}" for result in message.tool_results]
    lines += [f"[{medium.media_type}] {medium.url}" for medium in message.media]
    return "\n".join(lines)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


def _cut(text: str) -> str:
    left = len(text) - _LONGEST
    return text if left <= 0 else f"{text[:_LONGEST]}… and {left:,} characters more"


def _printable(text: str) -> str:
    """Return text without what a terminal would obey."""
    return "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text
    )
