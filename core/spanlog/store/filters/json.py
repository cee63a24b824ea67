"""JSON values in SQL, compared as what they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON

from spanlog.store.dialects import ByDialect


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
    named = sa.literal(key)
    one, other = _sqlite(document, named), _postgresql(document, named)
    number = ByDialect(one.number, other.number, sa.Float())
    return Json(number, ByDialect(one.text, other.text, sa.String()))


def _sqlite(document: Any, key: Any) -> Json:
    path = sa.literal_column("'$.\"'", sa.String) + key + sa.literal_column("'\"'", sa.String)
    kind, value = sa.func.json_type(document, path), sa.func.json_extract(document, path)
    text = sa.case(
        (kind.in_(_literals("true", "false")), kind),
        (kind.not_in(_literals("integer", "real")), sa.cast(value, sa.Text)),
    )
    return Json(sa.case((kind.in_(_literals("integer", "real")), value)), text)


def _postgresql(document: Any, key: Any) -> Json:
    # Of all that JSON can hold, zero characters cannot be read.
    readable = sa.func.replace(
        document, sa.literal_column(r"'\u0000'"), sa.literal_column(r"'\ufffd'")
    )
    parsed = sa.cast(readable, JSON)
    kind = sa.func.json_typeof(parsed.op("->")(key))
    value = parsed.op("->>", return_type=sa.Text())(key)
    (number,) = _literals("number")
    text = sa.collate(sa.case((kind != number, value)), "C")
    return Json(sa.case((kind == number, sa.cast(value, sa.Double))), text)


def _literals(*texts: str) -> list[Any]:
    return [sa.literal_column(f"'{text}'") for text in texts]
