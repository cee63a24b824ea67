"""The order of what a search finds, and where in it a page begins."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import sqlalchemy as sa

from spanlog.model.capture import safe_repr
from spanlog.store.filters.errors import FilterError, quoted
from spanlog.store.filters.fields import NAME, Field, find
from spanlog.store.schema import spans, traces

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class _Key:
    value: Any
    descending: bool

    @property
    def may_be_null(self) -> bool:
        return getattr(self.value, "nullable", True)

    def clause(self) -> Any:
        """Return the order by this key: what is not known comes last in either direction."""
        by_value = self.value.desc() if self.descending else self.value.asc()
        return by_value.nulls_last() if self.may_be_null else by_value

    def beyond(self, value: Any) -> Any:
        """Return the condition that a row comes after one with this value."""
        if value is None:
            return sa.false()
        further = self.value < value if self.descending else self.value > value
        return sa.or_(further, self.value.is_(None)) if self.may_be_null else further

    def same(self, value: Any) -> Any:
        return self.value.is_(None) if value is None else self.value == value

    def may_be(self, value: Any) -> bool:
        """Say whether a row can have this value, which comes from outside."""
        if value is None:
            return self.may_be_null
        if isinstance(self.value.type, sa.String):
            return isinstance(value, str)
        if type(value) is int:
            return -(2**63) <= value < 2**63
        return isinstance(value, float)


@dataclass(frozen=True)
class Order:
    """An order in which no two rows are equal.

    Args:
        text: The order as text, which a page token carries.
        keys: What it goes by.
    """

    text: str
    keys: Sequence[_Key]

    def apply(self, query: sa.Select[Any], page_token: str | None = None) -> sa.Select[Any]:
        """Return a query in this order; its last columns, `key_0` and so on, are the keys.

        Args:
            query: What to put in order.
            page_token: Where to begin: after the row that a token was made of.

        Raises:
            FilterError: The token is not one of this order.
        """
        columns = [key.value.label(f"key_{i}") for i, key in enumerate(self.keys)]
        query = query.add_columns(*columns)
        query = query.order_by(*(key.clause() for key in self.keys))
        return query.where(self._after(self._read(page_token))) if page_token else query

    def token(self, row: Any) -> str:
        """Return the token of the page that begins after a row."""
        values = [row[f"key_{i}"] for i in range(len(self.keys))]
        return base64.urlsafe_b64encode(orjson.dumps([self.text, *values])).decode().rstrip("=")

    def _read(self, token: str) -> list[Any]:
        try:
            read = orjson.loads(base64.urlsafe_b64decode(token + "=="))
        except (binascii.Error, ValueError, TypeError):
            read = None
        if not isinstance(read, list) or not read or not isinstance(read[0], str):
            raise FilterError(f"not a page token: {safe_repr(token)}")
        text, *values = read
        if text != self.text or len(values) != len(self.keys):
            raise FilterError(
                f"the page token is of a search with another order: {safe_repr(text)}"
            )
        if not all(key.may_be(value) for key, value in zip(self.keys, values, strict=True)):
            raise FilterError(f"not a page token: {safe_repr(token)}")
        return values

    def _after(self, values: list[Any]) -> Any:
        pairs = list(zip(self.keys, values, strict=True))
        ways = [
            sa.and_(*(key.same(value) for key, value in pairs[:i]), key.beyond(value))
            for i, (key, value) in enumerate(pairs)
        ]
        first, value = pairs[0]
        if first.may_be_null:
            return sa.or_(*ways)
        # The same said again, in a way that an index understands.
        hint = first.value <= value if first.descending else first.value >= value
        return sa.and_(hint, sa.or_(*ways))


def parse_order(order_by: Sequence[str], *, of_spans: bool = False) -> Order:
    """Return the order that texts like `timestamp_ms DESC` spell; the newest first by default.

    Raises:
        FilterError: A field or direction is not known.
    """
    keys = [key for text in order_by for key in _keys(text, of_spans)]
    if of_spans:
        keys += [_Key(spans.c.start_time_ns, True), _Key(spans.c.trace_id, False)]
        keys += [_Key(spans.c.span_id, False)]
    else:
        # Ids are in the order in which traces begin, also within a millisecond.
        newest_first = all(key.descending for key in keys if key.value is traces.c.request_time)
        keys += [_Key(traces.c.request_time, True), _Key(traces.c.trace_id, newest_first)]
    return Order(", ".join(order_by), keys)


def latest_first(latest: Any, name: Any) -> Order:
    """Return the order of what has a time and a name of its own."""
    return Order("", [_Key(latest, True), _Key(name, False)])


def _keys(text: str, of_spans: bool) -> list[_Key]:
    name = NAME.match(text.strip())
    if name is None:
        raise FilterError(f"cannot order by {quoted(text)}: expected the name of a field")
    direction = text.strip()[name.end() :].strip().upper() or "ASC"
    if direction not in ("ASC", "DESC"):
        raise FilterError(f"cannot order by {quoted(text)}: the direction is ASC or DESC")
    try:
        found = find(name[0])
    except KeyError as error:
        raise FilterError(f"cannot order by {quoted(text)}: {error.args[0]}") from None
    return [_Key(value, direction == "DESC") for value in _values(name[0], found, of_spans)]


def _values(name: str, found: Field, of_spans: bool) -> list[Any]:
    """Return what a field orders by: of JSON values numbers come before anything else."""
    if found.kind == "content" or (found.rows is spans and not of_spans):
        raise FilterError(f"cannot order by {name}: a trace has many of them")
    value, rows = found.value, found.rows
    values = [value.number, value.text] if found.kind == "json" else [value]
    if rows is None or rows is spans:
        return values
    first = sa.select(rows).where(rows.c.trace_id == traces.c.trace_id, found.row)
    first = first.order_by(*rows.primary_key).limit(1)
    return [first.with_only_columns(value).scalar_subquery() for value in values]
