"""LlamaIndex: indices, query and chat engines, retrievers, rerankers, models, agents, workflows.

Sync and async, streamed and not, through LlamaIndex's own dispatcher, beside the program's own
handlers. A span of the user's, or of a provider's SDK, goes under the step, the tool or the model
in whose work it begins. What streams is open until its stream was read, closed or dropped.
"""

from __future__ import annotations

import weakref
from contextlib import nullcontext
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import TYPE_CHECKING, Any

from spanlog.instrument import (
    Call,
    Hook,
    Integration,
    Run,
    Runs,
    Target,
    TracedCall,
    awaited,
    driven,
    traced,
)
from spanlog.model.capture import capture, wire
from spanlog.model.span import SpanType
from spanlog.record.context import CURRENT, carry, current_span, recording
from spanlog.record.span import LiveSpan
from spanlog.record.streams import Watch
from spanlog.safety import guarded

from spanlog_integrations import _llama_index_data as data

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from inspect import BoundArguments
    from types import ModuleType

_MODELS = (SpanType.CHAT_MODEL, SpanType.LLM)
_STREAMS = (GeneratorType, AsyncGeneratorType)
# What a dispatcher adds to a name to make it an id.
_UUID = 37
# What a model prepares a call by, which is none.
_PREPARES = "_prepare_chat_with_tools"
# What reads a streamed answer for an engine, in a thread or a task.
_READS = ("write_response_to_history", "awrite_response_to_history")
# What is raised to leave a step on purpose: for a workflow that has ended, for one that waits.
_LEAVES = ("WorkflowDone", "WaitingForEvent")
# What reads objects that may be of any class: where it fails, the span ends without that.
_ask, _fail = guarded(data.request), guarded(data.failed)
_plain, _vectors = guarded(data.plain), guarded(data.vectors)


class _Span(LiveSpan):
    """A span of LlamaIndex's.

    Attributes:
        by: Whose method is called.
        method: What is called, without what marks it as private.
        failure: What a step has failed with, of a workflow's run.
    """

    __slots__ = ("by", "failure", "method")

    by: Any
    method: str
    failure: BaseException | None

    @classmethod
    def of(
        cls,
        by: Any,
        name: str,
        method: str,
        asked: BoundArguments | dict[str, Any],
        above: LiveSpan | None,
    ) -> _Span:
        """Begin the span of a call."""
        kind = data.span_type(type(by), method)  # type: ignore[arg-type]  # a class has a hash
        given = asked if isinstance(asked, dict) else data.inputs(asked, kind)
        if kind == SpanType.TOOL:
            name = data.tool_name(by)
        span = cls(name, kind, above, capture(given))
        span.by, span.method, span.failure = by, _public(method), None
        _ask(span, by, method, given)
        return span

    def is_also(self, by: Any, method: str) -> bool:
        """Say whether a call that is made in this one is the same, seen closer.

        What an object calls of itself is the same call; but of a chain it is a step, unless it
        is what the public method only hands on to.
        """
        if by is None or self.by is not by:
            return False
        if self.span_type not in (SpanType.CHAIN, SpanType.AGENT):
            return True
        return method.startswith("_") or method in (self.method, f"custom_{self.method}")


def _public(method: str) -> str:
    return method if method.startswith("__") else method.lstrip("_")


def _named(id_: str, by: Any, above: LiveSpan | None) -> tuple[str, str]:
    """Return what a call is called, and its method's name.

    A step of a workflow, which is told of without it, is called after the one that runs.
    """
    *path, method = id_[:-_UUID].rpartition("<locals>.")[2].split(".")
    runs = above.by if by is None and isinstance(above, _Span) else None
    whose = by if by is not None else runs if hasattr(runs, method) else None
    owner = path[-1:] if whose is None else [type(whose).__name__]
    return ".".join([*owner, _public(method)]).removesuffix(".__call__"), method


