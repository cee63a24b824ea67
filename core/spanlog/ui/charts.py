"""Charts over time: how many traces, how many failed, how long they took, what they used."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from spanlog.store.figures import PERCENTILES, Step, Used

if TYPE_CHECKING:
    from spanlog.store.figures import Figures

_MODELS = 5  # that have a colour of their own: more are not told apart
_NO_STEP = Step(0, 0, (None,) * len(PERCENTILES))
_NOTHING = Used(0, 0.0)


def charts(figures: Figures) -> dict[str, Any]:
    """Return the figures of each step of time, as a list each."""
    numbers = range(figures.size)
    steps = [figures.steps.get(number, _NO_STEP) for number in numbers]
    tokens: Counter[str] = Counter()
    for (_, model), used in figures.models.items():
        tokens[model] += used.tokens
    ranked = [model for model, _ in tokens.most_common()]
    groups = [(model or "no model", [model]) for model in ranked[:_MODELS]]
    if rest := ranked[_MODELS:]:
        groups.append(("others", rest))

    def by_model(figure: str) -> dict[str, list[float]]:
        return {
            name: [
                sum(getattr(figures.models.get((n, m), _NOTHING), figure) for m in models)
                for n in numbers
            ]
            for name, models in groups
        }

    return {
        "begin": figures.begin,
        "step": figures.length,
        "traces": [step.traces for step in steps],
        "errors": [step.errors for step in steps],
        "durations": {
            f"p{percent}": [step.durations[n] for step in steps]
            for n, percent in enumerate(PERCENTILES)
        },
        "tokens": by_model("tokens"),
        "cost": by_model("cost"),
    }
