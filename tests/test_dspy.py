"""DSPy: whole programs, offline and over the wire, and the tree that is recorded of each."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import importlib
import json
import logging
import os
import pickle
import re
import tempfile
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from spanlog.entities import SpanType
from spanlog.record.context import CURRENT

from fixtures import openai_routes
from fixtures.loopback import Loopback, Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spanlog.entities import Span, Trace

    from fixtures.loopback import Request

os.environ["DSPY_CACHEDIR"] = tempfile.mkdtemp(prefix="dspy-cache-")
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
dspy = pytest.importorskip("dspy")
dummies = importlib.import_module("dspy.utils.dummies")
callbacks = importlib.import_module("dspy.utils.callback")
integration = importlib.import_module("spanlog_integrations.dspy")

pytestmark = [pytest.mark.filterwarnings("ignore")]  # those of DSPy and LiteLLM are many

KEY = "sk-dspy-secret-key"
NATIVE = importlib.util.find_spec("dspy.clients.engines") is not None  # DSPy's own HTTP
ASYNC = hasattr(dspy.Module, "acall")
TOOLS = hasattr(dspy, "Tool")
needs_async = pytest.mark.skipif(not ASYNC, reason="this version of DSPy has no acall")
needs_tools = pytest.mark.skipif(not TOOLS, reason="this version of DSPy has no tools")
needs_parallel = pytest.mark.skipif(not hasattr(dspy, "Parallel"), reason="no dspy.Parallel")
needs_streams = pytest.mark.skipif(
    not hasattr(dspy, "streaming"), reason="this version of DSPy has no streams of fields"
)

# What the stand-in for a model answers, by the fields that DSPy asks it for.
ANSWERS = {
    "answer": "Paris",
    "reasoning": "It is known.",
    "next_thought": "Look it up.",
    "next_tool_name": "get_weather",
    "next_tool_args": '{"city": "Paris"}',
}
COUNTS = {"input_tokens": 12, "output_tokens": 7, "total_tokens": 19}


def answering(request: Request) -> Reply | None:
    """Answer as OpenAI does, in the form that DSPy asks for."""
    if b"FAIL" in request.body:
        body = json.dumps({"error": {"message": "Refused FAIL", "type": "invalid"}})
        return Reply(400, {"content-type": "application/json"}, body.encode())
    reply = openai_routes.router(request)
    if reply is None or reply.status != 200 or not request.path.endswith("chat/completions"):
        return reply
    asked = request.json["messages"][-1]["content"]
    fields = re.findall(r"`\W*(?!completed)(\w+)\W*`", asked.rpartition("Respond with")[2])
    found = "observation_0" in asked
    answers = {**ANSWERS, **({"next_tool_name": "finish", "next_tool_args": "{}"} if found else {})}
    parts = [f"[[ ## {name} ## ]]\n{answers.get(name, '')}\n\n" for name in fields]
    return _saying("".join(parts), reply) if fields else reply


def _saying(text: str, reply: Reply) -> Reply:
    """Put another text into a reply, or into the pieces of its stream."""
    if isinstance(reply.body, bytes):
        plain = json.dumps(openai_routes.TEXT["plain"], ensure_ascii=False).encode()
        return replace(reply, body=reply.body.replace(plain, json.dumps(text).encode()))
    piece = re.compile(rb'(?<="delta":\{"content":)".*?"(?=\})')
    at = [number for number, event in enumerate(reply.body) if piece.search(event)]
    size = len(text) // len(at) + 1
    body = list(reply.body)
    for order, number in enumerate(at):
        said = json.dumps(text[order * size : (order + 1) * size]).encode()
        body[number] = piece.sub(lambda _, said=said: said, body[number])
    return replace(reply, body=body)


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback(answering) as server:
        yield server


@pytest.fixture(autouse=True)
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Trace DSPy. It keeps errors of callbacks to itself: here they fail the test."""
    swallowed: list[str] = []
    logger = logging.getLogger(callbacks.__name__) if NATIVE else callbacks.logger
    monkeypatch.setattr(logger, "warning", swallowed.append)
    # Old versions keep the settings of threads that are no more, whose numbers others get.
    for thread in set(vars(dspy.settings).get("stack_by_thread", ())) - {threading.get_ident()}:
        del dspy.settings.stack_by_thread[thread]
    spanlog.dspy.autolog()
    yield
    for library in ("dspy", "litellm", "openai"):
        getattr(spanlog, library).autolog(disable=True)
    assert [text for text in swallowed if "callback" in text] == []
    assert CURRENT.get() is None