class _Answer:
    """A streamed answer that the program reads: what ends with it, and what has been read."""

    def __init__(self) -> None:
        self.spans: list[_Span] = []
        self.read: list[str] = []

    def end(self, held: dict[str, Any], error: BaseException | None = None) -> None:
        """End what waits for it."""
        while self.spans:
            span = self.spans.pop(0)
            span.set_outputs({"response": "".join(self.read).strip(), **_sources(held)})
            _failed(span, error) if error is not None else span.end()


class _Called(Run):
    """A call that LlamaIndex tells of."""

    span: _Span

    def on_response(self, result: Any) -> Any:
        """Record a result and end the span; one that has handed out a stream ends with that."""
        span = self.span
        if _handler.is_to_come(span, result):
            return result
        if result is None and span.failure is not None:
            _failed(span, span.failure)  # which some versions forget
        else:
            _answered(span, result)
            span.end()
        return result

    def on_error(self, error: BaseException) -> None:
        """End the span with an error, and remember that of a step for its workflow."""
        _failed(self.span, error)
        above = self.span.parent
        if isinstance(above, _Span) and above.method == "run":
            above.failure = error


class _Handler:
    """What LlamaIndex's dispatcher calls: makes spans of those that it tells of."""

    def __init__(self) -> None:
        self._runs: Runs[_Called] = Runs()
        # Whose stream has been handed out, and not been taken for one that is watched; and what
        # ends the span if it never is.
        self._streams: weakref.WeakKeyDictionary[Any, tuple[_Span, weakref.finalize[..., Any]]]
        self._streams = weakref.WeakKeyDictionary()
        # By the answer's identity.
        self._answers: dict[int, _Answer] = {}

    def __reduce__(self) -> str:
        """Have a copy be this one, and that of another process the one there."""
        return "_handler"

    @property
    def open_spans(self) -> dict[Any, LiveSpan | None]:
        """The spans that have begun, by their ids, as LlamaIndex asks a handler for them."""
        return {id_: self._runs.span(id_) for id_ in self._runs}

    @guarded
    def span_enter(
        self, id_: str, bound_args: BoundArguments, instance: Any = None, **_told: Any
    ) -> None:
        """Begin a span, and make it current for the work in it."""

        def open_run(above: LiveSpan | None) -> _Called | None:
            name, method = _named(id_, instance, above)
            if isinstance(above, _Span) and above.is_also(instance, method):
                return None
            return _Called(_Span.of(instance, name, method, bound_args, above))

        method = id_[:-_UUID].rpartition(".")[2]
        if method in _READS and recording():
            self._hear(instance)
        elif method not in (*_READS, _PREPARES):
            self._runs.begin(id_, open_run)

    @guarded
    def span_exit(self, id_: str, instance: Any = None, result: Any = None, **_told: Any) -> None:
        """End a span."""
        if id_[:-_UUID].endswith(_READS):
            self._answer(instance).end(vars(instance))
        else:
            self._runs.end(id_, result)

    @guarded
    def span_drop(
        self, id_: str, instance: Any = None, err: BaseException | None = None, **_told: Any
    ) -> None:
        """End a span with an error."""
        if id_[:-_UUID].endswith(_READS):
            self._answer(instance).end(vars(instance), err)
        elif err is None:
            self._runs.drop(id_)
        else:
            self._runs.fail(id_, err)

    def capture_propagation_context(self) -> dict[str, Any]:
        """Tell other processes nothing."""
        return {}

    def restore_propagation_context(self, context: dict[str, Any]) -> None:
        """Take nothing from other processes."""

    def close(self) -> None:
        """End what is still open."""
        self._runs.close()
        for answer in self._answers.values():
            answer.end({})
        self._answers.clear()

    # What streams.

    @guarded
    def is_to_come(self, span: _Span, result: Any) -> bool:
        """Have a span end with the stream in its result, if there is one."""
        if isinstance(result, _STREAMS):
            self._streams[result] = span, weakref.finalize(result, span.end)
            return True
        held = getattr(result, "__dict__", {})
        if isinstance(held.get("response_gen"), _STREAMS):
            result.response_gen = driven(held["response_gen"], _watch(span, held))
            return True
        stream = "chat_stream" if held.get("chat_stream") is not None else "achat_stream"
        if held.get(stream) is None:
            return False
        if held.get("is_writing_to_memory", True):
            self._wait(span, result)
        else:
            setattr(result, stream, driven(held[stream], _watch(span, held)))
        return True

    @guarded
    def claim(self, stream: Any) -> Any:
        """Return a stream so that its span ends with it; None for one that has no span."""
        waits = self._streams.pop(stream, None) if isinstance(stream, _STREAMS) else None
        if waits is None:
            return None
        span, unclaimed = waits
        unclaimed.detach()
        return driven(stream, _watch(span, {}))

    def _wait(self, span: _Span, streamed: Any) -> None:
        """Have a span end when its answer has been read, which may be the case already."""
        answer = self._answer(streamed)
        answer.spans.append(span)
        if streamed.is_done or streamed.exception is not None:
            answer.end(vars(streamed), streamed.exception)

    def _hear(self, streamed: Any) -> None:
        """Keep what is read of an answer."""
        read = self._answer(streamed).read
        if streamed.chat_stream is not None:
            streamed.chat_stream = _heard(streamed.chat_stream, read)
        else:
            streamed.achat_stream = _aheard(streamed.achat_stream, read)

    def _answer(self, streamed: Any) -> _Answer:
        """Return what is known of an answer; what waits for it ends at the latest when it goes."""
        key = id(streamed)
        if key not in self._answers:
            self._answers[key] = _Answer()
            weakref.finalize(streamed, self._gone, key)
        return self._answers[key]

    def _gone(self, key: int) -> None:
        if (answer := self._answers.pop(key, None)) is not None:
            answer.end({})


