"""Between queue and sinks: what a program's own processors make of spans."""

from collections.abc import Callable

import pytest
import spanlog
from spanlog import safety, tracing
from spanlog.entities import LiveSpan, Span, Trace
from spanlog.semconv import CONTENT_DROPPED


def test_a_processor_changes_what_is_kept(one_trace: Callable[[], Trace]) -> None:
    def clean(span: LiveSpan) -> None:
        if span.span_type == "TOOL":
            span.set_inputs({"card": "****"})
            span.set_outputs("masked")
            span.set_attribute("seen", True)
            span.set_status("ERROR")
            span.name = "tool"
            for event in span.events:
                event.attributes["exception.message"] = "****"
                event.attributes["exception.stacktrace"] = ""

    tracing.configure(span_processors=[clean])
    with spanlog.start_span("root") as root:
        root.set_inputs("as it is")
        with spanlog.start_span("pay 4111", "TOOL") as span:
            span.set_inputs({"card": "4111"})
            span.set_outputs("4111")
            span.record_exception(ValueError("4111"))
            span.set_status("OK")
    assert span.inputs == {"card": "4111"}  # the program's own span is as it was
    trace = one_trace()
    kept = trace.data.spans[1]
    assert (kept.name, kept.inputs, kept.outputs) == ("tool", {"card": "****"}, "masked")
    assert kept.status.status_code == "ERROR"
    assert kept.attributes == {"seen": True}
    assert kept.events[0].attributes["exception.message"] == "****"
    assert "4111" not in trace.to_json()
    assert trace.data.spans[0].inputs == "as it is"


def test_processors_are_called_one_after_the_other_and_can_be_taken_away(
    traces: Callable[[], list[Trace]],
) -> None:
    tracing.configure(
        span_processors=[
            lambda span: span.set_inputs([span.inputs, 1]),
            lambda span: span.set_inputs([span.inputs, 2]),
        ]
    )
    with spanlog.start_span("a") as span:
        span.set_inputs(0)
    spanlog.flush()
    tracing.configure(span_processors=[])
    with spanlog.start_span("b") as span:
        span.set_inputs(0)
    assert [trace.data.spans[0].inputs for trace in traces()] == [[[0, 1], 2], 0]


def test_previews_the_text_index_and_open_spans_see_only_what_came_out(
    one_trace: Callable[[], Trace], stored: Callable[[], bytes]
) -> None:
    tracing.configure(span_processors=[lambda span: span.set_inputs("nothing to see")])
    with spanlog.start_span("root") as span:
        span.set_inputs({"question": "swordfish"})
        spanlog.flush()
        assert b"swordfish" not in stored()
    assert one_trace().info.request_preview == "nothing to see"
    assert (
        spanlog.search_traces(filter_string="trace.text LIKE '%swordfish%'", return_type="list")
        == []
    )
    assert b"swordfish" not in stored()


def test_where_a_processor_raises_no_content_is_kept_and_the_span_says_so(
    one_trace: Callable[[], Trace], caplog: pytest.LogCaptureFixture, stored: Callable[[], bytes]
) -> None:
    def broken(span: LiveSpan) -> None:
        span.set_inputs("half done")
        raise RuntimeError("no")

    tracing.configure(span_processors=[broken])
    for _ in range(3):
        with spanlog.start_span("root", attributes={"who": "ann", "tokens": 7}) as span:
            span.set_inputs("secret")
            span.record_exception(ValueError("secret"))
        spanlog.flush()
        spanlog.delete_traces(max_timestamp_millis=0)
    spans = [t.data.spans[0] for t in spanlog.search_traces(return_type="list")]
    for kept in spans:
        assert (kept.inputs, kept.outputs, kept.events) == (None, None, [])
        assert kept.status.status_code == "ERROR"
        assert kept.status.description == ""
        assert kept.attributes == {
            "tokens": 7,
            CONTENT_DROPPED: "a span processor raised RuntimeError",
        }
    assert caplog.text.count("a span processor raised RuntimeError: no") == 1
    assert b"secret" not in stored()


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_processor_that_would_end_the_program_ends_no_recording(
    error: type[BaseException], traces: Callable[[], list[Trace]]
) -> None:
    def ends(span: LiveSpan) -> None:
        if span.name == "a":
            raise error

    tracing.configure(span_processors=[ends])
    for name in "ab":
        with spanlog.start_span(name) as span:
            span.set_inputs(name)
        assert spanlog.flush()
    assert [trace.data.spans[0].inputs for trace in traces()] == [None, "b"]


def test_a_span_that_cannot_pass_the_stage_stops_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = spanlog.runtime.default().recorder.stage
    passed = stage.passed

    def broken(span: LiveSpan) -> Span:
        if span.name == "bad":
            raise RuntimeError("ours")
        return passed(span)

    monkeypatch.setattr(safety, "strict", False)
    monkeypatch.setattr(stage, "passed", broken)
    for name in ("a", "bad", "b"):
        with spanlog.start_span(name):
            pass
    assert spanlog.flush()
    found = spanlog.search_spans(return_type="list")
    assert sorted(span.name for span in found) == ["a", "b"]


def test_what_is_no_processor_is_refused() -> None:
    with pytest.raises(TypeError, match="a span processor is a function of a span, not 'mask'"):
        tracing.configure(span_processors=["mask"])  # type: ignore[list-item]


def test_sinks_are_handed_plain_spans() -> None:
    handed: list[Span] = []

    class Sink:
        def write(self, spans: list[Span], headers: object) -> None:
            handed.extend(spans)

    sink = Sink()
    tracing.add_sink(sink)
    with spanlog.start_span("a"):
        pass
    spanlog.flush()
    tracing.remove_sink(sink)
    assert [(type(span), span.name) for span in handed] == [(Span, "a")]
