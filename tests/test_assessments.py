"""What people, code and judges say of traces and spans is kept, changed, searched for."""

from __future__ import annotations

from typing import Any

import pytest
import spanlog
from spanlog.entities import (
    Assessment,
    AssessmentError,
    AssessmentSource,
    AssessmentSourceType,
    Expectation,
    Feedback,
    Trace,
)
from spanlog.store import StoreError

pytestmark = pytest.mark.stores


def recorded(name: str = "a") -> Any:
    with spanlog.start_span(name) as span:
        return span


def found(filter_string: str) -> list[str | None]:
    traces = spanlog.search_traces(filter_string=filter_string, return_type="list")
    return sorted(trace.info.name or "" for trace in traces)


def said(trace_id: str) -> list[Assessment]:
    trace = spanlog.get_trace(trace_id)
    assert trace
    return trace.info.assessments


@pytest.mark.parametrize("value", [True, False, 0.5, 3, "yes", "é\udcff", ["a", 1], {"k": None}])
def test_feedback_is_kept_as_it_was_given(value: Any) -> None:
    span = recorded()
    judge = AssessmentSource("llm_judge", "gpt-4o")
    logged = spanlog.log_feedback(
        trace_id=span.trace_id,
        name="good",
        value=value,
        source=judge,
        rationale="because",
        metadata={"n": 1},
        span_id=span.span_id,
    )
    (kept,) = said(span.trace_id)
    assert kept == logged == spanlog.get_assessment(span.trace_id, logged.assessment_id or "")
    assert isinstance(kept, Feedback)
    assert kept.value == (value if value != "é\udcff" else "é\\udcff")
    assert (kept.source.source_type, kept.rationale) == ("LLM_JUDGE", "because")
    assert (kept.metadata, kept.span_id) == ({"n": "1"}, span.span_id)
    assert Assessment.from_dict(kept.to_dict()) == kept
    trace = spanlog.get_trace(span.trace_id)
    assert trace
    assert Trace.from_json(trace.to_json()).info.assessments == [kept]
    frame = spanlog.search_traces()
    assert frame.assessments[0] == [kept.to_dict()]


def test_a_judge_that_failed_says_why() -> None:
    span = recorded()
    try:
        raise RuntimeError("no answer")
    except RuntimeError as error:
        spanlog.log_feedback(trace_id=span.trace_id, error=error)
    (kept,) = said(span.trace_id)
    assert (kept.name, kept.value) == ("feedback", None)
    assert kept.source == AssessmentSource(AssessmentSourceType.CODE)
    assert kept.error
    assert (kept.error.error_code, kept.error.error_message) == ("RuntimeError", "no answer")
    assert "raise RuntimeError" in (kept.error.stack_trace or "")
    coded = spanlog.log_feedback(trace_id=span.trace_id, error=AssessmentError("RATE", "slow"))
    assert spanlog.get_assessment(span.trace_id, coded.assessment_id or "").error == coded.error


def test_an_expectation_comes_from_a_person_unless_it_says_otherwise() -> None:
    span = recorded()
    spanlog.log_expectation(trace_id=span.trace_id, name="answer", value={"city": "Rome"})
    spanlog.log_assessment(span.trace_id, Expectation("answer", 4, source=AssessmentSource("CODE")))
    trace = spanlog.get_trace(span.trace_id)
    assert trace
    first, second = trace.search_assessments("answer", type="expectation")
    assert (first.source.source_type, second.source.source_type) == ("HUMAN", "CODE")
    assert trace.search_assessments(type="feedback") == []


def test_an_update_changes_what_it_names_and_adds_metadata() -> None:
    id_ = recorded().trace_id
    before = spanlog.log_feedback(trace_id=id_, value=1, rationale="r", metadata={"a": "1"})
    after = spanlog.update_assessment(
        id_, before.assessment_id or "", Feedback("feedback", 2, metadata={"b": "2"})
    )
    assert said(id_) == [after]
    assert (after.value, after.rationale, after.metadata) == (2, "r", {"a": "1", "b": "2"})
    assert after.create_time_ms == before.create_time_ms
    with pytest.raises(ValueError, match="is feedback, and cannot become expectation"):
        spanlog.update_assessment(id_, before.assessment_id or "", Expectation("x", 1))


