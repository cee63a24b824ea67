"""Assessments as rows of a store."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Any

import orjson
import sqlalchemy as sa

from spanlog.model.assessments import KINDS, Assessment, AssessmentError, AssessmentSource
from spanlog.model.capture import capture
from spanlog.store.errors import NotFoundError
from spanlog.store.schema import assessments, spans, storable


def put(connection: sa.Connection, assessment: Assessment) -> None:
    """Add an assessment of a trace that is there; it gets an id if it has none.

    Raises:
        StoreError: The trace has no such span.
    """
    if assessment.span_id is not None:
        query = sa.select(spans.c.span_id).where(
            spans.c.trace_id == assessment.trace_id,
            spans.c.span_id == storable(assessment.span_id),
        )
        if connection.scalar(query) is None:
            raise NotFoundError(f"trace {assessment.trace_id} has no span {assessment.span_id!r}")
    assessment.assessment_id = assessment.assessment_id or f"a-{uuid.uuid4().hex}"
    connection.execute(sa.insert(assessments).values(to_row(assessment)))
    if assessment.overrides:
        _set_valid(connection, assessment.overrides, valid=False)


def get(connection: sa.Connection, trace_id: str, assessment_id: str) -> Assessment:
    """Return an assessment of a trace.

    Raises:
        StoreError: There is none with that id.
    """
    query = sa.select(assessments).where(
        assessments.c.trace_id == storable(trace_id),
        assessments.c.assessment_id == storable(assessment_id),
    )
    row = connection.execute(query).mappings().first()
    if row is None:
        raise NotFoundError(f"trace {trace_id} has no assessment {assessment_id!r}")
    return read(row)


def replace(connection: sa.Connection, assessment: Assessment) -> None:
    """Write an assessment that is there anew."""
    which = assessments.c.assessment_id == assessment.assessment_id
    connection.execute(sa.update(assessments).where(which).values(to_row(assessment)))


def delete(connection: sa.Connection, assessment: Assessment) -> None:
    """Remove an assessment; what it took the place of is valid again."""
    which = assessments.c.assessment_id == assessment.assessment_id
    connection.execute(sa.delete(assessments).where(which))
    if assessment.overrides:
        _set_valid(connection, assessment.overrides, valid=True)


def _set_valid(connection: sa.Connection, assessment_id: str, *, valid: bool) -> None:
    which = assessments.c.assessment_id == assessment_id
    connection.execute(sa.update(assessments).where(which).values(valid=valid))


def read(row: Any) -> Assessment:
    """Return the assessment that a row holds."""
    return KINDS[row["kind"]](
        name=row["name"],
        value=orjson.loads(row["value"]),
        error=AssessmentError(**orjson.loads(row["error"])) if row["error"] else None,
        source=AssessmentSource(row["source_type"], row["source_id"]),
        trace_id=row["trace_id"],
        metadata=orjson.loads(row["metadata"]),
        span_id=row["span_id"],
        create_time_ms=row["create_time"],
        last_update_time_ms=row["last_update_time"],
        rationale=row["rationale"],
        overrides=row["overrides"],
        valid=row["valid"],
        assessment_id=row["assessment_id"],
    )


def to_row(assessment: Assessment) -> dict[str, Any]:
    """Return an assessment as a row."""
    number, text = _comparable(assessment.value)
    error, rationale = assessment.error, assessment.rationale
    return {
        "assessment_id": assessment.assessment_id,
        "trace_id": assessment.trace_id,
        "span_id": assessment.span_id,
        "kind": assessment.kind,
        "name": storable(assessment.name),
        "number": number,
        "text": text,
        "value": capture(assessment.value).decode(),
        "error": capture(asdict(error)).decode() if error else None,
        "source_type": assessment.source.source_type,
        "source_id": assessment.source.source_id and storable(assessment.source.source_id),
        "rationale": None if rationale is None else storable(rationale),
        "metadata": capture(assessment.metadata).decode(),
        "create_time": assessment.create_time_ms,
        "last_update_time": assessment.last_update_time_ms,
        "overrides": assessment.overrides,
        "valid": assessment.valid,
    }


def _comparable(value: Any) -> tuple[float | None, str | None]:
    """Return a value as filters compare it: as a number, or as text."""
    if value is None:
        return None, None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value), None
    return None, storable(value) if isinstance(value, str) else capture(value).decode()