def model(server: Loopback, name: str = "plain", **settings: Any) -> Any:
    given = {"cache": False, "num_retries": 0, **settings}
    return dspy.LM(f"openai/{name}", api_base=f"{server.url}/v1", api_key=KEY, **given)


def dummy(*answers: dict[str, str]) -> Any:
    return dummies.DummyLM(list(answers) or [{"reasoning": "It is known.", "answer": "Paris"}] * 9)


def using(lm: Any, **settings: Any) -> Any:
    """Use a model without `dspy.configure`, which belongs to the thread that calls it first."""
    return dspy.settings.context(lm=lm, **settings)


Tree = tuple[str, str, str, list[Any]]


def below(trace: Trace, parent: str | None = None) -> list[Tree]:
    found = sorted(trace.data.spans, key=lambda span: span.start_time_ns)
    return [
        (span.name, span.span_type, span.status.status_code.value, below(trace, span.span_id))
        for span in found
        if span.parent_id == parent
    ]


def tree(trace: Trace) -> Tree:
    (root,) = below(trace)
    return root


def ok(name: str, span_type: str, *children: Any) -> Tree:
    return name, span_type, "OK", list(children)


def bad(name: str, span_type: str, *children: Any) -> Tree:
    return name, span_type, "ERROR", list(children)


def chat(name: str = "dummy", *closer: str) -> Tree:
    """Return the call of a model, with what is seen of it closer to the wire."""
    return ok(f"chat {name}", "CHAT_MODEL", *([chat(name, *closer[1:])] if closer else []))


def predict(call: Tree | None = None) -> Tree:
    return ok(
        "Predict",
        "CHAIN",
        ok("ChatAdapter.format", "CHAIN"),
        call or chat(),
        ok("ChatAdapter.parse", "PARSER"),
    )


def thinking(call: Tree | None = None) -> Tree:
    return ok("ChainOfThought", "CHAIN", predict(call))


def named(trace: Trace, name: str) -> Span:
    return next(span for span in trace.data.spans if span.name == name)


def counts(usage: dict[str, int] | None) -> dict[str, int] | None:
    return usage and {name: usage[name] for name in COUNTS}


class Ask(dspy.Module):  # type: ignore[misc, name-defined]
    """A program that calls functions of the user's own around a module."""

    def __init__(self, predictor: Any = None) -> None:
        super().__init__()
        self.predictor = predictor or dspy.Predict("question -> answer")

    def forward(self, question: str) -> Any:
        return self.predictor(question=prepare(question))

    async def aforward(self, question: str) -> Any:
        return await self.predictor.acall(question=prepare(question))


@spanlog.trace
def prepare(question: str) -> str:
    return question.strip()


def asking(call: Tree | None = None) -> Tree:
    return ok("Ask", "CHAIN", ok("prepare", "UNKNOWN"), predict(call))


def test_a_module_a_model_and_an_adapter_make_a_tree(one_trace):
    with using(dummy()):
        dspy.ChainOfThought("question -> answer")(question="Capital?")
    trace = one_trace()
    assert tree(trace) == thinking()
    assert trace.data.spans[0].inputs == {"question": "Capital?"}
    assert trace.data.spans[0].outputs == {"reasoning": "It is known.", "answer": "Paris"}
    assert (trace.info.request_preview, trace.info.response_preview) == ("Capital?", "Paris")
    assert (
        named(trace, "Predict").get_attribute("dspy.signature") == "question -> reasoning, answer"
    )
    assert named(trace, "ChatAdapter.format").inputs["inputs"] == {"question": "Capital?"}
    assert named(trace, "ChatAdapter.parse").outputs["answer"] == "Paris"


