"""The grammar of filters: AND, OR, NOT, parentheses, and comparisons `name operator value`.

sqlglot cuts the text into tokens and parses them. It sees a stand-in for every name and value that
says where the real one is: so a name may hold what SQL's may not, and an error can point at it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn

import sqlglot
from sqlglot import Dialect, ErrorLevel, TokenType, exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokens import Token  # type: ignore[attr-defined]

from spanlog.store.filters.errors import misread, nearest, quoted
from spanlog.store.filters.fields import NAME
from spanlog.store.filters.tree import All, Any, Comparison, Name, Not, Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from spanlog.store.filters.tree import Node

# SQLite takes no deeper expression than 1,000 levels, and Python no deeper recursion.
_MOST_COMPARISONS = 300
_MOST_LEVELS = 50
# SQLite takes no pattern over 50,000 bytes, of which a character of a text in JSON may be nine.
_LONGEST_PATTERN = 5_000

OPERATORS: dict[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "!=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.In: "IN",
    exp.Like: "LIKE",
    exp.ILike: "ILIKE",
    exp.RegexpLike: "RLIKE",
    exp.Is: "IS NULL",
}
_PATTERNS = (exp.Like, exp.ILike, exp.RegexpLike)
_WORDS = ("AND", "OR", "NOT", "IN", "LIKE", "ILIKE", "RLIKE", "IS")
# `x NOT IN (...)` says something of x, `NOT x IN (...)` that there is none such. The tree does not
# tell them apart, so a NOT before these belongs to the name.
_NEGATABLE = (TokenType.IN, TokenType.LIKE, TokenType.ILIKE, TokenType.RLIKE, TokenType.NULL)

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`")
_WORD = re.compile(r"\s*(\w+|\S|)")
_QUOTE = re.compile("['\"`]")


class _Language(Dialect):
    """Single or double quotes around texts, which double inside; backquotes around keys."""

    class Tokenizer(sqlglot.Tokenizer):
        QUOTES = ["'", '"']  # noqa: RUF012 - as sqlglot declares it
        STRING_ESCAPES = ["'", '"']  # noqa: RUF012
        IDENTIFIERS = ["`"]  # noqa: RUF012
        COMMENTS = []  # noqa: RUF012


def parse(text: str) -> Node:
    """Return the tree that a filter spells.

    Raises:
        FilterError: It does not parse; the message shows where.
    """
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.items: list[Name | Value] = []
        self.left = _MOST_COMPARISONS

    def parse(self) -> Node:
        tokens = self._stand_ins(self._tokens())
        if not tokens or tokens[-1].token_type not in _LAST:
            self.complain("it ends too early", len(self.text))
        parser = _Language().parser(
            error_level=ErrorLevel.IMMEDIATE, error_message_context=len(self.text)
        )
        try:
            (found,) = parser.parse(tokens, self.text)
        except ParseError as error:
            kinds = [token.token_type for token in tokens]
            if kinds.count(TokenType.L_PAREN) > kinds.count(TokenType.R_PAREN):
                self.complain("it ends too early", len(self.text))
            self._stuck(len(error.errors[0]["start_context"] or ""))
        except RecursionError:
            self.complain("it is nested too deeply", len(self.text))
        assert found is not None  # nothing is parsed from no tokens
        return self._node(found, _MOST_LEVELS)

    def complain(self, problem: str, start: int) -> NoReturn:
        raise misread(self.text, start, problem) from None

    def _stuck(self, start: int) -> NoReturn:
        """Say what is wrong where sqlglot did not know what to do."""
        word = _WORD.match(self.text, start)
        found = word[1] if word else ""
        known = found.upper() in _WORDS or not found.isalpha()
        hint = "" if known else f". {nearest(found.upper(), _WORDS)}"
        self.complain(f"cannot read {quoted(found)} here{hint}", start)

    def _tokens(self) -> Sequence[Token]:
        try:
            return _Language().tokenize(self.text)
        except TokenError:
            open_ = _QUOTE.search(_QUOTED.sub(lambda found: " " * len(found[0]), self.text))
            start = open_.start() if open_ else 0
            self.complain("the quote that begins here does not end", start)

    def _stand_ins(self, tokens: Sequence[Token]) -> list[Token]:
        """Return the tokens with the number of an item in place of each name and value."""
        result: list[Token] = []
        end = 0
        for i, token in enumerate(tokens):
            if token.start < end:  # part of the name before
                continue
            name = NAME.match(self.text, token.start)
            if token.token_type in (TokenType.STRING, TokenType.NUMBER):
                is_number = token.token_type is TokenType.NUMBER
                if is_number and result and result[-1].token_type is TokenType.DASH:
                    token = Token(TokenType.NUMBER, f"-{token.text}", start=result.pop().start)
                self.items.append(Value(token.text, token.start))
                kind = TokenType.NUMBER
            elif token.token_type in (TokenType.TRUE, TokenType.FALSE):
                self.items.append(Value(token.text.lower(), token.start))
                kind = TokenType.NUMBER
            elif name and ("." in name[0] or token.token_type not in _GRAMMAR):
                self.items.append(Name(name[0], token.start))
                kind, end = TokenType.IDENTIFIER, name.end()
            elif (
                token.token_type is TokenType.NOT
                and result
                and result[-1].token_type in (TokenType.IDENTIFIER, TokenType.IS)
                and tokens[i + 1 : i + 2]
                and tokens[i + 1].token_type in _NEGATABLE
                and self.items
                and isinstance(self.items[-1], Name)
            ):
                self.items[-1] = replace(self.items[-1], negated=True)
                continue
            elif token.token_type in _GRAMMAR or token.token_type in _SYMBOLS:
                result.append(token)
                continue
            else:
                self._stuck(token.start)
            if result and result[-1].token_type in (TokenType.IDENTIFIER, TokenType.NUMBER):
                self._stuck(token.start)
            number, last = str(len(self.items) - 1), max(end - 1, token.start)
            result.append(Token(kind, number, start=token.start, end=last))
        return result

    def _node(self, node: exp.Expr, levels: int) -> Node:
        if levels == 0:
            self.complain("it is nested too deeply", self._place(node))
        if isinstance(node, exp.Paren):
            return self._node(node.this, levels - 1)
        if isinstance(node, exp.Not):
            return Not(self._node(node.this, levels - 1))
        if isinstance(node, exp.And | exp.Or):
            parts = tuple(self._node(part, levels - 1) for part in node.flatten())
            return All(parts) if isinstance(node, exp.And) else Any(parts)
        return self._comparison(node)

    def _comparison(self, node: exp.Expr) -> Comparison:
        operator = OPERATORS.get(type(node))
        if operator is None:
            known = ", ".join(dict.fromkeys(OPERATORS.values()))
            self.complain(f"expected a comparison: one of {known}", self._place(node))
        self.left -= 1
        if self.left < 0:
            self.complain(f"more than {_MOST_COMPARISONS} comparisons", self._place(node))
        name = self._item(node.this)
        if not isinstance(name, Name):
            self.complain("expected the name of a field", self._place(node.this))
        if operator == "IS NULL":
            if not isinstance(node.expression, exp.Null):
                self.complain("expected NULL or NOT NULL", self._place(node))
            values: tuple[Value, ...] = ()
        elif operator == "IN":
            values = tuple(self._value(item) for item in node.expressions)
            if not values:
                self.complain("expected values in parentheses", self._place(node))
        else:
            values = (self._value(node.expression),)
            if isinstance(node, _PATTERNS) and len(values[0].text) > _LONGEST_PATTERN:
                problem = f"a pattern has {_LONGEST_PATTERN:,} characters at most"
                self.complain(problem, values[0].start)
        return Comparison(name, operator, values)

    def _value(self, node: exp.Expr) -> Value:
        value = self._item(node)
        if isinstance(value, Value):
            return value
        found = f", found {quoted(value.text)}" if value else ""
        hint = "; texts are written in quotes" if value else ""
        if isinstance(node, exp.Null):
            hint = "; write IS NULL or IS NOT NULL"
        return self.complain(f"expected a value{found}{hint}", self._place(node))

    def _item(self, node: object) -> Name | Value | None:
        """Return what a node stands for."""
        if isinstance(node, exp.Column) and len(node.parts) == 1:
            node = node.this
        if isinstance(node, exp.Literal | exp.Identifier) and node.this.isdecimal():
            return self.items[int(node.this)]
        return None

    def _place(self, node: exp.Expr) -> int:
        """Return where a node begins, as far as its items tell."""
        found = [item.start for item in self._items(node)]
        return min(found, default=len(self.text))

    def _items(self, node: exp.Expr) -> Iterator[Name | Value]:
        for part in node.walk():
            item = self._item(part)
            if item is not None:
                yield item


# The words that mean something between names and values.
_GRAMMAR = {
    TokenType.AND,
    TokenType.OR,
    TokenType.NOT,
    TokenType.IN,
    TokenType.LIKE,
    TokenType.ILIKE,
    TokenType.RLIKE,
    TokenType.IS,
    TokenType.NULL,
}
_SYMBOLS = {
    TokenType.EQ,
    TokenType.NEQ,
    TokenType.LT,
    TokenType.LTE,
    TokenType.GT,
    TokenType.GTE,
    TokenType.L_PAREN,
    TokenType.R_PAREN,
    TokenType.COMMA,
    TokenType.DASH,  # before a number
}
# What a filter may end with; names and values are identifiers and numbers to sqlglot.
_LAST = {TokenType.IDENTIFIER, TokenType.NUMBER, TokenType.R_PAREN, TokenType.NULL}
