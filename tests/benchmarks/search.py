"""Fill a store and print how long searches take: `python -m tests.benchmarks.search [TRACES]`.

A trace has ten spans, of which three are model calls with some sentences in and out. Each search is
run five times; shown are the first and the best.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

import spanlog
from spanlog.client import TracingClient
from spanlog.recorder import recorder
from spanlog.store import current_store

SEARCHES = {
    "newest 50": {},
    "status = 'ERROR'": {},
    "tags.env = 'prod'": {},
    "session = 's-7'": {},
    "execution_time_ms > 5 AND tags.env = 'dev'": {},
    "tokens > 900": {},
    "span.type = 'TOOL' AND span.status = 'ERROR'": {},
    "span.model = 'rare-model'": {},
    "span.model = 'gpt-4o'": {},
    "span.duration_ms > 1": {},
    "span.attributes.tenant = 't-3'": {},
    "NOT span.status = 'ERROR'": {},
    "trace.text LIKE '%umbrella%'": {},
    "trace.text LIKE '%needle17%'": {},
    "trace.text LIKE '%nothing of the kind%'": {},
    "name = 'agent' ": {"order_by": ["tokens DESC"]},
    "name = 'agent'  ": {"order_by": ["execution_time_ms DESC"]},
}
WORDS = [
    f"{a}{b}"
    for a in ("rain", "cloud", "sun", "wind", "snow", "storm", "fog", "city")
    for b in ("", "y", "s", "fall", "light", "line", "side", "map", "time", "er")
]


def fill(traces: int) -> float:
    """Record traces and return the microseconds of CPU per span that it took."""
    random.seed(1)
    chance = random.random
    began = time.process_time()
    for i in range(traces):
        said = " ".join(random.choices(WORDS, k=60))
        root = spanlog.start_span_no_context(
            "agent", "AGENT", tags={"env": "prod" if chance() < 0.7 else "dev"}
        )
        root.trace.metadata["mlflow.trace.session"] = f"s-{i // 10}"
        root.set_inputs({"question": f"{said} {'umbrella' if i % 20 == 0 else ''} needle{i}"})
        for j in range(9):
            span = spanlog.start_span_no_context(
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
        if len(recorder._queue) > 20_000:
            spanlog.flush()
    spanlog.flush()
    return (time.process_time() - began) / traces / 10 * 1e6


def main(traces: int) -> None:
    """Fill a store, search in it, and print the times."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spanlog.db"
        spanlog.set_tracking_uri(str(path))
        cost = fill(traces)
        size = path.stat().st_size / 1e6
        print(
            f"{traces:,} traces, {traces * 10:,} spans: {cost:.0f} us of CPU a span, {size:,.0f} MB"
        )
        client = TracingClient()
        client.search_traces(filter_string="name = 'x'")
        for text, how in SEARCHES.items():
            times, found = [], 0
            for _ in range(5):
                began = time.perf_counter()
                found = len(
                    client.search_traces(
                        filter_string=None if text.startswith("newest") else text,
                        max_results=50,
                        include_spans=False,
                        **how,  # type: ignore[arg-type]
                    )
                )
                times.append((time.perf_counter() - began) * 1000)
            order = "".join(how.get("order_by", ()))
            print(f"{times[0]:8.1f} ms {min(times):8.1f} ms {found:4}  {text.strip()}  {order}")
        current_store().close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
