"""LangGraph: graphs as agents, nodes, subgraphs, hand-overs and interrupts."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import operator
import re
import sys
import textwrap
import weakref
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import pytest
import spanlog
from frameworks import RESOLVERS, clean, outline

from fixtures.loopback import Loopback
from fixtures.openai_routes import USAGE, router

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spanlog.entities import Trace

pytest.importorskip("langgraph")

import itertools

from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langchain_models import Echo, calls
from langgraph.checkpoint.memory import MemorySaver
from langgraph.graph import END, StateGraph

NEW = importlib.util.find_spec("langgraph.types") is not None


@pytest.fixture(autouse=True)
def autolog() -> Iterator[None]:
    spanlog.langgraph.autolog()
    yield
    for library in (spanlog.langgraph, spanlog.openai):
        library.autolog(disable=True)
        library.integration.explicit = False
    assert RESOLVERS == []
    assert clean()


@spanlog.trace
def mine(value: Any) -> Any:
    """Do something of the user's own."""
    return value


def text(tree: str) -> str:
    return textwrap.dedent(tree).strip()


def drawn(trace: Trace, *, usage: bool = False) -> str:
    return outline(trace, usage=usage, ordered=False)


class State(TypedDict, total=False):
    said: Annotated[list[str], operator.add]
    question: str


def says(name: str) -> Callable[[State], State]:
    """Return a node that says its name, by way of a model."""

    def node(state: State) -> State:
        mine(name)
        return {"said": [str(Echo().invoke(name).content)]}

    return node


def says_later(name: str) -> Callable[[State], Any]:
    async def node(state: State) -> State:
        mine(name)
        return {"said": [str((await Echo().ainvoke(name)).content)]}

    return node


def line(*nodes: tuple[str, Any], **compiled: Any) -> Any:
    """Return a graph whose nodes follow one another."""
    graph = StateGraph(State)
    for name, node in nodes:
        graph.add_node(name, node)
    graph.set_entry_point(nodes[0][0])
    for (name, _), (then, _) in itertools.pairwise(nodes):
        graph.add_edge(name, then)
    graph.add_edge(nodes[-1][0], END)
    return graph.compile(**compiled)


def fan(node: Callable[[str], Any] = says) -> Any:
    """Return a graph of which two nodes run at the same time."""
    graph = StateGraph(State)
    for name in "abc":
        graph.add_node(name, node(name))
    graph.set_entry_point("a")
    for name in "bc":
        graph.add_edge("a", name)
        graph.add_edge(name, END)
    return graph.compile()


def tree_of(*nodes: str) -> str:
    below = "\n".join(f"  {name} CHAIN\n    Echo CHAT_MODEL\n    mine UNKNOWN" for name in nodes)
    return f"LangGraph AGENT\n{below}"


async def consumed(stream: Any) -> None:
    async for _ in stream:
        mine("in the loop")


def consume(stream: Any) -> None:
    for _ in stream:
        mine("in the loop")


ASKED: dict[str, Any] = {"question": "?"}
WAYS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "invoke": (says, lambda graph: graph.invoke(ASKED)),
    "stream": (says, lambda graph: consume(graph.stream(ASKED))),
    "ainvoke": (says_later, lambda graph: asyncio.run(graph.ainvoke(ASKED))),
    "astream": (says_later, lambda graph: asyncio.run(consumed(graph.astream(ASKED)))),
    "async with sync nodes": (says, lambda graph: asyncio.run(graph.ainvoke(ASKED))),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_graph_is_an_agent_and_its_nodes_hold_what_they_do(
    way: str, traces: Callable[[], list[Trace]]
) -> None:
    node, run = WAYS[way]
    run(fan(node))
    graph, *others = traces()
    assert drawn(graph) == tree_of("a", "b", "c")
    assert {outline(one) for one in others} <= {"mine UNKNOWN"}
    assert len(others) == (3 if way.endswith("stream") else 0)
    root = graph.data.spans[0]
    assert (root.inputs, set(root.outputs["said"])) == (ASKED, set("abc"))
    steps = {span.name: span.attributes.get("langgraph.step") for span in graph.data.spans}
    assert (steps["a"], steps["b"], steps["c"]) == (1, 2, 2)


@pytest.mark.parametrize("later", [False, True], ids=["batch", "abatch"])
def test_a_batch_of_graphs_is_as_many_children_of_the_users_span(
    one_trace: Callable[[], Trace], later: bool
) -> None:
    graph = line(("a", says("a")))
    with spanlog.start_span("outer"):
        asyncio.run(graph.abatch([ASKED] * 3)) if later else graph.batch([ASKED] * 3)
    children = textwrap.indent("\n".join([tree_of("a")] * 3), "  ")
    assert drawn(one_trace()) == f"outer UNKNOWN\n{children}"


