"""The filter language of `search_traces`: comparisons joined by AND, compiled to SQL.

A comparison is `field operator value`: `status = 'ERROR' AND tags.env = 'prod' AND
execution_time_ms > 500`. Fields and spellings are MLflow's; values are always bound parameters.
"""

from __future__ import annotations

import difflib
import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import sqlalchemy as sa

from spanlog.store.schema import storable, trace_metadata, trace_tags, traces

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_end_time = traces.c.request_time + traces.c.execution_duration

FIELDS: dict[str, Any] = {
    "trace_id": traces.c.trace_id,
    "request_id": traces.c.trace_id,
    "name": traces.c.name,
    "status": traces.c.state,
    "state": traces.c.state,
    "timestamp_ms": traces.c.request_time,
    "timestamp": traces.c.request_time,
    "request_time": traces.c.request_time,
    "execution_time_ms": traces.c.execution_duration,
    "execution_time": traces.c.execution_duration,
    "execution_duration": traces.c.execution_duration,
    "end_time_ms": _end_time,
    "end_time": _end_time,
    "client_request_id": traces.c.client_request_id,
    "experiment_id": traces.c.experiment_id,
}
_PAIRS = {
    "tag": trace_tags,
    "tags": trace_tags,
    "metadata": trace_metadata,
    "request_metadata": trace_metadata,
}
# Where MLflow keeps a field under the key of a tag.
_ALIASES = {"mlflow.traceName": "name"}

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>'(?:[^']|'')*'|"(?:[^"]|"")*")
      | (?P<number>-?\d+(?:\.\d+)?)
      | (?P<operator><=|>=|!=|<>|=|<|>)
      | (?P<field>[A-Za-z_]\w*\.`[^`]+`|[A-Za-z_][\w.\-/]*)
    )""",
    re.VERBOSE,
)


class FilterError(ValueError):
    """A filter or an order cannot be understood; the message shows where."""


@dataclass(frozen=True)
class Comparison:
    """One `field operator value`. `key` is set for tags and metadata."""

    field: str
    key: str | None
    operator: str
    value: str | float

    def clause(self) -> Any:
        """Return it as an SQL condition."""
        compare = _OPERATORS[self.operator]
        if self.key is None:
            column = FIELDS[self.field]
            return compare(column, self.value)
        pairs = _PAIRS[self.field].c
        return sa.exists().where(
            pairs.trace_id == traces.c.trace_id,
            pairs.key == storable(self.key),
            compare(pairs.value, self.value),
        )


@dataclass(frozen=True)
class Filter:
    """Comparisons that must all hold."""

    comparisons: Sequence[Comparison] = ()

    def clause(self) -> Any:
        """Return it as an SQL condition."""
        return sa.and_(sa.true(), *(comparison.clause() for comparison in self.comparisons))


def parse_filter(text: str | None) -> Filter:
    """Return the filter that a text spells.

    Raises:
        FilterError: It does not parse; the message names the place and the nearest valid word.
    """
    if not text or not text.strip():
        return Filter()
    tokens = _Tokens(text)
    comparisons = [_comparison(tokens)]
    while not tokens.at_end():
        joiner = tokens.take("field", "AND")
        if joiner.upper() != "AND":
            tokens.complain(f"expected AND, found {joiner!r}")
        comparisons.append(_comparison(tokens))
    return Filter(comparisons)


def order_columns(order_by: Sequence[str]) -> list[Any]:
    """Return the SQL order that texts like `timestamp_ms DESC` spell; the newest first by default.

    Raises:
        FilterError: A field or direction is not known.
    """
    columns = []
    for text in order_by:
        name, direction = [*text.split(maxsplit=1), "", ""][:2]
        direction = direction.strip().upper() or "ASC"
        column = FIELDS.get(name.removeprefix("attributes.").removeprefix("trace."))
        if column is None:
            raise FilterError(f"cannot order by {name!r}.{_nearest(name, FIELDS)}")
        if direction not in ("ASC", "DESC"):
            raise FilterError(f"cannot order {text!r}: the direction is ASC or DESC")
        columns.append(column.desc() if direction == "DESC" else column.asc())
    return [*columns, traces.c.request_time.desc(), traces.c.trace_id.asc()]


def _comparison(tokens: _Tokens) -> Comparison:
    name = tokens.take("field", "a field")
    field, key = _field(tokens, name)
    symbol = tokens.take("operator", "one of " + " ".join(_OPERATORS))
    kind, text = tokens.take_value()
    value: str | float = storable(text)
    if key is None and isinstance(FIELDS[field].type, sa.Integer):
        if kind != "number":
            tokens.complain(f"{name} is compared with a number, found {text!r}")
        value = float(text)  # exact for every number of milliseconds there is
    return Comparison(field, key, symbol, value)


def _field(tokens: _Tokens, name: str) -> tuple[str, str | None]:
    prefix, _, rest = name.partition(".")
    if prefix in _PAIRS and rest:
        key = rest.strip("`")
        return (_ALIASES[key], None) if key in _ALIASES else (prefix, key)
    if prefix in ("attributes", "attribute", "trace"):
        name = rest
    if name not in FIELDS:
        known = [*FIELDS, "tags.<key>", "metadata.<key>"]
        tokens.complain(f"there is no field {name!r}.{_nearest(name, known)}")
    return name, None


def _nearest(word: str, known: Sequence[str] | dict[str, Any]) -> str:
    near = difflib.get_close_matches(word, known, 1)
    return f" Did you mean {near[0]}?" if near else f" Fields are {', '.join(known)}."


class _Tokens:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.start = 0

    def at_end(self) -> bool:
        return not self.text[self.position :].strip()

    def _next(self, expected: str) -> tuple[str, str]:
        rest = self.text[self.position :]
        self.start = self.position + len(rest) - len(rest.lstrip())
        match = _TOKEN.match(self.text, self.position)
        if match is None or match.lastgroup is None:
            self.complain(f"expected {expected}")
        self.position = match.end()
        return match.lastgroup, match[match.lastgroup]

    def take(self, kind: str, expected: str) -> str:
        found, text = self._next(expected)
        if found != kind:
            self.complain(f"expected {expected}, found {text!r}")
        return text

    def take_value(self) -> tuple[str, str]:
        kind, text = self._next("a value")
        if kind == "string":
            return kind, text[1:-1].replace(text[0] * 2, text[0])
        if kind != "number":
            self.complain(f"expected a value, found {text!r}; texts are written in quotes")
        return kind, text

    def complain(self, problem: str) -> NoReturn:
        place = f"{self.text}\n{' ' * self.start}^"
        raise FilterError(
            f"the filter does not parse at character {self.start}: {problem}\n{place}"
        )
