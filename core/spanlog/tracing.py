"""Turn recording on and off, everywhere or for a stretch of work: `spanlog.tracing`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spanlog import semconv
from spanlog.model.capture import safe_str
from spanlog.record import context as _context
from spanlog.record.manual import texts
from spanlog.record.redact import redactor_of
from spanlog.runtime import default
from spanlog.semconv import SESSION, USER

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Generator, Mapping, Sequence

    from spanlog.record.sink import Sink
    from spanlog.record.span import LiveSpan

__all__ = [
    "add_sink",
    "configure",
    "context",
    "disable",
    "disable_notebook_display",
    "enable",
    "enable_notebook_display",
    "remove_sink",
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
    facts = {**outer.metadata, **texts(metadata)}
    if session_id is not None:
        facts[SESSION] = safe_str(session_id)
    if user is not None:
        facts[USER] = safe_str(user)
    scope = _context.Scope(
        enabled=outer.enabled if enabled is None else enabled,
        tags={**outer.tags, **texts(tags)},
        metadata=facts,
    )
    before = _context.SCOPE.get()
    _context.SCOPE.set(scope)
    try:
        yield
    finally:
        if _context.SCOPE.get() is scope:
            _context.SCOPE.set(before)


def configure(
    *,
    span_processors: Sequence[Callable[[LiveSpan], object]] | None = None,
    redact: bool | Sequence[str | re.Pattern[str]] | None = None,
) -> None:
    r"""Say what happens to spans before they are kept. What is None stays as it is.

    Args:
        span_processors: Functions that are called with each span, one after the other, before any
            sink, preview, index or view sees it, when it has ended and where it is looked at while
            it is open. What they set with `set_inputs`, `set_outputs`, `set_attribute` and
            `set_status` is what is kept; `span.name`, and the list `span.events`, may be changed
            in place. They run on the writer's thread, not on the program's. Of a span for which
            one raises no content is kept, and the span says so in `spanlog.content_dropped`. An
            empty list takes them away.
        redact: What is secret beside keys, tokens, passwords and headers: a list of names, whose
            values are not kept wherever they stand, and of compiled patterns, for what is not kept
            of any text: `["employee_id", re.compile(r"\d{3}-\d\d-\d{4}")]`. A name counts in any
            spelling (`employeeId`) and as the end of another (`his_employee_id`). True takes these
            away again; False keeps everything, keys too. Processors see what is left.

    Raises:
        TypeError: A processor cannot be called, or `redact` is something else.
    """
    stage = default().recorder.stage
    for processor in span_processors or ():
        if not callable(processor):
            raise TypeError(f"a span processor is a function of a span, not {processor!r}")
    redactor = stage.redactor if redact is None else redactor_of(redact)
    if span_processors is not None:
        stage.processors = tuple(span_processors)
    stage.redactor = redactor


def add_sink(sink: Sink) -> None:
    """Have what is recorded from now on go to a sink too, beside the store.

    It has a bounded queue and a thread of its own: a sink that is slow or away holds up neither
    the program nor the store, and loses what finds no room.

    Args:
        sink: An object with the method `write` of `spanlog.record.sink.Sink`.
    """
    default().add_sink(sink)


def remove_sink(sink: Sink) -> None:
    """Have a sink be handed nothing any more; what waits for it is written first.

    Args:
        sink: What was given to `add_sink`; one that was not is passed over.
    """
    default().remove_sink(sink)


def set_span_chat_tools(span: LiveSpan, tools: Sequence[Mapping[str, Any]]) -> None:
    """Record which tools a model was offered, for `span.tools`.

    Args:
        span: The span of the model call.
        tools: Their definitions, as a provider takes them.
    """
    span.set_attribute(semconv.TOOL_DEFINITIONS, list(tools))


def enable_notebook_display() -> None:
    """Show traces after the notebook cell that made them, as is the default."""
    from spanlog.display import notebook

    notebook.shown = True


def disable_notebook_display() -> None:
    """Do not show traces after the notebook cell that made them."""
    from spanlog.display import notebook

    notebook.shown = False
