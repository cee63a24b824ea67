"""LangChain: chains, models, tools, retrievers, and the span of each where it belongs."""

from __future__ import annotations

import asyncio
import copy
import gc
import itertools
import pickle
import re
import subprocess
import sys
import textwrap
import warnings
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from frameworks import RESOLVERS, clean, outline

from fixtures.loopback import Loopback
from fixtures.openai_routes import TEXT, USAGE, router

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from spanlog.entities import Span, Trace

pytest.importorskip("langchain_core")

from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import (
    RunnableGenerator,
    RunnableLambda,
    RunnablePassthrough,
    config,
)
from langchain_core.tools import tool
from langchain_models import Completes, Echo, Words

# Until then LangChain's own threads lose what is current; `spanlog.threads` carries it.
CARRIES = hasattr(config, "var_child_runnable_config")


@pytest.fixture(autouse=True)
def autolog() -> Iterator[Callable[..., None]]:
    spanlog.langchain.autolog()
    if not CARRIES:
        spanlog.threads.autolog()
    yield spanlog.langchain.autolog
    for library in (spanlog.langchain, spanlog.threads, spanlog.openai):
        library.autolog(disable=True)
        library.integration.explicit = False
    assert RESOLVERS == []
    assert clean()


@pytest.fixture
def named(traces: Callable[[], list[Trace]]) -> Callable[[str], Span]:
    """Give the only span of a name."""

    def read(name: str) -> Span:
        (found,) = [span for trace in traces() for span in trace.data.spans if span.name == name]
        return found

    return read


@spanlog.trace
def mine(value: Any) -> Any:
    """Do something of the user's own."""
    return value


def drawn(trace: Trace) -> str:
    """Return the outline, in no order, and without what newer versions add to names."""
    return re.sub(r"<[^ ]*>", "", outline(trace, ordered=False))


def text(tree: str) -> str:
    return textwrap.dedent(tree).strip()


class Vectors(Embeddings):
    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [[float(len(text)), 1.0] for text in texts]

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


