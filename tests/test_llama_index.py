"""Programs written with LlamaIndex: alone, and with the provider's SDK traced too."""

from __future__ import annotations

import asyncio
import copy
import gc
import importlib.util
import json
import pickle
import textwrap
import threading
import weakref
from collections import Counter
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from frameworks import clean, outline
from spanlog import safety
from spanlog.model import usage

from fixtures.loopback import Loopback
from fixtures.openai_routes import TEXT, router

if importlib.util.find_spec("llama_index") is None or not importlib.util.find_spec("openai"):
    pytest.skip("LlamaIndex and OpenAI's SDK are not installed", allow_module_level=True)

from llama_index.core import Document, MockEmbedding, PromptTemplate, VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage, LLMMetadata
from llama_index.core.bridge.pydantic import BaseModel
from llama_index.core.chat_engine import SimpleChatEngine
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.tools import FunctionTool, QueryEngineTool
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spanlog.entities import Span, Trace

VERSION = tuple(map(int, version("llama-index-core").split(".")[:2]))
# With 0.11 came workflows, later spans of what splits texts; since then an answer that streams is
# asked for when it is read.
NEW, NEWEST = VERSION >= (0, 11), VERSION >= (0, 13)
KEY = "sk-llama-secret-0123456789"

pytestmark = [pytest.mark.filterwarnings("ignore")]


class Model(OpenAI):
    """OpenAI's model of whatever name, which LlamaIndex otherwise looks up."""

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            context_window=8000,
            num_output=100,
            is_chat_model=True,
            is_function_calling_model=True,
            model_name=self.model,
        )


class Ranker(BaseNodePostprocessor):
    """Puts the nodes in the order that a function of the program's says."""

    @classmethod
    def class_name(cls) -> str:
        return "Ranker"

    def _postprocess_nodes(self, nodes: list[Any], query_bundle: Any = None) -> list[Any]:
        return [nodes[place] for place in ranked(len(nodes))]


class City(BaseModel):
    """A city."""

    city: str


@spanlog.trace
def ranked(count: int) -> list[int]:
    return list(reversed(range(count)))


@spanlog.trace
def look_up(city: str) -> str:
    return f"sunny in {city}"


def get_weather(city: str = "") -> str:
    """Tell the weather."""
    return look_up(city)