def test_arguments_without_a_name_are_recorded_by_their_name(one_trace):
    with using(dummy()):
        Ask()("Capital? ")
    trace = one_trace()
    assert tree(trace) == asking()
    assert trace.data.spans[0].inputs == {"question": "Capital? "}
    assert (trace.info.request_preview, trace.info.response_preview) == ("Capital? ", "Paris")


class Same(dspy.Module):  # type: ignore[misc, name-defined]
    def forward(self, value: Any) -> Any:
        return value


def cycle() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


VALUES: list[tuple[Any, Any]] = [
    (cycle(), [1, "<cycle to list>"]),
    (
        [dspy.Example(a=1), (dspy.Prediction(b=[dspy.Example(c=2)]),)],
        [{"a": 1}, [{"b": [{"c": 2}]}]],
    ),
    ({"s": dspy.Signature("question -> answer")}, {"s": "question -> answer"}),
    ("\ud800", "\\ud800"),
]


@pytest.mark.parametrize(("value", "recorded"), VALUES, ids=["cycle", "deep", "signature", "text"])
def test_any_value_can_go_in_and_come_out(value, recorded, one_trace):
    assert Same()(value=value) is value
    span = one_trace().data.spans[0]
    assert json.dumps(span.inputs["value"])[:40] == json.dumps(span.outputs)[:40]
    assert span.outputs == recorded or "cycle" in json.dumps(span.outputs)


def test_a_model_call_tells_model_provider_usage_and_parameters(server, one_trace, stored):
    model(server, temperature=0.5, max_tokens=99)("Hi")
    span = one_trace().data.spans[0]
    assert (span.name, span.span_type, span.model) == (
        "chat plain",
        "CHAT_MODEL",
        "plain-2026-01-01",
    )
    assert span.inputs["messages"] == [{"role": "user", "content": "Hi"}]
    message = {"role": "assistant", "content": openai_routes.TEXT["plain"]}
    assert span.outputs == {"choices": [{"message": message}]}
    assert counts(span.usage) == COUNTS
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "plain",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 99,
        "gen_ai.response.finish_reasons": ["stop"],
        "server.address": "127.0.0.1",
    }
    assert {name: span.attributes.get(name) for name in attributes} == attributes
    assert KEY.encode() not in stored()


def test_a_reply_out_of_the_cache_is_marked_and_counts_no_tokens(server, traces):
    lm = model(server, cache=True)
    with using(lm):
        asked = [dspy.Predict("question -> answer")(question="Cached?").answer for _ in range(2)]
    first, second = traces()
    assert asked == ["Paris", "Paris"]
    assert tree(first) == tree(second) == predict(chat("plain"))
    assert counts(first.info.token_usage) == COUNTS
    assert second.info.token_usage is None
    marks = [
        named(trace, "chat plain").get_attribute("dspy.cache_hit") for trace in (first, second)
    ]
    assert marks == [None, True]


LAYERS = [(), ("litellm",), ("openai",), ("litellm", "openai")]


@pytest.mark.parametrize("layers", LAYERS, ids="+".join)
def test_layers_closer_to_the_wire_are_below_and_tokens_count_once(server, layers, one_trace):
    for library in layers:
        getattr(spanlog, library).autolog()
    with using(model(server, **({"engine": "litellm"} if NATIVE else {}))):
        Ask()(question="Capital?")
    trace = one_trace()
    assert tree(trace) == asking(chat("plain", *("plain" for _ in layers)))
    assert counts(trace.info.token_usage) == COUNTS


@pytest.mark.skipif(not NATIVE, reason="this version of DSPy has no HTTP of its own")
def test_dspys_own_http_is_recorded_though_it_calls_no_sdk(server, one_trace):
    spanlog.litellm.autolog()
    spanlog.openai.autolog()
    with using(model(server, engine="lm15")):
        Ask()(question="Capital?")
    assert tree(one_trace()) == asking(chat("plain"))
    assert counts(one_trace().info.token_usage) == COUNTS


def test_a_call_of_an_sdk_in_a_module_is_the_modules_child(server, one_trace):
    openai = pytest.importorskip("openai")
    spanlog.openai.autolog()

    class Direct(dspy.Module):  # type: ignore[misc, name-defined]
        def forward(self, question: str) -> Any:
            client = openai.OpenAI(base_url=f"{server.url}/v1", api_key=KEY)
            said = client.chat.completions.create(
                model="plain", messages=[{"role": "user", "content": question}]
            )
            return dspy.Prediction(answer=said.choices[0].message.content)

    Direct()(question="Hi")
    assert tree(one_trace()) == ok("Direct", "CHAIN", chat("plain"))


