"""The tables of a store."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)

from spanlog.model import usage
from spanlog.model.capture import safe_str

VERSION = 7

# What model calls use: those of a span, whose sums its trace has, and those of each model in it.
COUNTS = (*usage.ATTRIBUTES, "input_cost", "output_cost", "total_cost")
MODEL_COUNTS = ("total_tokens", "total_cost")

metadata = MetaData()

# Text is compared by its code points, whatever language a PostgreSQL server is set up for.
_STRING = String().with_variant(String(collation="C"), "postgresql")
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def _counts(names: Iterable[str]) -> list[Column[Any]]:
    return [Column(name, Float if "cost" in name else BigInteger) for name in names]


def _by_value(name: str, column: str) -> Index:
    """Return the index that finds texts by their value; PostgreSQL's trees hold no long ones."""
    return Index(name, column, postgresql_using="hash")


def _by_values(name: str, *columns: str) -> Iterable[Index]:
    """Return the index that finds rows by several values, the last of which is the rarest."""
    yield Index(name, *columns).ddl_if(dialect="sqlite")
    yield _by_value(f"{name}_hash", columns[-1]).ddl_if(dialect="postgresql")


def _where(condition: Any) -> dict[str, Any]:
    """Return how an index is made that has only the rows for which a condition holds."""
    return {"sqlite_where": condition, "postgresql_where": condition}


schema_version = Table("spanlog_schema", metadata, Column("version", Integer, primary_key=True))

experiments = Table(
    "experiments",
    metadata,
    Column("experiment_id", Integer, primary_key=True),
    Column("name", _STRING, nullable=False, unique=True),
)

traces = Table(
    "traces",
    metadata,
    Column("trace_id", _STRING, primary_key=True),
    Column("experiment_id", Integer, nullable=False),
    Column("name", _STRING),
    Column("state", _STRING, nullable=False),
    Column("request_time", BigInteger, nullable=False),  # ms since 1970
    Column("execution_duration", BigInteger),  # ms
    Column("client_request_id", _STRING),
    Column("request_preview", _TEXT),
    Column("response_preview", _TEXT),
    Column("process", _STRING),  # which process the root span runs in
    *_counts(COUNTS),
    # Of which span its name and the like are: empty where that is its root; the id of the topmost
    # span that is known, where the root is written elsewhere; none where nothing is known yet.
    Column("root_id", _STRING),
    Column("version", Integer),  # how often spans of it were written
    Index("traces_by_time", "experiment_id", "request_time"),
    Index("traces_by_state", "state", "process"),
    _by_value("traces_by_client_request_id", "client_request_id"),
    Index("traces_by_tokens", "total_tokens"),
    Index("traces_by_state_and_time", "experiment_id", "state", "request_time"),
)

spans = Table(
    "spans",
    metadata,
    Column("trace_id", _STRING, primary_key=True),
    Column("span_id", _STRING, primary_key=True),
    Column("parent_id", _STRING),
    Column("name", _STRING, nullable=False),
    Column("span_type", _STRING, nullable=False),
    Column("start_time_ns", BigInteger, nullable=False),
    Column("end_time_ns", BigInteger),
    Column("status", _STRING, nullable=False),
    Column("model", _STRING),
    *_counts(COUNTS),
    Column("status_message", _TEXT, nullable=False),
    Column("inputs", _TEXT),  # JSON, as are the next three
    Column("outputs", _TEXT),
    Column("attributes", _TEXT, nullable=False),
    Column("events", _TEXT, nullable=False),
    Index("spans_by_time", "start_time_ns"),
    _by_value("spans_by_name", "name"),
    _by_value("spans_by_type", "span_type"),
)
Index(
    "spans_by_model",
    spans.c.model,
    postgresql_using="hash",
    **_where(spans.c.model.is_not(None)),
)
Index("spans_failed", spans.c.status, **_where(spans.c.status == "ERROR"))


def _pairs(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("trace_id", _STRING, primary_key=True),
        Column("key", _STRING, primary_key=True),
        Column("value", _TEXT, nullable=False),
        *_by_values(f"{name}_by_key", "key", "value"),
    )


trace_tags = _pairs("trace_tags")
trace_metadata = _pairs("trace_metadata")

trace_models = Table(
    "trace_models",
    metadata,
    Column("trace_id", _STRING, primary_key=True),
    Column("model", _STRING, primary_key=True),
    *_counts(MODEL_COUNTS),
    sqlite_with_rowid=False,
)

assessments = Table(
    "assessments",
    metadata,
    Column("assessment_id", _STRING, primary_key=True),
    Column("trace_id", _STRING, nullable=False),
    Column("span_id", _STRING),
    Column("kind", _STRING, nullable=False),
    Column("name", _STRING, nullable=False),
    Column("number", Float),  # the value, if it is a number
    Column("text", _TEXT),  # the value, if it is anything else
    Column("value", _TEXT, nullable=False),  # JSON, as are `error` and `metadata`
    Column("error", _TEXT),
    Column("source_type", _STRING, nullable=False),
    Column("source_id", _STRING),
    Column("rationale", _TEXT),
    Column("metadata", _TEXT, nullable=False),
    Column("create_time", BigInteger, nullable=False),  # ms since 1970
    Column("last_update_time", BigInteger, nullable=False),
    Column("overrides", _STRING),
    Column("valid", Boolean, nullable=False),
    Index("assessments_by_trace", "trace_id"),
    *_by_values("assessments_by_name", "kind", "name", "text"),
)

attachments = Table(
    "attachments",
    metadata,
    Column("sha256", _STRING, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

trace_attachments = Table(
    "trace_attachments",
    metadata,
    Column("trace_id", _STRING, primary_key=True),
    Column("sha256", _STRING, primary_key=True),
    Index("trace_attachments_by_content", "sha256"),
)

datasets = Table(
    "datasets",
    metadata,
    Column("dataset_id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("create_time", BigInteger, nullable=False),  # ms since 1970
)

dataset_records = Table(
    "dataset_records",
    metadata,
    Column("dataset_id", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("trace_id", String, nullable=False),
    Column("inputs", Text),  # JSON, as are the next two
    Column("outputs", Text),
    Column("expectations", Text, nullable=False),
)

dataset_attachments = Table(
    "dataset_attachments",
    metadata,
    Column("dataset_id", String, primary_key=True),
    Column("sha256", String, primary_key=True),
    Index("dataset_attachments_by_content", "sha256"),
)


def storable(text: object) -> str:
    """Return text that every database takes: no lone surrogates, no zero characters."""
    if type(text) is str and text.isprintable():  # then it has neither
        return text
    return safe_str(text).replace("\x00", "\\x00")
