"""Run the test suites of the libraries themselves, untraced and traced, and compare.

    python tests/suites/run.py                                   # all
    python tests/suites/run.py openai langgraph                  # some
    python tests/suites/run.py langchain-core --version 1.7.2
    python tests/suites/run.py dspy --strict                     # errors of ours reach the tests

A library's tests come from its source distribution; `libraries.py` says which there are and what
they need. They run on that same version in an environment of their own under `.envs`, first as they
are, then after `spanlog.autolog()`. A test is equal if it ends in the same way with the same kind
of error; so one that needs the network, which is not to be had, is equal too. The files of those
that differ run again both ways: what does not differ in the same way again is called unsteady.

The program ends with 1 if a test differs that is not listed as right to do so, or if spanlog
reported an error of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from libraries import SUITES, Suite

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
sys.path.insert(0, str(PROJECT))

from fixtures import anthropic_routes, groq_routes, openai_routes  # noqa: E402
from fixtures.loopback import Loopback  # noqa: E402

ENVIRONMENTS = PROJECT / ".envs"
UV = (sys.executable, "-m", "uv")
NEEDS = ("pytest", "pytest-timeout")
# Without the options that the library sets, which have to do with its own CI.
PYTEST = (
    *("-o", "addopts=", "--rootdir=.", "--continue-on-collection-errors", "--timeout=120"),
    *("-q", "-p", "no:cacheprovider", "--tb=native", "--show-capture=no"),
)


@dataclass(frozen=True)
class Ended:
    """How a test ended."""

    outcome: str
    error: str = ""
    reason: str = field(default="", compare=False)

    def __str__(self) -> str:
        return " ".join(filter(None, [self.outcome, f"({self.reason})" if self.reason else ""]))


MISSING = Ended("not run")


@dataclass(frozen=True)
class Run:
    """What became of a suite: how each test ended, and what spanlog warned of."""

    tests: dict[str, Ended]
    warnings: list[str]

    def of(self, test: str) -> Ended:
        """Return how a test ended."""
        return self.tests.get(test, MISSING)


class Place:
    """Where the suite of a library lies and runs.

    Args:
        library: Its name at the package index.
        suite: What its tests need.
        seconds: How long they may take.
    """

    def __init__(self, library: str, suite: Suite, seconds: float) -> None:
        self.suite = suite
        self.seconds = seconds
        self.library = library
        self.folder = ENVIRONMENTS / f"suite-{library}"
        self.source = self.folder / "source"
        self.python = self.folder / "env" / ("Scripts" if os.name == "nt" else "bin") / "python"

    @property
    def version(self) -> str:
        """The version that is here."""
        return self.source.resolve().name.rpartition("-")[2]

    def prepare(self, version: str | None) -> None:
        """Make the environment, with what the source distribution of that version says it needs."""
        shutil.rmtree(self.folder, ignore_errors=True)
        wanted = version or self.suite.version
        extras = f"[{','.join(self.suite.extras)}]" if self.suite.extras else ""
        call([*UV, "venv", "--quiet", "--python", sys.executable, str(self.folder / "env")])
        # The newest is the newest whose dependencies are to be had.
        self.install(f"{self.library}{extras}{f'=={wanted}' if wanted else ''}")
        find = "import sys, importlib.metadata as found; print(found.version(sys.argv[1]))"
        version = call([str(self.python), "-c", find, self.library]).strip()
        self.fetch(version)
        groups = [f"--group={self.source}/pyproject.toml:{group}" for group in self.suite.groups]
        needs = [*NEEDS, *self.suite.needs, *groups, "-e", str(PROJECT)]
        self.install(f"{self.library}{extras}=={version}", *needs)

    def install(self, *what: str) -> None:
        """Install something."""
        # Sources are those of a whole repository, of which the source distribution is a part.
        # Certificates are the machine's, as with pip.
        options = ["--quiet", "--native-tls", "--no-sources", "--python", str(self.python)]
        call([*UV, "pip", "install", *options, *what])

    def fetch(self, version: str) -> None:
        """Download the source distribution and unpack it."""
        folder = self.folder / "sdist"
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest"]
        call([*pip, str(folder), "--no-binary", self.library, f"{self.library}=={version}"])
        (archive,) = folder.iterdir()
        shutil.unpack_archive(archive, folder)
        archive.unlink()
        (unpacked,) = folder.iterdir()
        self.source.symlink_to(unpacked)

    def tests(self) -> list[str]:
        """Return the folders and files of the source distribution that hold tests."""
        found = [path for tests in self.suite.tests for path in sorted(self.source.glob(tests))]
        holding = [path for path in found if path.is_file() or any(path.rglob("test_*.py"))]
        return [str(path.relative_to(self.source)) for path in holding]

    def run(self, url: str, *only: str, traced: bool = False, strict: bool = False) -> Run:
        """Run the suite, or only some of its files."""
        name = "traced" if traced else "untraced"
        outcomes = self.folder / f"{name}{'-again' if only else ''}.jsonl"
        store = outcomes.with_suffix(".db")
        for file in (outcomes, *self.folder.glob(f"{store.name}*")):
            file.unlink(missing_ok=True)
        command = [
            *(["nice"] if shutil.which("nice") else []),
            *(str(self.python), "-m", "pytest", "-p", "spanlog_outcomes"),
            *(("-p", "spanlog_traced") if traced else ()),
            *PYTEST,
            *self.suite.options,
            *(only or self.tests()),
        ]
        # No suite is to call a provider with the keys of whoever runs it.
        variables = {k: v for k, v in os.environ.items() if not k.endswith(("_KEY", "_TOKEN"))}
        variables |= {name: value.format(url=url) for name, value in self.suite.variables.items()}
        variables |= {
            "PYTHONHASHSEED": "0",  # some ids of tests come out of sets
            "PYTHONPATH": str(HERE / "plugins"),
            "SPANLOG_STRICT": str(int(strict)),
            "SPANLOG_TRACKING_URI": str(store),
            "SUITE_OUTCOMES": str(outcomes),
        }
        with outcomes.with_suffix(".log").open("w") as log:
            try:
                code = subprocess.run(
                    command,
                    cwd=self.source,
                    env=variables,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    timeout=self.seconds,
                    check=False,
                ).returncode
            except subprocess.TimeoutExpired:
                code = None
        found = read(outcomes)
        if code not in (0, 1):  # all passed, or some failed
            how = "took too long" if code is None else f"ended with {code}"
            found.warnings.append(f"the {name} run {how}: {outcomes.with_suffix('.log')}")
        return found

    def spans(self) -> int:
        """Return how many spans were recorded of the suite."""
        with closing(sqlite3.connect(self.folder / "traced.db")) as store:
            return int(store.execute("SELECT count(*) FROM spans").fetchone()[0])


def read(outcomes: Path) -> Run:
    """Return what the plugins wrote."""
    lines = outcomes.read_text(encoding="utf-8").splitlines() if outcomes.exists() else []
    facts = [json.loads(line) for line in lines]
    return Run(
        {
            fact["test"]: Ended(fact["outcome"], fact.get("error", ""), fact.get("reason", ""))
            for fact in facts
            if "test" in fact
        },
        [fact["warning"] for fact in facts if "warning" in fact],
    )


def compare(place: Place, url: str, *, strict: bool) -> bool:
    """Run a suite untraced and traced, print what differs; return whether all is right."""

    def both(*only: str) -> tuple[Run, Run]:
        return place.run(url, *only), place.run(url, *only, traced=True, strict=strict)

    runs = both()
    outcomes = Counter(ended.outcome for ended in runs[0].tests.values())
    spans = place.spans()
    tests = runs[0].tests | runs[1].tests
    differing = [test for test in tests if runs[0].of(test) != runs[1].of(test)]
    files = sorted({test.partition("::")[0] for test in differing})
    again = both(*files) if files else runs
    found: dict[str, list[str]] = {"differ": [], "are unsteady": [], "are right to differ": []}
    for test in differing:
        once, twice = ([run.of(test) for run in either] for either in (runs, again))
        right = [why for ids, why in place.suite.differs.items() if fnmatchcase(test, ids)]
        kind = "are right to differ" if right else "differ" if once == twice else "are unsteady"
        ends = [f"untraced {ends[0]}, traced {ends[1]}" for ends in (once, twice)]
        found[kind].append(f"{test}: {'; '.join(right or dict.fromkeys(ends))}")
    warnings = list(dict.fromkeys(said for run in (*runs, *again) for said in run.warnings))
    counts = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    print(
        f"{place.library} {place.version}: {len(tests)} tests ({counts}),"
        f" {len(tests) - len(differing)} equal, {spans} spans",
        *(
            f"{len(those)} {kind}:\n    " + "\n    ".join(those)
            for kind, those in found.items()
            if those
        ),
        *(warning.replace("\n", "\n    ") for warning in warnings),
        sep="\n  ",
        flush=True,
    )
    return bool(tests) and not found["differ"] and not warnings


def call(command: list[str]) -> str:
    """Run a command that must end well; return what it prints."""
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return done.stdout


def main() -> int:
    """Run what is wanted; return how the program ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "library", nargs="*", choices=[[], *SUITES], metavar="library", help="all by default"
    )
    parser.add_argument("--version", help="of the library, the newest by default")
    parser.add_argument("--strict", action="store_true", help="errors of ours reach the tests")
    parser.add_argument("--seconds", type=float, default=3600, help="that one run may take")
    asked = parser.parse_args()
    if unknown := set(asked.library) - SUITES.keys():
        parser.error(
            f"no suite of {', '.join(sorted(unknown))} is known, but of {', '.join(SUITES)}"
        )
    right = True
    routers = (groq_routes.router, anthropic_routes.router, openai_routes.router)
    with Loopback(*routers) as server:
        for library in asked.library or SUITES:
            place = Place(library, SUITES[library], asked.seconds)
            try:
                place.prepare(asked.version)
            except subprocess.CalledProcessError as error:
                print(f"{library}: cannot be had here\n{error.stderr}")
                right = False
                continue
            if place.tests():
                right &= compare(place, server.url, strict=asked.strict)
            else:
                print(f"{library} {place.version}: its source distribution holds no tests")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
