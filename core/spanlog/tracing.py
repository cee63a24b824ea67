"""Turn recording on and off, everywhere or for a stretch of work: `spanlog.tracing`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spanlog.api.fluent import _SESSION, _USER, _texts
from spanlog.model.capture import safe_str
from spanlog.record import context as _context

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence

    from spanlog.record.span import LiveSpan

__all__ = [
    "context",
    "disable",
    "disable_notebook_display",
    "enable",
    "enable_notebook_display",
    "set_span_chat_tools",
]


def enable() -> None:
    """Record again after `disable`."""
    _context.enabled = True


def disable() -> None:
    """Record nothing in this process until `enable`."""
    _context.enabled = False


@contextmanager
def context(
    metadata: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    enabled: bool | None = None,
    session_id: str | None = None,
    user: str | None = None,
) -> Generator[None]:
    """Say something of the traces that begin inside a `with` block.

    Blocks nest: what the inner one says comes on top of the outer one.

    Args:
        metadata: Metadata of the traces.
        tags: Tags of the traces.
        enabled: False to record nothing inside the block.
        session_id: The conversation that the traces belong to.
        user: Who asked.
    """
    outer = _context.SCOPE.get() or _context.Scope()
    facts = {**outer.metadata, **_texts(metadata)}
    if session_id is not None:
        facts[_SESSION] = safe_str(session_id)
    if user is not None:
        facts[_USER] = safe_str(user)
    scope = _context.Scope(
        enabled=outer.enabled if enabled is None else enabled,
        tags={**outer.tags, **_texts(tags)},
        metadata=facts,
    )
    before = _context.SCOPE.get()
    _context.SCOPE.set(scope)
    try:
        yield
    finally:
        if _context.SCOPE.get() is scope:
            _context.SCOPE.set(before)


def set_span_chat_tools(span: LiveSpan, tools: Sequence[Mapping[str, Any]]) -> None:
    """Record which tools a model was offered, for `span.tools`.

    Args:
        span: The span of the model call.
        tools: Their definitions, as a provider takes them.
    """
    span.set_attribute("gen_ai.tool.definitions", list(tools))


def enable_notebook_display() -> None:
    """Show traces after the notebook cell that made them, as is the default."""
    from spanlog.display import notebook

    notebook.shown = True


def disable_notebook_display() -> None:
    """Do not show traces after the notebook cell that made them."""
    from spanlog.display import notebook

    notebook.shown = False
