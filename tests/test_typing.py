"""The types that users see, in the source and in the built wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
FILES = Path(__file__).parent / "typing"

MYPY = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-incremental"]
PYRIGHT = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]

pytest.importorskip("mypy", reason="type checkers come with the extra [dev]")
pytest.importorskip("pyright", reason="type checkers come with the extra [dev]")


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel_environment(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Build the wheel, install it away from the source, and return where."""
    built = tmp_path_factory.mktemp("wheel")
    source = built / "source"
    shutil.copytree(
        ROOT, source, ignore=shutil.ignore_patterns(".git", ".venv*", ".envs", "*.db*", ".*_cache")
    )
    pip = [sys.executable, "-m", "pip", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(built), str(source)], check=True)
    (wheel,) = built.glob("*.whl")
    site = built / "site"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(site), str(wheel)], check=True)
    return [str(wheel), str(site)]


def test_wheel_holds_both_packages_and_their_markers(wheel_environment: list[str]) -> None:
    import zipfile

    names = set(zipfile.ZipFile(wheel_environment[0]).namelist())
    assert {"spanlog/py.typed", "spanlog_integrations/py.typed"} <= names
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "spanlog",
        "spanlog_integrations",
    }


@pytest.mark.parametrize("checker", [MYPY, PYRIGHT], ids=["mypy", "pyright"])
@pytest.mark.parametrize("where", ["source", "wheel"])
def test_checker_accepts_a_program_and_finds_each_mistake(
    checker: list[str], where: str, wheel_environment: list[str], tmp_path: Path
) -> None:
    roots = [wheel_environment[1]] if where == "wheel" else [f"{ROOT}/core", f"{ROOT}/integrations"]
    for name in ("program.py", "mistakes.py"):
        shutil.copy(FILES / name, tmp_path)
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = true\nmypy_path = {':'.join(roots)}\n")
    extra = ", ".join(f'"{root}"' for root in roots)
    (tmp_path / "pyrightconfig.json").write_text(
        f'{{"extraPaths": [{extra}], "include": ["program.py", "mistakes.py"]}}'
    )
    if checker is MYPY:
        checker = [part.replace("--config-file=", "--config-file=mypy.ini") for part in MYPY]
        printed = run(*checker, "program.py", "mistakes.py", cwd=tmp_path)
    else:
        printed = run(*checker, cwd=tmp_path)
    found = set(re.findall(r"(program|mistakes)\.py:(\d+):.*\berror\b", printed))
    assert {line for file, line in found if file == "program"} == set(), printed
    wrong = {"11", "12", "13", "14"}
    assert {line for file, line in found if file == "mistakes"} == wrong, printed
