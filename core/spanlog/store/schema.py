"""The tables of a store, and how an older store is brought up to date."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
    update,
)

from spanlog.capture import safe_str
from spanlog.config import DEFAULT_EXPERIMENT
from spanlog.store import StoreError

VERSION = 2

metadata = MetaData()

schema_version = Table("spanlog_schema", metadata, Column("version", Integer, primary_key=True))

experiments = Table(
    "experiments",
    metadata,
    Column("experiment_id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
)

traces = Table(
    "traces",
    metadata,
    Column("trace_id", String, primary_key=True),
    Column("experiment_id", Integer, nullable=False),
    Column("name", String),
    Column("state", String, nullable=False),
    Column("request_time", BigInteger, nullable=False),  # ms since 1970
    Column("execution_duration", BigInteger),  # ms
    Column("client_request_id", String),
    Column("request_preview", Text),
    Column("response_preview", Text),
    Column("process", String),  # which process the root span runs in
    Index("traces_by_time", "experiment_id", "request_time"),
    Index("traces_by_state", "state", "process"),
    Index("traces_by_client_request_id", "client_request_id"),
)

spans = Table(
    "spans",
    metadata,
    Column("trace_id", String, primary_key=True),
    Column("span_id", String, primary_key=True),
    Column("parent_id", String),
    Column("name", String, nullable=False),
    Column("span_type", String, nullable=False),
    Column("start_time_ns", BigInteger, nullable=False),
    Column("end_time_ns", BigInteger),
    Column("status", String, nullable=False),
    Column("status_message", Text, nullable=False),
    Column("inputs", Text),  # JSON, as are the next three
    Column("outputs", Text),
    Column("attributes", Text, nullable=False),
    Column("events", Text, nullable=False),
)


def _pairs(name: str) -> Table:
    return Table(
        name,
        metadata,
        Column("trace_id", String, primary_key=True),
        Column("key", String, primary_key=True),
        Column("value", Text, nullable=False),
        Index(f"{name}_by_key", "key", "value"),
    )


trace_tags = _pairs("trace_tags")
trace_metadata = _pairs("trace_metadata")

attachments = Table(
    "attachments",
    metadata,
    Column("sha256", String, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

trace_attachments = Table(
    "trace_attachments",
    metadata,
    Column("trace_id", String, primary_key=True),
    Column("sha256", String, primary_key=True),
    Index("trace_attachments_by_content", "sha256"),
)


def storable(text: object) -> str:
    """Return text that every database takes: no lone surrogates, no zero characters."""
    if type(text) is str and text.isprintable():  # then it has neither
        return text
    return safe_str(text).replace("\x00", "\\x00")


def prepare(connection: Connection) -> None:
    """Create what is missing. Runs in a transaction that no other process can be in too.

    Raises:
        StoreError: The tables there are not ours, or those of a later spanlog.
    """
    there = set(inspect(connection).get_table_names())
    if schema_version.name not in there:
        if there & set(metadata.tables):
            raise StoreError("it is the database of another program")
        metadata.create_all(connection)
        connection.execute(insert(schema_version).values(version=VERSION))
        connection.execute(insert(experiments).values(experiment_id=0, name=DEFAULT_EXPERIMENT))
    version = connection.scalars(select(schema_version.c.version)).one()
    if version > VERSION:
        raise StoreError(
            f"it has schema {version} and this spanlog knows {VERSION}: install a newer spanlog"
        )
    if version < VERSION:
        metadata.create_all(connection)  # version 2 has two tables more
    connection.execute(update(schema_version).values(version=VERSION))  # so that it can be written
