"""The tables of a store, and how an older store is brought up to date."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    select,
)

VERSION = 1

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


class NewerSchema(Exception):
    """The store was made by a later version of spanlog."""


def prepare(connection: Connection) -> None:
    """Create what is missing. Runs in a transaction that no other process can be in too.

    Raises:
        NewerSchema: The store was made by a later version of spanlog.
    """
    metadata.create_all(connection)
    version = connection.scalar(select(schema_version.c.version))
    if version is None:
        connection.execute(insert(schema_version).values(version=VERSION))
        connection.execute(insert(experiments).values(experiment_id=0, name="Default"))
    elif version > VERSION:
        raise NewerSchema(
            f"the store has schema {version}, this spanlog knows {VERSION}: "
            "install a newer spanlog, or choose another file with set_tracking_uri"
        )