def test_a_subgraph_is_an_agent_in_a_node(one_trace: Callable[[], Trace]) -> None:
    line(("first", says("x")), ("team", fan())).invoke(ASKED)
    team = textwrap.indent(tree_of("a", "b", "c"), "    ")
    assert drawn(one_trace()) == f"{tree_of('first')}\n  team CHAIN\n{team}"


def test_each_send_is_a_node(one_trace: Callable[[], Trace]) -> None:
    if NEW:
        from langgraph.types import Send
    else:
        from langgraph.constants import Send

    graph = StateGraph(State)
    graph.add_node("split", says("split"))
    graph.add_node("work", lambda state: {"said": [mine(state["question"])]})
    graph.set_entry_point("split")
    graph.add_conditional_edges(
        "split", lambda _: [Send("work", {"question": str(n)}) for n in range(3)], ["work"]
    )
    graph.add_edge("work", END)
    done = graph.compile().invoke(ASKED)
    assert done["said"] == ["split", "0", "1", "2"]
    work = [span for span in one_trace().data.spans if span.name == "work"]
    assert sorted(span.inputs["question"] for span in work) == ["0", "1", "2"]
    below = {span.parent_id for span in one_trace().data.spans if span.name == "mine"}
    assert {span.span_id for span in work} <= below


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
def test_an_interrupt_and_its_answer_are_no_errors_and_one_session(
    traces: Callable[[], list[Trace]], later: bool
) -> None:
    if not NEW:
        pytest.skip("this version has no interrupts of that kind")
    if later and sys.version_info < (3, 11):
        pytest.skip("LangGraph needs Python 3.11 for it")
    from langgraph.types import Command, interrupt

    def ask(state: State) -> Any:
        return Command(goto="done", update={"said": [mine(interrupt("sure?"))]})

    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_node("done", says("done"))
    graph.set_entry_point("ask")
    made = graph.compile(checkpointer=MemorySaver())
    told = {"configurable": {"thread_id": "t-1"}}
    for given in (ASKED, Command(resume="yes")):
        asyncio.run(made.ainvoke(given, told)) if later else made.invoke(given, told)
    asked, answered = traces()
    assert outline(asked) == "LangGraph AGENT\n  ask CHAIN"
    assert drawn(answered) == text("""
        LangGraph AGENT
          ask CHAIN
            mine UNKNOWN
          done CHAIN
            Echo CHAT_MODEL
            mine UNKNOWN
    """)
    root, node = asked.data.spans
    (event,) = node.events
    assert (event.name, "sure?" in str(event.attributes)) == ("GraphInterrupt", True)
    assert [one["value"] for one in node.outputs["__interrupt__"]] == ["sure?"]
    assert root.outputs["__interrupt__"] == node.outputs["__interrupt__"]
    assert (root.note, node.note) == (None, "asks: sure?")
    assert answered.data.spans[0].inputs == {"resume": "yes"}
    assert (asked.info.request_preview, asked.info.response_preview) == ("?", "sure?")
    assert answered.info.request_preview == "yes"
    assert "asks: sure?" in str(asked)
    assert "answers: yes" in str(answered)
    assert [one.info.trace_metadata["mlflow.trace.session"] for one in traces()] == ["t-1"] * 2
    assert [one.info.state.value for one in traces()] == ["OK", "OK"]


@pytest.mark.parametrize("answer", [False, {"decisions": [{"type": "approve"}]}], ids=str)
def test_what_a_graph_below_asks_shows_where_it_is_asked_and_in_the_previews(
    traces: Callable[[], list[Trace]], answer: Any
) -> None:
    if not NEW:
        pytest.skip("this version has no interrupts of that kind")
    from langgraph.types import Command, interrupt

    def ask(state: State) -> Any:
        return {"said": [repr(interrupt({"files": ["a", "b"]}))]}

    inner = StateGraph(State)
    inner.add_node("ask", ask)
    inner.set_entry_point("ask")
    graph = StateGraph(State)
    graph.add_node("below", inner.compile())
    graph.set_entry_point("below")
    made = graph.compile(checkpointer=MemorySaver())
    for given in (ASKED, Command(resume=answer)):
        for _ in made.stream(given, {"configurable": {"thread_id": "t-1"}}):
            pass
    asked, answered = traces()
    notes = {span.name: span.note for span in asked.data.spans if span.note}
    assert notes == {"ask": "asks: files: a, b"}
    assert asked.info.response_preview == "files: a, b"
    words = "approve" if answer else "false"
    assert answered.info.request_preview == words
    assert answered.data.spans[0].note == f"answers: {words}"
    assert answered.data.spans[0].inputs == {"resume": answer}
    assert repr(answer) in str(answered.data.spans[0].outputs)