@pytest.fixture(autouse=True)
def guard(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail the test where an error of ours was caught: LlamaIndex swallows what we raise."""
    monkeypatch.setattr(safety, "strict", False)
    yield
    spanlog.flush()
    assert [record.message for record in caplog.records if record.name == "spanlog"] == []


@pytest.fixture(params=["alone", "sdk"])
def sdk(request: pytest.FixtureRequest) -> Iterator[bool]:
    """Trace LlamaIndex, alone or with OpenAI's SDK; say which."""
    traced = [spanlog.llama_index, *([spanlog.openai] if request.param == "sdk" else [])]
    for library in traced:
        library.autolog()
    yield request.param == "sdk"
    for library in traced:
        library.autolog(disable=True)
        library.integration.explicit = False


@pytest.fixture
def model() -> Iterator[Callable[..., Model]]:
    """Give what makes a model, whose name says what it does."""
    with Loopback(router) as server:

        def make(name: str, **more: Any) -> Model:
            told = {"stream_options": {"include_usage": True}} if more.pop("counts", 0) else {}
            base = f"{server.url}/v1"
            return Model(
                model=name, api_key=KEY, api_base=base, max_retries=0, additional_kwargs=told
            )

        yield make


def tree(text: str, *, sdk: bool) -> str:
    """Return an outline without the lines that are marked for other cases than this."""
    holds = {"sdk": sdk, "new": NEW, "before": not NEWEST}
    kept = []
    for line in textwrap.dedent(text).strip().splitlines():
        told, _, marks = line.partition("  # ")
        if all(holds[mark] for mark in marks.split()):
            kept.append(told)
    return "\n".join(kept)


def counted(trace: Trace) -> tuple[int, int] | None:
    """Return the tokens of a trace, in and out."""
    found = usage.total(trace.data.spans)
    return found and (found["input_tokens"], found["output_tokens"])


def named(trace: Trace, name: str) -> Span:
    """Return the only span of a name."""
    (span,) = [span for span in trace.data.spans if span.name == name]
    return span


def wait_for_threads() -> None:
    """Wait until the threads that LlamaIndex has started have ended."""
    for thread in threading.enumerate():
        if thread.name.endswith(("(<lambda>)", "(run)", "(write_response_to_history)")):
            thread.join(10)


def index() -> VectorStoreIndex:
    documents = [
        Document(text="Paris is in France.", metadata={"page": 1}, id_="d1"),
        Document(text="Rome is in Italy.", metadata={"page": 2}, id_="d2"),
    ]
    return VectorStoreIndex.from_documents(documents, embed_model=MockEmbedding(embed_dim=4))


RETRIEVED = """
  VectorIndexRetriever.{a}retrieve RETRIEVER
    MockEmbedding.{a}get_query_embedding EMBEDDING
  Ranker.postprocess_nodes RERANKER
    ranked UNKNOWN
  CompactAndRefine.{a}synthesize CHAIN
    CompactAndRefine.{a}get_response CHAIN
      TokenTextSplitter.split_text PARSER  # new
      TokenTextSplitter.split_text PARSER  # new
"""
ASKED = """
RetrieverQueryEngine.query CHAIN
{retrieved}
      DefaultRefineProgram CHAIN
        Model.predict CHAIN
          Model.chat CHAT_MODEL 12/7
            chat plain CHAT_MODEL 12/7  # sdk
"""
ASKED_LATER = """
RetrieverQueryEngine.aquery CHAIN
{retrieved}
      Model.apredict CHAIN
        Model.achat CHAT_MODEL 12/7
          chat plain CHAT_MODEL 12/7  # sdk
"""
STREAMED = """
RetrieverQueryEngine.query CHAIN
{retrieved}
      Model.stream CHAIN
        Model.stream_chat CHAT_MODEL{usage}
          chat {name} CHAT_MODEL{usage}  # sdk
"""


def retrieved(a: str = "") -> str:
    return RETRIEVED.format(a=a).strip("\n")


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_questions_about_documents(
    sdk: bool,
    is_async: bool,
    model: Callable[..., Model],
    traces: Callable[[], list[Trace]],
) -> None:
    engine = index().as_query_engine(llm=model("plain"), node_postprocessors=[Ranker()])
    answer = await engine.aquery("Where?") if is_async else engine.query("Where?")
    assert str(answer) == TEXT["plain"]
    assert clean()
    built, asked = traces()
    assert outline(built) == tree(
        """
        VectorStoreIndex.from_documents CHAIN
          SentenceSplitter PARSER  # new
          MockEmbedding.get_text_embedding_batch EMBEDDING
        """,
        sdk=sdk,
    )
    expected = (ASKED_LATER if is_async else ASKED).format(retrieved=retrieved("a" * is_async))
    assert outline(asked, usage=True) == tree(expected, sdk=sdk)
    assert counted(asked) == (12, 7)
    retriever = next(span for span in asked.data.spans if span.span_type == "RETRIEVER")
    reranker = named(asked, "Ranker.postprocess_nodes")
    assert retriever.inputs == {"query": "Where?"}
    assert reranker.outputs == retriever.outputs[::-1]
    by_page = {found["metadata"]["page"]: found for found in retriever.outputs}
    assert by_page[1]["page_content"] == "Paris is in France."
    assert sorted(by_page[1]) == ["id", "metadata", "page_content", "score"]
    assert by_page[1]["score"] == pytest.approx(1)
    root = asked.data.spans[0]
    assert root.inputs == {"query": "Where?"}
    assert root.outputs["response"] == TEXT["plain"]
    assert root.outputs["source_nodes"] == reranker.outputs
    assert (asked.info.request_preview, asked.info.response_preview) == ("Where?", TEXT["plain"])


def test_documents_that_go_through_a_pipeline_and_into_an_index(
    sdk: bool, traces: Callable[[], list[Trace]]
) -> None:
    embeds = MockEmbedding(embed_dim=4)
    pipeline = IngestionPipeline(transformations=[SentenceSplitter(), embeds])
    nodes = pipeline.run(documents=[Document(text="Oslo is in Norway.", id_="d3")])
    built = VectorStoreIndex(nodes=[], embed_model=embeds)
    built.insert_nodes(nodes)
    built.insert(Document(text="Bern is in Switzerland."))
    assert [outline(trace) for trace in traces()] == [
        tree(text, sdk=sdk)
        for text in (
            """
            IngestionPipeline.run CHAIN
              SentenceSplitter PARSER  # new
              MockEmbedding CHAIN
                MockEmbedding.get_text_embedding_batch EMBEDDING
            """,
            """
            VectorStoreIndex.insert_nodes CHAIN
              MockEmbedding.get_text_embedding_batch EMBEDDING
            """,
            """
            VectorStoreIndex.insert CHAIN
              SentenceSplitter PARSER  # new
              VectorStoreIndex.insert_nodes CHAIN
                MockEmbedding.get_text_embedding_batch EMBEDDING
            """,
        )
    ]
    root = traces()[0].data.spans[0]
    (document,), (node,) = root.inputs["documents"], root.outputs
    assert document["id"] == "d3"
    assert document["page_content"] == node["page_content"] == "Oslo is in Norway."


def test_what_a_model_is_asked_and_answers_is_read_from_llama_indexs_own_data(
    sdk: bool, model: Callable[..., Model], one_trace: Callable[[], Trace]
) -> None:
    asked = [ChatMessage(role="system", content="Be brief."), ChatMessage(content="Hi")]
    model("plain").chat(asked, max_tokens=9)
    span, *below = one_trace().data.spans
    assert [found.name for found in below] == ["chat plain"] * sdk
    assert span.inputs == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
        ],
        "max_tokens": 9,
    }
    message = {"role": "assistant", "content": TEXT["plain"]}
    assert span.outputs == {"choices": [{"message": message}]}
    facts = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "plain",
        "gen_ai.request.max_tokens": 9,
        "gen_ai.response.model": "plain-2026-01-01",
        "gen_ai.response.finish_reasons": ["stop"],
        "server.address": "127.0.0.1",
    }
    assert {name: span.attributes.get(name) for name in facts} == facts