def test_a_second_attempt_in_another_form_is_seen(one_trace):
    with using(dummies.DummyLM([{"nonsense": "?"}] * 9)), contextlib.suppress(Exception):
        dspy.Predict("question -> answer")(question="Capital?")
    trace = one_trace()
    parse = named(trace, "ChatAdapter.parse")
    assert parse.status.status_code == "ERROR"
    assert trace.data.spans[0].status.status_code == "ERROR"
    assert all(span.end_time_ns for span in trace.data.spans)


def test_an_adapter_that_calls_the_one_it_overrides_is_one_span(one_trace):
    class Polite(dspy.ChatAdapter):  # type: ignore[misc, name-defined]
        def format(self, *args: Any, **kwargs: Any) -> Any:
            return super().format(*args, **kwargs)

    with using(dummy(), adapter=Polite()):
        dspy.Predict("question -> answer")(question="Capital?")
    polite = (ok("Polite.format", "CHAIN"), chat(), ok("Polite.parse", "PARSER"))
    assert tree(one_trace()) == ok("Predict", "CHAIN", *polite)


def test_a_refused_call_is_an_error_of_all_above_and_tells_no_key(server, one_trace, stored):
    with using(model(server, "unauthorized")), pytest.raises(Exception, match=KEY):
        Ask()(question="Capital?")
    trace = one_trace()
    model_span = named(trace, "chat unauthorized")
    assert {span.name for span in trace.data.spans if span.status.status_code == "ERROR"} >= {
        "Ask",
        "Predict",
        "chat unauthorized",
    }
    assert model_span.get_attribute("http.response.status_code") == 401
    assert [event.name for event in model_span.events] == ["exception"]
    assert KEY.encode() not in stored()


class Halt(dspy.Module):  # type: ignore[misc, name-defined]
    def forward(self, error: BaseException) -> Any:
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt("now"), SystemExit(3), ValueError("no")])
@pytest.mark.parametrize("handling", [False, True], ids=["", "while-handling"])
def test_what_ends_a_module_is_its_error_whatever_it_is(error, handling, one_trace):
    try:
        if handling:
            raise LookupError("before")
        with pytest.raises(type(error)) as raised:
            Halt()(error=error)
    except LookupError:
        with pytest.raises(type(error)) as raised:
            Halt()(error=error)
    assert raised.value is error
    status = one_trace().data.spans[0].status
    assert (status.status_code, status.description) == ("ERROR", f"{type(error).__name__}: {error}")


def test_a_call_that_succeeds_while_an_error_is_handled_is_no_error(one_trace):
    try:
        raise LookupError("before")
    except LookupError:
        with using(dummy()):
            dspy.Predict("question -> answer")(question="Capital?")
    assert tree(one_trace()) == predict()


def rows(query: str, k: int, **_: Any) -> list[Any]:
    """Search, as a user's own retrieval model does."""
    found = importlib.import_module("dspy.dsp.utils" if "dspy.dsp" in MODULES else "dsp.utils")
    return [found.dotdict(long_text=f"{query} {n}", score=0.5, pid=n) for n in range(k)]


MODULES = {name for name in importlib.sys.modules if name.startswith("dspy.dsp")}


class Rag(dspy.Module):  # type: ignore[misc, name-defined]
    """Retrieval-augmented generation."""

    def __init__(self) -> None:
        super().__init__()
        self.retrieve = dspy.Retrieve(k=2)
        self.answer = dspy.ChainOfThought("context, question -> answer")

    def forward(self, question: str) -> Any:
        passages = self.retrieve(question).passages
        return self.answer(context=passages, question=question)