def _heard(stream: Iterator[Any], read: list[str]) -> Iterator[Any]:
    for piece in stream:
        read.append(piece.delta or "")
        yield piece


async def _aheard(stream: AsyncIterator[Any], read: list[str]) -> AsyncIterator[Any]:
    async for piece in stream:
        read.append(piece.delta or "")
        yield piece


def _answered(span: _Span, result: Any) -> None:
    """Record a result."""
    embeds = span.span_type == SpanType.EMBEDDING
    span._keep_outputs(capture((_vectors if embeds else _plain)(result)))
    if span.span_type in _MODELS:
        raw, more = getattr(result, "raw", None), getattr(result, "additional_kwargs", None)
        held = wire(raw), capture(more or {})  # as they are now; what is put off holds no more
        span._read_later(lambda span: data.response(span, *held))
    span.by = None


def _failed(span: LiveSpan, error: BaseException | None) -> None:
    """End a span with an error, unless it is left on purpose."""
    if error is None or isinstance(error, GeneratorExit) or type(error).__name__ in _LEAVES:
        span.end()
    else:
        _fail(span, error)
        span._fail(error)


def _watch(span: _Span, held: dict[str, Any]) -> Watch:
    """Return what watches a stream and ends the span with it."""
    if span.span_type in _MODELS:
        replies = data.Replies()
        return Watch(span, replies.read, keep=replies.keep, fail=_failed)
    sources = _sources(held)
    is_answer = bool(held)  # what holds the stream must not be held here

    def read(span: LiveSpan, pieces: list[Any], stopped: bool) -> None:
        data.streamed(span, len(pieces), stopped)
        said = [getattr(piece, "delta", piece) or "" for piece in pieces]
        if all(isinstance(text, str) for text in said):
            span.set_outputs({"response": "".join(said), **sources} if is_answer else "".join(said))
        else:
            span.set_outputs(data.plain(pieces[-1]))

    return Watch(span, read, fail=_failed)


def _sources(held: dict[str, Any]) -> dict[str, Any]:
    """Return what an answer was made of."""
    return {name: data.plain(held[name]) for name in ("sources", "source_nodes") if held.get(name)}


_handler = _Handler()


def _install(core: ModuleType) -> Callable[[], object]:
    """Have LlamaIndex tell of every span."""
    handlers = core.instrumentation.get_dispatcher().span_handlers
    handlers.append(_handler)

    def take_out() -> None:
        handlers[:] = [handler for handler in handlers if handler is not _handler]
        _handler.close()

    return take_out


