"""Spans by hand, errors, and what may be said of the current trace."""

import asyncio
import threading
import traceback

import pytest
import spanlog
from spanlog import tracing
from spanlog.entities import (
    Document,
    NoOpSpan,
    SpanEvent,
    SpanStatus,
    SpanStatusCode,
    SpanType,
    TraceState,
)


def test_a_span_by_hand_records_what_it_is_told(one_trace):
    with spanlog.start_span("rank", SpanType.RERANKER, {"k": 3}) as span:
        span.set_inputs({"query": "q"})
        span.set_outputs([Document("text", {"n": 1}, "id")])
        span.set_attributes({"deep": {"a": [1]}, "score": 0.5})
        span.set_attribute("nan", float("nan"))
        span.add_event(SpanEvent("found", {"n": 1}, 123))
    (read,) = one_trace().data.spans
    assert (read.name, read.span_type, read.inputs) == ("rank", "RERANKER", {"query": "q"})
    assert read.outputs == [{"page_content": "text", "metadata": {"n": 1}, "id": "id"}]
    assert read.attributes == {"k": 3, "deep": {"a": [1]}, "score": 0.5, "nan": None}
    assert read.events == [SpanEvent("found", {"n": 1}, 123)]
    assert read.status == SpanStatus(SpanStatusCode.OK)
    assert (read.trace_id, read.request_id, read.span_id) == (span.trace_id,) * 2 + (span.span_id,)
    assert (len(read.trace_id), len(read.span_id)) == (32, 16)


def test_what_is_set_is_taken_as_it_is_then(one_trace):
    value = [1]
    with spanlog.start_span("s") as span:
        span.set_inputs(value)
        span.set_attribute("a", value)
        span.add_event(SpanEvent("e", {"v": value}))
        value.append(2)
        span.set_outputs(value)
    (read,) = one_trace().data.spans
    assert (read.inputs, read.attributes["a"], read.outputs) == ([1], [1], [1, 2])
    assert read.events[0].attributes == {"v": [1]}


def test_a_decorated_function_may_set_its_own_outputs(one_trace):
    @spanlog.trace
    def answer():
        spanlog.get_current_active_span().set_outputs("mine")
        return "returned"

    assert answer() == "returned"
    assert one_trace().data.spans[0].outputs == "mine"


@pytest.mark.parametrize("status", ["ERROR", SpanStatusCode.ERROR, SpanStatus("ERROR", "why")])
def test_a_status_that_was_set_stays(status, one_trace):
    with spanlog.start_span() as span:
        span.set_status(status)
    trace = one_trace()
    assert trace.data.spans[0].status.status_code is SpanStatusCode.ERROR
    assert trace.info.state is TraceState.ERROR


def test_a_span_ends_once(one_trace):
    span = spanlog.start_span_no_context("s", start_time_ns=1_000)
    span.end(outputs=1, attributes={"a": 1}, status="OK", end_time_ns=5_000)
    span.end(outputs=2, status="ERROR")
    (read,) = one_trace().data.spans
    assert (read.outputs, read.attributes, read.duration_ns) == (1, {"a": 1}, 4_000)
    assert read.status.status_code == "OK"


def test_a_span_without_context_goes_only_where_it_is_told(traces):
    with spanlog.start_span("current") as current:
        root = spanlog.start_span_no_context(
            "root", "AGENT", inputs=1, attributes={"a": 1}, tags={"t": "1"}, metadata={"m": "2"}
        )
        child = spanlog.start_span_no_context("child", parent_span=root)
        assert spanlog.get_current_active_span() is current
        child.end()
        root.end()
    first, second = traces()
    assert [s.name for s in first.data.spans] == ["current"]
    assert [(s.name, s.parent_id) for s in second.data.spans] == [
        ("root", None),
        ("child", root.span_id),
    ]
    assert (second.info.tags, second.info.trace_metadata) == ({"t": "1"}, {"m": "2"})


class Odd(Exception):
    def __str__(self):
        raise RuntimeError("no text")


def by_decorator(error):
    @spanlog.trace
    def work():
        raise error

    work()


def by_hand(error):
    with spanlog.start_span("work"):
        raise error


def in_a_coroutine(error):
    @spanlog.trace
    async def work():
        await asyncio.sleep(0)
        raise error

    steps = work().__await__()
    next(steps)
    next(steps)


def in_a_generator(error):
    @spanlog.trace
    def work():
        yield 1
        raise error

    list(work())