def test_a_retriever_gives_documents(server, one_trace):
    with using(model(server), rm=rows):
        assert Rag()(question="Paris").answer == "Paris"
    trace = one_trace()
    found = ok("Retrieve", "RETRIEVER")
    assert tree(trace) == ok("Rag", "CHAIN", found, thinking(chat("plain")))
    retrieved = named(trace, "Retrieve")
    assert "Paris" in retrieved.inputs.values()
    documents = [{"page_content": f"Paris {n}", "id": None, "metadata": {}} for n in range(2)]
    assert retrieved.outputs == documents


@pytest.mark.skipif(not hasattr(dspy, "Embedder"), reason="this version has no dspy.Embedder")
def test_an_index_of_embeddings_is_a_retriever_over_an_embedder(one_trace):
    numpy = pytest.importorskip("numpy")
    index = importlib.import_module("dspy.retrievers.embeddings")

    def lengths(texts: list[str]) -> Any:
        return numpy.array([[len(text), 1.0] for text in texts], dtype="float32")

    search = index.Embeddings(corpus=["a", "bb"], embedder=dspy.Embedder(lengths), k=1)
    search("question")
    trace = spanlog.get_trace(spanlog.get_last_active_trace_id())
    assert trace is not None
    # Some versions embed the questions of many callers in a thread of their own.
    embedded = [] if hasattr(index, "Unbatchify") else [ok("embeddings lengths", "EMBEDDING")]
    assert tree(trace) == ok("Embeddings", "RETRIEVER", *embedded)
    (document,) = trace.data.spans[0].outputs
    assert document["page_content"] in ("a", "bb")
    assert document["id"] in (0, 1)


@pytest.mark.parametrize(
    ("found", "documents"),
    [
        (["a"], [("a", None, {})]),
        ([{"text": "a", "pid": 7, "score": 0.5}], [("a", 7, {"score": 0.5})]),
        (
            {"docs": ["a", "b"], "doc_ids": ["x", "y"], "rank": [1, 2], "query": "q"},
            [("a", "x", {"rank": 1}), ("b", "y", {"rank": 2})],
        ),
        ([{"passages": ["a"]}, {"passages": ["b"]}], [("a", None, {}), ("b", None, {})]),
        ({"context": "a"}, [(None, None, {"context": "a"})]),
        ("a", [("a", None, {})]),
        ([], []),
    ],
)
def test_whatever_a_retriever_returns_becomes_documents(found, documents):
    held = [{"page_content": text, "id": id_, "metadata": rest} for text, id_, rest in documents]
    assert integration._documents(found) == held


@spanlog.trace(span_type=SpanType.TASK)
def look_up(city: str) -> str:
    return f"sunny in {city}"


def get_weather(city: str) -> str:
    """Tell the weather."""
    return look_up(city)


def broken(city: str) -> str:
    """Tell the weather."""
    raise OSError(f"no way to {city}")


def step(lm: Tree, tool: Tree) -> list[Tree]:
    return [predict(lm), tool]


@needs_tools
@pytest.mark.parametrize("layers", LAYERS, ids="+".join)
def test_an_agent_with_tools(server, layers, one_trace):
    for library in layers:
        getattr(spanlog, library).autolog()
    with using(model(server, **({"engine": "litellm"} if NATIVE else {}))):
        agent = dspy.ReAct("question -> answer", tools=[get_weather])
        assert agent(question="Weather?").answer == "Paris"
    trace, call = one_trace(), chat("plain", *("plain" for _ in layers))
    assert tree(trace) == ok(
        "ReAct",
        "AGENT",
        predict(call),
        ok("get_weather", "TOOL", ok("look_up", "TASK")),
        predict(call),
        ok("finish", "TOOL"),
        thinking(call),
    )
    tool = named(trace, "get_weather")
    assert (tool.inputs, tool.outputs) == ({"city": "Paris"}, "sunny in Paris")
    assert counts(trace.info.token_usage) == {name: 3 * n for name, n in COUNTS.items()}


@needs_tools
def test_a_tool_that_fails_is_an_error_and_the_agent_goes_on(server, one_trace):
    failing = dspy.Tool(broken, name="get_weather")
    with using(model(server)):
        dspy.ReAct("question -> answer", tools=[failing])(question="Weather?")
    trace = one_trace()
    assert tree(trace)[2] == "OK"
    tool = named(trace, "get_weather")
    assert (tool.span_type, tool.status.description) == ("TOOL", "OSError: no way to Paris")


