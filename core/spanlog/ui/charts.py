"""Charts over time: how many traces, how many failed, how long they took, what they used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanlog.store.figures import PERCENTILES, Step

if TYPE_CHECKING:
    from spanlog.store.figures import Figures

_MODELS = 5  # that have a colour of their own
_NOTHING = Step(0, 0, 0, 0.0, (None,) * len(PERCENTILES))


def charts(figures: Figures) -> dict[str, Any]:
    """Return the figures of each step of time, as a list each."""
    steps = [figures.steps.get(number, _NOTHING) for number in range(figures.size)]
    used: dict[str, list[int]] = {}
    for number, model, tokens in figures.models:
        used.setdefault(model, [0] * figures.size)[number] = tokens
    ranked = sorted(used, key=lambda model: -sum(used[model]))
    models = {model: used[model] for model in ranked[:_MODELS]}
    if rest := ranked[_MODELS:]:
        models["others"] = [sum(each) for each in zip(*(used[m] for m in rest), strict=True)]
    return {
        "begin": figures.begin,
        "step": figures.length,
        "traces": [step.traces for step in steps],
        "errors": [step.errors for step in steps],
        "tokens": [step.tokens for step in steps],
        "cost": [step.cost for step in steps],
        "durations": {
            f"p{percent}": [step.durations[n] for step in steps]
            for n, percent in enumerate(PERCENTILES)
        },
        "models": models,
    }
