"""Charts over time: how many traces, how many failed, how long they took, what they used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanlog.store.figures import Figures

_STEPS = 48
_MODELS = 5  # that have a colour of their own
_PERCENTILES = (50, 90, 99)
# Lengths of a step, in seconds.
_LENGTHS = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600),
    *(7200, 14400, 21600, 43200, 86400, 172800, 604800, 2592000),
)


def charts(figures: Figures, since: int, until: int) -> dict[str, Any]:
    """Return figures by steps of time.

    Args:
        figures: Of traces and model calls.
        since: When the first step begins, in milliseconds since 1970; 0 for the first trace.
        until: When the last step ends.
    """
    begin = since or min((row.request_time for row in figures.traces), default=until - 3_600_000)
    fit = (length * 1000 for length in _LENGTHS if length * 1000 * _STEPS >= until - begin)
    step = next(fit, (until - begin) // _STEPS + 1)
    begin -= begin % step
    count = (until - begin) // step + 1

    def at(time: int) -> int:
        return min(max((time - begin) // step, 0), count - 1)

    traces, errors, tokens, cost = [0] * count, [0] * count, [0] * count, [0.0] * count
    durations: list[list[int]] = [[] for _ in range(count)]
    for row in figures.traces:
        place = at(row.request_time)
        traces[place] += 1
        errors[place] += row.state == "ERROR"
        tokens[place] += row.total_tokens or 0
        cost[place] += row.total_cost or 0
        if row.execution_duration is not None:
            durations[place].append(row.execution_duration)
    used: dict[str, list[int]] = {}
    for call in figures.models:
        used.setdefault(call.model, [0] * count)[at(call.request_time)] += call.total_tokens
    ranked = sorted(used, key=lambda model: -sum(used[model]))
    models = {model: used[model] for model in ranked[:_MODELS]}
    if rest := ranked[_MODELS:]:
        models["others"] = [sum(each) for each in zip(*(used[m] for m in rest), strict=True)]
    return {
        "begin": begin,
        "step": step,
        "traces": traces,
        "errors": errors,
        "tokens": tokens,
        "cost": cost,
        "durations": {
            f"p{percent}": [percentile(each, percent) for each in durations]
            for percent in _PERCENTILES
        },
        "models": models,
    }


def percentile(values: Sequence[int], percent: int) -> int | None:
    """Return the least value that so many percent of the values do not exceed."""
    if not values:
        return None
    return sorted(values)[max(-(-len(values) * percent // 100) - 1, 0)]