class Search(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        Vectors().embed_query(query)
        return [Document(page_content=f"About {query}", metadata={"source": "a.md"})]


def joined(documents: list[Document]) -> str:
    return mine("\n".join(one.page_content for one in documents))


def rag() -> Any:
    return (
        {"context": Search() | joined, "question": RunnablePassthrough()}
        | ChatPromptTemplate.from_messages([("system", "{context}"), ("human", "{question}")])
        | Words(on_call=lambda messages: mine(len(messages)))
        | StrOutputParser()
    )


RAG = text("""
    RunnableSequence CHAIN
      ChatPromptTemplate CHAIN
      RunnableParallel CHAIN
        RunnablePassthrough CHAIN
        RunnableSequence CHAIN
          Search RETRIEVER
            Vectors EMBEDDING
          joined CHAIN
            mine UNKNOWN
      StrOutputParser PARSER
      Words CHAT_MODEL
        mine UNKNOWN
""")


async def consume(stream: Any) -> str:
    return "".join([chunk async for chunk in stream])


async def events(chain: Any) -> str:
    found = [e async for e in chain.astream_events("cats", version="v2")]
    return found[-1]["data"]["output"]


WAYS: dict[str, Callable[[Any], Any]] = {
    "invoke": lambda chain: chain.invoke("cats"),
    "stream": lambda chain: "".join(chain.stream("cats")),
    "batch": lambda chain: chain.batch(["cats"])[0],
    "ainvoke": lambda chain: asyncio.run(chain.ainvoke("cats")),
    "astream": lambda chain: asyncio.run(consume(chain.astream("cats"))),
    "abatch": lambda chain: asyncio.run(chain.abatch(["cats"]))[0],
    "astream_events": lambda chain: asyncio.run(events(chain)),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_rag_chain_is_one_tree_in_whatever_way_it_is_called(
    way: str, one_trace: Callable[[], Trace]
) -> None:
    if way == "astream_events" and not hasattr(Words, way):
        pytest.skip("this version has none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answer = WAYS[way](rag())
    assert answer.strip() == "cats"
    trace = one_trace()
    assert drawn(trace) == RAG
    root = trace.data.spans[0]
    assert (root.inputs, root.outputs.strip()) == ("cats", "cats")


def test_messages_and_documents_are_plain(named: Callable[[str], Span]) -> None:
    rag().invoke("cats")
    documents = [{"page_content": "About cats", "metadata": {"source": "a.md"}}]
    asked = [{"role": "system", "content": "About cats"}, {"role": "user", "content": "cats"}]
    assert (named("Search").inputs, named("Search").outputs) == ({"query": "cats"}, documents)
    assert named("joined").inputs == documents
    assert named("Vectors").outputs == [4.0, 1.0]
    assert named("ChatPromptTemplate").outputs == {"messages": asked}
    assert named("Words").inputs == {"messages": asked}
    assert named("StrOutputParser").inputs["content"].strip() == "cats"
    assert named("Words").attributes["gen_ai.operation.name"] == "chat"


@pytest.mark.parametrize("later", [False, True], ids=["batch", "abatch"])
def test_a_batch_of_three_is_three_traces_or_three_children(
    traces: Callable[[], list[Trace]], later: bool
) -> None:
    chain = ChatPromptTemplate.from_template("{x}") | Echo() | RunnableLambda(mine)

    def run() -> None:
        given = [{"x": n} for n in range(3)]
        asyncio.run(chain.abatch(given)) if later else chain.batch(given)

    tree = text("""
        RunnableSequence CHAIN
          ChatPromptTemplate CHAIN
          Echo CHAT_MODEL
          mine CHAIN
            mine UNKNOWN
    """)
    run()
    assert [re.sub("RunnableLambda", "mine", drawn(one)) for one in traces()] == [tree] * 3
    with spanlog.start_span("outer"):
        run()
    children = textwrap.indent("\n".join([tree] * 3), "  ")
    last = re.sub("RunnableLambda", "mine", drawn(traces()[-1]))
    assert last == f"outer UNKNOWN\n{children}"


def test_a_batch_job_tells_which_of_its_items_failed(traces: Callable[[], list[Trace]]) -> None:
    def work(number: int) -> int:
        mine(number)
        if number % 2:
            raise ValueError(number)
        return number

    chain = RunnableLambda(work) | RunnableLambda(lambda number: number * 10)
    done = chain.batch([0, 1, 2, 3], return_exceptions=True)
    assert [str(one) for one in done] == ["0", "1", "20", "3"]
    states = {one.data.spans[0].inputs: one.info.state.value for one in traces()}
    assert states == {0: "OK", 1: "ERROR", 2: "OK", 3: "ERROR"}
    assert {len(one.data.spans) for one in traces() if one.info.state == "ERROR"} == {3}


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
def test_retries_and_fallbacks_show_each_attempt(
    one_trace: Callable[[], Trace], later: bool
) -> None:
    tries: list[str] = []

    def shaky(text: str) -> str:
        tries.append(text)
        if len(tries) < 3:
            raise ValueError("not yet")
        return text

    retried = RunnableLambda(shaky).with_retry(wait_exponential_jitter=False)
    chain = RunnableLambda(lambda text: {}[text]).with_fallbacks([retried])
    assert (asyncio.run(chain.ainvoke("x")) if later else chain.invoke("x")) == "x"
    lines = drawn(one_trace()).splitlines()
    assert lines[0] == "RunnableWithFallbacks CHAIN"
    attempts = [line.split()[-1] for line in lines if line.startswith("    ")]
    assert attempts == ["CHAIN", "ERROR", "ERROR"]
    assert len([line for line in lines if line.endswith("ERROR")]) == 3


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    if a < 0:
        raise ValueError("negative")
    return mine(a + b)


@pytest.mark.parametrize("later", [False, True], ids=["sync", "async"])
def test_a_tool_is_a_span_with_its_arguments(
    traces: Callable[[], list[Trace]], later: bool
) -> None:
    def call(a: int) -> Any:
        given = {"a": a, "b": 2}
        return asyncio.run(add.ainvoke(given)) if later else add.invoke(given)

    assert call(1) == 3
    with pytest.raises(ValueError, match="negative"):
        call(-1)
    good, bad = traces()
    assert outline(good) == "add TOOL\n  mine UNKNOWN"
    assert outline(bad) == "add TOOL ERROR"
    span = good.data.spans[0]
    assert span.attributes["gen_ai.tool.name"] == "add"
    assert span.outputs in (3, "3")
    assert span.inputs in ({"a": 1, "b": 2}, "{'a': 1, 'b': 2}")


# Streams.


@pytest.mark.parametrize("way", ["dropped", "held and closed", "held"])
@pytest.mark.parametrize("of", ["model", "chain"])
def test_a_stream_that_is_left_ends_its_spans_with_what_had_arrived(
    traces: Callable[[], list[Trace]], way: str, of: str
) -> None:
    model = Words()
    chain = ChatPromptTemplate.from_template("{x}") | model
    stream = model.stream("a b c") if of == "model" else chain.stream({"x": "a b c"})
    for _ in stream:
        mine("in the loop")
        break
    assert clean()
    if way == "held":
        gc.collect()
        spanlog.langchain.autolog(disable=True)  # what is held goes on, on or off
    elif way == "held and closed":
        stream.close()
    stream = None
    gc.collect()
    found = traces()
    assert [one.info.state.value for one in found] == ["OK", "OK"]
    first, loop = found
    assert outline(loop) == "mine UNKNOWN"
    spans = {span.name: span for span in first.data.spans}
    assert all(span.end_time_ns for span in spans.values())
    assert spans["Words"].outputs["choices"][0]["message"]["content"].startswith("a ")


async def test_an_async_stream_that_is_left_ends_its_spans(
    traces: Callable[[], list[Trace]],
) -> None:
    chain = ChatPromptTemplate.from_template("{x}") | Words() | StrOutputParser()
    async for _ in chain.astream({"x": "a b c"}):
        mine("in the loop")
        break
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0.01)
    assert clean()
    chain_, loop = traces()
    assert outline(loop) == "mine UNKNOWN"
    assert drawn(chain_) == text("""
        RunnableSequence CHAIN
          ChatPromptTemplate CHAIN
          StrOutputParser PARSER
          Words CHAT_MODEL
    """)


def test_a_stream_that_the_end_of_the_program_cuts_off_keeps_what_had_arrived(
    tmp_path: Path,
) -> None:
    code = """
        import sys, spanlog
        sys.path[:0] = [sys.argv[1]]
        spanlog.langchain.autolog()
        from langchain_models import Words
        held = Words().stream("a b c")
        next(held), next(held)
    """
    here = next(path for path in sys.path if path.endswith("tests"))
    command = [sys.executable, "-c", textwrap.dedent(code), here]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    spanlog.set_tracking_uri(str(tmp_path / "spanlog.db"))
    (trace,) = spanlog.search_traces(return_type="list")
    (span,) = trace.data.spans
    assert trace.info.state == "OK"
    assert span.outputs["choices"][0]["message"]["content"].startswith("a b")
    assert span.attributes["spanlog.stream.completed"] is False


# What the program sees.


class Ear(BaseCallbackHandler):
    """Hears every event, and knows which handler it is."""

    def __init__(self, heard: list[tuple[str, str]], name: str, *, inline: bool = False) -> None:
        self.heard, self.name, self.run_inline = heard, name, inline


class LaterEar(AsyncCallbackHandler):
    """The same, async."""

    def __init__(self, heard: list[tuple[str, str]], name: str) -> None:
        self.heard, self.name = heard, name


def _hears(event: str) -> Any:
    def hear(self: Any, *_: Any, **__: Any) -> None:
        self.heard.append((self.name, event))

    return hear


def _hears_later(event: str) -> Any:
    async def hear(self: Any, *_: Any, **__: Any) -> None:
        self.heard.append((self.name, event))

    return hear


for _event in [name for name in dir(BaseCallbackHandler) if name.startswith("on_")]:
    setattr(Ear, _event, _hears(_event))
    setattr(LaterEar, _event, _hears_later(_event))


@pytest.mark.parametrize("kinds", ["plain", "inline", "async", "mixed"])
def test_the_users_callbacks_hear_the_same_in_the_same_order(
    autolog: Callable[..., None], kinds: str
) -> None:
    def hear() -> list[Any]:
        heard: list[tuple[str, str]] = []
        ears: dict[str, list[Any]] = {
            "plain": [Ear(heard, "a"), Ear(heard, "b")],
            "inline": [Ear(heard, "a", inline=True)],
            "async": [LaterEar(heard, "a")],
            "mixed": [Ear(heard, "a"), LaterEar(heard, "b"), Ear(heard, "c", inline=True)],
        }
        told = {"callbacks": ears[kinds]}
        found: list[Any] = []
        for model in (Completes(), Echo(), Words()):
            chain = ChatPromptTemplate.from_template("{x}") | model | StrOutputParser()
            if kinds in ("plain", "inline"):  # one after the other
                chain.invoke({"x": "a"}, told)
                "".join(chain.stream({"x": "a b"}, told))
                found += heard
                heard.clear()
            asyncio.run(chain.ainvoke({"x": "a"}, told))
            asyncio.run(consume(chain.astream({"x": "a b"}, told)))
            found += [[event for ear, event in heard if ear == name] for name in "abc"]
            heard.clear()
            asyncio.run(chain.abatch([{"x": "a"}, {"x": "b"}], told))
            found += sorted(heard)
            heard.clear()
        return found

    traced = hear()
    autolog(disable=True)
    assert traced == hear()
    assert any("on_llm_start" in part for part in traced)


async def test_events_are_the_same_with_and_without(autolog: Callable[..., None]) -> None:
    if not hasattr(Words, "astream_events"):
        pytest.skip("this version has none")

    async def seen() -> str:
        chain = ChatPromptTemplate.from_template("{x}") | Words() | StrOutputParser()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = [e async for e in chain.astream_events({"x": "a b"}, version="v1")]
        return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "id", repr(found))

    traced = await seen()
    autolog(disable=True)
    assert traced == await seen()


def test_a_configuration_that_is_copied_within_a_run_makes_no_second_span(
    one_trace: Callable[[], Trace],
) -> None:
    def body(text: str, config: Any) -> str:
        return RunnableLambda(mine).invoke(text, copy.deepcopy(config))

    RunnableLambda(body).invoke("x")
    assert [line.split()[0] for line in outline(one_trace()).splitlines()][::2] == ["body", "mine"]
    assert len(one_trace().data.spans) == 3


def test_a_configuration_can_be_copied_and_pickled_with_what_it_holds_of_ours() -> None:
    seen: list[Any] = []
    handlers = [BaseCallbackHandler()]

    def body(text: str, config: Any) -> str:
        seen.extend(config["callbacks"].handlers)
        return text

    RunnableLambda(body).invoke("x", {"callbacks": handlers})
    assert len(seen) == 2
    ours = seen[-1]
    assert copy.copy(ours) is copy.deepcopy(ours) is pickle.loads(pickle.dumps(ours)) is ours


def upper(chunks: Any) -> Iterator[str]:
    for chunk in chunks:
        yield chunk.upper()


async def upper_later(chunks: Any) -> Any:
    async for chunk in chunks:
        yield chunk.upper()


def test_generator_functions_in_a_chain_stream_as_without_tracing(
    autolog: Callable[..., None], one_trace: Callable[[], Trace]
) -> None:
    prompt = ChatPromptTemplate.from_messages([("human", "{x}")])
    chain = prompt | Words() | StrOutputParser() | upper | StrOutputParser()
    traced = list(chain.stream({"x": "a b"}))
    autolog(disable=True)
    assert traced == list(chain.stream({"x": "a b"})) != []
    assert [span.status.status_code for span in one_trace().data.spans] == ["OK"] * 6
    assert one_trace().data.spans[0].outputs == "A B "


async def test_async_generator_functions_in_a_chain_stream_as_without_tracing(
    autolog: Callable[..., None], one_trace: Callable[[], Trace]
) -> None:
    chain = Words() | StrOutputParser() | upper_later
    traced = [chunk async for chunk in chain.astream("a b")]
    autolog(disable=True)
    assert traced == [chunk async for chunk in chain.astream("a b")] != []
    assert [span.status.status_code for span in one_trace().data.spans] == ["OK"] * 4


@pytest.mark.parametrize("of", ["model", "chain", "generator"])
def test_a_stream_that_is_read_twice_by_tee_is_one_run(
    of: str, one_trace: Callable[[], Trace]
) -> None:
    streams = {
        "model": lambda: Words().stream("a b"),
        "chain": lambda: (Words() | StrOutputParser()).stream("a b"),
        "generator": lambda: RunnableGenerator(upper).transform(iter(["a", "b"])),
    }
    one, other = itertools.tee(streams[of]())
    assert list(one) == list(other) != []
    trace = one_trace()
    assert trace.info.state == "OK"
    assert trace.data.spans[0].outputs is not None
    assert "spanlog.stream.completed" not in trace.data.spans[0].attributes


def test_the_users_span_in_a_body_is_above_what_it_calls(one_trace: Callable[[], Trace]) -> None:
    def body(text: str) -> str:
        with spanlog.start_span("outer"):
            return str(Echo().invoke(text).content)

    RunnableLambda(body).invoke("x")
    assert outline(one_trace()) == "body CHAIN\n  outer UNKNOWN\n    Echo CHAT_MODEL"


def test_a_completion_is_an_llm_with_what_it_calls_below_it(
    traces: Callable[[], list[Trace]],
) -> None:
    model = Completes(on_call=mine)
    model.invoke("x")
    asyncio.run(model.ainvoke("x"))
    assert [outline(one) for one in traces()] == ["Completes LLM\n  mine UNKNOWN"] * 2
    assert traces()[0].data.spans[0].outputs == {"choices": [{"text": "x"}]}


def test_the_session_of_a_run_is_that_of_its_trace(one_trace: Callable[[], Trace]) -> None:
    RunnableLambda(mine).invoke("x", {"metadata": {"session_id": "s-1"}})
    assert one_trace().info.trace_metadata["mlflow.trace.session"] == "s-1"


@pytest.mark.skipif(not CARRIES, reason="this version refuses what is not JSON")
def test_any_value_may_go_through_a_chain(traces: Callable[[], list[Trace]]) -> None:
    class Odd:
        def __repr__(self) -> str:
            raise ValueError("odd")

    tangle: list[Any] = [{} for _ in range(30)]
    for node in tangle:
        node["others"] = tangle
    values = [tangle, Odd(), "\ud800", float("nan"), b"\xff", (n for n in "ab"), {1: {2}}]
    for value in values:
        assert RunnableLambda(lambda given: given).invoke(value) is value
    assert "".join(values[5]) == "ab"
    assert len(traces()) == len(values)
    assert all(one.data.spans[0].inputs is not None for one in traces()[:3])


# Usage, and what the provider's SDK tells.


def test_usage_is_read_wherever_a_version_puts_it(traces: Callable[[], list[Trace]]) -> None:
    class Counts(Echo):
        told: Any = None

        def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
            return ChatResult(
                generations=[ChatGeneration(message=AIMessage(content="x"))],
                llm_output={**self.told, "model_name": "m-1"},
            )

    openai = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    anthropic = {"input_tokens": 2, "cache_read_input_tokens": 3, "output_tokens": 3}
    for told in ({"token_usage": openai}, {"usage": anthropic}):
        Counts(told=told).invoke("x")
    for trace in traces():
        (span,) = trace.data.spans
        assert (span.model, span.usage["input_tokens"], span.usage["total_tokens"]) == ("m-1", 5, 8)


def test_a_reply_out_of_the_cache_counts_no_tokens(one_trace: Callable[[], Trace]) -> None:
    caches = pytest.importorskip("langchain_core.caches")
    usage = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8}
    script = [AIMessage(content="x", usage_metadata=usage)]
    try:
        model = Echo(script=script, cache=caches.InMemoryCache())
        with spanlog.start_span("outer"):
            model.invoke("Hi")
            again = model.invoke("Hi")
    except (AttributeError, ValueError):
        pytest.skip("a model of this version has no cache of its own")
    if again.usage_metadata.get("total_cost") != 0:
        pytest.skip("this version does not tell what comes out of the cache")
    trace = one_trace()
    assert trace.info.token_usage["total_tokens"] == 8
    hits = [span.attributes.get("langchain.cache_hit") for span in trace.data.spans]
    assert hits == [None, None, True]


