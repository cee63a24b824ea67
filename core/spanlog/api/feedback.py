"""Say of traces and spans how good they are and what was expected."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spanlog.model.assessments import (
    Assessment,
    AssessmentError,
    AssessmentSource,
    Expectation,
    Feedback,
)
from spanlog.runtime import default

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spanlog.runtime import Runtime


def log_assessment(trace_id: str, assessment: Assessment) -> Assessment:
    """Add a `Feedback` or an `Expectation` to a trace.

    Of a trace that is not recorded, as while tracing is off, nothing is kept.

    Returns:
        The assessment as it is kept, with its id.

    Raises:
        StoreError: There is no such trace or span.
        TypeError: It is something else.
    """
    return assess(default(), trace_id, assessment)


def assess(runtime: Runtime, trace_id: str, assessment: Assessment) -> Assessment:
    """Do as `log_assessment`."""
    if type(assessment) is Assessment or not isinstance(assessment, Assessment):
        raise TypeError("assessment must be a Feedback or an Expectation")
    said = replace(assessment, trace_id=trace_id)
    if runtime.recorder.is_left_out(trace_id):
        return said
    runtime.flush()
    return runtime.store.assess(said)


def log_feedback(
    *,
    trace_id: str,
    name: str = "feedback",
    value: Any = None,
    source: AssessmentSource | None = None,
    error: BaseException | AssessmentError | None = None,
    rationale: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    span_id: str | None = None,
) -> Assessment:
    """Say how good a trace or a span is.

    Args:
        trace_id: Which trace.
        name: What is judged, like "correctness".
        value: The judgement: a bool, number, text, list or dict.
        source: Who judges; code by default.
        error: Why there is no judgement.
        rationale: Why it is what it is.
        metadata: Facts about it.
        span_id: Which span of the trace; the trace as a whole by default.

    Raises:
        StoreError: There is no such trace or span.
        ValueError: There is neither a value nor an error.
    """
    if value is None and error is None:
        raise ValueError("give a value or an error")
    feedback = Feedback(
        name,
        value,
        error,  # type: ignore[arg-type]  # an exception becomes an AssessmentError
        source,  # type: ignore[arg-type]  # None becomes the default
        metadata=dict(metadata or {}),
        span_id=span_id,
        rationale=rationale,
    )
    return log_assessment(trace_id, feedback)


def log_expectation(
    *,
    trace_id: str,
    name: str,
    value: Any,
    source: AssessmentSource | None = None,
    metadata: Mapping[str, Any] | None = None,
    span_id: str | None = None,
) -> Assessment:
    """Say what should have come out of a trace or a span; its source is a person by default.

    Raises:
        StoreError: There is no such trace or span.
        ValueError: There is no value.
    """
    if value is None:
        raise ValueError("give a value")
    expectation = Expectation(
        name,
        value,
        source=source,  # type: ignore[arg-type]  # None becomes the default
        metadata=dict(metadata or {}),
        span_id=span_id,
    )
    return log_assessment(trace_id, expectation)


def get_assessment(trace_id: str, assessment_id: str) -> Assessment:
    """Return an assessment by its id.

    Raises:
        StoreError: There is none.
    """
    return read(default(), trace_id, assessment_id)


def read(runtime: Runtime, trace_id: str, assessment_id: str) -> Assessment:
    """Do as `get_assessment`."""
    runtime.flush()
    return runtime.store.assessment(trace_id, assessment_id)


def update_assessment(trace_id: str, assessment_id: str, assessment: Assessment) -> Assessment:
    """Change the name, value, error, rationale and source of an assessment; metadata is added to.

    Raises:
        StoreError: There is none with that id.
        ValueError: It would be of another kind.
    """
    return update(default(), trace_id, assessment_id, assessment)


def update(
    runtime: Runtime, trace_id: str, assessment_id: str, assessment: Assessment
) -> Assessment:
    """Do as `update_assessment`."""
    if runtime.recorder.is_left_out(trace_id):
        return replace(assessment, trace_id=trace_id)
    before = read(runtime, trace_id, assessment_id)
    if before.kind != assessment.kind:
        raise ValueError(f"{assessment_id} is {before.kind}, and cannot become {assessment.kind}")
    after = replace(
        before,
        name=assessment.name,
        value=assessment.value,
        error=assessment.error,
        source=assessment.source,
        rationale=assessment.rationale if assessment.rationale is not None else before.rationale,
        metadata={**before.metadata, **assessment.metadata},
        last_update_time_ms=time.time_ns() // 1_000_000,
    )
    runtime.store.reassess(after)
    return after


def override_feedback(
    *,
    trace_id: str,
    assessment_id: str,
    value: Any,
    rationale: str | None = None,
    source: AssessmentSource | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> Assessment:
    """Put another judgement in the place of one, which is kept but valid no more.

    Raises:
        StoreError: There is none with that id.
        ValueError: It is an expectation.
    """
    after = Feedback(
        value=value,
        source=source,  # type: ignore[arg-type]  # None becomes the default
        metadata=dict(metadata or {}),
        rationale=rationale,
        overrides=assessment_id,
    )
    if not default().recorder.is_left_out(trace_id):
        before = get_assessment(trace_id, assessment_id)
        if before.kind != Feedback.kind:
            kind = before.kind
            raise ValueError(f"{assessment_id} is {kind}, which is not overridden but updated")
        after = replace(after, name=before.name, span_id=before.span_id)
    return log_assessment(trace_id, after)


def delete_assessment(trace_id: str, assessment_id: str) -> None:
    """Remove an assessment; what it took the place of is valid again.

    Raises:
        StoreError: There is none with that id.
    """
    delete(default(), trace_id, assessment_id)


def delete(runtime: Runtime, trace_id: str, assessment_id: str) -> None:
    """Do as `delete_assessment`."""
    if not runtime.recorder.is_left_out(trace_id):
        runtime.store.unassess(read(runtime, trace_id, assessment_id))
