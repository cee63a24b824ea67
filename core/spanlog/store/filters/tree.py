"""A filter as a tree of comparisons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TypeAlias

    Node: TypeAlias = "Comparison | All | Any | Not"


@dataclass(frozen=True)
class Value:
    """A text, a number, or TRUE or FALSE, as it was written, and where."""

    text: str
    start: int


@dataclass(frozen=True)
class Name:
    """The name of a field as it was written, and where; negated if its operator has a NOT."""

    text: str
    start: int
    negated: bool = False


@dataclass(frozen=True)
class Comparison:
    """One `name operator value`, with several values for IN and none for IS NULL."""

    name: Name
    operator: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class All:
    """Parts joined by AND."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Any:
    """Parts joined by OR."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class Not:
    """A part with NOT before it."""

    part: Node