def test_events_of_the_newest_kind_are_one_tree(traces: Callable[[], list[Trace]]) -> None:
    if not hasattr(Words, "stream_events"):
        pytest.skip("this version has none")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in Words(on_call=mine).stream_events("a b", version="v3"):
            spanlog.trace(str, name="in the loop")("")
    first, *loop = traces()
    assert outline(first) == "Words CHAT_MODEL\n  mine UNKNOWN"
    assert {outline(one) for one in loop} == {"in the loop UNKNOWN"}


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback(router) as server:
        yield server


@pytest.fixture
def url(server: Loopback, request: pytest.FixtureRequest) -> str:
    """Give an address of the test's own: for each, LangChain keeps one HTTP client."""
    return f"{server.url}/{abs(hash(request.node.name))}/v1"


def chat(url: str, model: str = "plain", **more: Any) -> Any:
    openai = pytest.importorskip("langchain_openai")
    return openai.ChatOpenAI(
        model=model, base_url=url, api_key="sk-langchain-secret", max_retries=0, **more
    )


@pytest.mark.parametrize("with_sdk", [False, True], ids=["alone", "with the SDK"])
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream", "batch"])
async def test_a_call_through_openai_is_counted_once(
    url: str,
    way: str,
    with_sdk: bool,
    one_trace: Callable[[], Trace],
    stored: Callable[[], bytes],
) -> None:
    model = chat(url, stream_usage=True)
    if with_sdk:
        spanlog.openai.autolog()
    if way == "batch":
        with spanlog.start_span("outer"):
            model.batch(["Hi"])
    elif way.endswith("invoke"):
        result = getattr(model, way)("Hi")
        assert (await result if way == "ainvoke" else result).content == TEXT["plain"]
    else:
        stream = getattr(model, way)("Hi")
        chunks = [one async for one in stream] if way == "astream" else list(stream)
        assert "".join(chunk.content for chunk in chunks) == TEXT["plain"]
    trace = one_trace()
    usage = f"{USAGE['plain'].input}/{USAGE['plain'].output}"
    tree = [f"ChatOpenAI CHAT_MODEL {usage}", *[f"  chat plain CHAT_MODEL {usage}"] * with_sdk]
    if way == "batch":
        tree = ["outer UNKNOWN", *(f"  {line}" for line in tree)]
    assert outline(trace, usage=True).splitlines() == tree
    assert trace.info.token_usage["total_tokens"] == sum(USAGE["plain"][:2])
    span = next(span for span in trace.data.spans if span.name == "ChatOpenAI")
    assert span.model == "plain-2026-01-01"
    assert span.attributes["gen_ai.provider.name"] == "openai"
    assert span.attributes["gen_ai.response.finish_reasons"] == ["stop"]
    assert span.outputs["choices"][0]["message"] == {"role": "assistant", "content": TEXT["plain"]}
    assert b"sk-langchain-secret" not in stored()


