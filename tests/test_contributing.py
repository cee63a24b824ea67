"""What CONTRIBUTING says, where a test can tell whether it is so."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
from importlib.metadata import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import spanlog
from conformance import DESCRIBED
from frameworks import FRAMEWORKS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
HOUSE = TEXT.split("## The house")[1].split("## Rules")[0]
SOURCES = {
    folder: sorted((ROOT / folder).rglob("*.py"))
    for folder in ("core", "integrations", "tests", "fixtures")
}
SCRIPTS = sorted((ROOT / "core").rglob("*.js"))
PARSED = {path: ast.parse(path.read_bytes()) for paths in SOURCES.values() for path in paths}


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def broad_handlers(paths: list[Path]) -> Iterator[tuple[str, ast.ExceptHandler]]:
    """Give each `except` for any error, and where it is."""
    for path in paths:
        for node in ast.walk(PARSED[path]):
            if isinstance(node, ast.ExceptHandler):
                kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
                named = {kind.id for kind in kinds if isinstance(kind, ast.Name)}
                if node.type is None or named & {"Exception", "BaseException"}:
                    yield f"{name(path)}:{node.lineno}", node


def raises_again(handler: ast.ExceptHandler) -> bool:
    return isinstance(handler.body[-1], ast.Raise)


def reason(where: str) -> str:
    """Return why the `except` of a line is broad."""
    path, line = where.split(":")
    said = re.search(r"# noqa: BLE001.* - (\S.*)", text_of(ROOT / path).splitlines()[int(line) - 1])
    return said[1] if said else ""


def called(node: ast.AST) -> set[str]:
    functions = [call.func for call in ast.walk(node) if isinstance(call, ast.Call)]
    return {ast.unparse(function).rpartition(".")[2] for function in functions}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(PARSED[path]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def commands() -> list[str]:
    """Return the commands that CONTRIBUTING names, without their comments."""
    shown = re.findall(r"^\$ (.*)$", TEXT, re.MULTILINE)
    within = re.findall(r"`((?:python|pytest|\.ci)\b[^`]*)`", TEXT.replace("\n", " "))
    plain = [" ".join(shlex.split(command, comments=True)) for command in [*shown, *within]]
    return [part for command in plain for part in command.split(" && ")]


# Set up.


@pytest.mark.parametrize("command", commands())
def test_a_command_that_is_named_is_there(command: str) -> None:
    program, *arguments = shlex.split(command)
    if Path(program).name in {"python", "python3"} and arguments[0] == "-m":
        assert find_spec(arguments[1])
    for path in [program, *arguments]:
        if "/" in path and not path.startswith(".venv/"):
            assert (ROOT / path).exists(), path
    for extra in re.findall(r"\.\[(.*)\]", command):
        assert extra in metadata("spanlog").get_all("Provides-Extra", [])


@pytest.mark.parametrize("library", re.findall(r"environments/run\.py (\w+)", TEXT))
def test_a_library_that_is_an_example_has_environments(library: str) -> None:
    assert list((ROOT / "tests/environments").glob(f"{library}-*.txt"))


@pytest.mark.parametrize("library", re.findall(r"suites/run\.py (\w+)", TEXT))
def test_a_library_that_is_an_example_has_a_suite(library: str) -> None:
    assert library in runpy.run_path(str(ROOT / "tests/suites/libraries.py"))["SUITES"]


@pytest.mark.parametrize("step", ["ruff check", "ruff format --check", "mypy", "pyright"])
def test_what_must_pass_is_a_step_of_ci(step: str) -> None:
    assert step in (ROOT / ".ci/run").read_text(encoding="utf-8")


def test_ci_finds_the_two_commands_of_the_readme_that_it_runs() -> None:
    script = (ROOT / ".ci/run").read_text(encoding="utf-8")
    (pattern,) = re.findall(r"sed -n 's/\^\\\$ \\\((.*)\\\)\$/", script)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    tries, tests = re.findall(rf"^\$ ({pattern})$", readme, re.MULTILINE)
    assert tries.endswith("spanlog demo")
    assert "-m pytest && " in tests
    assert tests.endswith("tests/environments/run.py")


# The quick part.


def test_without_a_choice_all_tests_run(pytestconfig: pytest.Config) -> None:
    assert not {"-m", "-k", "--ignore", "--deselect"} & set(pytestconfig.getini("addopts"))


# The house.


@pytest.mark.parametrize(
    "path",
    sorted(
        {
            *re.findall(r"^ *([\w./]+/)(?: |$)", HOUSE, re.MULTILINE),
            *re.findall(r"`((?:tests|fixtures|core|integrations|\.ci)/[\w./]+)`", TEXT),
        }
    ),
)
def test_a_path_that_is_named_is_there(path: str) -> None:
    assert (ROOT / path).exists()


def test_the_first_line_of_a_module_tells_its_job() -> None:
    firsts = {path: (ast.get_docstring(PARSED[path]) or "").partition("\n")[0] for path in PARSED}
    assert [name(path) for path in firsts if not re.fullmatch(r"\S.*[.:;]", firsts[path])] == []


def test_the_first_line_of_a_script_tells_its_job() -> None:
    firsts = {path: path.read_text(encoding="utf-8").partition("\n")[0] for path in SCRIPTS}
    assert firsts
    assert [name(path) for path in firsts if not re.match(r"(//|/\*\*?) \S", firsts[path])] == []


def test_the_core_imports_no_genai_library() -> None:
    modules = {getattr(spanlog, each).integration.module for each in spanlog.INTEGRATIONS}
    libraries = tuple(sorted(modules - {"threading"}))
    found = {
        (name(path), module)
        for path in SOURCES["core"]
        for module in imported(path)
        if f"{module}.".startswith(tuple(f"{library}." for library in libraries))
    }
    assert found == set()


def test_every_test_file_lies_flat() -> None:
    tests = ROOT / "tests"
    files = {path for path in tests.rglob("test_*.py") if path.parent != tests / "spanlog-ollama"}
    assert files == set(tests.glob("test_*.py"))  # that is somebody else's package, as an example


# The rules.


def test_a_broad_except_of_an_integration_raises_again() -> None:
    handlers = broad_handlers(SOURCES["integrations"])
    assert [where for where, handler in handlers if not raises_again(handler)] == []


def test_a_broad_except_of_the_core_raises_again_or_says_why_not() -> None:
    silent = [
        where
        for where, handler in broad_handlers(SOURCES["core"])
        if not (raises_again(handler) or reason(where) or "/testing/" in where)
    ]
    assert silent == []


def test_what_is_called_the_guard_reports() -> None:
    guards = [
        (where, handler)
        for where, handler in broad_handlers(SOURCES["core"])
        if reason(where).startswith("the guard")
    ]
    assert guards
    assert [where for where, guard in guards if not {"report", "_report"} & called(guard)] == []


def test_no_integration_asks_for_a_version() -> None:
    asks = re.compile(r"__version__|importlib\.metadata|pkg_resources|sys\.version")
    assert [name(path) for path in SOURCES["integrations"] if asks.search(text_of(path))] == []


# Tests.


def test_no_test_patches_with_mocks() -> None:
    patches = re.compile(r"^(from|import) .*\b(pytest_)?mock.*\bpatch\b|\bmock\.patch\b|\bmocker\b")
    ours = Path(__file__)
    tests = [path for path in (*SOURCES["tests"], *SOURCES["fixtures"]) if path != ours]
    assert [name(path) for path in tests if patches.search(text_of(path))] == []


@pytest.mark.parametrize("library", sorted({*spanlog.INTEGRATIONS} - {"threads"}))
def test_every_integration_is_in_the_conformance_suite(library: str) -> None:
    assert library in {each.name for each in (*DESCRIBED, *FRAMEWORKS)}