@pytest.mark.parametrize("end", ["read", "closed", "dropped", "never begun"])
def test_a_streamed_answer_is_open_until_it_was_read_closed_or_dropped(
    sdk: bool, end: str, model: Callable[..., Model], traces: Callable[[], list[Trace]]
) -> None:
    built = index().as_query_engine(
        llm=model("long", counts=True), node_postprocessors=[Ranker()], streaming=True
    )
    answer = built.query("Where?")
    assert clean()
    stream = answer.response_gen
    read = ["", ""] if end == "never begun" else [next(stream) for _ in range(4)]
    assert clean()
    with spanlog.start_span("in the loop"):
        pass
    if end == "read":
        read += stream
    elif end == "closed":
        stream.close()
    del answer, stream
    gc.collect()
    _, asked, inside = traces()
    if asked.data.spans[0].name == "in the loop":
        asked, inside = inside, asked
    assert outline(inside) == "in the loop UNKNOWN"
    counts = " 18/200" if end == "read" else ""
    expected = STREAMED.format(retrieved=retrieved(), name="long", usage=counts)
    if NEWEST and end == "never begun":  # newer versions ask the model when the first piece is read
        expected = expected.partition("      Model.stream")[0]
    found = outline(asked, usage=True)
    if end == "never begun":  # and older ones let OpenAI be asked when it is
        assert found.splitlines() == tree(expected, sdk=False).splitlines()
    else:
        assert found == tree(expected, sdk=sdk)
    root = asked.data.spans[0]
    if end != "never begun":
        assert root.outputs["response"] == "".join(read)
        said = named(asked, "Model.stream_chat").outputs["choices"][0]["message"]["content"]
        assert said.startswith("".join(read).strip())
    assert len(root.outputs["source_nodes"]) == 2 if root.outputs else end == "never begun"
    assert root.attributes.get("spanlog.stream.completed", True) is (end == "read")
    assert asked.info.state == "OK"


