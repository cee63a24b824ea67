"""What users read: traces, their spans, and that both survive being written as JSON."""

import dataclasses
import json
import re

import pytest
import spanlog
from hypothesis import given
from hypothesis import strategies as st
from spanlog.entities import (
    Span,
    SpanEvent,
    SpanStatus,
    SpanStatusCode,
    SpanType,
    Trace,
    TraceData,
    TraceInfo,
    TraceState,
)
from spanlog.model.capture import capture

text = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=8,
)


def json_text(value):
    return capture(value).decode()


times = st.integers(0, 2**62)


@st.composite
def spans(draw, parent_ids):
    return Span._stored(
        trace_id="0" * 32,
        span_id=f"{draw(st.integers(0, 2**64 - 1)):016x}",
        parent_id=draw(st.sampled_from([None, *parent_ids])),
        name=draw(text),
        span_type=draw(st.sampled_from(["LLM", "my own"])),
        start_time_ns=draw(times),
        end_time_ns=draw(st.none() | times),
        code=draw(st.sampled_from(list(SpanStatusCode))).value,
        message=draw(text),
        inputs=draw(st.none() | values.map(json_text)),
        outputs=draw(st.none() | values.map(json_text)),
        attributes=draw(st.dictionaries(text, values, max_size=3)),
        events=draw(
            st.lists(
                st.builds(
                    SpanEvent,
                    name=text,
                    attributes=st.dictionaries(text, values, max_size=2),
                    timestamp=times,
                ),
                max_size=2,
            )
        ),
    )


infos = st.builds(
    TraceInfo,
    trace_id=st.just("0" * 32),
    experiment_id=st.just("1"),
    request_time=st.integers(0, 4_000_000_000_000),
    state=st.sampled_from(TraceState),
    execution_duration=st.none() | times,
    name=st.none() | text,
    request_preview=st.none() | text,
    response_preview=st.none() | text,
    client_request_id=st.none() | text,
    trace_metadata=st.dictionaries(text, text, max_size=3),
    tags=st.dictionaries(text, text, max_size=3),
    assessments=st.just([]),
    token_usage=st.none(),
)
traces_ = st.builds(
    Trace, infos, st.lists(spans(["1" * 16]), max_size=3).map(lambda found: TraceData(found))
)


@given(traces_, st.booleans())
def test_a_trace_survives_being_written_as_json(trace, pretty):
    for again in (Trace.from_dict(trace.to_dict()), Trace.from_json(trace.to_json(pretty))):
        assert again.info == trace.info
        assert again.to_dict() == trace.to_dict()
        for span, before in zip(again.data.spans, trace.data.spans, strict=True):
            for name in (
                "inputs",
                "outputs",
                "attributes",
                "events",
                "status",
                "duration_ns",
                "usage",
            ):
                assert getattr(span, name) == getattr(before, name)
    assert json.loads(trace.to_json(pretty)) == trace.to_dict()


@given(values, st.dictionaries(text, values, max_size=3))
def test_a_recorded_trace_survives_being_written_as_json(value, attributes):
    with spanlog.start_span("root", attributes=attributes) as span:
        span.set_inputs(value)
        span.set_outputs([value])
        span.add_event(SpanEvent("e", {"v": value}))
    trace = spanlog.get_trace(span.trace_id)
    read = trace.data.spans[0]
    assert (read.inputs, read.outputs, read.attributes) == (value, [value], attributes)
    assert Trace.from_json(trace.to_json()).to_dict() == trace.to_dict()


@pytest.fixture
def trace(one_trace):
    with spanlog.start_span("agent run", SpanType.AGENT) as root:
        root.set_inputs({"q": "hello"})
        with spanlog.start_span("chat a", SpanType.LLM) as span:
            span.set_attribute("gen_ai.request.model", "asked")
        with spanlog.start_span("chat b", SpanType.LLM) as span:
            span.set_attributes({"gen_ai.request.model": "asked", "gen_ai.response.model": "gave"})
        root.set_outputs("bye")
    return one_trace()


