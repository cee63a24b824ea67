"""What a search asks for: read from text, or made of a name and values, and joined by & and |."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from spanlog.store.filters import tree
from spanlog.store.filters.conditions import Compiler
from spanlog.store.filters.errors import FilterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanlog.store.filters.conditions import Source
    from spanlog.store.filters.tree import Node

# In characters: room for thousands of ids, which are read in less than a second.
_LONGEST = 250_000


@dataclass(frozen=True)
class Filter:
    """What a filter asks for; of all there is by default.

    `a & b` asks for what fits both, `a | b` for what fits either. As in text, comparisons of spans
    that are joined by & are about one and the same span.

    Args:
        node: The same as a tree; None where all fits.
        of_spans: Whether it is about a span with its trace; both parts are, if either is.
        clause: The SQL condition.
        sources: Each has all traces that can fit.
        unaided: The same condition, where the first asks the index of words, without that.
    """

    node: Node | None = None
    of_spans: bool = False
    clause: Any = field(default_factory=sa.true)
    sources: Sequence[Source] = ()
    unaided: Any = None

    def __and__(self, other: Filter) -> Filter:
        if self.node is None or other.node is None:
            return other if self.node is None else self
        parts = (*_parts(self.node, tree.All), *_parts(other.node, tree.All))
        return _compiled(tree.All(parts), of_spans=self.of_spans or other.of_spans)

    def __or__(self, other: Filter) -> Filter:
        if self.node is None or other.node is None:
            return Filter()
        parts = (*_parts(self.node, tree.Any), *_parts(other.node, tree.Any))
        return _compiled(tree.Any(parts), of_spans=self.of_spans or other.of_spans)


def where(name: str, operator: str, *values: str | float) -> Filter:
    """Return the filter of one comparison, like `where("status", "=", "ERROR")`.

    Args:
        name: The name of a field, as filters write it.
        operator: As filters write it, in capitals and without NOT: =, IN, LIKE and so on.
        values: One; any number for IN, none for IS NULL. They may hold anything.

    Raises:
        FilterError: There is no such field, or it is not compared so.
    """
    written = tuple(tree.Value(str(value), 0) for value in values)
    return _compiled(tree.Comparison(tree.Name(name, 0), operator, written), name)


def parse_filter(text: str | None, *, of_spans: bool = False) -> Filter:
    """Return the filter that a text spells.

    Args:
        text: The filter.
        of_spans: True where a row of the result is a span with its trace, and not a trace that
            has any number of spans.

    Raises:
        FilterError: It does not parse; the message names the place and the nearest valid word.
    """
    if text is None:
        return Filter()
    if not isinstance(text, str):
        raise FilterError(f"a filter is a text like \"status = 'ERROR'\", found {text!r}")
    if len(text) > _LONGEST:
        raise FilterError(f"a filter has {_LONGEST:,} characters at most, found {len(text):,}")
    if not text.strip():
        return Filter()
    from spanlog.store.filters import grammar  # loads sqlglot, which takes a while

    return _compiled(grammar.parse(text), text, of_spans=of_spans)


def _parts(node: Node, join: type[tree.All | tree.Any]) -> tuple[Node, ...]:
    return node.parts if isinstance(node, join) else (node,)


def _compiled(node: Node, text: str = "", *, of_spans: bool = False) -> Filter:
    compiler = Compiler(text, of_spans=of_spans)
    clause, sources = compiler.clause(node), list(compiler.sources(node))
    unaided = None
    if compiler.asked_words:
        unaided = Compiler(text, of_spans=of_spans, by_words=False).clause(node)
    return Filter(node, of_spans, clause, sources, unaided)