APPROVAL = {
    "action_requests": [{"name": "send", "args": {"to": "x"}, "description": "May it be sent?"}],
    "review_configs": [{"action_name": "send", "allowed_decisions": ["approve"]}],
}


@pytest.mark.parametrize(
    ("question", "words"),
    [({"question": "Is it good?", "draft": "Dear"}, "Is it good?"), (APPROVAL, "May it be sent?")],
    ids=["question", "approval"],
)
def test_what_a_graph_of_messages_is_asked_asks_and_answers_is_text_in_the_list(
    traces: Callable[[], list[Trace]], question: Any, words: str
) -> None:
    if not NEW:
        pytest.skip("this version has no interrupts of that kind")
    from langgraph.graph import MessagesState
    from langgraph.types import Command, interrupt

    def ask(state: Any) -> Any:
        interrupt(question)
        return {"messages": [AIMessage("Sent.")]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.set_entry_point("ask")
    made = graph.compile(checkpointer=MemorySaver())
    for given in ({"messages": [("user", "Send it")]}, Command(resume={"approved": True})):
        made.invoke(given, {"configurable": {"thread_id": "t-1"}})
    said = [(t.info.request_preview, t.info.response_preview) for t in traces()]
    assert said == [("Send it", words), ("true", "Sent.")]


@pytest.mark.parametrize("way", ["interrupt", "error"])
async def test_what_a_run_was_left_with_is_let_go_of_as_without_tracing(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not NEW or sys.version_info < (3, 11):
        pytest.skip("this version has no interrupts of that kind")
    from langgraph.types import interrupt

    monkeypatch.setattr("spanlog.record.recorder._GATHER_FIRST", 60.0)  # the writer does not come
    monkeypatch.setattr("spanlog.record.recorder._GATHER", 60.0)
    left: list[Any] = []

    class Large:
        """What a node has in a variable."""

    async def ask(state: State) -> Any:
        large = Large()
        left.append(weakref.ref(large))
        if way == "error":
            raise ValueError("no")
        return {"said": [interrupt("sure?")]}

    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.set_entry_point("ask")
    made = graph.compile(checkpointer=MemorySaver())
    for n in range(3):
        with contextlib.suppress(ValueError):
            await made.ainvoke(ASKED, {"configurable": {"thread_id": str(n)}})
    gc.collect()
    assert [ref() for ref in left] == [None] * 3


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
async def test_a_graph_whose_stream_is_left_ends(
    traces: Callable[[], list[Trace]], later: bool
) -> None:
    graph = fan(says_later if later else says)
    if later:
        async for _ in graph.astream(ASKED):
            break
    else:
        for _ in graph.stream(ASKED):
            break
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0.01)
    assert clean()
    root = traces()[0].data.spans[0]
    assert (root.name, root.status.status_code.value) == ("LangGraph", "OK")
    assert root.attributes["spanlog.stream.completed"] is False
    assert drawn(traces()[0]).startswith(tree_of("a"))


def test_a_node_that_fails_fails_the_graph_only(one_trace: Callable[[], Trace]) -> None:
    def bad(state: State) -> State:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        line(("a", says("a")), ("bad", bad)).invoke(ASKED)
    assert drawn(one_trace()) == text("""
        LangGraph AGENT ERROR
          a CHAIN
            Echo CHAT_MODEL
            mine UNKNOWN
          bad CHAIN ERROR
    """)


# Agents.


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return mine(a + b)


def agent(model: Any, tools: list[Any], name: str = "LangGraph") -> Any:
    """Return an agent, as the version makes it."""
    if importlib.util.find_spec("langchain"):
        from langchain.agents import create_agent

        return create_agent(model, tools, name=name)
    from langgraph.prebuilt import create_react_agent

    return create_react_agent(model, tools)


def steps(trace: Trace, *, usage: bool = False) -> str:
    """Return the outline of an agent, without the runs that only LangGraph's first versions make.

    They call a model's node `agent`, in which `call_model` calls it.
    """
    lines = drawn(trace, usage=usage).splitlines()
    found = []
    within = 99
    for line in lines:
        depth = len(line) - len(line.lstrip())
        name = line.split()[0]
        within = within if depth > within else 99
        if name == "call_model":
            within = depth
        elif name != "should_continue":
            found.append(re.sub("^  agent", "  model", line[2:] if depth > within else line))
    return "\n".join(found)


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
def test_an_agent_with_two_tools_at_once_is_one_tree(
    one_trace: Callable[[], Trace], later: bool
) -> None:
    script = [calls(("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})), AIMessage(content="ok")]
    asked = {"messages": [("user", "Hi")]}
    made = agent(Echo(script=script), [add])
    done = asyncio.run(made.ainvoke(asked)) if later else made.invoke(asked)
    assert done["messages"][-1].content == "ok"
    trace = one_trace()
    tools = [span for span in trace.data.spans if span.name == "add"]
    parents = {span.span_id: span for span in trace.data.spans}
    assert [parents[span.parent_id].name for span in tools] == ["tools"] * 2
    model = text("""
        LangGraph AGENT
          model CHAIN
            Echo CHAT_MODEL
          model CHAIN
            Echo CHAT_MODEL
    """)
    lines = steps(trace).splitlines()
    assert "\n".join(lines[:5]) == model
    assert [one.strip() for one in lines[5:] if one != "  tools CHAIN"] == [
        "add TOOL",
        "mine UNKNOWN",
    ] * 2
    said = [message["role"] for message in trace.data.spans[0].outputs["messages"]]
    assert said == ["user", "assistant", "tool", "tool", "assistant"]


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback(router) as server:
        yield server


@pytest.mark.parametrize("with_sdk", [False, True], ids=["alone", "with the SDK"])
@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
def test_an_agent_over_openai_counts_each_call_once(
    server: Loopback, one_trace: Callable[[], Trace], with_sdk: bool, later: bool
) -> None:
    openai = pytest.importorskip("langchain_openai")
    if with_sdk:
        spanlog.openai.autolog()
    model = openai.ChatOpenAI(
        model="toolloop",
        base_url=f"{server.url}/{with_sdk}{later}/v1",
        api_key="sk-secret",
        max_retries=0,
    )

    @tool
    def look_up(city: str) -> str:
        """Look up a city."""
        return mine("sunny")

    asked = {"messages": [("user", "Hi")]}
    made = agent(model, [look_up])
    done = asyncio.run(made.ainvoke(asked)) if later else made.invoke(asked)
    assert "sunny" in done["messages"][-1].content
    first, last = (f"{u.input}/{u.output}" for u in (USAGE["toolloop"], USAGE["toolresult"]))
    sdk = "\n              chat toolloop CHAT_MODEL {}" * with_sdk
    trace = one_trace()
    assert steps(trace, usage=True) == text(f"""
        LangGraph AGENT
          model CHAIN
            ChatOpenAI CHAT_MODEL {first}{sdk.format(first)}
          model CHAIN
            ChatOpenAI CHAT_MODEL {last}{sdk.format(last)}
          tools CHAIN
            look_up TOOL
              mine UNKNOWN
    """)
    total = USAGE["toolloop"].input + USAGE["toolresult"].input
    assert trace.info.token_usage["input_tokens"] == total


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
def test_a_supervisor_hands_over_to_agents_that_are_graphs(
    one_trace: Callable[[], Trace], later: bool
) -> None:
    if not NEW:
        pytest.skip("this version has no commands")
    from langgraph.types import Command

    plan = iter(["research", "write", END])

    def supervisor(state: State) -> Any:
        then = next(plan)
        Echo().invoke(str(then))
        return Command(goto=then)

    graph = StateGraph(State)
    graph.add_node("supervisor", supervisor)
    for name in ("research", "write"):
        graph.add_node(name, line((f"{name}er", says(name))))
        graph.add_edge(name, "supervisor")
    graph.set_entry_point("supervisor")
    made = graph.compile()
    done = asyncio.run(made.ainvoke(ASKED)) if later else made.invoke(ASKED)
    assert done["said"][-1] == "write"
    turn = "  supervisor CHAIN\n    Echo CHAT_MODEL"

    def of(name: str) -> str:
        team = textwrap.indent(tree_of(f"{name}er"), "    ")
        return f"  {name} CHAIN\n{team}"

    tree = "\n".join(["LangGraph AGENT", of("research"), turn, turn, turn, of("write")])
    assert drawn(one_trace()) == tree
    ordered = [line for line in outline(one_trace()).splitlines() if line[2] != " "]
    names = ["supervisor", "research", "supervisor", "write", "supervisor"]
    assert [line.split()[0] for line in ordered][1:] == names
