"""`spanlog stats`: counts, errors, latency, tokens; by name of trace, by model, by span."""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from spanlog.cli.store import (
    condition,
    filter_options,
    json_option,
    none_found,
    opened,
    store_option,
)
from spanlog.model import usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.table import Table

    from spanlog.store.statistics import SpanFigures

_PERCENTILES = (50, 90, 95, 99)  # how many of 100 took at most so long
_MOST = 12  # lines of a table, of which there are three: they fit one screen


@click.command()
@click.argument("filter", default="", metavar="[FILTER]")
@filter_options
@store_option
@json_option
def stats(
    filter: str,  # noqa: A002 - the name that users see
    experiment: str | None,
    since: int | None,
    before: int | None,
    store: str | None,
    as_json: bool,
) -> None:
    """Count traces, errors and tokens, and say how long things took.

    \b
      spanlog stats --since 24h
      spanlog stats "tags.env = 'prod'" --json | jq .traces.p95_ms

    p95 is the time that 95 of 100 took at most. Tokens are counted once, where one layer calls
    another. Ends with 1 if there are no traces.
    """
    where = condition(filter, experiment, since, before)
    there, found = opened(store), Stats()
    for spans in there.figures(where):
        found.add(spans)
    if found.traces.count:
        found.use(there.tokens_by_name(where))
    if as_json:
        from spanlog.cli.output import put_json

        put_json(found.to_dict())
    elif found.traces.count:
        _put(found)
    else:
        click.echo(none_found(where), err=True)
    sys.exit(0 if found.traces.count else 1)


@dataclass
class Group:
    """What is known of things of one kind."""

    took: list[int | None] = field(default_factory=list)  # ns; None of what has not ended
    errors: int = 0
    tokens: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.took)

    def percentiles(self, *percents: int) -> list[int | None]:
        """Return the times that so many of a hundred took at most, in nanoseconds.

        Each is a time that something took, as in `store.figures`, whose SQL sees traces only;
        `statistics.quantiles` makes up times between two.
        """
        took = sorted(ns for ns in self.took if ns is not None)
        return [took[-(-len(took) * p // 100) - 1] if took else None for p in percents]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON data, times in milliseconds."""
        names = (*(f"p{percent}_ms" for percent in _PERCENTILES), "max_ms")
        times = dict(zip(names, self.percentiles(*_PERCENTILES, 100), strict=True))
        return {
            "count": self.count,
            "errors": self.errors,
            **{name: None if ns is None else ns / 1e6 for name, ns in times.items()},
            "tokens": self.tokens,
        }


class Stats:
    """What is known of traces, and of them by name, by model and by span."""

    def __init__(self) -> None:
        self.traces = Group()
        self.states = Counter[str]()
        self.by_name = defaultdict[str, Group](Group)
        self.by_model = defaultdict[str, Group](Group)
        self.by_span = defaultdict[str, Group](Group)
        self._calls = defaultdict[tuple[str, str], Group](Group)  # by span and model

    def add(self, spans: Iterable[SpanFigures]) -> None:
        """Count one more trace."""
        sums = usage.Sums()
        used: dict[str, SpanFigures] = {}
        root = last = None
        for span in spans:  # of which there may be millions
            _, _, _, id_, parent, name, status, took, _, _, _, total = last = span
            group = self.by_span[name]
            group.took.append(took)
            if status == "ERROR":
                group.errors += 1
            if parent is None:
                root = took
            sums.put(id_, parent, None, {} if total is None else {"total_tokens": total})
            if total is not None:
                used[id_] = span
        for id_ in sums.counted():
            *_, name, status, took, model, read, written, total = used[id_]
            group = self._calls[name, model or ""]
            group.took.append(took)
            group.errors += status == "ERROR"
            counts = group.tokens
            counts["input_tokens"] += read or 0
            counts["output_tokens"] += written or 0
            counts["total_tokens"] += total or 0
        if last is not None:
            self.states[last.state] += 1
            for group in (self.traces, self.by_name[last.trace_name or ""]):
                group.took.append(root)
                group.errors += last.state == "ERROR"

    def use(self, tokens: Mapping[str, Mapping[str, int]]) -> None:
        """Add what traces used, by their names, when all are counted."""
        for name, found in tokens.items():
            self.traces.tokens.update(found)
            self.by_name[name].tokens.update(found)
        for (name, model), calls in self._calls.items():
            self.by_span[name].tokens.update(calls.tokens)
            group = self.by_model[model]
            group.took += calls.took
            group.errors += calls.errors
            group.tokens.update(calls.tokens)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "traces": {**self.traces.to_dict(), "states": self.states},
            **{
                kind: {name: group.to_dict() for name, group in _largest(groups)}
                for kind, groups in (
                    ("by_name", self.by_name),
                    ("by_model", self.by_model),
                    ("by_span", self.by_span),
                )
            },
        }


def _largest(groups: Mapping[str, Group]) -> list[tuple[str, Group]]:
    """Return groups, that which took the most time first."""
    return sorted(groups.items(), key=lambda pair: (-sum(filter(None, pair[1].took)), pair[0]))


def _put(found: Stats) -> None:
    from rich.text import Text

    from spanlog.cli.output import put
    from spanlog.display.outline import tokens

    total = found.traces
    others = {k: n for k, n in found.states.items() if k not in ("OK", "ERROR")}
    figures = [
        Text(f"{total.count:,} trace{'s' if total.count > 1 else ''}", "bold"),
        Text(f"{total.errors:,} failed", "red" if total.errors else "dim"),
        *(
            Text(f"{n:,} {state.lower().replace('_', ' ')}", "yellow")
            for state, n in others.items()
        ),
        Text(tokens(total.tokens)),
    ]
    put(Text("  ").join([figure for figure in figures if figure]))
    for kind, groups in (
        ("trace", found.by_name),
        ("model", found.by_model),
        ("span", found.by_span),
    ):
        if groups:
            put("", _table(kind, groups))
        if len(groups) > _MOST:
            put(Text(f"and {len(groups) - _MOST:,} more: --json has all", "dim"))


def _table(kind: str, groups: Mapping[str, Group]) -> Table:
    from rich.text import Text

    from spanlog.cli.output import table
    from spanlog.display.outline import duration, one_line, tokens

    rows: list[list[str | Text]] = []
    for name, group in _largest(groups)[:_MOST]:
        times = group.percentiles(50, 95, 99)
        rows.append(
            [
                *("" if ns is None else duration(ns) for ns in times),
                f"{group.count:,}",
                Text(f"{group.errors:,}" if group.errors else "", "red"),
                Text(one_line(name) or "(unnamed)", "bold"),
                Text(tokens(group.tokens), "dim"),
            ]
        )
    headings = (">p50", ">p95", ">p99", ">count", ">failed", kind, "tokens")
    return table(headings, rows, fixed=5, spare={"tokens": 80, ">p50": 60, ">p99": 60})
