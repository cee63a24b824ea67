"""LangChain's runs: spans that are opened and closed by its callbacks.

Callbacks come from other tasks and threads than the work they tell of, and not in order. So none
sets what is current: that is asked of LangChain's own context (`running`), and of the functions in
which a run begins and does its work (`Body`).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from types import CoroutineType
from typing import Any

from spanlog import safety, semconv
from spanlog.instrument import Call, Run, Runs, Wrapper, awaited, trace_of
from spanlog.model.capture import capture, safe_str
from spanlog.model.span import SpanEvent, SpanType
from spanlog.record.context import recording
from spanlog.record.span import LiveSpan
from spanlog.record.streams import Stepped
from spanlog.safety import guarded

from spanlog_integrations import _langchain_data as data
from spanlog_integrations.seams.http import secrets_behind

# The span types of what LangChain calls a chain, by the type or the name of the run.
_CHAINS = {"parser": SpanType.PARSER, "AgentExecutor": SpanType.AGENT}
_MODELS = (SpanType.CHAT_MODEL, SpanType.LLM)
# What LangGraph runs for itself.
_HIDDEN = "langsmith:hidden"
_INTERNAL = ("ChannelWrite<", "__start__")
# What LangGraph raises to leave a node: for an interrupt, to go on in the graph above.
_LEAVES = "GraphBubbleUp"
# Where a graph's result tells what its interrupts ask.
_INTERRUPT = "__interrupt__"


class Body:
    """A function in which one run begins and does its work.

    Args:
        span: The span of the run, where it has begun.
        span_type: What the run is, where its callbacks do not tell.
        config: The configuration that the run is given, where it matters.
    """

    def __init__(
        self, span: LiveSpan | None = None, span_type: str | None = None, config: Any = None
    ) -> None:
        self.span = span
        self.span_type = span_type
        self.config = config
        self._before: Body | None = None

    def __enter__(self) -> None:
        self._before = _BODY.get()
        _BODY.set(self)

    def __exit__(self, *error: object) -> None:
        if _BODY.get() is self:
            _BODY.set(self._before)


_BODY: ContextVar[Body | None] = ContextVar("spanlog_langchain_body", default=None)


def within(begin: Callable[[Call], Body | None]) -> Wrapper:
    """Return the wrapper of a function in which a run does its work; `begin` tells of the run."""
    begins = guarded(begin)

    def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        body = begins(Call(instance, args, kwargs)) if recording() else None
        if body is None:
            return wrapped(*args, **kwargs)
        with body:
            result = wrapped(*args, **kwargs)
        if getattr(result, "__qualname__", None) != getattr(wrapped, "__qualname__", None):
            return result  # and not the rest of the function's own work
        return awaited(result, body) if type(result) is CoroutineType else _Steps(result, body)

    return wrapper


class _Steps(Stepped):
    """A generator whose steps are the body of a run; what its consumer does is not."""

    __slots__ = ("_self_body",)

    def __init__(self, generator: Any, body: Body) -> None:  # noqa: ARG002 - `Proxy` keeps it
        self._self_body = body

    def _self_step(self, step: Callable[..., Any], *args: Any) -> Any:
        with self._self_body:
            return step(*args)

    async def _self_step_async(self, step: Callable[..., Any], *args: Any) -> Any:
        with self._self_body:
            return await step(*args)


def of_body() -> LiveSpan | None:
    """Return the span of the run in whose body this is called."""
    body = _BODY.get()
    return body.span if body else None


class _Run(Run):
    """A run that LangChain tells of.

    Attributes:
        asks: What interrupts have asked in it.
    """

    def __init__(self, span: LiveSpan, *, hidden: bool = False) -> None:
        super().__init__(span, hidden=hidden)
        self.asks: list[Any] = []

    def on_response(self, result: Any) -> Any:
        """Record what came out, and end the span."""
        self.outputs(result)
        self.span.end()
        return result

    def outputs(self, outputs: Any) -> None:
        """Record what came out; of a run that waits for an answer, with what it asks."""
        made = data.plain(outputs)
        if self.asks:
            made = {**made, _INTERRUPT: self.asks} if isinstance(made, dict) else made
            self._previews()
        self.span.set_outputs(made)

    def on_error(self, error: BaseException) -> None:
        """End the span with an error, unless it is a way to leave that is none."""
        if any(kind.__name__ == _LEAVES for kind in type(error).__mro__):
            self._leave(error)
            self.span.end()
        else:
            self.span._redact(secrets_behind(error))
            self.span._fail(error)

    def _leave(self, error: BaseException) -> None:
        """Record why a run has left its node: as to wait for someone to answer."""
        self.span.add_event(SpanEvent(type(error).__name__, {"data": data.plain(error.args)}))
        if asked := data.asks(error):
            if not self.asks:  # else it is asked in a run below
                self.span.set_attribute(semconv.NOTE, f"asks: {data.asked(asked)}")
            self.asks = asked
            self.span.set_outputs({_INTERRUPT: asked})
            self._previews()

    def _previews(self) -> None:
        trace = trace_of(self.span)
        if self.span.parent_id is None and trace.response_preview is None:
            trace.response_preview = data.asked(self.asks)


class _ModelRun(_Run):
    """A call of a model.

    Attributes:
        tokens: What the model has said so far, where it streams.
    """

    def __init__(self, span: LiveSpan, *, hidden: bool = False) -> None:
        super().__init__(span, hidden=hidden)
        self.tokens: list[str] = []

    def on_response(self, result: Any) -> Any:
        """Record what the model says, and end the span."""
        self.outputs(data.replied(result))
        data.response(self.span, result)  # now: LangChain's cache changes the result later
        self.span.end()
        return result

    def on_error(self, error: BaseException) -> None:
        """End the span with an error, and with what the model had said until then."""
        self._keep_said()
        super().on_error(error)

    def on_drop(self) -> None:
        """End the span, with what the model had said until then."""
        self._keep_said()
        super().on_drop()

    def _keep_said(self) -> None:
        if said := "".join(self.tokens):
            self.span._keep_outputs(capture({"choices": [data.choice(said, self.span.span_type)]}))


class Handler:
    """What LangChain calls: makes spans of the runs that it tells of."""

    run_inline = True

    def __init__(self) -> None:
        self.on = False
        self._runs: Runs[_Run] = Runs()

    @property
    def raise_error(self) -> bool:
        """Whether LangChain passes on errors of this handler, as it does under our tests."""
        return safety.strict

    def span_of(self, run_id: Any) -> LiveSpan | None:
        """Return the span of a run that has not ended."""
        return self._runs.span(run_id)

    def running(self) -> LiveSpan | None:
        """Return the span of the run that LangChain's own context names."""
        config = sys.modules.get("langchain_core.runnables.config")
        child = getattr(config, "var_child_runnable_config", None)
        held = child.get() if child else None
        callbacks = held.get("callbacks") if held else None
        return self.span_of(getattr(callbacks, "parent_run_id", None))

    # Beginnings.

    @guarded
    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: Any, name: Any = None, **told: Any
    ) -> None:
        """Begin a chain: of a sequence, a function, a prompt, a parser, a graph or its node."""
        name = _name(serialized, name, "Chain")
        kind = _CHAINS.get(told.get("run_type") or name, SpanType.CHAIN)
        if (span := self._begin(run_id, name, kind, inputs, told)) is not None:
            data.step(span, told.get("metadata"))
            if (answer := data.answered(inputs)) is not None:
                span.set_attribute(semconv.NOTE, f"answers: {answer}")
                if span.parent_id is None:
                    trace_of(span).request_preview = answer

    @guarded
    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: Any, name: Any = None, **told: Any
    ) -> None:
        """Begin a call of a chat model."""
        name = _name(serialized, name, "ChatModel")
        asked = {"messages": messages[0]}
        if (span := self._begin(run_id, name, SpanType.CHAT_MODEL, asked, told)) is not None:
            data.request(span, "chat", told)

    @guarded
    def on_llm_start(
        self, serialized: Any, prompts: Any, *, run_id: Any, name: Any = None, **told: Any
    ) -> None:
        """Begin a call of a model that completes a text."""
        name = _name(serialized, name, "LLM")
        asked = {"prompt": prompts[0]}
        if (span := self._begin(run_id, name, SpanType.LLM, asked, told)) is not None:
            data.request(span, "text_completion", told)

    @guarded
    def on_tool_start(
        self, serialized: Any, input_str: str, *, run_id: Any, name: Any = None, **told: Any
    ) -> None:
        """Begin a call of a tool."""
        tool = _name(serialized, None, "tool")
        asked = told.get("inputs") or input_str
        if (span := self._begin(run_id, name or tool, SpanType.TOOL, asked, told)) is not None:
            facts = {
                semconv.OPERATION_NAME: "execute_tool",
                semconv.TOOL_NAME: tool,
                semconv.TOOL_DESCRIPTION: (serialized or {}).get("description"),
                semconv.TOOL_CALL_ID: told.get("tool_call_id"),
            }
            span.set_attributes({name: fact for name, fact in facts.items() if fact})

    @guarded
    def on_retriever_start(
        self, serialized: Any, query: str, *, run_id: Any, name: Any = None, **told: Any
    ) -> None:
        """Begin a search for documents."""
        name = _name(serialized, name, "Retriever")
        asked = {"query": query}
        if (span := self._begin(run_id, name, SpanType.RETRIEVER, asked, told)) is not None:
            span.set_attribute(semconv.OPERATION_NAME, "retrieval")

    def _begin(
        self, run_id: Any, name: str, kind: str, inputs: Any, told: Mapping[str, Any]
    ) -> LiveSpan | None:
        """Begin a run; return its span, unless it has none."""
        if not self.on:
            return None
        run_of = _ModelRun if kind in _MODELS else _Run
        internal = _HIDDEN in (told.get("tags") or ()) or name.startswith(_INTERNAL)
        body = _BODY.get()
        if body is not None and body.span is not None:
            body = None  # it is the body of a run around this one

        def open_run(above: LiveSpan | None) -> _Run:
            if internal and above is not None:
                return run_of(above, hidden=True)
            asked = capture(data.plain(inputs))
            return run_of(LiveSpan(name, (body and body.span_type) or kind, above, asked))

        parent = told.get("parent_run_id")
        run = self._runs.begin(run_id, open_run, parent=parent, current=False)
        if run is None or run.hidden:
            return None
        span = run.span
        if body is not None:
            body.span = span
        session = data.session(told.get("metadata"), body and body.config)
        if session is not None and semconv.SESSION not in trace_of(span).metadata:
            trace_of(span).metadata[semconv.SESSION] = safe_str(session)
            trace_of(span).recorder.changed(trace_of(span))
        return span

    # What happens on the way.

    @guarded
    def on_llm_new_token(self, token: Any, *, run_id: Any, **_told: Any) -> None:
        """Keep a piece of what a model says."""
        run = self._runs.get(run_id)
        if isinstance(run, _ModelRun) and not run.hidden:
            if not run.tokens:
                run.span.set_attribute(semconv.RESPONSE_TIME_TO_FIRST_CHUNK, run.span._age())
            run.tokens.append(token if isinstance(token, str) else "")

    @guarded
    def on_custom_event(self, name: str, data: Any, *, run_id: Any, **_told: Any) -> None:
        """Keep what the program says happened."""
        if (span := self.span_of(run_id)) is not None:
            span.add_event(SpanEvent(name, {"data": data}))

    # Ends.

    def on_chain_end(self, outputs: Any, *, run_id: Any, **told: Any) -> None:
        """End a chain; one that streams knows only now what it was given."""
        self._given(run_id, told)
        self._runs.end(run_id, outputs)

    def on_llm_end(self, result: Any, *, run_id: Any, **_told: Any) -> None:
        """End a call of a model."""
        self._runs.end(run_id, result)

    def on_tool_end(self, output: Any, *, run_id: Any, **_told: Any) -> None:
        """End a call of a tool."""
        self._runs.end(run_id, output)

    on_retriever_end = on_tool_end

    @guarded
    def on_chain_error(self, error: BaseException, *, run_id: Any, **told: Any) -> None:
        """End a run that failed, or that its consumer or the graph has left."""
        run, around = self._runs.get(run_id), self._runs.get(told.get("parent_run_id"))
        self._given(run_id, told)
        self._runs.fail(run_id, error)
        if run is not None and around is not None:
            around.asks = [*around.asks, *(one for one in run.asks if one not in around.asks)]

    on_tool_error = on_retriever_error = on_chain_error

    def on_llm_error(self, error: BaseException, *, run_id: Any, **told: Any) -> None:
        """End a call of a model that failed, with what it had said until then."""
        self._said(run_id, told.get("response"))
        self._runs.fail(run_id, error)

    @guarded
    def _given(self, run_id: Any, told: Mapping[str, Any]) -> None:
        """Record what went in, where that is told only at the end."""
        run = self._runs.get(run_id)
        if run is not None and not run.hidden and "inputs" in told:
            run.span.set_inputs(data.plain(told["inputs"]))

    @guarded
    def _said(self, run_id: Any, response: Any) -> None:
        """Record what a model had said, where that is told with its error."""
        run, said = self._runs.get(run_id), data.replied(response)
        if run is not None and not run.hidden and any(map(data.says, said["choices"])):
            run.outputs(said)


def _name(serialized: Any, name: Any, otherwise: str) -> str:
    """Return the name that a program gave a run, or that of the class that runs."""
    held: Mapping[str, Any] = serialized or {}
    path: Sequence[Any] = held.get("id") or (otherwise,)
    return safe_str(name or held.get("name") or path[-1])