def test_tools_offered_and_called_are_those_of_the_framework(
    url: str, named: Callable[[str], Span]
) -> None:
    reply = chat(url, "tools").bind_tools([add]).invoke([HumanMessage(content="Hi")])
    span = named("ChatOpenAI")
    assert span.attributes["gen_ai.tool.definitions"][0]["function"]["name"] == "add"
    said = span.outputs["choices"][0]["message"]["tool_calls"]
    assert [(call["name"], call["args"]) for call in said] == [
        (call["name"], call["args"]) for call in reply.tool_calls
    ]


def test_a_key_that_an_error_repeats_is_not_kept(url: str, stored: Callable[[], bytes]) -> None:
    with pytest.raises(Exception, match="401"):
        (chat(url, "unauthorized") | StrOutputParser()).invoke("Hi")
    assert b"401" in stored()
    assert b"sk-langchain-secret" not in stored()


def test_a_refused_call_is_an_error_all_the_way(url: str, one_trace: Callable[[], Trace]) -> None:
    chain = chat(url, "bad") | StrOutputParser()
    spanlog.openai.autolog()
    with pytest.raises(Exception, match="400"):
        chain.invoke("Hi")
    assert outline(one_trace()) == text("""
        RunnableSequence CHAIN ERROR
          ChatOpenAI CHAT_MODEL ERROR
            chat bad CHAT_MODEL ERROR
    """)


