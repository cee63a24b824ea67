"""LangChain and LangGraph: chains, models, tools, retrievers, parsers, agents, graphs.

Sync and async, streamed and not, in batches, through LangChain's own callbacks; embeddings and
rerankers too, which have none. A span of the user's, or of a provider's SDK, goes under the run in
whose work it begins. A graph is an agent, its nodes are chains; an interrupt is no error.
"""

from __future__ import annotations

import copy
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from spanlog import semconv
from spanlog.instrument import Call, Hook, Integration, Target, TracedCall, traced
from spanlog.model.capture import capture
from spanlog.model.span import SpanType
from spanlog.record.context import RESOLVERS, current_span
from spanlog.record.span import LiveSpan
from spanlog.safety import guarded

from spanlog_integrations import _langchain_data as data
from spanlog_integrations._langchain_runs import Body, Handler, of_body, within

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

# Of more numbers than this only the first vector is kept.
_MAX_NUMBERS = 100_000


@cache
def _variable() -> ContextVar[Handler]:
    """Return the variable in which LangChain finds our handler, in every thread and task."""
    base = import_module("langchain_core.callbacks.base").BaseCallbackHandler
    made = type("SpanlogHandler", (Handler, base), {"__reduce__": lambda _: (_handler, ())})
    handler: Handler = made()
    return ContextVar("spanlog_langchain", default=handler)


def _handler() -> Handler:
    """Return our handler: a copy of it is this one, and that of another process the one there."""
    return _variable().get()


def _install(tracers: ModuleType) -> Callable[[], object]:
    """Have LangChain tell our handler of every run."""
    variable, handler = _variable(), _handler()
    handler.on = True
    tracers.register_configure_hook(variable, inheritable=True)
    resolvers = [handler.running, of_body]
    RESOLVERS.extend(resolvers)

    def take_out() -> None:
        handler.on = False
        hooks = tracers._configure_hooks  # what registers has nothing to take out again
        hooks[:] = [hook for hook in hooks if hook[0] is not variable]
        RESOLVERS[:] = [resolver for resolver in RESOLVERS if resolver not in resolvers]

    return take_out


def _llm_start(wrapped: Callable[..., Any], manager: Any, args: Any, kwargs: Any) -> Any:
    """Tell of a completion, without keeping it from the user's handlers.

    LangChain forgets the handlers that run elsewhere where there is one that runs inline, as ours.
    """
    ours = _handler()
    if ours not in manager.handlers:
        return wrapped(*args, **kwargs)

    @guarded
    def tell(begun: Any) -> None:
        call = Call(manager, args, kwargs)
        told = {name: held for name, held in kwargs.items() if name not in _STARTED}
        for run, prompt in zip(begun, call.argument(1, "prompts"), strict=False):
            run.handlers = manager.handlers
            ours.on_llm_start(
                call.argument(0, "serialized"),
                [prompt],
                run_id=run.run_id,
                parent_run_id=manager.parent_run_id,
                tags=manager.tags,
                metadata=manager.metadata,
                **told,
            )

    async def start() -> Any:
        others = copy.copy(manager)
        others.handlers = [handler for handler in manager.handlers if handler is not ours]
        begun = await others.on_llm_start(*args, **kwargs)
        tell(begun)
        return begun

    return start()


_STARTED = frozenset({"serialized", "prompts", "run_id"})


def _begins(_call: Call) -> Body:
    """Take the call for the body of the run that begins in it."""
    return Body()


def _begins_traced(call: Call) -> Body | None:
    """Take the call for the body of a run, where LangGraph is to make one."""
    return Body() if call.instance.trace else None


def _graph(call: Call) -> Body:
    """Take the call for the body of a graph's run."""
    return Body(span_type=SpanType.AGENT, config=call.argument(1, "config"))


def _of_run(call: Call) -> Body | None:
    """Take a call for the body of the run whose manager it is given, or of the first of several."""
    given = call.argument(2, "run_manager") or call.kwargs.get("run_managers")
    manager = given[0] if isinstance(given, list) and given else given
    span = _handler().span_of(getattr(manager, "run_id", None))
    return Body(span) if span else None


class _Span(LiveSpan):
    """The span of a call that LangChain does not tell of.

    Attributes:
        by: What is called; what it calls of itself is the same call.
    """

    __slots__ = ("by",)

    by: Any


class _Embedding(TracedCall):
    """A call of an embedding model."""

    def __init__(self, span: LiveSpan, call: Call) -> None:
        super().__init__(span)
        self._model = call.instance

    def on_request(self) -> None:
        """Record which model it is."""
        self.span.set_attribute(semconv.OPERATION_NAME, "embeddings")
        held = (getattr(self._model, name, None) for name in ("model", "model_name"))
        if model := next((name for name in held if isinstance(name, str)), None):
            self.span.set_attribute(semconv.REQUEST_MODEL, model)

    def on_response(self, result: Any) -> Any:
        """Record the vectors, of very many the first and what there is."""
        several = isinstance(result, list) and bool(result) and isinstance(result[0], list)
        vectors = result if several else [result]
        size = len(vectors[0])
        self.span.set_attribute(semconv.EMBEDDINGS_DIMENSION_COUNT, size)
        all_ = size * len(vectors) <= _MAX_NUMBERS
        self.span._finish(capture(result if all_ else {"count": len(vectors), "first": vectors[0]}))
        return result


