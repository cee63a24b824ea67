"""Measure and print a table: `python -m tests.benchmarks [--quick] [--only NAME]`.

All rounds are interleaved: each library in turn, in its own process, runs the program untraced and
traced. A round gives the lower quartile of its calls; shown is the best round, which other
programs have disturbed least. Nothing leaves the loopback interface; no slow machine fails.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack, closing
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fixtures.loopback import Loopback  # noqa: E402
from fixtures.openai_routes import router  # noqa: E402
from tests.benchmarks.measures import MEASURES, Measure, Round  # noqa: E402
from tests.benchmarks.tracers import TRACERS  # noqa: E402

_ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(sys.path[:2]),
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "OTEL_BSP_MAX_QUEUE_SIZE": "100000",
    "PYTHONWARNINGS": "ignore",
    "PYTHONDONTWRITEBYTECODE": "",  # nobody imports an installed library without its bytecode
}
_IMPORT = Measure("import", lambda tracer, server: (0.0, 0.0))


class Worker:
    """A process in which one library is measured."""

    def __init__(self, name: str, server: str) -> None:
        self.name = name
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker", name, server],
            cwd=self.folder.name,  # MLflow writes there whatever it is told
            env=_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if name == "spanlog" else subprocess.DEVNULL,
            text=True,
        )
        self.ready = self._read() == "ready"

    def _read(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def round(self, measure: Measure) -> Round | None:
        """Run one round; None for what the library does not offer or cannot do."""
        assert self.process.stdin is not None
        try:
            print(measure.name, file=self.process.stdin, flush=True)
        except BrokenPipeError:
            return None
        found = json.loads(self._read() or "null")
        return None if found is None else (found[0], found[1])

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        self.folder.cleanup()


def _run(code: str, *options: str) -> tuple[float, str]:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=tempfile.gettempdir(),
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    return time.perf_counter() - start, done.stderr


def _imported(code: str) -> float:
    """Return the milliseconds that `-X importtime` counts for the modules of a program."""
    rows = re.findall(r"^import time: +(\d+) \|", _run(code, "-X", "importtime")[1], re.M)
    return sum(map(int, rows)) / 1000


def _rounds(
    measure: Measure, workers: list[Worker], server: str, most: int, budget: float
) -> dict[str, list[Round]]:
    """Run rounds of a measure in all workers by turns; none goes on beyond its time."""
    found: dict[str, list[Round]] = defaultdict(list)
    spent: dict[str, float] = defaultdict(float)
    for _ in range(1 if measure.fresh else most):
        for worker in workers:
            if spent[worker.name] > budget:
                continue
            start = time.perf_counter()
            if measure is _IMPORT:
                result: Round | None = (_run("pass")[0], _run(TRACERS[worker.name].imports)[0])
            elif measure.fresh:
                with closing(Worker(worker.name, server)) as fresh:
                    result = fresh.round(measure)
            else:
                result = worker.round(measure)
            spent[worker.name] += time.perf_counter() - start
            if result is None:
                spent[worker.name] = float("inf")
            else:
                found[worker.name].append(result)
    return found


def _show(value: float, kind: str) -> str:
    if kind == "rate":
        return f"{value:,.0f}/s"
    if kind == "memory":
        return f"{value / 1e6:,.1f} MB"
    units = (("s", 1.0), ("ms", 1e3), ("us", 1e6))
    unit, scale = next((u for u in units if abs(value) * u[1] >= 1), units[-1])
    number = value * scale
    return f"{number:,.{0 if abs(number) >= 100 else 1 if abs(number) >= 10 else 2}f} {unit}"


def _row(measure: Measure, rounds: dict[str, list[Round]], names: list[str]) -> list[str]:
    """Return the cells: untraced, spanlog's cost and ratio, and the others' beside spanlog's."""
    best = max if measure.value == "rate" else min
    base_of = {name: best(base for base, _ in found) for name, found in rounds.items()}
    cost = {name: best(on for _, on in found) - base_of[name] for name, found in rounds.items()}
    ours = cost.get("spanlog")
    if ours is None:
        return [measure.name] + ["-"] * (len(names) + 2)
    base = base_of["spanlog"]
    cells = [measure.name, _show(base, measure.value) if base else "-"]
    cells += [
        _show(ours, measure.value),
        f"{(base + ours) / base:,.{2 if ours < base else 0}f}x" if base else "-",
    ]
    for name in names[1:]:
        times = f" ({cost[name] / ours:,.1f}x)" if ours > 0 and cost.get(name, 0) > 0 else ""
        cells.append(_show(cost[name], measure.value) + times if name in cost else "-")
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 40 seconds: without MLflow")
    parser.add_argument("--only", metavar="NAME", default="", help="measures with this in the name")
    options = parser.parse_args()
    most, budget = (1, 0.0) if options.quick else (7, 2.0)
    chosen = [
        measure
        for measure in (_IMPORT, *MEASURES.values())
        if options.only in measure.name and not (options.quick and measure.fresh)
    ]
    kinds = [name for name, kind in TRACERS.items() if not (options.quick and kind.slow)]
    with ExitStack() as stack:
        server = stack.enter_context(Loopback(router)).url
        started = [stack.enter_context(closing(Worker(name, server))) for name in kinds]
        workers = [worker for worker in started if worker.ready]
        names = [worker.name for worker in workers]
        if names[:1] != ["spanlog"]:
            sys.exit("spanlog could not be measured")
        print(f"Python {sys.version.split()[0]}: what tracing adds, and in brackets how many times")
        print("what spanlog adds. spanlog and MLflow store in SQLite, the others in nothing.\n")
        layout = "{:34}{:>10}{:>11}{:>10}" + "{:>21}" * (len(names) - 1)
        print(layout.format("", "untraced", "spanlog", "ratio", *names[1:]))
        for measure in chosen:
            found = _rounds(measure, workers, server, most, budget)
            print(layout.format(*_row(measure, found, names)), flush=True)
        if _IMPORT in chosen:
            codes = ("pass", "import spanlog", TRACERS["spanlog"].imports)
            bare, first, used = map(_imported, codes)
            print(
                f"\n-X importtime beyond `pass` ({bare:.1f} ms): {codes[1]} {first - bare:.1f} ms,"
            )
            print(f"{codes[2]} {used - bare:.1f} ms")


if __name__ == "__main__":
    main()