def _streamed(wrapped: Callable[..., Any], _by: Any, args: Any, kwargs: Any) -> Any:
    """Have the span of a method that returns a stream end with it."""
    result = wrapped(*args, **kwargs)
    return (
        awaited(result, nullcontext(), _claimed)
        if type(result) is CoroutineType
        else _claimed(result)
    )


def _claimed(result: Any) -> Any:
    watched = _handler.claim(result)
    return result if watched is None else watched


def _started(wrapped: Callable[..., Any], _by: Any, args: Any, kwargs: Any) -> Any:
    """Start a workflow; what goes on while it runs is not in it, as some versions have it."""
    before = CURRENT.get()
    try:
        return wrapped(*args, **kwargs)
    finally:
        CURRENT.set(before)


def _threaded(wrapped: Callable[..., Any], _by: Any, args: Any, kwargs: Any) -> Any:
    """Make a tool's function async so that its thread has what is current where it is called."""

    async def call(*call_args: Any, **call_kwargs: Any) -> Any:
        carried = {name: carry(function) for name, function in kwargs.items()}
        return await wrapped(*map(carry, args), **carried)(*call_args, **call_kwargs)

    return call


class _Building(TracedCall):
    """A call that puts documents into an index, or through a pipeline."""

    def on_response(self, result: Any) -> Any:
        """Record the nodes that were made, or which index."""
        made = {"index_id": result.index_id} if hasattr(result, "index_id") else data.plain(result)
        self.span._finish(capture(made))
        return result

    def on_error(self, error: BaseException) -> None:
        """Record the error."""
        _failed(self.span, error)


def _builds(method: str, given: str, position: int = 0) -> Callable[[Call], TracedCall]:
    def begin(call: Call) -> TracedCall:
        owner = call.instance if isinstance(call.instance, type) else type(call.instance)
        name = f"{owner.__name__}.{method}"
        asked = {given: data.plain(call.argument(position, given))}
        return _Building(_Span.of(call.instance, name, method, asked, current_span()))

    return begin


_LLM = "llama_index.core.base.llms.base:BaseLLM"
_PROMPTED = "llama_index.core.llms.llm:LLM"
_INDEX = "llama_index.core.indices.base:BaseIndex"
_VECTORS = "llama_index.core.indices.vector_store.base:VectorStoreIndex"
_PIPELINE = "llama_index.core.ingestion.pipeline:IngestionPipeline"
_SYNTHESIZER = "llama_index.core.response_synthesizers.base:BaseSynthesizer"

integration = Integration(
    "llama_index",
    "llama_index.core",
    "llama-index-core",
    Hook("llama_index.core", _install),
    *(
        Target(f"{_LLM}.{method}", _streamed, derived=True)
        for method in ("stream_chat", "astream_chat", "stream_complete", "astream_complete")
    ),
    *(
        Target(f"{_PROMPTED}.{method}", _streamed)
        for method in (
            "stream",
            "astream",
            "stream_structured_predict",
            "astream_structured_predict",
        )
    ),
    Target(f"{_SYNTHESIZER}.get_response", _streamed, derived=True),
    Target(f"{_SYNTHESIZER}.aget_response", _streamed, derived=True),
    Target(f"{_INDEX}.from_documents", traced(_builds("from_documents", "documents"))),
    Target(f"{_INDEX}.insert", traced(_builds("insert", "document"))),
    *(
        Target(f"{index}.insert_nodes", traced(_builds("insert_nodes", "nodes")))
        for index in (_INDEX, _VECTORS)
    ),
    Target(f"{_PIPELINE}.run", traced(_builds("run", "documents", 1))),
    Target(f"{_PIPELINE}.arun", traced(_builds("arun", "documents", 1))),
    Target("llama_index.core.workflow.workflow:Workflow.run", _started),
    Target("llama_index.core.tools.function_tool:sync_to_async", _threaded),
    tested=("0.10.44", "0.14.25"),
)
autolog = integration.autolog