def test_what_was_read_of_a_stream_is_kept_when_it_is_collected_in_a_cycle(
    model: Callable[..., Model], traces: Callable[[], list[Trace]]
) -> None:
    spanlog.llama_index.autolog()

    class Held:
        """Goes with the stream, and has all written before the stream's own code ends."""

    for ask in ("stream_chat", "stream_complete"):
        said = [ChatMessage(content="Hi")] if ask == "stream_chat" else "Hi"
        stream = getattr(model("long"), ask)(said)
        read = [next(stream).delta for _ in range(3)]
        held: Any = Held()
        held.itself, held.stream = held, stream
        weakref.finalize(held, spanlog.flush)
        del held, stream
        gc.collect()
        (trace, *_) = traces()
        assert "".join(read).strip() in json.dumps(trace.data.spans[0].outputs)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_streaming_chat(
    sdk: bool, is_async: bool, model: Callable[..., Model], traces: Callable[[], list[Trace]]
) -> None:
    engine = SimpleChatEngine.from_defaults(llm=model("plain", counts=True))
    for _ in range(2):
        if is_async:
            answer = await engine.astream_chat("Hi")
            said = [piece async for piece in answer.async_response_gen()]
            for _ in range(20):
                await asyncio.sleep(0)
        else:
            answer = engine.stream_chat("Hi")
            said = list(answer.response_gen)
            wait_for_threads()
        assert "".join(said) == TEXT["plain"]
    assert clean()
    a = "a" * is_async
    for trace, asked in zip(traces(), (1, 3), strict=True):
        assert outline(trace, usage=True) == tree(
            f"""
            SimpleChatEngine.{a}stream_chat CHAIN
              Model.{a}stream_chat CHAT_MODEL 12/7
                chat plain CHAT_MODEL 12/7  # sdk
            """,
            sdk=sdk,
        )
        assert counted(trace) == (12, 7)
        root, chat, *_ = trace.data.spans
        assert root.inputs == {"message": "Hi"}
        assert root.outputs == {"response": TEXT["plain"]}
        assert len(chat.inputs["messages"]) == asked
        assert root.end_time_ns >= chat.end_time_ns


def test_a_chat_that_fails_on_the_way_fails(
    sdk: bool, model: Callable[..., Model], one_trace: Callable[[], Trace]
) -> None:
    engine = SimpleChatEngine.from_defaults(llm=model("long-cut"))
    answer = engine.stream_chat("Hi")
    with pytest.raises(Exception, match=r"peer closed|incomplete"):
        list(answer.response_gen)
    wait_for_threads()
    assert outline(one_trace()) == tree(
        """
        SimpleChatEngine.stream_chat CHAIN ERROR
          Model.stream_chat CHAT_MODEL ERROR
            chat long-cut CHAT_MODEL ERROR  # sdk
        """,
        sdk=sdk,
    )
    said = one_trace().data.spans[0].outputs["response"]
    assert said
    assert TEXT["long"].startswith(said)


