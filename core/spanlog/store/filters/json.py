"""JSON values in SQL, compared as what they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


@dataclass(frozen=True)
class Json:
    """A JSON value in SQL, of which one expression at most is not NULL.

    Args:
        number: The value if it is a number.
        text: The value if it is anything else but null, as text.
    """

    number: Any
    text: Any


def member(document: Any, key: str) -> Json:
    """Return the member of an object in JSON text that has a key."""
    return Json(_Number(document, sa.literal(key)), _Text(document, sa.literal(key)))


class _Number(FunctionElement[Any]):
    inherit_cache = True
    name = "json_number"
    type = sa.Float()


class _Text(FunctionElement[Any]):
    inherit_cache = True
    name = "json_text"
    type = sa.String()


def _sqlite(element: FunctionElement[Any]) -> tuple[Any, Any]:
    """Return the SQLite expressions of what a member is and of its value."""
    document, key = element.clauses
    path = sa.literal_column("'$.\"'", sa.String) + key + sa.literal_column("'\"'", sa.String)
    return sa.func.json_type(document, path), sa.func.json_extract(document, path)


@compiles(_Number, "sqlite")
def _(element: Any, compiler: Any, **how: Any) -> str:
    kind, value = _sqlite(element)
    return str(compiler.process(sa.case((kind.in_(_literals("integer", "real")), value)), **how))


@compiles(_Text, "sqlite")
def _(element: Any, compiler: Any, **how: Any) -> str:
    kind, value = _sqlite(element)
    text = sa.case(
        (kind.in_(_literals("true", "false")), kind),
        (kind.not_in(_literals("integer", "real")), sa.cast(value, sa.Text)),
    )
    return str(compiler.process(text, **how))


@compiles(_Number, "postgresql")
def _(element: Any, compiler: Any, **how: Any) -> str:
    kind, value = _postgresql(element)
    number = sa.case((kind == sa.literal_column("'number'"), sa.cast(value, sa.Double)))
    return str(compiler.process(number, **how))


@compiles(_Text, "postgresql")
def _(element: Any, compiler: Any, **how: Any) -> str:
    kind, value = _postgresql(element)
    text = sa.case((kind != sa.literal_column("'number'"), value))
    return str(compiler.process(sa.collate(text, "C"), **how))


def _postgresql(element: FunctionElement[Any]) -> tuple[Any, Any]:
    """Return the PostgreSQL expressions of what a member is and of its value as text."""
    document, key = element.clauses
    # Of all that JSON can hold, zero characters cannot be read.
    readable = sa.func.replace(
        document, sa.literal_column(r"'\u0000'"), sa.literal_column(r"'\ufffd'")
    )
    parsed = sa.cast(readable, postgresql.JSON)
    return sa.func.json_typeof(parsed.op("->")(key)), parsed.op("->>", return_type=sa.Text())(key)


def _literals(*texts: str) -> list[Any]:
    return [sa.literal_column(f"'{text}'") for text in texts]
