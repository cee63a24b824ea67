"""How a store is made, and how an older one is brought up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, inspect, select, update
from sqlalchemy.schema import CreateColumn

from spanlog.config import DEFAULT_EXPERIMENT
from spanlog.store import fulltext, schema, sums
from spanlog.store.errors import StoreError
from spanlog.store.rows import read_span
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
    with_model = spans.c.attributes.like("%gen_ai.%") | spans.c.attributes.like("%tokenUsage%")
    query = select(spans.c.trace_id).where(with_model).distinct()
    for trace_id in list(connection.scalars(query)):
        rows = connection.execute(select(spans).where(spans.c.trace_id == trace_id)).mappings()
        found = [read_span(row) for row in rows]
        for span in found:
            used = counts(span)
            values = {name: used.get(name) for name in schema.COUNTS}
            which = (spans.c.trace_id == trace_id, spans.c.span_id == span.span_id)
            model = None if span.model is None else schema.storable(span.model)
            connection.execute(update(spans).where(*which).values(model=model, **values))
        sums.put(connection, {trace_id: sums.of_spans(found)})
    connection.execute(update(traces).values(root_id="", version=1))


def _index_words(connection: Connection) -> None:
    for index in fulltext.INDEXES:
        index.create(connection)


# What a version of the schema has that an older store did not write.
_FILLS: dict[int, Sequence[Callable[[Connection], None]]] = {
    5: (_index_words,),
    7: (_fill_sums,),
}