@pytest.mark.parametrize(
    ("search", "names"),
    [
        ({}, ["agent run", "chat a", "chat b"]),
        ({"span_type": SpanType.LLM}, ["chat a", "chat b"]),
        ({"span_type": "NONE"}, []),
        ({"name": "chat a"}, ["chat a"]),
        ({"name": "chat"}, []),
        ({"name": re.compile("chat|run$")}, ["agent run", "chat a", "chat b"]),
        ({"name": re.compile("b"), "span_type": "LLM"}, ["chat b"]),
    ],
)
def test_spans_are_searched_by_what_is_asked_and_nothing_else(search, names, trace):
    assert [span.name for span in trace.search_spans(**search)] == names


def test_a_span_is_searched_by_its_id(trace):
    for span in trace.data.spans:
        assert trace.search_spans(span_id=span.span_id) == [span]


def test_a_trace_answers_to_mlflows_names(trace):
    info, root = trace.info, trace.data.spans[0]
    assert info.request_id == info.trace_id
    assert info.status is info.state is TraceState.OK
    assert info.timestamp_ms == info.request_time == root.start_time_ns // 1_000_000
    assert info.execution_time_ms == info.execution_duration == root.duration_ns // 1_000_000
    assert info.request_metadata is info.trace_metadata
    assert (info.request_preview, info.response_preview) == ("hello", "bye")
    assert (trace.data.request, trace.data.response) == ('{"q":"hello"}', '"bye"')
    assert trace.to_dict().keys() == {"info", "data"}


def test_a_span_answers_to_mlflows_names(trace):
    root, first, second = trace.data.spans
    assert (root.parent_id, first.parent_id) == (None, root.span_id)
    assert (first.model, second.model, second.model_name) == ("asked", "gave", "gave")
    assert first.get_attribute("gen_ai.request.model") == "asked"
    assert first.get_attribute("none") is None
    assert (root.inputs_json, root.outputs_json) == ('{"q":"hello"}', '"bye"')
    assert repr(root) == f"Span(name='agent run', span_id={root.span_id!r})"
    assert repr(trace) == f"Trace(trace_id={trace.info.trace_id!r})"


def test_what_is_read_of_a_span_may_be_changed_without_changing_it(trace):
    span = trace.data.spans[1]
    span.attributes["new"] = 1
    span.events.append(1)
    assert ("new" in span.attributes, span.events) == (False, [])


def test_a_running_trace_can_be_read(one_trace):
    with spanlog.start_span("root") as root, spanlog.start_span("child"):
        trace = one_trace()
        assert trace.info.state is TraceState.IN_PROGRESS
        assert [s.end_time_ns for s in trace.data.spans] == [None, None]
        assert trace.data.spans[0].duration_ns is None
        assert trace.data.spans[0].status.status_code is SpanStatusCode.UNSET
        assert Trace.from_json(trace.to_json()).to_dict() == trace.to_dict()
        assert root.to_dict()["end_time_unix_nano"] is None


@pytest.mark.parametrize("code", ["OK", "ERROR", "UNSET"])
def test_a_status_may_be_given_by_its_word(code):
    status = SpanStatus(code)
    assert status == SpanStatus(SpanStatusCode(code))
    assert status.status_code is SpanStatusCode(code)
    with pytest.raises(dataclasses.FrozenInstanceError):
        status.description = "x"
    with pytest.raises(ValueError, match="nonsense"):
        SpanStatus("nonsense")


def test_the_span_types_are_mlflows():
    names = {name: value for name, value in vars(SpanType).items() if not name.startswith("_")}
    assert all(name == value for name, value in names.items())
    assert " ".join(names) == (
        "LLM CHAT_MODEL CHAIN AGENT TOOL RETRIEVER PARSER EMBEDDING RERANKER MEMORY WORKFLOW TASK "
        "GUARDRAIL EVALUATOR UNKNOWN"
    )


def test_an_exceptions_event_says_what_happened():
    event = SpanEvent.from_exception(ValueError("bad"))
    assert event.name == "exception"
    assert event.attributes == {
        "exception.type": "ValueError",
        "exception.message": "bad",
        "exception.stacktrace": "ValueError: bad\n",
    }
