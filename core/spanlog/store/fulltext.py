"""Full text search: indexes of the words of each ended span, of its contents and its attributes.

In SQLite, FTS5 keeps, for each word, the spans that have it, and nothing else (`content=''`,
`detail=none`): that is a seventh of the text's size and little work. What it finds is compared with
the text itself afterwards, so phrases are exact. PostgreSQL has the words of each span as a
`tsvector` without places, in an inverted index (GIN); they are told apart here, for a server would
do it in its own language's way. Of each text the first 100,000 characters are indexed.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import TSQUERY, TSVECTOR, insert

from spanlog.store.dialects import ByDialect
from spanlog.store.schema import spans

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Words in lower letters, and of each whether it is one's beginning only.
Words: TypeAlias = "list[tuple[str, bool]]"

# Characters of each text that are indexed: a long chapter of a book. What is longer is mostly data,
# and the index grows by a seventh of what is in it.
_MOST = 100_000
# Spans in one statement: two parameters each, of which SQLite before 3.32 takes 999.
_KEYS = 300
_ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|.)")
_LONGEST = 500  # characters of a word; a `tsvector` takes 2,046 bytes
_WORD = re.compile(r"[^\W_]+")
# Of a text that is looked for: more find no fewer spans, and SQLite takes no deeper expression than
# 1,000 levels.
_MOST_WORDS = 100
# From here on there are scripts that put no spaces between words.
_SPACELESS = "\u0e00"
# From here on there are marks and signs that are part of a word to SQLite.
_MARKS = "\u0300"
# Capitals whose small letters SQLite does not know, or has otherwise.
_ODD = {*"\u0130\u037f\u0528\u052a\u052c\u052e"}
# Whole numbers below this are exact as floats (2**53 is 9e15), so they are written in one way.
_WHOLE = 1e15
_END = spans.columns.keys().index("end_time_ns")
_ROWID: sa.ColumnClause[int] = sa.literal_column("rowid")


class Index:
    """An index of words.

    Args:
        name: The name of its table.
        columns: The columns of spans whose words are indexed: JSON.
        nothing: The JSON that has none.
    """

    def __init__(self, name: str, columns: Sequence[str], nothing: str | None = None) -> None:
        self._name = name
        self._columns = columns
        self._nothing = nothing
        words = " || ' ' || ".join(f"substr(coalesce({c}, ''), 1, {_MOST})" for c in columns)
        # In JSON a line's end is a backslash and a letter, which is not part of the next word.
        for escape in ("\\\\", "\\n", "\\t", "\\r"):
            words = f"replace({words}, '{escape}', ' ')"
        self._indexed = f"EXISTS (SELECT 1 FROM {name}_docsize WHERE id = spans.rowid)"  # noqa: S608
        self._places = [spans.columns.keys().index(name) for name in columns]
        self._add = f"INSERT INTO {name} (rowid, words) SELECT spans.rowid, {words}"
        self._remove = (
            f"INSERT INTO {name} ({name}, rowid, words) "  # noqa: S608
            f"SELECT 'delete', rowid, {words} FROM spans WHERE {self._indexed}"
        )
        self._table = sa.Table(
            name,
            sa.MetaData(),
            sa.Column("trace_id", sa.String, primary_key=True),
            sa.Column("span_id", sa.String, primary_key=True),
            sa.Column("words", TSVECTOR, nullable=False),
            sa.Index(f"{name}_by_word", "words", postgresql_using="gin"),
        )
        self._insert = insert(self._table).on_conflict_do_nothing()

    def create(self, connection: sa.Connection) -> None:
        """Make the index, and put in what is there already."""
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(
                f"CREATE VIRTUAL TABLE IF NOT EXISTS {self._name} USING fts5("
                "words, content='', detail=none, tokenize='unicode61 remove_diacritics 0')"
            )
        elif connection.dialect.name == "postgresql":
            self._table.create(connection, checkfirst=True)
        rows = connection.execute(sa.select(spans), execution_options={"yield_per": _KEYS})
        for some in rows.partitions():
            self.add(connection, [tuple(row) for row in some])

    def add(self, connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Index the spans, given by their rows, that have ended and are not indexed yet."""
        rows = [row for row in rows if row[_END] is not None and self._texts(row)]
        if connection.dialect.name == "postgresql":
            if rows:
                connection.execute(self._insert, list(map(self._worded, rows)))
            return
        keys = [row[:2] for row in rows]
        for i in range(0, len(keys), _KEYS):
            some = keys[i : i + _KEYS]
            values = ", ".join(["(?, ?)"] * len(some))
            statement = (
                f"{self._add} FROM (VALUES {values}) AS keys CROSS JOIN spans "
                "ON spans.trace_id = keys.column1 AND spans.span_id = keys.column2 "
                f"WHERE NOT {self._indexed} ORDER BY spans.rowid"
            )
            connection.exec_driver_sql(statement, tuple(part for key in some for part in key))

    def _texts(self, row: tuple[Any, ...]) -> list[str]:
        texts = [row[place] for place in self._places]
        return [text for text in texts if text is not None and text != self._nothing]

    def _worded(self, row: tuple[Any, ...]) -> dict[str, str]:
        """Return the row of the words of a span."""
        text = " ".join(_ESCAPE.sub(" ", text[:_MOST]) for text in self._texts(row))
        words = {word[:_LONGEST] for word in _WORD.findall(text.lower())}
        return {"trace_id": row[0], "span_id": row[1], "words": " ".join(sorted(words))}

    def remove(self, connection: sa.Connection, trace_ids: Sequence[str]) -> None:
        """Take the spans of traces that are about to be deleted out of the index."""
        if connection.dialect.name == "sqlite":
            values = ", ".join("?" * len(trace_ids))
            connection.exec_driver_sql(
                f"{self._remove} AND trace_id IN ({values})", tuple(trace_ids)
            )
        elif connection.dialect.name == "postgresql":
            gone = self._table.c.trace_id.in_(trace_ids)
            connection.execute(sa.delete(self._table).where(gone))

    def find(self, words: Words) -> sa.Select[Any]:
        """Return the query of what is in the index of the spans that may have words."""
        return sa.select(sa.literal(1)).select_from(self._table).where(self._match(words))

    def has(self, rows: sa.FromClause, words: Words) -> Any:
        """Return the condition that a row of spans may have words."""
        match, of = self._match(words), self._table.c
        rowid: sa.ColumnElement[int] = sa.literal_column(f"{rows.description}.rowid")
        return ByDialect(
            rowid.in_(sa.select(_ROWID).select_from(self._table).where(match)),
            sa.tuple_(*rows.primary_key).in_(sa.select(of.trace_id, of.span_id).where(match)),
        )

    def _match(self, words: Words) -> Any:
        sqlite = " ".join(f'"{word}"{"*" * begins}' for word, begins in words)
        postgresql = " & ".join(f"{word[:_LONGEST]}{':*' * begins}" for word, begins in words)
        return ByDialect(
            sa.literal_column(self._name).op("MATCH")(sqlite),
            self._table.c.words.op("@@")(sa.cast(postgresql, TSQUERY)),
        )


