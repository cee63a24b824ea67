"""What every integration with a framework must do: how a framework joins the suite.

A framework describes one program in a subclass of `Framework` that is put in `FRAMEWORKS`; each
test of `test_frameworks.py` then runs for it, sync and async.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import importlib.util
import inspect
import os
import sys
import tempfile
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from spanlog.record.context import CURRENT, RESOLVERS, current_span

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from spanlog.entities import Span, Trace
    from spanlog.instrument import Integration

    Step = Callable[[str], Any]

# DSPy reads it when it is imported, and would use the cache of whoever runs the tests.
os.environ.setdefault("DSPY_CACHEDIR", tempfile.mkdtemp(prefix="dspy-cache-"))


class Framework:
    """A framework, and a program that is written with it."""

    name: str
    """`spanlog.<name>` traces it."""
    module: str
    """What the program imports."""
    tree: str
    """The program's trace as `outline` gives it; `step` is the user's span in it.

    `{a}` is where the name of an async method has an "a" in front.
    """

    def __str__(self) -> str:
        return type(self).__name__.lower()

    def program(self, step: Step, *, is_async: bool) -> Step:
        """Return a program that gives its text to `step`, in the framework's work, and answers.

        An async program is a coroutine function, and so is its `step`.
        """
        raise NotImplementedError

    def streams(self, *, is_async: bool) -> Mapping[str, Callable[[], Any]]:
        """Return what makes streams of the framework; each may have to be awaited."""
        return {}

    def hooks(self) -> Sequence[Any]:
        """Return the lists in which the framework keeps what is hooked into it."""
        return ()


class LangChain(Framework):
    name = "langchain"
    module = "langchain_core"
    tree = """
        RunnableSequence CHAIN
          ask CHAIN
            Echo CHAT_MODEL
          user CHAIN
            step UNKNOWN
    """

    def program(self, step: Step, *, is_async: bool) -> Step:
        from langchain_core.runnables import RunnableLambda
        from langchain_models import Echo

        model = Echo()

        def ask(text: str) -> str:
            return str(model.invoke(text).content)

        async def ask_later(text: str) -> str:
            return str((await model.ainvoke(text)).content)

        async def later(text: str) -> str:
            return str(await step(text))

        def now(text: str) -> str:
            return str(step(text))

        first = RunnableLambda(ask_later if is_async else ask).with_config(run_name="ask")
        then = RunnableLambda(later if is_async else now).with_config(run_name="user")
        chain = first | then
        return chain.ainvoke if is_async else chain.invoke

    def streams(self, *, is_async: bool) -> Mapping[str, Callable[[], Any]]:
        from langchain_core.output_parsers import StrOutputParser
        from langchain_models import Echo

        model = Echo()
        chain = model | StrOutputParser()
        if is_async:
            return {"model": lambda: model.astream("hi"), "chain": lambda: chain.astream("hi")}
        return {
            "model": lambda: model.stream("hi"),
            "chain": lambda: chain.stream("hi"),
            "parser": lambda: StrOutputParser().transform(iter(["h", "i"])),
        }

    def hooks(self) -> Sequence[Any]:
        from langchain_core.tracers.context import _configure_hooks

        return _configure_hooks


class LangGraph(Framework):
    name = "langchain"
    module = "langgraph"
    tree = """
        LangGraph AGENT
          model CHAIN
            Echo CHAT_MODEL
          user CHAIN
            step UNKNOWN
    """

    def program(self, step: Step, *, is_async: bool) -> Step:
        from langchain_models import Echo

        model = Echo()

        def ask(state: dict[str, Any]) -> dict[str, Any]:
            return {"text": model.invoke(state["text"]).content}

        async def later(state: dict[str, Any]) -> dict[str, Any]:
            return {"text": await step(state["text"])}

        def now(state: dict[str, Any]) -> dict[str, Any]:
            return {"text": step(state["text"])}

        graph = self.graph(ask, later if is_async else now)

        async def run_later(text: str) -> str:
            return str((await graph.ainvoke({"text": text}))["text"])

        def run(text: str) -> str:
            return str(graph.invoke({"text": text})["text"])

        return run_later if is_async else run

    @staticmethod
    def graph(ask: Any, then: Any) -> Any:
        from langgraph.graph import END, StateGraph

        made = StateGraph(dict)
        made.add_node("model", ask)  # a sync node in a graph that is async, too
        made.add_node("user", then)
        made.set_entry_point("model")
        made.add_edge("model", "user")
        made.add_edge("user", END)
        return made.compile()

    def streams(self, *, is_async: bool) -> Mapping[str, Callable[[], Any]]:
        def same(state: dict[str, Any]) -> dict[str, Any]:
            return state

        graph = self.graph(same, same)
        stream = graph.astream if is_async else graph.stream
        return {
            "steps": lambda: stream({"text": "hi"}),
            "values": lambda: stream({"text": "hi"}, stream_mode="values"),
        }


class LlamaIndex(Framework):
    """A query engine of the program's own, that asks a model and then the user's function."""

    name = "llama_index"
    module = "llama_index.core"

    tree = """
        Asking.{a}query CHAIN
          MockLLM.{a}complete LLM
          step UNKNOWN
    """

    def program(self, step: Step, *, is_async: bool) -> Step:
        from llama_index.core.llms import MockLLM
        from llama_index.core.query_engine import CustomQueryEngine

        model = MockLLM()

        class Asking(CustomQueryEngine):
            def custom_query(self, query_str: str) -> str:
                return str(step(model.complete(query_str).text))

            async def acustom_query(self, query_str: str) -> str:
                return str(await step((await model.acomplete(query_str)).text))

        asking = Asking()

        def run(text: str) -> str:
            return str(asking.query(text))

        async def run_later(text: str) -> str:
            return str(await asking.aquery(text))

        return run_later if is_async else run

    def streams(self, *, is_async: bool) -> Mapping[str, Callable[[], Any]]:
        from llama_index.core.llms import MockLLM

        model = MockLLM()
        return {
            "model": lambda: (model.astream_complete if is_async else model.stream_complete)("hi")
        }

    def hooks(self) -> Sequence[Any]:
        from llama_index.core.instrumentation import get_dispatcher

        root = get_dispatcher()
        return [*root.span_handlers, *root.event_handlers]


class DSPy(Framework):
    name = "dspy"
    module = "dspy"
    tree = """
        Ask CHAIN
          Predict CHAIN
            ChatAdapter.format CHAIN
            chat dummy CHAT_MODEL
            ChatAdapter.parse PARSER
          step UNKNOWN
    """

    def program(self, step: Step, *, is_async: bool) -> Step:
        import dspy
        from dspy.utils.dummies import DummyLM

        if is_async and not hasattr(dspy.Module, "acall"):
            pytest.skip("this version of DSPy is not async")
        answer = dspy.Predict("question -> answer")

        class Ask(dspy.Module):  # type: ignore[misc, name-defined]
            def forward(self, text: str) -> Any:
                answer(question=text)
                return step(text)

            async def aforward(self, text: str) -> Any:
                await answer.acall(question=text)
                return await step(text)

        ask = Ask()

        def run(text: str) -> Any:
            with dspy.settings.context(lm=DummyLM([{"answer": text}])):
                return ask(text)

        async def run_later(text: str) -> Any:
            with dspy.settings.context(lm=DummyLM([{"answer": text}])):
                return await ask.acall(text)

        return run_later if is_async else run


FRAMEWORKS: Sequence[Framework] = [LangChain(), LangGraph(), LlamaIndex(), DSPy()]


def outline(trace: Trace, *, usage: bool = False, ordered: bool = True) -> str:
    """Return a trace as text: a line for each span, indented below its parent.

    Args:
        trace: The trace.
        usage: Whether the lines tell of tokens in and out.
        ordered: Whether spans are in the order in which they began, or in that of their text.
    """
    spans: Sequence[Span] = sorted(trace.data.spans, key=lambda span: span.start_time_ns)
    assert all(span.end_time_ns is not None for span in spans)
    ids = {span.span_id for span in spans}
    assert all(span.parent_id in ids for span in spans if span.parent_id is not None)

    def draw(parent: str | None, indent: str) -> list[str]:
        texts = []
        for span in (span for span in spans if span.parent_id == parent):
            line = f"{indent}{span.name} {span.span_type}"
            if span.status.status_code != "OK":
                line += f" {span.status.status_code.value}"
            if usage and span.usage:
                line += f" {span.usage['input_tokens']}/{span.usage['output_tokens']}"
            texts.append("\n".join([line, *draw(span.span_id, indent + "  ")]))
        return texts if ordered else sorted(texts)

    return "\n".join(draw(None, ""))


def owners(integration: Integration) -> list[Any]:
    """Return the modules and classes in which an integration changes something, where loaded."""
    found: list[Any] = []
    for target in integration.targets:
        module = sys.modules.get(target.module)
        *path, _ = getattr(target, "at", "").partition(":")[2].split(".")
        try:
            found.append(functools.reduce(getattr, path, module))
        except AttributeError:
            continue
    kinds = {id(owner): owner for owner in found if owner is not None}
    derived = [kind for owner in kinds.values() if inspect.isclass(owner) for kind in below(owner)]
    return list({id(owner): owner for owner in [*kinds.values(), *derived]}.values())


def below(kind: type) -> list[type]:
    """Return the classes derived from a class."""
    return [cls for direct in type.__subclasses__(kind) for cls in (direct, *below(direct))]


def clean() -> bool:
    """Say whether nothing is current any more."""
    return CURRENT.get() is None and current_span() is None


class Program:
    """The program of a framework, called in the same way whether it is sync or async."""

    def __init__(self, framework: Framework, *, is_async: bool) -> None:
        self.framework = framework
        self.is_async = is_async
        self.tree = textwrap.dedent(framework.tree.format(a="a" if is_async else "")).strip()

    def make(self, step: Step) -> Callable[[str], Awaitable[Any]]:
        """Return the program with a step of its own."""
        if self.is_async:

            async def step_later(text: str) -> Any:
                await asyncio.sleep(0)
                return step(text)

            return self.framework.program(step_later, is_async=True)
        program = self.framework.program(step, is_async=False)

        async def run(text: str) -> Any:
            return program(text)

        return run


# Fixtures.


@pytest.fixture(scope="module", params=FRAMEWORKS, ids=str)
def framework(request: pytest.FixtureRequest) -> Framework:
    """Give a framework that is installed."""
    pytest.importorskip(request.param.module, reason=f"{request.param.module} is not installed")
    importlib.import_module(request.param.module)
    found: Framework = request.param
    return found


@pytest.fixture
def autolog(framework: Framework) -> Iterator[Callable[..., None]]:
    """Give `spanlog.<framework>.autolog`; afterwards it is off, as if it had never been called."""
    yield (autolog := getattr(spanlog, framework.name).autolog)
    autolog(disable=True)
    getattr(spanlog, framework.name).integration.explicit = False
    spanlog.autolog(disable=True)
    assert RESOLVERS == []


@pytest.fixture(params=["sync", "async"])
def program(request: pytest.FixtureRequest, framework: Framework) -> Program:
    """Give the program of a framework, sync and async."""
    return Program(framework, is_async=request.param == "async")
