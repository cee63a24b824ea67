"""Full text search: an index of the words of what went into and came out of each ended span.

In SQLite, FTS5 keeps, for each word, the spans that have it, and nothing else (`content=''`,
`detail=none`): that is a seventh of the text's size and little work. What it finds is compared with
the text itself afterwards, so phrases are exact. PostgreSQL has the words of each span as a
`tsvector` without places, in an inverted index (GIN); they are told apart here, for a server would
do it in its own language's way. Of each input and output the first 100,000 characters are indexed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from spanlog.store.schema import spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Words in lower letters, and of each whether it is one's beginning only.
Words: TypeAlias = "list[tuple[str, bool]]"

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

_span_words = sa.Table(
    "span_words",
    sa.MetaData(),
    sa.Column("trace_id", sa.String, primary_key=True),
    sa.Column("span_id", sa.String, primary_key=True),
    sa.Column("words", postgresql.TSVECTOR, nullable=False),
    sa.Index("span_words_by_word", "words", postgresql_using="gin"),
)
_insert = postgresql.insert(_span_words).on_conflict_do_nothing()
_ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|.)")
_LONGEST = 500  # characters of a word; a `tsvector` takes 2,046 bytes

_WORD = re.compile(r"[^\W_]+")
# From here on there are scripts that put no spaces between words.
_SPACELESS = "\u0e00"


def create(connection: sa.Connection) -> None:
    """Make the index, and put in what is there already."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_CREATE)
        where = f"{_ENDED} AND NOT {_INDEXED}"
        connection.exec_driver_sql(f"{_ADD} FROM spans WHERE {where} ORDER BY rowid")
    elif connection.dialect.name == "postgresql":
        _span_words.create(connection, checkfirst=True)


def add(connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Index the spans, given by their rows, that have ended and are not indexed yet."""
    if connection.dialect.name == "postgresql":
        found = list(_worded(rows))
        if found:
            connection.execute(_insert, found)
        return
    keys = [row[:2] for row in rows]
    for i in range(0, len(keys), _KEYS):
        some = keys[i : i + _KEYS]
        values = ", ".join(["(?, ?)"] * len(some))
        statement = (
            f"{_ADD} FROM (VALUES {values}) AS keys CROSS JOIN spans "
            "ON spans.trace_id = keys.column1 AND spans.span_id = keys.column2 "
            f"WHERE {_ENDED} AND NOT {_INDEXED} ORDER BY spans.rowid"
        )
        connection.exec_driver_sql(statement, tuple(part for key in some for part in key))


def _worded(rows: Sequence[tuple[Any, ...]]) -> Iterator[dict[str, str]]:
    """Return the rows of the words of spans."""
    for row in rows:
        span = dict(zip(spans.columns.keys(), row, strict=True))
        texts = [text for text in (span["inputs"], span["outputs"]) if text is not None]
        if span["end_time_ns"] is not None and texts:
            text = " ".join(_ESCAPE.sub(" ", text[:_MOST]) for text in texts)
            words = {word[:_LONGEST] for word in _WORD.findall(text.lower())}
            said = " ".join(sorted(words))
            yield {"trace_id": span["trace_id"], "span_id": span["span_id"], "words": said}


def remove(connection: sa.Connection, trace_ids: Sequence[str]) -> None:
    """Take the spans of traces that are about to be deleted out of the index."""
    if connection.dialect.name == "sqlite":
        values = ", ".join("?" * len(trace_ids))
        connection.exec_driver_sql(f"{_REMOVE} AND trace_id IN ({values})", tuple(trace_ids))
    elif connection.dialect.name == "postgresql":
        gone = _span_words.c.trace_id.in_(trace_ids)
        connection.execute(sa.delete(_span_words).where(gone))


def query(pattern: str) -> Words:
    """Return the words of all that can be LIKE a pattern; none where the index is of no help.

    A word is found from its beginning on: `%fund%` finds "funds" and not "refund".
    """
    words: Words = []
    for part in re.split("[%_]", pattern):
        found = list(_WORD.finditer(part))
        for word in found:
            if max(word[0]) < _SPACELESS:
                words.append((word[0].lower(), word.end() == len(part)))
    return words


def has_words(rows: sa.FromClause, words: Words) -> Any:
    """Return the condition that a row of spans may have words."""
    return _HasWords(
        sa.literal_column(f"{rows.description}.rowid"),
        sa.literal(" ".join(f'"{word}"{"*" * begins}' for word, begins in words)),
        sa.tuple_(rows.c.trace_id, rows.c.span_id),
        sa.literal(" & ".join(f"{word[:_LONGEST]}{':*' * begins}" for word, begins in words)),
    )


def source(words: Words) -> sa.Select[Any]:
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
    row, words, _, _ = element.clauses
    match = f"span_words MATCH {compiler.process(words, **how)}"
    return f"{compiler.process(row, **how)} IN (SELECT rowid FROM span_words WHERE {match})"  # noqa: S608


@compiles(_HasWords, "postgresql")
def _(element: Any, compiler: Any, **how: Any) -> str:
    _, _, span, words = element.clauses
    found = sa.select(_span_words.c.trace_id, _span_words.c.span_id)
    found = found.where(_span_words.c.words.op("@@")(sa.cast(words, postgresql.TSQUERY)))
    return str(compiler.process(span.in_(found), **how))