def test_an_override_takes_the_place_until_it_is_deleted() -> None:
    id_ = recorded().trace_id
    first = spanlog.log_feedback(trace_id=id_, name="good", value=False)
    second = spanlog.override_feedback(
        trace_id=id_,
        assessment_id=first.assessment_id or "",
        value=True,
        source=AssessmentSource("HUMAN", "ann"),
    )
    assert found("feedback.good = true") == ["a"]
    assert found("feedback.good = false") == []
    trace = spanlog.get_trace(id_)
    assert trace
    assert trace.search_assessments("good") == [second]
    assert len(trace.search_assessments("good", all=True)) == 2
    spanlog.delete_assessment(id_, second.assessment_id or "")
    assert found("feedback.good = 'false'") == ["a"]
    assert said(id_) == [first]
    spanlog.delete_assessment(id_, first.assessment_id or "")
    assert said(id_) == []
    expectation = spanlog.log_expectation(trace_id=id_, name="x", value=1)
    with pytest.raises(ValueError, match="is expectation, which is not overridden"):
        spanlog.override_feedback(
            trace_id=id_, assessment_id=expectation.assessment_id or "", value=1
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("feedback.score > 0.5", ["b"]),
        ("feedback.score >= '0.5'", ["a", "b"]),
        ("feedback.score IS NULL", ["c"]),
        ("feedback.score IS NOT NULL AND NOT feedback.score = 0.9", ["a"]),
        ("feedback.`is good` LIKE 'y%'", ["a"]),
        ("feedback.`is good` IN ('yes', 'no')", ["a", "b"]),
        ("expectation.answer = 'Rome'", ["c"]),
        ("feedback.answer = 'Rome'", []),
        ("expectation.answer ILIKE 'ROME' OR feedback.score < 0.6", ["a", "c"]),
    ],
)
def test_traces_are_found_by_what_is_said_of_them(text: str, expected: list[str]) -> None:
    a, b, c = (recorded(name).trace_id for name in "abc")
    spanlog.log_feedback(trace_id=a, name="score", value=0.5)
    spanlog.log_feedback(trace_id=b, name="score", value=0.9)
    spanlog.log_feedback(trace_id=a, name="is good", value="yes")
    spanlog.log_feedback(trace_id=b, name="is good", value="no")
    spanlog.log_expectation(trace_id=c, name="answer", value="Rome")
    assert found(text) == expected


def test_traces_are_ordered_by_what_is_said_of_them() -> None:
    for name, score in (("a", 0.5), ("b", 0.9), ("c", None)):
        id_ = recorded(name).trace_id
        if score:
            spanlog.log_feedback(trace_id=id_, name="score", value=score)
    for order, expected in (("feedback.score DESC", "bac"), ("feedback.score", "abc")):
        traces = spanlog.search_traces(order_by=[order], return_type="list")
        assert "".join(trace.info.name or "" for trace in traces) == expected


def test_what_cannot_be_kept_is_a_clear_error() -> None:
    id_ = recorded().trace_id
    with pytest.raises(StoreError, match="no trace 'nope'"):
        spanlog.log_feedback(trace_id="nope", value=1)
    with pytest.raises(StoreError, match="has no span 'nope'"):
        spanlog.log_feedback(trace_id=id_, value=1, span_id="nope")
    with pytest.raises(StoreError, match="has no assessment 'nope'"):
        spanlog.delete_assessment(id_, "nope")
    with pytest.raises(ValueError, match="a value or an error"):
        spanlog.log_feedback(trace_id=id_)
    with pytest.raises(ValueError, match="source_type must be one of HUMAN"):
        AssessmentSource("DOG")
    with pytest.raises(TypeError, match="a Feedback or an Expectation"):
        spanlog.log_assessment(id_, Assessment("x", 1))
    spanlog.delete_traces(trace_ids=[id_])
