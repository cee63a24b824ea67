"""How a store is made, and how an older one is brought up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from sqlalchemy import bindparam, insert, inspect, select, update
from sqlalchemy.schema import CreateColumn

from spanlog.config import DEFAULT_EXPERIMENT
from spanlog.model.span import Span
from spanlog.store import fulltext, schema, sums
from spanlog.store.errors import StoreError
from spanlog.store.schema import VERSION, experiments, schema_version, spans, traces
from spanlog.store.sums import counts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection


def prepare(connection: Connection) -> None:
    """Create what is missing. Runs in a transaction that no other process can be in too.

    Raises:
        StoreError: The tables there are not ours, or those of a later spanlog.
    """
    if connection.dialect.name == "postgresql":
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            raise StoreError(f"its encoding is {encoding} and must be UTF8")
    there = set(inspect(connection).get_table_names())
    if schema_version.name not in there:
        if there & set(schema.metadata.tables):
            raise StoreError("it is the database of another program")
        schema.metadata.create_all(connection)
        _index_words(connection)
        connection.execute(insert(schema_version).values(version=VERSION))
        connection.execute(insert(experiments).values(experiment_id=0, name=DEFAULT_EXPERIMENT))
    version = connection.scalars(select(schema_version.c.version)).one()
    if version > VERSION:
        raise StoreError(
            f"it has schema {version} and this spanlog knows {VERSION}: install a newer spanlog"
        )
    if version < VERSION:
        _bring_up(connection, version)
    connection.execute(update(schema_version).values(version=VERSION))  # so that it can be written


def _bring_up(connection: Connection, version: int) -> None:
    """Add the tables, columns and indexes that a store lacks, then what belongs in them."""
    schema.metadata.create_all(connection)
    there = inspect(connection)
    for table in schema.metadata.sorted_tables:
        known = {column["name"] for column in there.get_columns(table.name)}
        for column in table.columns:
            if column.name not in known:
                added = CreateColumn(column).compile(dialect=connection.dialect)
                connection.exec_driver_sql(f"ALTER TABLE {table.name} ADD COLUMN {added}")
        indexed = {index["name"] for index in there.get_indexes(table.name)}
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if index.name not in indexed:
                index.create(connection)
    for added_in, fills in _FILLS.items():
        for fill in fills if version < added_in else ():
            fill(connection)


def _fill_sums(connection: Connection) -> None:
    """Read the model and the usage of every span that names them, and add them up."""
    named = spans.c.attributes.like("%gen_ai.%") | spans.c.attributes.like("%tokenUsage%")
    query = select(spans.c.trace_id).where(named).distinct()
    which = (spans.c.trace_id == bindparam("of_trace"), spans.c.span_id == bindparam("of_span"))
    names = ("model", *schema.COUNTS)
    fill = update(spans).where(*which).values({name: bindparam(name) for name in names})
    for trace_id in list(connection.scalars(query)):
        found = _spans_of(connection, trace_id)
        rows = [
            {
                "of_trace": trace_id,
                "of_span": span.span_id,
                "model": span.model and schema.storable(span.model),
                **{name: used.get(name) for name in schema.COUNTS},
            }
            for span in found
            if (used := counts(span)) or span.model
        ]
        if rows:
            connection.execute(fill, rows)
        sums.put(connection, {trace_id: sums.of_spans(found)})
    connection.execute(update(traces).values(root_id="", version=1))


def _spans_of(connection: Connection, trace_id: str) -> list[Span]:
    """Return the spans of a trace without what went in and came out."""
    columns = (spans.c.span_id, spans.c.parent_id, spans.c.attributes)
    rows = connection.execute(select(*columns).where(spans.c.trace_id == trace_id))
    nothing: tuple[None, None] = (None, None)
    return [
        Span._stored(
            *(trace_id, span_id, parent_id, "", "", 0, 0, "", "", *nothing),
            attributes=orjson.loads(attributes),
            events=[],
        )
        for span_id, parent_id, attributes in rows
    ]


def _index_words(connection: Connection) -> None:
    for index in fulltext.INDEXES:
        index.create(connection)


# What a version of the schema has that an older store did not write.
_FILLS: dict[int, Sequence[Callable[[Connection], None]]] = {
    5: (_index_words,),
    7: (_fill_sums,),
}