def read(text: Any, words: Words) -> Any:
    """Return the condition that words are in a text, for which the text itself is read."""
    return sa.and_(
        *(
            ByDialect(
                text.op("REGEXP")(rf"(?i)(?:(?<![^\W_])|(?<=\\[ntr])){word}"),
                text.op("~*")(rf"(^|[^[:alnum:]]|\\[ntr]){word}"),
            )
            for word, _ in words
        )
    )


CONTENTS = Index("span_words", ("inputs", "outputs"))
ATTRIBUTES = Index("span_facts", ("attributes",), nothing="{}")
INDEXES = (CONTENTS, ATTRIBUTES)


def like(pattern: str) -> Words:
    """Return the words of all that can be LIKE a pattern; none where the index is of no help.

    A word is found from its beginning on: `%fund%` finds "funds" and not "refund".
    """
    words = (
        (word[0].lower(), word.end() == len(part))
        for part in re.split("[%_]", pattern)
        for word in _words(part)
    )
    return list(islice(words, _MOST_WORDS))


def equal(text: str) -> Words:
    """Return the words of a JSON value that is equal to a text; none where there is no telling.

    A number may be written in other ways than JSON's own.
    """
    try:
        number = float(text)
    except ValueError:
        pass
    else:
        whole = number.is_integer() and abs(number) < _WHOLE
        if text != (str(int(number)) if whole else repr(number)) or "e" in text:
            return []
    if not text.isprintable():  # then JSON has escapes
        return []
    return [(word[0].lower(), False) for word in islice(_words(text), _MOST_WORDS)]


def _words(text: str) -> Iterator[re.Match[str]]:
    """Return the words of a text that are words to SQLite too."""
    for word in _WORD.finditer(text):
        beside = text[max(word.start() - 1, 0) : word.start()] + text[word.end() :][:1]
        if max(word[0]) < _SPACELESS and max(beside, default="") < _MARKS and not _ODD & {*word[0]}:
            yield word