WAYS = [by_decorator, by_hand, in_a_coroutine, in_a_generator]
ERRORS = [
    (ValueError("bad"), "ValueError", "bad", "ValueError: bad"),
    (KeyError(), "KeyError", "", "KeyError"),
    (asyncio.CancelledError(), "asyncio.exceptions.CancelledError", "", "CancelledError"),
    (KeyboardInterrupt(), "KeyboardInterrupt", "", "KeyboardInterrupt"),
    (SystemExit(3), "SystemExit", "3", "SystemExit: 3"),
    (ValueError("\ud800\x00"), "ValueError", "\\ud800\x00", "ValueError: \\ud800\\x00"),
    (Odd(), f"{__name__}.Odd", "<unprintable Odd>", "Odd: <unprintable Odd>"),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("error", "type_", "message", "description"), ERRORS)
def test_an_error_is_recorded_and_the_very_same_goes_on(
    way, error, type_, message, description, one_trace
):
    error = error.with_traceback(None)
    with pytest.raises(type(error)) as caught:
        way(error)
    assert caught.value is error
    assert (error.__context__, error.__cause__) == (None, None)
    assert traceback.extract_tb(error.__traceback__)[-1].line == "raise error"
    (span,) = one_trace().data.spans
    (event,) = span.events
    assert span.status == SpanStatus(SpanStatusCode.ERROR, description)
    assert event.name == "exception"
    assert event.attributes["exception.type"] == type_
    assert event.attributes["exception.message"] == message
    stack = event.attributes["exception.stacktrace"].splitlines()
    assert stack[1].startswith(f'  File "{__file__}"')
    assert "raise error" in stack[2]


@pytest.mark.parametrize("way", WAYS)
def test_an_error_that_has_a_context_keeps_it(way):
    first, second = KeyError("first"), ValueError("second")

    def chained():
        try:
            raise first
        except KeyError:
            way(second)

    with pytest.raises(ValueError, match="second"):
        chained()
    assert second.__context__ is first


def test_an_error_may_be_recorded_without_ending_the_span(one_trace):
    with spanlog.start_span() as span:
        span.record_exception(ValueError("a"))
        span.record_exception("b")
        span.set_outputs("went on")
    (read,) = one_trace().data.spans
    assert [e.attributes["exception.message"] for e in read.events] == ["a", "b"]
    assert (read.outputs, read.status.description) == ("went on", "Exception: b")


async def cancel(task):
    await asyncio.sleep(0)
    task.cancel()
    await task


async def time_out(task):
    await asyncio.wait_for(task, 0.001)


@pytest.mark.parametrize(
    ("end", "raises"), [(cancel, asyncio.CancelledError), (time_out, asyncio.TimeoutError)]
)
async def test_a_cancelled_coroutines_spans_end(end, raises, one_trace):
    @spanlog.trace
    async def outer():
        with spanlog.start_span("inner"):
            await asyncio.Event().wait()

    with pytest.raises(raises):
        await end(asyncio.create_task(outer()))
    for span in one_trace().data.spans:
        assert span.end_time_ns is not None
        assert span.status.description == "CancelledError"


def test_what_is_active_is_known_inside_and_what_was_last_afterwards():
    assert spanlog.get_current_active_span() is None
    assert spanlog.get_active_trace_id() is None
    with spanlog.start_span("root") as root:
        with spanlog.start_span("child") as child:
            assert spanlog.get_current_active_span() is child
            assert spanlog.get_active_trace_id() == root.trace_id
        assert spanlog.get_current_active_span() is root
        assert spanlog.get_last_active_trace_id() is None
    assert spanlog.get_active_trace_id() is None
    assert spanlog.get_last_active_trace_id() == root.trace_id


def test_the_last_trace_of_a_thread_is_its_own():
    def work():
        with spanlog.start_span() as span:
            seen.append(span.trace_id)
        seen.append(spanlog.get_last_active_trace_id(thread_local=True))

    seen = []
    with spanlog.start_span() as here:
        pass
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen[0] == seen[1] == spanlog.get_last_active_trace_id()
    assert spanlog.get_last_active_trace_id(thread_local=True) == here.trace_id


