"""Fill stores and print how long searches take: `python -m tests.benchmarks.search [TRACES]`.

A trace has ten spans, of which three are model calls with some sentences in and out. Each search is
run five times; shown are the first and the best. Where MLflow is installed, the same is searched in
its store too, with as many traces as it takes in a minute or so, beside spanlog's with as many.
"""

from __future__ import annotations

import importlib.util
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import spanlog
from spanlog.client import TracingClient
from spanlog.record import default_recorder
from spanlog.runtime import current_store

BESIDE_MLFLOW = 500
# Those that MLflow knows too; of attributes it searches their JSON.
SHARED: dict[str, tuple[str, list[str]]] = {
    "newest 50": ("", []),
    "failed": ("status = 'ERROR'", []),
    "by a tag": ("tags.env = 'prod'", []),
    "by session": ("metadata.`mlflow.trace.session` = 's-7'", []),
    "slow and by a tag": ("execution_time_ms > 5 AND tags.env = 'dev'", []),
    "failed tools": ("span.type = 'TOOL' AND span.status = 'ERROR'", []),
    "by an attribute": ("span.attributes.tenant LIKE '%t-3%'", []),
    "text that many have": ("trace.text LIKE '%rain%'", []),
    "text that few have": ("trace.text LIKE '%umbrella%'", []),
    "text that none has": ("trace.text LIKE '%nothing of the kind%'", []),
    "by duration": ("name = 'agent'", ["execution_time_ms DESC"]),
}
OURS: dict[str, tuple[str, list[str]]] = {
    "many tokens": ("tokens > 900", []),
    "by a rare model": ("span.model = 'rare-model'", []),
    "by a frequent model": ("span.model = 'gpt-4o'", []),
    "slow spans": ("span.duration_ms > 1", []),
    "by an attribute's value": ("span.attributes.tenant = 't-3'", []),
    "no span failed": ("NOT span.status = 'ERROR'", []),
    "text of some": ("trace.text LIKE '%needle17%'", []),
    "by tokens": ("name = 'agent'", ["tokens DESC"]),
}
WORDS = [
    f"{a}{b}"
    for a in ("rain", "cloud", "sun", "wind", "snow", "storm", "fog", "city")
    for b in ("", "y", "s", "fall", "light", "line", "side", "map", "time", "er")
]


def fill(library: Any, traces: int, wait: Callable[[], object]) -> float:
    """Record traces and return the microseconds of CPU per span that it took.

    Args:
        library: Spanlog or MLflow: the names are the same.
        traces: How many.
        wait: Waits until what was recorded is stored.
    """
    random.seed(1)
    chance = random.random
    began = time.process_time()
    for i in range(traces):
        said = " ".join(random.choices(WORDS, k=60))
        root = library.start_span_no_context(
            "agent",
            "AGENT",
            inputs={"question": f"{said} {'umbrella' if i % 20 == 0 else ''} needle{i}"},
            tags={"env": "prod" if chance() < 0.7 else "dev"},
            metadata={"mlflow.trace.session": f"s-{i // 10}"},
        )
        for j in range(9):
            span = library.start_span_no_context(
                ("chat", "search", "plan")[j % 3], ("CHAT_MODEL", "TOOL", "CHAIN")[j % 3], root
            )
            if j % 3 == 0:
                model = "rare-model" if i % 5000 == 7 else "gpt-4o"
                span.set_attribute("gen_ai.response.model", model)
                span.set_attribute("gen_ai.usage.input_tokens", random.randrange(400))
            span.set_attribute("tenant", f"t-{i % 1000}")
            span.set_inputs({"messages": [{"role": "user", "content": said[j * 20 :]}]})
            span.set_outputs({"content": said[: 20 * j]})
            span.end(status="ERROR" if j == 4 and i % 100 == 0 else "OK")
        root.end(status="ERROR" if i % 1000 == 3 else "OK")
        if i % 1000 == 999:
            wait()
    wait()
    return (time.process_time() - began) / traces / 10 * 1e6


def timed(search: Callable[..., Any], text: str, order: list[str]) -> tuple[float, float, int]:
    """Return the first and the best of five times in milliseconds, and how many were found."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        found = search(filter_string=text or None, max_results=50, order_by=order)
        times.append((time.perf_counter() - began) * 1000)
    return times[0], min(times), len(found)


def spanlog_at(folder: str, traces: int) -> Callable[..., Any]:
    """Fill a store of spanlog's and return what searches it."""
    path = Path(folder) / f"spanlog-{traces}.db"
    spanlog.set_tracking_uri(str(path))
    cost = fill(spanlog, traces, spanlog.flush)
    size = path.stat().st_size / 1e6
    print(f"{traces:,} traces, {traces * 10:,} spans: {cost:.0f} us of CPU a span, {size:,.0f} MB")
    client = TracingClient()
    client.search_traces(filter_string="name = 'x'")  # loads what it takes
    return lambda **how: client.search_traces(include_spans=False, **how)


def mlflow_at(folder: str, traces: int) -> Callable[..., Any]:
    """Fill a store of MLflow's and return what searches it."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    mlflow.set_experiment("searches")
    cost = fill(mlflow, traces, lambda: mlflow.flush_trace_async_logging(terminate=False))
    print(f"MLflow {mlflow.__version__}, the same: {cost:.0f} us of CPU a span")
    client = mlflow.MlflowClient()
    ids = [mlflow.get_experiment_by_name("searches").experiment_id]
    client.search_traces(locations=ids, filter_string="name = 'x'")
    return lambda **how: client.search_traces(locations=ids, include_spans=False, **how)


def main(traces: int) -> None:
    """Fill stores, search in them, and print the times."""
    with tempfile.TemporaryDirectory() as folder:
        search = spanlog_at(folder, traces)
        for title, (text, order) in {**SHARED, **OURS}.items():
            first, best, found = timed(search, text, order)
            print(f"{first:8.1f} ms {best:8.1f} ms {found:4}  {title:24} {text} {''.join(order)}")
        if importlib.util.find_spec("mlflow"):
            beside_mlflow(folder)
        else:
            print("MLflow is not installed: nothing to compare with")
        current_store().close()
        default_recorder().close()


def beside_mlflow(folder: str) -> None:
    """Search the same in both, and print MLflow's times as multiples of spanlog's."""
    ours, theirs = spanlog_at(folder, BESIDE_MLFLOW), mlflow_at(folder, BESIDE_MLFLOW)
    for title, (text, order) in SHARED.items():
        _, us, found = timed(ours, text, order)
        _, them, same = timed(theirs, text, order)
        print(f"{us:8.1f} ms, MLflow {them:8.1f} ms: x{them / us:5.1f} {found:4}/{same:<4} {title}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
