"""The fields that filters and orders may name: what each means in the tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import sqlalchemy as sa

from spanlog import semconv
from spanlog.store.filters.errors import nearest, quoted
from spanlog.store.filters.json import Json, member
from spanlog.store.schema import (
    assessments,
    experiments,
    spans,
    storable,
    trace_metadata,
    trace_tags,
    traces,
)

# A name as it is written: its words, of which all but the first may be in backquotes.
NAME = re.compile(r"[A-Za-z_]\w*(?:\.(?:`[^`]*`|[\w\-/:]+))*")

Kind: TypeAlias = Literal["text", "number", "json", "content"]


@dataclass(frozen=True)
class Field:
    """What a comparison is about.

    Args:
        kind: How it is compared; "json" is what the value itself is.
        value: The expression of its value.
        rows: The table whose rows have it, of which a trace has any number; None if it is in the
            trace's own row.
        row: Which rows of that table are meant.
        indexed: Whether rows are found quickly by their value.
    """

    kind: Kind
    value: Any
    rows: sa.Table | None = None
    row: Any = field(default_factory=sa.true)
    indexed: bool = False


def _of_trace(kind: Kind, value: Any) -> Field:
    return Field(kind, value)


def _of_span(kind: Kind, value: Any, *, indexed: bool = False) -> Field:
    return Field(kind, value, spans, indexed=indexed)


def _pair(table: sa.Table, key: str) -> Field:
    return Field("text", table.c.value, table, table.c.key == storable(key), indexed=True)


def _assessed(kind: str, name: str) -> Field:
    said = assessments.c
    row = sa.and_(said.kind == kind, said.name == storable(name), said.valid)
    return Field("json", Json(said.number, said.text), assessments, row, indexed=True)


_end_time = traces.c.request_time + traces.c.execution_duration
_experiment = (
    sa.select(experiments.c.name)
    .where(experiments.c.experiment_id == traces.c.experiment_id)
    .scalar_subquery()
)

FIELDS: dict[str, Field] = {
    "trace_id": _of_trace("text", traces.c.trace_id),
    "request_id": _of_trace("text", traces.c.trace_id),
    "name": _of_trace("text", traces.c.name),
    "status": _of_trace("text", traces.c.state),
    "state": _of_trace("text", traces.c.state),
    "timestamp_ms": _of_trace("number", traces.c.request_time),
    "timestamp": _of_trace("number", traces.c.request_time),
    "request_time": _of_trace("number", traces.c.request_time),
    "execution_time_ms": _of_trace("number", traces.c.execution_duration),
    "execution_time": _of_trace("number", traces.c.execution_duration),
    "execution_duration": _of_trace("number", traces.c.execution_duration),
    "end_time_ms": _of_trace("number", _end_time),
    "end_time": _of_trace("number", _end_time),
    "client_request_id": _of_trace("text", traces.c.client_request_id),
    "experiment_id": _of_trace("number", traces.c.experiment_id),
    "experiment": _of_trace("text", _experiment),
    "tokens": _of_trace("number", traces.c.total_tokens),
    "input_tokens": _of_trace("number", traces.c.input_tokens),
    "output_tokens": _of_trace("number", traces.c.output_tokens),
    "cost": _of_trace("number", traces.c.total_cost),
    "session": _pair(trace_metadata, semconv.SESSION),
    "user": _pair(trace_metadata, semconv.USER),
    "span.span_id": _of_span("text", spans.c.span_id),
    "span.parent_id": _of_span("text", spans.c.parent_id),
    "span.name": _of_span("text", spans.c.name, indexed=True),
    "span.type": _of_span("text", spans.c.span_type, indexed=True),
    "span.model": _of_span("text", spans.c.model, indexed=True),
    "span.tokens": _of_span("number", spans.c.total_tokens),
    "span.input_tokens": _of_span("number", spans.c.input_tokens),
    "span.output_tokens": _of_span("number", spans.c.output_tokens),
    "span.cost": _of_span("number", spans.c.total_cost),
    "span.status": _of_span("text", spans.c.status, indexed=True),
    "span.timestamp_ms": _of_span("number", spans.c.start_time_ns / sa.literal(1e6)),
    "span.duration_ms": _of_span(
        "number", (spans.c.end_time_ns - spans.c.start_time_ns) / sa.literal(1e6)
    ),
    "span.content": _of_span("content", None),
    "trace.text": Field("content", None),
}
_KEYED: dict[str, Callable[[str], Field]] = {
    "tag": lambda key: _pair(trace_tags, key),
    "tags": lambda key: _pair(trace_tags, key),
    "metadata": lambda key: _pair(trace_metadata, key),
    "request_metadata": lambda key: _pair(trace_metadata, key),
    "feedback": lambda name: _assessed("feedback", name),
    "expectation": lambda name: _assessed("expectation", name),
    "span.attributes": lambda key: _of_span("json", member(spans.c.attributes, storable(key))),
}
# Where MLflow keeps a field under the key of a tag.
_ALIASES = {"mlflow.traceName": "name"}
_PREFIXES = ("attributes.", "attribute.", "trace.")
# What an error lists.
_KNOWN = [*FIELDS, *(f"{prefix}.<key>" for prefix in _KEYED)]


def find(name: str) -> Field:
    """Return the field of a name as it was written.

    Raises:
        KeyError: There is none; its argument says which one may have been meant.
    """
    if name in FIELDS:
        return FIELDS[name]
    for prefix, keyed in _KEYED.items():
        key = name.removeprefix(f"{prefix}.").replace("`", "")
        if name.startswith(f"{prefix}.") and key:
            return FIELDS[_ALIASES[key]] if key in _ALIASES else keyed(key)
    for prefix in _PREFIXES:
        if name.removeprefix(prefix) in FIELDS:
            return FIELDS[name.removeprefix(prefix)]
    raise KeyError(f"there is no field {quoted(name)}. {nearest(name, _KNOWN)}")
