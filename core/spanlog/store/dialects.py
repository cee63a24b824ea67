"""Expressions that each database has its own words for."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import UnaryExpression
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import custom_op


class ByDialect(FunctionElement[Any]):
    """An expression that is said otherwise in SQLite and in PostgreSQL.

    Args:
        sqlite: How SQLite has it.
        postgresql: How PostgreSQL has it.
        type_: The SQL type of its value; a condition needs none.
    """

    inherit_cache = True
    name = "by_dialect"

    def __init__(self, sqlite: Any, postgresql: Any, type_: Any = sa.types.NULLTYPE) -> None:
        super().__init__(sqlite, postgresql)
        self.type = type_


@compiles(ByDialect)
def _(element: Any, compiler: Any, **how: Any) -> str:
    sqlite, postgresql = element.clauses
    said = sqlite if compiler.dialect.name == "sqlite" else postgresql
    return str(compiler.process(said, **how))


def insert(dialect: sa.Dialect) -> Any:
    """Return the `insert` of a database, which knows what to do about rows that are there."""
    return postgresql.insert if dialect.name == "postgresql" else sqlite.insert


def unindexed(column: Any) -> Any:
    """Return a column as it is, which SQLite looks up without its index.

    It would take any value for a rare one.
    """
    plain = UnaryExpression(column, operator=custom_op("+"), type_=column.type)
    return ByDialect(plain, column, column.type)


def with_cases(text: Any) -> Any:
    """Return a text whose letters have cases: PostgreSQL's come from the database's language."""
    return ByDialect(text, sa.collate(text, "default"), sa.String())