def pairs(*questions: str) -> list[Any]:
    program = Ask()
    return [(program, {"question": question}) for question in questions]


def run_in_parallel(work: list[Any]) -> Any:
    parallel = dspy.Parallel(num_threads=2, max_errors=9, disable_progress_bar=True)
    return parallel(work)


@needs_parallel
def test_what_runs_in_parallel_is_below_the_users_span_failures_too(server, one_trace):
    with using(model(server)), spanlog.start_span("job"):
        results = run_in_parallel(pairs("one", "FAIL", "three"))
    assert [result and result.answer for result in results] == ["Paris", None, "Paris"]
    name, _, status, children = tree(one_trace())
    assert (name, status, len(children)) == ("job", "OK", 3)
    assert children.count(asking(chat("plain"))) == 2
    (failed,) = [child for child in children if child[2] == "ERROR"]
    assert [child[:3] for child in failed[3]] == [
        ("prepare", "UNKNOWN", "OK"),
        ("Predict", "CHAIN", "ERROR"),
    ]


@needs_parallel
def test_what_runs_in_parallel_makes_a_trace_each_where_nothing_is_above(server, traces):
    with using(model(server)):
        run_in_parallel(pairs("one", "two", "three"))
    assert [tree(trace) for trace in traces()] == [asking(chat("plain"))] * 3


def test_threads_that_share_a_model_do_not_mix_their_replies(server, traces):
    lm, start = model(server), threading.Barrier(4)

    def call(number: int) -> None:
        start.wait()
        for turn in range(5):
            lm(f"{number} {turn}")

    workers = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    spans = [trace.data.spans[0] for trace in traces()]
    assert len({span.get_attribute("gen_ai.response.id") for span in spans}) == len(spans) == 20


@needs_async
async def test_async_calls_side_by_side_are_children_of_the_users_span(server, one_trace):
    program = Ask()
    with using(model(server)), spanlog.start_span("job"):
        await asyncio.gather(*(program.acall(question=str(number)) for number in range(3)))
    assert tree(one_trace()) == ok("job", "UNKNOWN", *[asking(chat("plain"))] * 3)
    assert counts(one_trace().info.token_usage) == {name: 3 * n for name, n in COUNTS.items()}


@needs_async
async def test_a_cancelled_call_is_an_error_and_stays_cancelled(server, one_trace):
    with using(model(server, "plain-hang")):
        task = asyncio.create_task(Ask().acall(question="Capital?"))
        while not any(b"plain-hang" in request.body for request in server.requests):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    trace = one_trace()
    for name in ("Ask", "Predict", "chat plain-hang"):
        assert named(trace, name).status.description.startswith("CancelledError")


def streaming(program: Any, **settings: Any) -> Any:
    listener = dspy.streaming.StreamListener(signature_field_name="answer")
    return dspy.streamify(program, stream_listeners=[listener], **settings)


@needs_streams
@pytest.mark.parametrize("is_async_program", [False, True], ids=["program", "async-program"])
async def test_a_streamed_program_makes_the_same_tree(server, is_async_program, one_trace):
    with using(model(server)), spanlog.start_span("job"):
        stream = streaming(Ask(), is_async_program=is_async_program)
        pieces = [piece async for piece in stream(question="Capital?")]
        with spanlog.start_span("after"):
            pass
    assert pieces[-1].answer == "Paris"
    trace = one_trace()
    assert tree(trace) == ok("job", "UNKNOWN", asking(chat("plain")), ok("after", "UNKNOWN"))
    assert named(trace, "Predict").outputs == {"answer": "Paris"}


@needs_streams
def test_a_stream_read_in_another_thread_is_below_the_users_span(server, one_trace):
    with using(model(server)), spanlog.start_span("job"):
        list(streaming(Ask(), async_streaming=False)(question="Capital?"))
    assert tree(one_trace()) == ok("job", "UNKNOWN", asking(chat("plain")))


