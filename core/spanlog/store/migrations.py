"""How a store is made, and how an older one is brought up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, func, insert, inspect, literal_column, select, update
from sqlalchemy.schema import CreateColumn

from spanlog.config import DEFAULT_EXPERIMENT
from spanlog.model.usage import total
from spanlog.store import fulltext, schema
from spanlog.store.errors import StoreError
from spanlog.store.rows import read_span
from spanlog.store.schema import VERSION, experiments, schema_version, spans, traces
from spanlog.store.tally import LONGEST_MODEL, counts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Connection


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


def _fill_counts(connection: Connection) -> None:
    """Read the model and the usage of every span that names them, and add them up."""
    with_model = spans.c.attributes.like("%gen_ai.%") | spans.c.attributes.like("%tokenUsage%")
    query = select(spans.c.trace_id).where(with_model).distinct()
    for trace_id in list(connection.scalars(query)):
        rows = connection.execute(select(spans).where(spans.c.trace_id == trace_id)).mappings()
        found = [read_span(row) for row in rows]
        for span in found:
            used = counts(span)
            values = {name: used.get(name) for name in schema.SPAN_COUNTS}
            which = (spans.c.trace_id == trace_id, spans.c.span_id == span.span_id)
            model = None if span.model is None else schema.storable(span.model)
            connection.execute(update(spans).where(*which).values(model=model, **values))
        sums = total(found)
        if sums:
            known = {name: sums[name] for name in schema.COUNTS if name in sums}
            connection.execute(update(traces).where(traces.c.trace_id == trace_id).values(known))


def _index_words(connection: Connection) -> None:
    for index in fulltext.INDEXES:
        index.create(connection)


def _fill_models(connection: Connection) -> None:
    """Add up what each model of a trace used, each call counted once: by its innermost span."""
    of = (spans.c.trace_id, spans.c.parent_id.label("span_id"))
    counted, inside = spans.c.total_tokens.is_not(None), spans.c.parent_id.is_not(None)
    above = select(*of).where(counted, inside).cte(recursive=True)
    same = (spans.c.trace_id == above.c.trace_id) & (spans.c.span_id == above.c.span_id)
    above = above.union(select(*of).select_from(spans.join(above, same)).where(inside))
    same = (spans.c.trace_id == above.c.trace_id) & (spans.c.span_id == above.c.span_id)
    longest: ColumnElement[int] = literal_column(str(LONGEST_MODEL))
    model = func.substr(
        func.coalesce(spans.c.model, literal_column("''")), literal_column("1"), longest
    )
    sums = (func.sum(spans.c[name]) for name in schema.MODEL_COUNTS)
    used = (
        select(spans.c.trace_id, model, *sums)
        .select_from(spans.outerjoin(above, same))
        .where(counted, above.c.span_id.is_(None))
        .group_by(spans.c.trace_id, model)
    )
    connection.execute(delete(schema.trace_models))
    connection.execute(insert(schema.trace_models).from_select(list(schema.trace_models.c), used))


# What a version of the schema has that an older store did not write.
_FILLS: dict[int, Sequence[Callable[[Connection], None]]] = {
    3: (_fill_counts,),
    5: (_index_words,),
    6: (_fill_models,),
}
