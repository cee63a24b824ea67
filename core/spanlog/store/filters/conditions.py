"""Filters as SQL conditions.

What is not there fits no comparison but IS NULL, and NOT turns that around: `tags.a != 'x'` asks
for a tag with another value, `NOT tags.a = 'x'` also finds traces without it. Comparisons of spans
that are joined by AND are about one and the same span; NOT says that there is no such span.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import orjson
import sqlalchemy as sa

from spanlog.store import fulltext
from spanlog.store.dialects import ByDialect, unindexed, with_cases
from spanlog.store.filters import tree
from spanlog.store.filters.errors import misread, quoted
from spanlog.store.filters.fields import Field, find
from spanlog.store.schema import spans, storable, traces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanlog.store.filters.json import Json
    from spanlog.store.filters.tree import Comparison, Node, Value

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_PATTERNS = ("LIKE", "ILIKE", "RLIKE")


@dataclass(frozen=True)
class Source:
    """Where the traces are that can fit a filter.

    Args:
        found: The query of what an index has of them, as many rows or more.
        trace_ids: The query of their ids, which is quick where those are few.
    """

    found: sa.Select[Any]
    trace_ids: sa.Select[Any]


class Compiler:
    """Makes the conditions of one tree.

    Args:
        text: What the tree was read from, where an error points at.
        of_spans: True where a row of the result is a span with its trace, and not a trace that
            has any number of spans.
        by_words: False to ask no index of words.
    """

    def __init__(self, text: str, *, of_spans: bool, by_words: bool = True) -> None:
        self._text = text
        self._of_spans = of_spans
        self._by_words = by_words
        self.asked_words = False
        self._fields: dict[str, Field] = {}

    def clause(self, node: Node) -> Any:
        """Return the condition of a trace, or of a span with its trace."""
        if isinstance(node, tree.Not):
            return sa.not_(sa.func.coalesce(self.clause(node.part), sa.false()))
        if self._is_of_span(node):
            condition = self._of_row(node)
            return condition if self._of_spans else _exists(spans, condition)
        if isinstance(node, tree.Any):
            return sa.or_(*map(self.clause, node.parts))
        if isinstance(node, tree.All):
            of_span = [part for part in node.parts if self._is_of_span(part)]
            rest = [part for part in node.parts if not self._is_of_span(part)]
            merged = [tree.All(tuple(of_span))] if of_span else []
            return sa.and_(*map(self.clause, [*rest, *merged]))
        return self._of_trace(node)

    def sources(self, node: Node) -> Iterator[Source]:
        """Return what finds the traces that a filter can fit, if they are few."""
        for part in node.parts if isinstance(node, tree.All) else (node,):
            if not isinstance(part, tree.Comparison) or part.name.negated:
                continue
            found = self._field(part)
            if found.kind == "content" and part.operator in ("LIKE", "ILIKE"):
                words = fulltext.like(part.values[0].text)
                if words:
                    has_words = fulltext.CONTENTS.has(spans, words)
                    ids = sa.select(spans.c.trace_id).where(has_words)
                    yield Source(fulltext.CONTENTS.find(words), ids)
            elif found.kind == "json" and found.rows is spans and part.operator == "=":
                words = fulltext.equal(part.values[0].text)
                if words:
                    has_words = fulltext.ATTRIBUTES.has(spans, words)
                    ids = sa.select(spans.c.trace_id).where(has_words)
                    yield Source(fulltext.ATTRIBUTES.find(words), ids)
            elif found.rows is not None and found.indexed and part.operator in ("=", "IN"):
                fits = (found.row, self._test(part, by_index=True))
                rows = sa.select(sa.literal(1)).select_from(found.rows).where(*fits)
                yield Source(rows, sa.select(found.rows.c.trace_id).where(*fits))

    def _is_of_span(self, node: Node) -> bool:
        if isinstance(node, tree.Comparison):
            return self._field(node).rows is spans
        return not isinstance(node, tree.Not) and all(map(self._is_of_span, node.parts))

    def _of_row(self, node: Node) -> Any:
        """Return the condition of a span."""
        if isinstance(node, tree.Comparison):
            return self._test(node)
        join = sa.or_ if isinstance(node, tree.Any) else sa.and_
        return join(*map(self._of_row, node.parts))  # type: ignore[union-attr]

    def _of_trace(self, comparison: Comparison) -> Any:
        found = self._field(comparison)
        if found.rows is None:
            return self._test(comparison)
        if comparison.operator == "IS NULL":
            there = _exists(found.rows, found.row)
            return there if comparison.name.negated else sa.not_(there)
        return _exists(found.rows, found.row, self._test(comparison))

    def _field(self, comparison: Comparison) -> Field:
        name = comparison.name.text
        if name not in self._fields:
            try:
                self._fields[name] = find(name)
            except KeyError as error:
                self._complain(error.args[0], comparison.name.start)
        return self._fields[name]

    def _complain(self, problem: str, start: int) -> NoReturn:
        raise misread(self._text, start, problem) from None

    # One comparison. It is NULL or false of what is not there.

    def _test(self, comparison: Comparison, *, by_index: bool = False) -> Any:
        found = self._field(comparison)
        if found.kind == "number":
            test = self._of_number(comparison, found.value)
        elif found.kind == "json":
            test = self._of_json(comparison, found.value)
        elif found.kind == "content":
            return self._of_content(comparison, found)
        else:
            plain = found.indexed and not by_index and not self._of_spans
            value = unindexed(found.value) if plain else found.value
            test = self._of_text(comparison, value)
        return sa.not_(test) if comparison.name.negated else test

    def _of_number(self, comparison: Comparison, value: Any) -> Any:
        name, symbol = comparison.name, comparison.operator
        if symbol in _PATTERNS:
            self._complain(f"{name.text} is a number, which {symbol} does not take", name.start)
        numbers = [_bound(self._number(name.text, written)) for written in comparison.values]
        return _compare(symbol, value, numbers)

    def _number(self, name: str, written: Value) -> float:
        number = _number(written)
        if number is None:
            problem = f"{name} is compared with a number, found {quoted(written.text)}"
            self._complain(problem, written.start)
        return number

    def _of_text(self, comparison: Comparison, value: Any) -> Any:
        texts = [storable(written.text) for written in comparison.values]
        if comparison.operator in _PATTERNS:
            return self._matches(comparison, value, texts[0])
        return _compare(comparison.operator, value, texts)

    def _of_json(self, comparison: Comparison, value: Json) -> Any:
        symbol = comparison.operator
        if symbol == "IS NULL":
            return sa.and_(value.number.is_(None), value.text.is_(None))
        text = self._of_text(comparison, value.text)
        numbers = [_bound(n) for n in map(_number, comparison.values) if n is not None]
        if numbers and symbol not in _PATTERNS:
            number = _compare(symbol, value.number, numbers)
        else:  # a number fits no pattern, and is equal to nothing that is none
            number = sa.literal(symbol == "!=")
        return sa.case((value.number.is_not(None), number), else_=text)

    def _matches(self, comparison: Comparison, value: Any, pattern: str) -> Any:
        if comparison.operator == "RLIKE":
            if problem := _problem(pattern):
                self._complain(problem, comparison.values[0].start)
            sqlite = sa.func.spanlog_rlike(pattern, value)
            return ByDialect(sqlite, value.regexp_match(pattern))
        like = value.like if comparison.operator == "LIKE" else with_cases(value).ilike
        return like(pattern.replace("\\", "\\\\"), escape="\\")

    def _of_content(self, comparison: Comparison, found: Field) -> Any:
        name, symbol = comparison.name, comparison.operator
        if symbol not in ("LIKE", "ILIKE", "IS NULL"):
            self._complain(f"{name.text} takes LIKE and ILIKE, found {symbol}", name.start)
        rows = spans if found.rows is spans else spans.alias("told")
        columns = (rows.c.inputs, rows.c.outputs)
        if symbol == "IS NULL":
            test = sa.or_(*(column.is_not(None) for column in columns))
        else:  # what a text holds is escaped in JSON
            told = storable(comparison.values[0].text)
            pattern = orjson.dumps(told).decode()[1:-1]
            test = sa.or_(*(self._matches(comparison, column, pattern) for column in columns))
            words = fulltext.like(told)
            if words and self._by_words:
                self.asked_words = True
                test = sa.and_(fulltext.CONTENTS.has(rows, words), test)
            elif words:  # the index's way to tell words, without it
                both = sa.func.coalesce(columns[0], "") + " " + sa.func.coalesce(columns[1], "")
                test = sa.and_(test, fulltext.read(both, words))
        of_trace = found.rows is None
        test = _exists(rows, test) if of_trace else sa.func.coalesce(test, sa.false())
        return sa.not_(test) if name.negated != (symbol == "IS NULL") else test


def _problem(pattern: str) -> str | None:
    """Say what is wrong with a regular expression."""
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return f"not a regular expression: {error}"
    return None


def _exists(rows: Any, *conditions: Any) -> Any:
    return sa.exists().where(rows.c.trace_id == traces.c.trace_id, *conditions)


def _compare(symbol: str, value: Any, others: Sequence[Any]) -> Any:
    if symbol == "IS NULL":
        return value.is_(None)
    return value.in_(others) if symbol == "IN" else _COMPARE[symbol](value, others[0])


def _number(written: Value) -> float | None:
    """Return the number that a value spells, or None."""
    try:
        number = float(written.text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _bound(number: float) -> Any:
    """Return a number as a parameter, whole if it is: indexes of whole numbers know no others."""
    if number.is_integer() and abs(number) < 2**63:
        return sa.literal(int(number), sa.BigInteger)
    return sa.literal(number, sa.Double)