def test_embeddings_through_openai_are_one_span_above_the_sdks(
    url: str, traces: Callable[[], list[Trace]]
) -> None:
    openai = pytest.importorskip("langchain_openai")
    spanlog.openai.autolog()
    model = openai.OpenAIEmbeddings(base_url=url, api_key="k", check_embedding_ctx_length=False)
    model.embed_query("Hi")
    asyncio.run(model.aembed_query("Hi"))
    name = "text-embedding-ada-002"
    tree = f"OpenAIEmbeddings EMBEDDING\n  embeddings {name} EMBEDDING"
    assert [outline(one) for one in traces()] == [tree] * 2
    assert traces()[0].data.spans[0].model == name


# Embeddings and rerankers, of which LangChain tells nothing.


def test_embeddings_are_traced_in_classes_made_before_and_after(
    autolog: Callable[..., None], traces: Callable[[], list[Trace]]
) -> None:
    class Later(Vectors):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return super().embed_documents(texts)

    before = vars(Later)["embed_documents"].__wrapped__
    Later().embed_documents(["a"])
    asyncio.run(Later().aembed_query("a"))
    assert [outline(one) for one in traces()] == ["Later EMBEDDING"] * 2
    autolog(disable=True)
    assert vars(Later)["embed_documents"] is before
    assert "__init_subclass__" not in vars(Embeddings)
    Later().embed_documents(["a"])
    assert len(traces()) == 2


def test_a_reranker_is_a_span_with_documents(one_trace: Callable[[], Trace]) -> None:
    documents = pytest.importorskip("langchain_core.documents.compressor")

    class Reverse(documents.BaseDocumentCompressor):
        def compress_documents(self, documents: Any, query: str, callbacks: Any = None) -> Any:
            return mine(list(reversed(documents)))

    given = [Document(page_content="a"), Document(page_content="b")]
    Reverse().compress_documents(given, "which?")
    trace = one_trace()
    assert outline(trace) == "Reverse RERANKER\n  mine UNKNOWN"
    span = trace.data.spans[0]
    assert span.inputs["query"] == "which?"
    assert [one["page_content"] for one in span.outputs] == ["b", "a"]