class _Reranking(TracedCall):
    """A call that puts documents in order, or leaves some out."""

    def on_response(self, result: Any) -> Any:
        """Record the documents that are left."""
        self.span._finish(capture(data.plain(list(result))))
        return result


def _span(call: Call, kind: str, inputs: Any) -> LiveSpan | None:
    parent = current_span()
    if isinstance(parent, _Span) and parent.by is call.instance:
        return None
    span = _Span(type(call.instance).__name__, kind, parent, capture(inputs))
    span.by = call.instance
    return span


def _embed(name: str) -> Callable[[Call], TracedCall | None]:
    def begin(call: Call) -> TracedCall | None:
        span = _span(call, SpanType.EMBEDDING, {"input": call.argument(0, name)})
        return _Embedding(span, call) if span else None

    return begin


def _rerank(call: Call) -> TracedCall | None:
    documents = data.plain(list(call.argument(0, "documents", ())))
    asked = {"query": call.argument(1, "query"), "documents": documents}
    span = _span(call, SpanType.RERANKER, asked)
    return _Reranking(span) if span else None


_EMBEDDINGS = "langchain_core.embeddings:Embeddings"
_COMPRESSOR = "langchain_core.documents.compressor:BaseDocumentCompressor"
_MODELS = "langchain_core.language_models"
# The functions in which one run begins, and does its work.
_BODIES = (
    f"{_MODELS}.chat_models:BaseChatModel.stream",
    f"{_MODELS}.chat_models:BaseChatModel.astream",
    f"{_MODELS}.llms:BaseLLM.stream",
    f"{_MODELS}.llms:BaseLLM.astream",
    "langchain_core.retrievers:BaseRetriever.invoke",
    "langchain_core.retrievers:BaseRetriever.ainvoke",
    "langchain_core.retrievers:BaseRetriever.get_relevant_documents",
    "langchain_core.retrievers:BaseRetriever.aget_relevant_documents",
    "langchain_core.runnables.base:RunnableSequence.ainvoke",
    "langchain_core.runnables.base:Runnable._call_with_config",
    "langchain_core.runnables.base:Runnable._acall_with_config",
    "langchain_core.runnables.base:Runnable._transform_stream_with_config",
    "langchain_core.runnables.base:Runnable._atransform_stream_with_config",
    "langgraph.pregel._read:RunnableSeq.ainvoke",
    "langgraph.pregel._read:RunnableSeq.astream",
    "langgraph.pregel.read:RunnableSeq.ainvoke",
    "langgraph.pregel.read:RunnableSeq.astream",
    "langchain_core.tools:BaseTool.run",
    "langchain_core.tools:BaseTool.arun",
)
# The functions that are told in which run they call a model.
_CALLS = (
    f"{_MODELS}.chat_models:BaseChatModel._generate_with_cache",
    f"{_MODELS}.chat_models:BaseChatModel._agenerate_with_cache",
    f"{_MODELS}.chat_models:BaseChatModel._iter_v2_events",
    f"{_MODELS}.chat_models:BaseChatModel._aiter_v2_events",
    f"{_MODELS}.llms:BaseLLM._generate_helper",
    f"{_MODELS}.llms:BaseLLM._agenerate_helper",
)
# Where LangGraph takes what runs a node from its own modules, whose names change.
_NODES = ("langgraph.pregel.read", "langgraph.pregel._read")

integration = Integration(
    "langchain",
    "langchain_core",
    "langchain-core",
    Hook("langchain_core.tracers.context", _install),
    Target("langchain_core.callbacks.manager:AsyncCallbackManager.on_llm_start", _llm_start),
    *(Target(at, within(_begins)) for at in _BODIES),
    *(Target(at, within(_of_run)) for at in _CALLS),
    Target(f"{_EMBEDDINGS}.embed_documents", traced(_embed("texts")), derived=True),
    Target(f"{_EMBEDDINGS}.embed_query", traced(_embed("text")), derived=True),
    Target(f"{_EMBEDDINGS}.aembed_documents", traced(_embed("texts")), derived=True),
    Target(f"{_EMBEDDINGS}.aembed_query", traced(_embed("text")), derived=True),
    Target(f"{_COMPRESSOR}.compress_documents", traced(_rerank), derived=True),
    Target(f"{_COMPRESSOR}.acompress_documents", traced(_rerank), derived=True),
    Target("langgraph.pregel:Pregel.stream", within(_graph)),
    Target("langgraph.pregel:Pregel.astream", within(_graph)),
    *(Target(f"{module}:RunnableCallable.ainvoke", within(_begins_traced)) for module in _NODES),
    tested=("0.1.0", "1.7.2"),
)
autolog = integration.autolog
