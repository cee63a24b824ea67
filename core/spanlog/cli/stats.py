"""`spanlog stats`: counts, errors, latency, tokens; by name of trace, by model, by span."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from spanlog import usage
from spanlog.cli.store import condition, filter_options, json_option, opened, store_option

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.table import Table

    from spanlog.entities import Span, TraceState

_PERCENTILES = (50, 90, 95, 99)
_MOST = 12  # lines of a table


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
    from spanlog.store.filters import parse_filter

    where = condition(filter, experiment, since, before)
    found = Stats()
    for state, name, spans in opened(store).figures(parse_filter(where)):
        found.add(state, name, spans)
    if as_json:
        from spanlog.cli.output import put_json

        put_json(found.to_dict())
    elif found.traces.count:
        _put(found)
    else:
        click.echo("There are no such traces." if where else "There are no traces yet.", err=True)
    sys.exit(0 if found.traces.count else 1)


@dataclass
class Group:
    """What is known of things of one kind."""

    count: int = 0
    errors: int = 0
    took: list[int] = field(default_factory=list)  # ns
    tokens: dict[str, int] = field(default_factory=dict)

    def add(self, took: int | None, tokens: Mapping[str, int] | None, *, failed: bool) -> None:
        """Count one more."""
        self.count += 1
        self.errors += failed
        if took is not None:
            self.took.append(took)
        usage.add(self.tokens, tokens or {})

    def percentile(self, percent: int) -> int | None:
        """Return the time that so many of a hundred took at most, in nanoseconds."""
        if not self.took:
            return None
        self.took.sort()
        return self.took[-(-len(self.took) * percent // 100) - 1]

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON data, times in milliseconds."""
        times = {f"p{p}_ms": self.percentile(p) for p in _PERCENTILES}
        times["max_ms"] = self.percentile(100)
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
        self.states: dict[str, int] = {}
        self.by_name: dict[str, Group] = {}
        self.by_model: dict[str, Group] = {}
        self.by_span: dict[str, Group] = {}

    def add(self, state: TraceState, name: str | None, spans: Iterable[Span]) -> None:
        """Count one more trace."""
        spans = list(spans)
        root = next((span for span in spans if span.parent_id is None), None)
        calls = usage.counted(spans)
        tokens: dict[str, int] = {}
        for _, found in calls:
            usage.add(tokens, found)
        self.states[state.value] = self.states.get(state.value, 0) + 1
        for group in (self.traces, self.by_name.setdefault(name or "", Group())):
            group.add(root.duration_ns if root else None, tokens, failed=state.value == "ERROR")
        for span, found in calls:
            self.by_model.setdefault(span.model or "", Group()).add(
                span.duration_ns, found, failed=_failed(span)
            )
        counted = {span.span_id: found for span, found in calls}
        for span in spans:
            self.by_span.setdefault(span.name, Group()).add(
                span.duration_ns, counted.get(span.span_id), failed=_failed(span)
            )

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


def _failed(span: Span) -> bool:
    return span.status.status_code.value == "ERROR"


def _largest(groups: Mapping[str, Group]) -> list[tuple[str, Group]]:
    """Return groups, that which took the most time first."""
    return sorted(groups.items(), key=lambda pair: (-sum(pair[1].took), pair[0]))


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
        times = [group.percentile(percent) for percent in (50, 95, 99)]
        rows.append(
            [
                *("" if ns is None else duration(ns) for ns in times),
                f"{group.count:,}",
                Text(f"{group.errors:,}" if group.errors else "", "red"),
                Text(one_line(name) or "(unnamed)", "bold"),
                Text(tokens(group.tokens), "dim"),
            ]
        )
    return table((">p50", ">p95", ">p99", ">count", ">failed", kind, "tokens"), rows, fixed=5)