AGENT = """
FunctionAgent.run AGENT
  FunctionAgent.init_run CHAIN
  FunctionAgent.setup_agent CHAIN
  FunctionAgent.run_agent_step CHAIN
    Model.astream_chat CHAT_MODEL 50/10
      chat toolloop CHAT_MODEL 50/10  # sdk
  FunctionAgent.parse_agent_output CHAIN
  FunctionAgent.call_tool CHAIN
    get_weather TOOL
      look_up UNKNOWN
  FunctionAgent.aggregate_tool_results CHAIN
  FunctionAgent.setup_agent CHAIN
  FunctionAgent.run_agent_step CHAIN
    Model.astream_chat CHAT_MODEL 70/15
      chat toolloop CHAT_MODEL 70/15  # sdk
  FunctionAgent.parse_agent_output CHAIN
"""
OLD_AGENT = """
AgentRunner.chat AGENT
  AgentRunner.create_task CHAIN
    FunctionCallingAgentWorker.initialize_step CHAIN
  FunctionCallingAgentWorker.run_step AGENT
    Model.chat CHAT_MODEL 50/10
      chat toolloop CHAT_MODEL 50/10  # sdk
    get_weather TOOL
      look_up UNKNOWN
  FunctionCallingAgentWorker.run_step AGENT
    Model.chat CHAT_MODEL 70/15
      chat toolloop CHAT_MODEL 70/15  # sdk
  AgentRunner.finalize_response CHAIN
    FunctionCallingAgentWorker.finalize_task CHAIN
"""