@needs_streams
def test_a_stream_that_is_left_ends_its_spans_with_its_program(server, one_trace):
    async def leave() -> None:
        with using(model(server, "plain-slow")):
            async for _ in streaming(Ask(), is_async_program=True)(question="Capital?"):
                break

    asyncio.run(leave())  # DSPy cancels the program when the event loop closes the stream
    trace = one_trace()
    assert {span.name for span in trace.data.spans} >= {"Ask", "Predict", "chat plain-slow"}
    assert all(span.end_time_ns for span in trace.data.spans)


EXAMPLES = [
    dspy.Example(question=question, answer="Paris").with_inputs("question")
    for question in ("one", "two", "three")
]


@spanlog.trace
def correct(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.answer == prediction.answer)


def evaluate(threads: int = 2) -> Any:
    evaluation = dspy.Evaluate if hasattr(dspy, "Evaluate") else EVALUATE
    return evaluation(devset=EXAMPLES, metric=correct, num_threads=threads)


EVALUATE = importlib.import_module("dspy.evaluate").Evaluate


@pytest.mark.parametrize("threads", [1, 2])
def test_an_evaluation_holds_each_example_and_the_metric(server, threads, one_trace):
    with using(model(server)):
        result = evaluate(threads)(dspy.Predict("question -> answer"))
    assert getattr(result, "score", result) == 100.0
    trace = one_trace()
    name, span_type, status, children = tree(trace)
    assert (name, span_type, status) == ("Evaluate", "EVALUATOR", "OK")
    assert children.count(predict(chat("plain"))) == children.count(ok("correct", "UNKNOWN")) == 3
    given = {"program": "Predict", "metric": "correct", "examples": 3}
    assert trace.data.spans[0].inputs == given
    assert counts(trace.info.token_usage) == {name: 3 * n for name, n in COUNTS.items()}


def test_an_evaluation_can_be_left_out(server, traces):
    spanlog.dspy.autolog(log_traces_from_eval=False)
    with using(model(server)):
        evaluate()(dspy.Predict("question -> answer"))
        assert traces() == []
        dspy.Predict("question -> answer")(question="Capital?")
    assert [tree(trace) for trace in traces()] == [predict(chat("plain"))]


def optimize() -> Any:
    teleprompt = importlib.import_module("dspy.teleprompt")
    optimizer = teleprompt.BootstrapFewShot(metric=correct, max_bootstrapped_demos=1)
    return optimizer.compile(dspy.Predict("question -> answer"), trainset=EXAMPLES)


def test_what_an_optimizer_does_is_left_out(server, traces):
    with using(model(server)):
        program = optimize()
        assert traces() == []
        program(question="Capital?")
    assert len(program.demos) == 3
    assert [tree(trace) for trace in traces()] == [predict(chat("plain"))]


def test_what_an_optimizer_does_is_recorded_if_asked_for(server, one_trace):
    spanlog.dspy.autolog(log_traces_from_compile=True)
    with using(model(server)):
        optimize()
    trace = one_trace()
    name, span_type, status, children = tree(trace)
    assert (name, span_type, status) == ("BootstrapFewShot.compile", "CHAIN", "OK")
    assert predict(chat("plain")) in children
    assert ok("correct", "UNKNOWN") in children
    assert {"student": "Predict", "trainset": 3}.items() <= trace.data.spans[0].inputs.items()


