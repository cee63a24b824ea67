"""Run the tests of each library against each version that is pinned here.

    python tests/environments/run.py            # all
    python tests/environments/run.py openai     # one library
    python tests/environments/run.py openai-1.0.0

A file `<library>-<version>.txt` pins the versions of an environment; it is made under `.envs` and
used again until the pins or `pyproject.toml` change. What runs there are the tests that are named
after the library, `tests/test_<library>*.py`, and those that all SDKs or all frameworks share.
A line `# Python 3.11` says what the pinned versions need at least; older ones leave the file out.
Versions in `overrides/<library>-<version>.txt` stand in for those that a pinned package asks for
and that are no more to be had.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parent.parent
ENVIRONMENTS = PROJECT / ".envs"
TESTS = PROJECT / "tests"
FRAMEWORKS = ("dspy", "langchain", "langgraph", "llama_index")
_SUMMARY = re.compile(r"\d+ (passed|failed|skipped|errors?)\b.* in ")
NEEDS = ("hypothesis", "pytest", "pytest-asyncio", "typing-extensions")


def main(wanted: list[str]) -> int:
    """Run what is wanted, all by default; return how the program ends."""
    pins = [
        path
        for path in sorted(HERE.glob("*-*.txt"))
        if not wanted or path.stem in wanted or library_of(path) in wanted
    ]
    if not pins:
        print(f"nothing is pinned for {' '.join(wanted)}", file=sys.stderr)
        return 2
    for pin in [pin for pin in pins if sys.version_info < needed(pin)]:
        print(f"{pin.stem:24} is left out: it needs Python {'.'.join(map(str, needed(pin)))}")
        pins.remove(pin)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        codes = []
        for pin, seconds, code, output in pool.map(run, pins):
            if code:
                print(output)
            summary = [line for line in output.splitlines() if _SUMMARY.search(line)] or [output]
            told = f"{summary[-1].strip('= ')}, {seconds:.0f} s with what it needed"
            print(f"{pin.stem:24} {told}", flush=True)
            codes.append(code)
    return int(any(codes))


def needed(pin: Path) -> tuple[int, ...]:
    """Return the oldest Python that a file's versions run on."""
    said = re.search(r"^# Python (\d+)\.(\d+)$", pin.read_text(), re.MULTILINE)
    return tuple(map(int, said.groups())) if said else (0,)


def library_of(pin: Path) -> str:
    """Return the library that a file pins."""
    return pin.stem.rpartition("-")[0]


def run(pin: Path) -> tuple[Path, float, int, str]:
    """Make the environment of some pins and run the tests there."""
    started = time.monotonic()
    try:
        python = environment(pin)
    except subprocess.CalledProcessError as error:
        return pin, time.monotonic() - started, 1, f"{pin.stem}: {error.stdout}{error.stderr}"
    library = library_of(pin)
    framework = library in FRAMEWORKS
    shared = "test_frameworks.py" if framework else "test_conformance.py"
    tests = [TESTS / shared, *sorted(TESTS.glob(f"test_{library}*.py")), "-rf"]
    chosen = [] if framework else ["-k", library]
    command = [python, "-m", "pytest", "-p", "no:cacheprovider", *tests, *chosen]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return pin, time.monotonic() - started, done.returncode, done.stdout


def environment(pin: Path) -> Path:
    """Return the Python of the environment of some pins, made now where it is not there."""
    folder = ENVIRONMENTS / pin.stem
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    made_of = folder / "made-of.txt"
    overrides = HERE / "overrides" / pin.name
    made = [pin, PROJECT / "pyproject.toml", *([overrides] if overrides.exists() else [])]
    state = hashlib.sha256(b"".join(path.read_bytes() for path in made)).hexdigest()
    if made_of.exists() and made_of.read_text() == f"{state} {sys.version}":
        return python
    shutil.rmtree(folder, ignore_errors=True)
    what = ["-r", str(pin), "-e", str(PROJECT), *NEEDS]
    if uv := uv_command():
        what += ["--override", str(overrides)] if overrides.exists() else []
        call([*uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
        # Certificates are the machine's, as with pip.
        call([*uv, "pip", "install", "--native-tls", "--quiet", "--python", str(python), *what])
    else:
        venv.create(folder, with_pip=True)
        call([str(python), "-m", "pip", "install", "--quiet", *what])
    made_of.write_text(f"{state} {sys.version}")
    return python


def uv_command() -> list[str] | None:
    """Return how uv is called here; None where there is none."""
    if importlib.util.find_spec("uv"):
        return [sys.executable, "-m", "uv"]
    found = shutil.which("uv")
    return [found] if found else None


def call(command: list[str]) -> None:
    """Run a command that must end well."""
    subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