async def test_an_agent_that_calls_tools(
    sdk: bool, model: Callable[..., Model], one_trace: Callable[[], Trace]
) -> None:
    tools = [FunctionTool.from_defaults(get_weather)]
    asked = model("toolloop", counts=NEW)
    if NEW:
        from llama_index.core.agent.workflow import FunctionAgent

        agent = FunctionAgent(name="forecaster", tools=tools, llm=asked)
        answer = str(await agent.run(user_msg="Weather?"))
    else:
        from llama_index.core.agent import FunctionCallingAgentWorker

        answer = str(FunctionCallingAgentWorker.from_tools(tools, llm=asked).as_agent().chat("?"))
    assert answer == TEXT["toolresult"] + "sunny in Paris"
    assert clean()
    trace = one_trace()
    assert outline(trace, usage=True) == tree(AGENT if NEW else OLD_AGENT, sdk=sdk)
    assert counted(trace) == (120, 25)
    tool = named(trace, "get_weather")
    assert tool.outputs == "sunny in Paris"
    assert tool.attributes["gen_ai.tool.name"] == "get_weather"
    chat = next(span for span in trace.data.spans if span.name.startswith("Model."))
    (definition,) = chat.attributes["gen_ai.tool.definitions"]
    assert definition["function"]["name"] == "get_weather"
    (call,) = chat.outputs["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    root = trace.data.spans[0]
    assert root.attributes.get("gen_ai.agent.name") == ("forecaster" if NEW else None)
    assert trace.info.request_preview == ("Weather?" if NEW else "?")
    assert trace.info.response_preview == answer


if NEW:
    from llama_index.core.workflow import (
        Context,
        Event,
        HumanResponseEvent,
        StartEvent,
        StopEvent,
        Workflow,
        step,
    )

    class Part(Event):
        name: str

    class Done(Event):
        text: str

    class Fan(Workflow):
        """Asks several models at once, one of them in a task of its own."""

        model: Any = None

        @step
        async def split(self, ctx: Context, ev: StartEvent) -> Part | None:
            for name in ev.names:
                ctx.send_event(Part(name=name))
            return None

        @step(num_workers=3)
        async def work(self, ev: Part) -> Done:
            asked = self.model(ev.name).achat([ChatMessage(content=look_up(ev.name))])
            return Done(text=str((await asyncio.create_task(asked)).message.content))

        @step(num_workers=1)
        async def gather(self, ctx: Context, ev: Done) -> StopEvent | None:
            found = ctx.collect_events(ev, [Done] * 3)
            return StopEvent(result=[one.text for one in found]) if found else None

    class Waits(Workflow):
        """Waits for a person."""

        @step
        async def ask(self, ctx: Context, ev: StartEvent) -> StopEvent:
            answer = await ctx.wait_for_event(HumanResponseEvent)
            return StopEvent(result=look_up(answer.response))


def links(trace: Trace) -> Counter[tuple[str, str | None, str]]:
    """Return how often there is a span of a name under one of a name, and how it ended."""
    names = {span.span_id: span.name for span in trace.data.spans}
    assert [span.name for span in trace.data.spans if not span.end_time_ns] == []
    return Counter(
        (names[span.span_id], names.get(span.parent_id or ""), span.status.status_code.value)
        for span in trace.data.spans
    )


@pytest.mark.skipif(not NEW, reason="this version has no workflows")
async def test_a_workflow_with_steps_at_once(
    sdk: bool, model: Callable[..., Model], traces: Callable[[], list[Trace]]
) -> None:
    flow = Fan(timeout=20)
    flow.model = model
    # Two runs at once, neither in the other.
    runs = [flow.run(names=[f"plain-{run}{n}" for n in range(3)]) for run in range(2)]
    with spanlog.start_span("meanwhile"):
        await asyncio.sleep(0)
    assert [await run for run in runs] == [[TEXT["plain"]] * 3] * 2
    await asyncio.sleep(0.01)  # some versions tell of a run's end in a callback
    assert clean()
    found = [trace for trace in traces() if trace.data.spans[0].name == "Fan.run"]
    assert len(found) == 2
    for trace in found:
        expected = Counter(
            {
                ("Fan.run", None, "OK"): 1,
                ("Fan.split", "Fan.run", "OK"): 1,
                ("Fan.work", "Fan.run", "OK"): 3,
                ("look_up", "Fan.work", "OK"): 3,
                ("Model.achat", "Fan.work", "OK"): 3,
                ("Fan.gather", "Fan.run", "OK"): 3,
            }
        )
        asked = [span for span in trace.data.spans if span.name == "Model.achat"]
        if sdk:
            for span in asked:
                model_name = span.attributes["gen_ai.request.model"]
                expected[(f"chat {model_name}", "Model.achat", "OK")] = 1
        assert links(trace) == expected
        assert {span.span_type for span in trace.data.spans} == {"CHAIN", "CHAT_MODEL", "UNKNOWN"}
        assert counted(trace) == (36, 21)
        root = trace.data.spans[0]
        assert root.outputs == [TEXT["plain"]] * 3
        assert len(root.inputs.get("start_event", root.inputs)["names"]) == 3


@pytest.mark.skipif(not NEW, reason="this version has no workflows")
async def test_a_workflow_that_fails_is_an_error_with_the_step_that_failed(
    sdk: bool, model: Callable[..., Model], one_trace: Callable[[], Trace]
) -> None:
    flow = Fan(timeout=20)
    flow.model = model
    with pytest.raises(Exception, match="400"):
        await flow.run(names=["bad", "bad", "bad"])
    await asyncio.sleep(0.01)
    assert clean()
    found = links(one_trace())
    assert found[("Fan.run", None, "ERROR")] == 1
    assert found[("Fan.split", "Fan.run", "OK")] == 1
    assert found[("Fan.work", "Fan.run", "ERROR")] >= 1
    assert counted(one_trace()) is None


@pytest.mark.skipif(not NEW, reason="this version has no workflows")
async def test_a_workflow_that_waits_for_a_person_is_no_error(
    sdk: bool, one_trace: Callable[[], Trace]
) -> None:
    running = Waits(timeout=20).run()
    await asyncio.sleep(0.05)
    running.ctx.send_event(HumanResponseEvent(response="Oslo"))
    assert await running == "sunny in Oslo"
    assert clean()
    lines = outline(one_trace()).splitlines()
    assert lines[0] == "Waits.run CHAIN"
    assert set(lines[1:-1]) == {"  Waits.ask CHAIN"}
    assert lines[-1] == "    look_up UNKNOWN"


def test_structured_output(
    sdk: bool, model: Callable[..., Model], one_trace: Callable[[], Trace]
) -> None:
    made = model("toolloop").structured_predict(City, PromptTemplate("Name {what}."), what="one")
    assert made == City(city="Paris")
    assert outline(one_trace(), usage=True) == tree(
        """
        Model.structured_predict CHAIN
          FunctionCallingProgram CHAIN
            Model.predict_and_call CHAIN
              Model.chat CHAT_MODEL 50/10
                chat toolloop CHAT_MODEL 50/10  # sdk
              City TOOL ERROR  # before
              City TOOL
        """,
        sdk=sdk,
    )
    root = one_trace().data.spans[0]
    assert root.inputs["prompt"] == "Name {what}."
    assert root.outputs == {"city": "Paris"}


async def test_a_batch_of_which_some_fail(
    sdk: bool, model: Callable[..., Model], traces: Callable[[], list[Trace]]
) -> None:
    built = index()
    names = ["plain", "bad", "plain", "plain", "limit", "plain"]
    engines = [
        built.as_query_engine(llm=model(name), node_postprocessors=[Ranker()]) for name in names
    ]
    with spanlog.start_span("batch"):
        done = await asyncio.gather(
            *(engine.aquery(name) for engine, name in zip(engines, names, strict=True)),
            return_exceptions=True,
        )
    assert [isinstance(one, Exception) for one in done] == [n != "plain" for n in names]
    assert clean()
    batch = traces()[-1]
    assert [trace.info.state for trace in traces()] == ["OK", "OK"]
    ended = Counter(
        (span.inputs["query"], span.status.status_code.value)
        for span in batch.data.spans
        if span.parent_id == batch.data.spans[0].span_id
    )
    assert ended == Counter({("plain", "OK"): 4, ("bad", "ERROR"): 1, ("limit", "ERROR"): 1})
    found = links(batch)
    assert found[("Model.achat", "Model.apredict", "OK")] == 4
    assert found[("Model.achat", "Model.apredict", "ERROR")] == 2
    assert found[("ranked", "Ranker.postprocess_nodes", "OK")] == 6
    assert found[("chat plain", "Model.achat", "OK")] == 4 * sdk
    assert counted(batch) == (48, 28)


def test_a_tool_that_asks_an_engine(
    sdk: bool, model: Callable[..., Model], traces: Callable[[], list[Trace]]
) -> None:
    engine = index().as_query_engine(llm=model("plain"), node_postprocessors=[Ranker()])
    tool = QueryEngineTool.from_defaults(engine, name="cities", description="Knows cities.")
    assert str(tool.call("Where?")) == TEXT["plain"]
    expected = tree(ASKED.format(retrieved=retrieved()), sdk=sdk)
    asked = traces()[-1]
    assert outline(asked, usage=True) == "cities TOOL\n" + textwrap.indent(expected, "  ")
    assert asked.data.spans[0].outputs["response"] == TEXT["plain"]


async def test_a_sync_tool_that_is_called_async_has_what_it_does_below_it(
    sdk: bool, one_trace: Callable[[], Trace]
) -> None:
    tool = FunctionTool.from_defaults(get_weather)
    assert (await tool.acall(city="Rome")).raw_output == "sunny in Rome"
    assert outline(one_trace()) == "get_weather TOOL\n  look_up UNKNOWN"
    assert one_trace().data.spans[0].inputs == {"city": "Rome"}


def test_embeddings_count_where_they_are_asked_for(
    sdk: bool, model: Callable[..., Model], one_trace: Callable[[], Trace]
) -> None:
    asked = OpenAIEmbedding(api_key=KEY, api_base=model("plain").api_base, max_retries=0)
    vectors = asked.get_text_embedding_batch(["a", "b"])
    root, *below = one_trace().data.spans
    assert (root.name, root.span_type) == (
        "OpenAIEmbedding.get_text_embedding_batch",
        "EMBEDDING",
    )
    assert root.inputs["texts"] == ["a", "b"]
    assert root.outputs == vectors
    assert root.model == "text-embedding-ada-002"
    assert [span.name for span in below] == ["embeddings text-embedding-ada-002"] * sdk


async def test_an_async_stream_that_is_cancelled_ends_with_what_had_arrived(
    sdk: bool, model: Callable[..., Model], one_trace: Callable[[], Trace]
) -> None:
    begun = asyncio.Event()

    async def read() -> None:
        async for piece in await model("long-slow").astream_chat([ChatMessage(content="Hi")]):
            if piece.delta:
                begun.set()

    task = asyncio.ensure_future(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    gc.collect()
    await asyncio.sleep(0.01)
    assert clean()
    root = one_trace().data.spans[0]
    assert root.status.status_code == "ERROR"
    assert root.outputs["choices"][0]["message"]["content"]
    assert outline(one_trace()).count("ERROR") == 1 + sdk


def test_no_key_is_recorded(
    sdk: bool,
    model: Callable[..., Model],
    traces: Callable[[], list[Trace]],
    stored: Callable[[], bytes],
) -> None:
    refused = model("unauthorized")
    with pytest.raises(Exception, match="401"):
        refused.chat([ChatMessage(content="Hi")], extra_headers={"x-mine": KEY})
    more = {"extra_headers": {"x-mine": KEY}}
    with pytest.raises(Exception, match="401"):
        refused.structured_predict(City, PromptTemplate("A city."), llm_kwargs=more)
    engine = index().as_query_engine(llm=refused, node_postprocessors=[Ranker()])
    with pytest.raises(Exception, match="401"):
        engine.query("Where?")
    assert [trace.info.state for trace in traces()] == ["ERROR", "ERROR", "OK", "ERROR"]
    assert KEY.encode() not in stored()


class Told:
    """A handler of the program's own, that keeps what it is told."""

    def __init__(self) -> None:
        self.open_spans: dict[str, Any] = {}
        self.heard: list[tuple[str, Any]] = []

    def span_enter(self, id_: str, *_: Any, parent_id: str | None = None, **__: Any) -> None:
        self.heard.append((id_[:-37], parent_id and parent_id[:-37]))

    def span_exit(self, id_: str, *_: Any, result: Any = None, **__: Any) -> None:
        self.heard.append((id_[:-37], type(result)))

    def span_drop(self, id_: str, *_: Any, err: Any = None, **__: Any) -> None:
        self.heard.append((id_[:-37], repr(err)))

    def handle(self, event: Any, **_: Any) -> None:
        self.heard.append((type(event).__name__, sorted(vars(event))))


def test_the_programs_own_handlers_are_told_the_same_in_the_same_order(
    model: Callable[..., Model],
) -> None:
    root, mine = get_dispatcher(), Told()
    before = [*root.span_handlers], [*root.event_handlers]
    root.span_handlers.append(mine)
    root.event_handlers.append(mine)

    def run() -> list[tuple[str, Any]]:
        mine.heard = []
        index().as_query_engine(llm=model("plain")).query("Where?")
        engine = index().as_query_engine(llm=model("plain"), streaming=True)
        list(engine.query("Where?").response_gen)
        with pytest.raises(Exception, match="400"):
            model("bad").chat([ChatMessage(content="Hi")])
        return mine.heard

    try:
        alone = run()
        spanlog.llama_index.autolog()
        assert root.span_handlers[:-1] == [*before[0], mine]
        ours = root.span_handlers[-1]
        assert copy.deepcopy(ours) is copy.copy(ours) is pickle.loads(pickle.dumps(ours)) is ours
        assert run() == alone
        spanlog.llama_index.autolog(disable=True)
        assert root.span_handlers == [*before[0], mine]
        assert run() == alone
    finally:
        spanlog.llama_index.integration.explicit = False
        root.span_handlers[:], root.event_handlers[:] = before
