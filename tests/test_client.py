"""`TracingClient`: traces whose spans are begun and ended by hand, in any thread."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import spanlog
from spanlog import tracing
from spanlog.client import MlflowClient, TracingClient
from spanlog.entities import Feedback, NoOpSpan, SpanStatusCode, TraceState


@pytest.fixture
def client():
    return TracingClient()


def test_mlflows_name_is_the_same_client():
    assert MlflowClient is TracingClient is spanlog.MlflowClient


def test_a_trace_is_built_from_named_parents(client, one_trace):
    root = client.start_trace("root", "AGENT", inputs=1, attributes={"a": 1}, tags={"t": "1"})
    child = client.start_span("child", root.trace_id, root.span_id, "TOOL", inputs=2)
    leaf = client.start_span("leaf", root.trace_id, child.span_id, start_time_ns=5)
    assert spanlog.get_current_active_span() is None
    client.end_span(root.trace_id, leaf.span_id, attributes={"b": 2}, end_time_ns=7)
    client.end_span(root.trace_id, child.span_id, outputs=3, status="ERROR")
    client.end_trace(root.trace_id, outputs=4, attributes={"c": 3})
    trace = one_trace()
    spans = {span.name: span for span in trace.data.spans}
    assert {n: s.parent_id for n, s in spans.items()} == {
        "root": None,
        "child": root.span_id,
        "leaf": child.span_id,
    }
    assert (spans["root"].inputs, spans["root"].outputs, spans["root"].span_type) == (1, 4, "AGENT")
    assert spans["root"].attributes == {"a": 1, "c": 3}
    assert (spans["leaf"].duration_ns, spans["leaf"].attributes) == (2, {"b": 2})
    assert spans["child"].status.status_code is SpanStatusCode.ERROR
    assert (trace.info.state, trace.info.tags) == (TraceState.OK, {"t": "1"})


def test_request_id_is_taken_wherever_trace_id_is(client):
    root = client.start_trace("root")
    assert root.request_id == root.trace_id
    child = client.start_span("child", request_id=root.request_id, parent_id=root.span_id)
    client.end_span(request_id=root.request_id, span_id=child.span_id)
    client.end_trace(request_id=root.request_id)
    client.set_trace_tag(request_id=root.request_id, key="k", value="v")
    trace = client.get_trace(request_id=root.request_id)
    assert trace.info.request_id == trace.info.trace_id == root.trace_id
    assert trace.info.tags == {"k": "v"}
    assert [s.request_id for s in trace.data.spans] == [root.trace_id] * 2
    client.delete_trace_tag(request_id=root.request_id, key="k")
    assert spanlog.get_trace(request_id=root.request_id).info.tags == {}
    assert client.delete_traces(request_ids=[root.request_id]) == 1
    assert spanlog.get_trace(root.trace_id, silent=True) is None


def test_traces_are_found_again(client):
    for name in ("a", "b", "b"):
        client.end_trace(client.start_trace(name).trace_id)
    assert [t.info.name for t in client.search_traces(filter_string="name = 'b'")] == ["b", "b"]
    assert len(client.search_traces(max_results=1)) == 1


def test_what_is_said_of_a_trace_goes_through_the_client_too(client):
    with tracing.context(session_id="s"):
        id_ = client.start_trace("a").trace_id
    client.end_trace(id_)
    said = client.log_assessment(id_, Feedback("good", 0.5)).assessment_id
    client.update_assessment(id_, said, Feedback("good", 0.7))
    assert client.get_assessment(id_, said).feedback.value == 0.7
    (session,) = client.search_sessions(filter_string="feedback.good > 0.6")
    assert (session.id, [trace.trace_id for trace in session]) == ("s", [id_])
    client.delete_assessment(id_, said)
    assert client.get_trace(id_, display=False, flush=True).info.assessments == []


def test_one_client_ends_what_another_began(one_trace):
    root = TracingClient().start_trace("root")
    child = TracingClient().start_span("child", root.trace_id, root.span_id)
    TracingClient().end_span(root.trace_id, child.span_id)
    TracingClient().end_trace(root.trace_id)
    assert all(span.end_time_ns for span in one_trace().data.spans)


def test_a_span_goes_under_one_that_is_current_too(client, one_trace):
    with spanlog.start_span("root") as root, spanlog.start_span("inner"):
        child = client.start_span("child", root.trace_id, root.span_id)
        client.end_span(root.trace_id, child.span_id)
    assert one_trace().search_spans(name="child")[0].parent_id == root.span_id


def test_a_span_may_end_after_its_trace(client, one_trace):
    root = client.start_trace("root")
    child = client.start_span("child", root.trace_id, root.span_id)
    client.end_trace(root.trace_id)
    client.end_span(root.trace_id, child.span_id, outputs="late")
    assert one_trace().search_spans(name="child")[0].outputs == "late"


@pytest.mark.parametrize("end", ["end_span", "end_trace"])
def test_what_ended_is_forgotten(client, end):
    root = client.start_trace("root")
    child = client.start_span("child", root.trace_id, root.span_id)
    child.end()
    client.end_span(root.trace_id, root.span_id) if end == "end_span" else client.end_trace(
        root.trace_id
    )
    with pytest.raises(ValueError, match="no open span"):
        client.start_span("late", root.trace_id, child.span_id)


def test_what_there_is_none_of_is_a_clear_error(client):
    root = client.start_trace("root")
    with pytest.raises(ValueError, match="parent_id names a span"):
        client.start_span("s", root.trace_id, "nonsense")
    with pytest.raises(ValueError, match="no open span 'nonsense'"):
        client.end_span(root.trace_id, "nonsense")
    with pytest.raises(ValueError, match="no open trace 'nonsense'"):
        client.end_trace("nonsense")
    with pytest.raises(ValueError, match="give trace_id"):
        client.end_trace()
    client.end_trace(root.trace_id)


def test_with_tracing_off_every_call_works_and_nothing_is_recorded(client, traces):
    def build():
        root = client.start_trace("root", inputs=1)
        child = client.start_span("child", root.trace_id, root.span_id)
        leaf = client.start_span("leaf", root.trace_id, child.span_id)
        assert isinstance(leaf, NoOpSpan)
        client.end_span(root.trace_id, leaf.span_id)
        client.end_span(root.trace_id, child.span_id, outputs=1)
        client.end_trace(root.trace_id)

    tracing.disable()
    build()
    build()
    tracing.enable()
    root = client.start_trace("on")
    tracing.disable()
    child = client.start_span("off", root.trace_id, root.span_id)
    client.end_span(root.trace_id, child.span_id)
    tracing.enable()
    client.end_trace(root.trace_id)
    assert [[s.name for s in t.data.spans] for t in traces()] == [["on"]]


def test_many_threads_share_a_client(client, traces):
    def branch(number):
        top = client.start_span(f"branch {number}", root.trace_id, root.span_id)
        for leaf in range(10):
            span = client.start_span(f"leaf {number}.{leaf}", root.trace_id, top.span_id)
            client.end_span(root.trace_id, span.span_id, outputs=leaf)
        client.end_span(root.trace_id, top.span_id)
        own = client.start_trace(f"own {number}")
        client.end_trace(own.trace_id, outputs=number)

    root = client.start_trace("root")
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(branch, range(32)))
    client.end_trace(root.trace_id)
    shared, *own = traces()
    names = {span.span_id: span.name for span in shared.data.spans}
    assert len(names) == 1 + 32 * 11
    for span in shared.data.spans:
        if span.name.startswith("leaf"):
            assert names[span.parent_id] == f"branch {span.name.split()[1].split('.')[0]}"
    assert sorted(t.data.spans[0].outputs for t in own) == list(range(32))


def test_a_client_may_have_a_store_of_its_own_and_moves_nobody_elses_recording(tmp_path):
    before = spanlog.get_tracking_uri()
    client = TracingClient(tracking_uri=str(tmp_path / "other.db"))
    root = client.start_trace("theirs")
    with spanlog.start_span("ours"):
        pass
    child = client.start_span("step", root.trace_id, root.span_id)
    client.end_span(root.trace_id, child.span_id, outputs="done")
    client.end_trace(root.trace_id)
    client.set_trace_tag(root.trace_id, "who", "them")
    assert spanlog.get_tracking_uri() == before
    assert [trace.info.name for trace in spanlog.search_traces(return_type="list")] == ["ours"]
    (theirs,) = client.search_traces()
    assert [span.name for span in theirs.data.spans] == ["theirs", "step"]
    assert theirs.info.tags["who"] == "them"
    again = TracingClient(tracking_uri=str(tmp_path / "other.db"))
    assert again.get_trace(root.trace_id).info.name == "theirs"
    assert TracingClient().get_trace(root.trace_id) is None