def test_the_current_trace_can_be_told_everything(one_trace):
    with spanlog.start_span("root"), spanlog.start_span("child"):
        spanlog.update_current_trace(
            tags={"a": "1", "n": 2},
            metadata={"m": "3"},
            client_request_id="r-1",
            request_preview="asked",
            response_preview="answered",
            state="ERROR",
            session_id="s",
            user="u",
        )
        spanlog.update_current_trace(tags={"a": "9"})
    info = one_trace().info
    assert info.tags == {"a": "9", "n": "2"}
    assert info.trace_metadata == {
        "m": "3",
        "mlflow.trace.session": "s",
        "mlflow.trace.user": "u",
    }
    assert (info.client_request_id, info.state) == ("r-1", TraceState.ERROR)
    assert (info.request_preview, info.response_preview) == ("asked", "answered")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"state": "IN_PROGRESS"}, ValueError),
        ({"state": "nonsense"}, ValueError),
        ({"request_preview": 5}, TypeError),
        ({"response_preview": {}}, TypeError),
    ],
)
def test_what_a_trace_cannot_be_told_is_an_error(said, error):
    with spanlog.start_span(), pytest.raises(error):
        spanlog.update_current_trace(**said)


def test_what_is_said_outside_of_a_trace_is_a_warning_once(caplog, traces):
    spanlog.update_current_trace(tags={"a": "1"})
    spanlog.update_current_trace(tags={"a": "1"})
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert traces() == []


ODD_TEXTS = ["\ud800", "a\x00b", "", 7, object]


@pytest.mark.parametrize("text", ODD_TEXTS, ids=repr)
def test_odd_names_and_texts_do_not_lose_the_trace(text, traces):
    with spanlog.start_span(text, text, {text: text}):
        spanlog.update_current_trace(
            tags={text: text}, metadata={text: text}, client_request_id=text, session_id=text
        )
    assert len(traces()) == 1


def test_spans_are_read_back_after_a_flush():
    with spanlog.start_span("s") as span:
        pass
    assert spanlog.flush() is True
    assert spanlog.get_trace(span.trace_id).data.spans[0].name == "s"


def test_context_says_something_of_the_traces_that_begin_inside(traces):
    with tracing.context(tags={"a": "1", "b": "1"}, metadata={"m": "1"}, session_id="s1", user="u"):
        with tracing.context(tags={"b": "2"}, session_id="s2"), spanlog.start_span("inner"):
            pass
        with spanlog.start_span("outer"):
            pass
    with spanlog.start_span("outside"):
        pass
    inner, outer, outside = (t.info for t in traces())
    assert (inner.tags, outer.tags) == ({"a": "1", "b": "2"}, {"a": "1", "b": "1"})
    known = {"m": "1", "mlflow.trace.user": "u"}
    assert inner.trace_metadata == {**known, "mlflow.trace.session": "s2"}
    assert outer.trace_metadata == {**known, "mlflow.trace.session": "s1"}
    assert (outside.tags, outside.trace_metadata) == ({}, {})


def test_context_turns_recording_off_and_on_again_inside(traces):
    with tracing.context(enabled=False):
        with spanlog.start_span("no"), tracing.context(tags={"a": "1"}), spanlog.start_span("no"):
            pass
        with tracing.context(enabled=True), spanlog.start_span("yes"):
            pass
    assert [t.info.name for t in traces()] == ["yes"]


def test_while_tracing_is_off_every_call_of_a_span_does_nothing(traces):
    tracing.disable()
    with spanlog.start_span("s", attributes={"a": 1}) as span:
        assert isinstance(span, NoOpSpan)
        assert spanlog.get_current_active_span() is None
        span.set_inputs(1)
        span.set_outputs(1)
        span.set_attributes({"a": 1})
        span.set_span_type("TOOL")
        span.set_status("OK")
        span.add_event(SpanEvent("e"))
        span.record_exception(ValueError())
        spanlog.update_current_trace(tags={"a": "1"})
        child = spanlog.start_span_no_context("c", parent_span=span, inputs=1)
        child.end(outputs=1, status="OK")
        assert (span.inputs, span.outputs, span.attributes, span.events) == (None, None, {}, [])
    with pytest.raises(ValueError, match="mine"), spanlog.start_span("s"):
        raise ValueError("mine")
    tracing.enable()
    spanlog.start_span_no_context("under nothing", parent_span=span).end()
    assert traces() == []


def test_tools_are_recorded_by_mlflows_name(one_trace):
    with spanlog.start_span("chat", "CHAT_MODEL") as span:
        tool = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}
        spanlog.tracing.set_span_chat_tools(span, [tool])
    spanlog.flush_trace_async_logging(terminate=True)
    assert [tool.name for tool in one_trace().data.spans[0].tools] == ["get_weather"]