class Told(callbacks.BaseCallback):  # type: ignore[misc, name-defined]
    """A callback of the user's."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        self.events.append(f"{type(instance).__name__} starts")

    def on_module_end(self, call_id: str, outputs: Any, exception: Any = None) -> None:
        self.events.append("module ends")


CALLED = ["Ask starts", "Predict starts", "module ends", "module ends"]


def in_a_thread(work: Callable[[], Any]) -> None:
    worker = threading.Thread(target=work)
    worker.start()
    worker.join()


@pytest.mark.parametrize("run", [lambda work: work(), in_a_thread], ids=["here", "thread"])
def test_the_callbacks_and_settings_of_the_program_stay_as_they_are(run, traces):
    def program() -> None:
        mine = [Told()]
        own = Told()
        with using(dummy(), callbacks=mine):
            module = Ask()
            module.callbacks = [own]
            module(question="Capital?")
            assert dspy.settings.callbacks is mine
            assert [type(callback) for callback in mine] == [Told]
        assert mine[0].events == CALLED
        assert own.events == ["Ask starts", "module ends"]
        finished.append(True)

    finished: list[bool] = []
    before = dict(dspy.settings.config)
    run(program)
    assert finished == [True]
    assert dict(dspy.settings.config) == before
    assert [tree(trace) for trace in traces()] == [asking()]


@needs_parallel
def test_callbacks_of_the_program_are_called_in_parallel_threads_too(server, traces):
    mine = Told()
    with using(model(server), callbacks=[mine]):
        run_in_parallel(pairs("one", "two"))
    assert sorted(mine.events) == sorted(CALLED * 2)
    assert len(traces()) == 2


def test_tracing_does_not_take_the_settings_for_its_own_thread():
    settings = importlib.import_module(type(dspy.settings).__module__)
    assert getattr(settings, "config_owner_thread_id", None) is None


def places() -> dict[str, Any]:
    """Return what stands where tracing puts something, by its name."""
    found = {}
    for target in integration.integration.targets:
        with contextlib.suppress(ImportError, AttributeError):
            *path, name = target.at.partition(":")[2].split(".")
            owner = functools.reduce(getattr, path, importlib.import_module(target.module))
            owners = [owner, *owner.__subclasses__()] if target.derived else [owner]
            for place in owners:
                for held in (name, "__init_subclass__"):
                    found[f"{place.__module__}.{place.__name__}.{held}"] = vars(place).get(held)
    return found


def test_a_copy_of_our_callback_is_the_same_and_can_be_pickled():
    ours = dspy.settings.get("callbacks")[-1]
    assert copy.copy(ours) is copy.deepcopy(ours) is pickle.loads(pickle.dumps(ours)) is ours


def test_off_puts_back_exactly_what_was_there_and_on_twice_is_once(traces):
    spanlog.dspy.autolog(log_traces=False)
    before = places()
    spanlog.dspy.autolog()
    spanlog.dspy.autolog()
    assert places() != before
    with using(dummy()):
        Ask()(question="Capital?")
    spanlog.dspy.autolog(log_traces=False)
    after = places()
    assert {name for name in before if before[name] is not after[name]} == set()
    with using(dummy()):
        Ask()(question="Capital?")
    assert [tree(trace) for trace in traces()] == [asking(), ok("prepare", "UNKNOWN")]


def test_turned_off_in_the_middle_what_has_begun_is_recorded(one_trace):
    class Off(dspy.Module):  # type: ignore[misc, name-defined]
        def forward(self) -> Any:
            spanlog.dspy.autolog(disable=True)
            return dspy.Prediction(answer="Paris")

    Off()()
    assert tree(one_trace()) == ok("Off", "CHAIN")


@pytest.mark.parametrize("where", ["_module", "_plain", "_message", "_reasons"])
def test_a_fault_of_ours_does_not_reach_the_program(server, where, monkeypatch, traces):
    def fault(*_: Any, **__: Any) -> Any:
        raise RuntimeError("ours")

    monkeypatch.setattr(spanlog.safety, "strict", False)
    monkeypatch.setattr(integration, where, fault)
    monkeypatch.setitem(integration._EVENTS, "module", integration._module)
    with using(model(server)):
        assert dspy.Predict("question -> answer")(question="Capital?").answer == "Paris"
    with using(model(server, "bad")), pytest.raises(Exception, match=r"400|[Bb]ad|Invalid"):
        dspy.Predict("question -> answer")(question="Capital?")
    assert all(span.end_time_ns for trace in traces() for span in trace.data.spans)


def test_nothing_is_recorded_where_tracing_is_off(traces):
    with using(dummy()), spanlog.tracing.context(enabled=False):
        Ask()(question="Capital?")
    assert traces() == []


def test_answers_are_the_same_with_tracing_and_without(server):
    def answers() -> Any:
        said = model(server)("Hi")
        with using(model(server), rm=rows):
            return said, Rag()(question="Paris").toDict()

    traced = answers()
    spanlog.dspy.autolog(disable=True)
    assert answers() == traced


def test_usage_is_known_without_a_history(server, one_trace):
    with using(model(server), disable_history=True):
        dspy.Predict("question -> answer")(question="Capital?")
    assert counts(one_trace().info.token_usage) == COUNTS
