"""Full text search: an index of the words of what went into and came out of each ended span.

SQLite's FTS5 keeps, for each word, the spans that have it, and nothing else (`content=''`,
`detail=none`): that is a seventh of the text's size and little work. What it finds is compared with
the text itself afterwards, so phrases are exact. Of each input and output the first 100,000
characters are indexed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from spanlog.store.schema import spans

if TYPE_CHECKING:
    from collections.abc import Sequence

_CREATE = """
    CREATE VIRTUAL TABLE IF NOT EXISTS span_words
    USING fts5(words, content='', detail=none, tokenize='unicode61 remove_diacritics 0')
"""
_MOST = 100_000
_WORDS = " || ' ' || ".join(f"substr(coalesce({c}, ''), 1, {_MOST})" for c in ("inputs", "outputs"))
# In JSON a line's end is a backslash and a letter, which is not part of the next word.
for _escape in ("\\\\", "\\n", "\\t", "\\r"):
    _WORDS = f"replace({_WORDS}, '{_escape}', ' ')"
_INDEXED = "EXISTS (SELECT 1 FROM span_words_docsize WHERE id = spans.rowid)"
_ENDED = "end_time_ns IS NOT NULL AND coalesce(inputs, outputs) IS NOT NULL"
_ADD = f"INSERT INTO span_words (rowid, words) SELECT spans.rowid, {_WORDS}"
_REMOVE = (
    "INSERT INTO span_words (span_words, rowid, words) "  # noqa: S608
    f"SELECT 'delete', rowid, {_WORDS} FROM spans WHERE {_INDEXED}"
)
_KEYS = 300

_WORD = re.compile(r"[^\W_]+")
# From here on there are scripts that put no spaces between words.
_SPACELESS = "\u0e00"


def create(connection: sa.Connection) -> None:
    """Make the index, and put in what is there already."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_CREATE)
        where = f"{_ENDED} AND NOT {_INDEXED}"
        connection.exec_driver_sql(f"{_ADD} FROM spans WHERE {where} ORDER BY rowid")


def add(connection: sa.Connection, keys: Sequence[tuple[str, str]]) -> None:
    """Index the spans, given by trace and span id, that have ended and are not indexed yet."""
    if connection.dialect.name != "sqlite":
        return
    for i in range(0, len(keys), _KEYS):
        some = keys[i : i + _KEYS]
        values = ", ".join(["(?, ?)"] * len(some))
        statement = (
            f"{_ADD} FROM (VALUES {values}) AS keys CROSS JOIN spans "
            "ON spans.trace_id = keys.column1 AND spans.span_id = keys.column2 "
            f"WHERE {_ENDED} AND NOT {_INDEXED} ORDER BY spans.rowid"
        )
        connection.exec_driver_sql(statement, tuple(part for key in some for part in key))


def remove(connection: sa.Connection, trace_ids: Sequence[str]) -> None:
    """Take the spans of traces that are about to be deleted out of the index."""
    if connection.dialect.name == "sqlite":
        values = ", ".join("?" * len(trace_ids))
        connection.exec_driver_sql(f"{_REMOVE} AND trace_id IN ({values})", tuple(trace_ids))


def query(pattern: str) -> str | None:
    """Return what finds all that can be LIKE a pattern; None where the index is of no help.

    A word is found from its beginning on: `%fund%` finds "funds" and not "refund".
    """
    words = []
    for part in re.split("[%_]", pattern):
        found = list(_WORD.finditer(part))
        for word in found:
            if max(word[0]) < _SPACELESS:
                whole = "" if word.end() < len(part) else "*"
                words.append(f'"{word[0]}"{whole}')
    return " ".join(words) or None


def has_words(rows: sa.FromClause, words: str) -> Any:
    """Return the condition that a row of spans may have words."""
    return _HasWords(sa.literal_column(f"{rows.description}.rowid"), sa.literal(words))


def source(words: str) -> sa.Select[Any]:
    """Return the query of the traces that may have words."""
    return sa.select(spans.c.trace_id).where(has_words(spans, words)).distinct()


class _HasWords(FunctionElement[bool]):
    inherit_cache = True
    name = "has_words"
    type = sa.Boolean()


@compiles(_HasWords)
def _(element: Any, compiler: Any, **how: Any) -> str:  # noqa: ARG001
    return "true"


@compiles(_HasWords, "sqlite")
def _(element: Any, compiler: Any, **how: Any) -> str:
    row, words = (compiler.process(clause, **how) for clause in element.clauses)
    return f"{row} IN (SELECT rowid FROM span_words WHERE span_words MATCH {words})"  # noqa: S608
