"""The floors of the house: who imports whom."""

import ast
import subprocess
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).parent.parent
SHOWS_ITSELF = {"spanlog.display.tree", "spanlog.display.page"}  # a trace does


def test_a_floor_imports_only_from_floors_below() -> None:
    code = "from importlinter import cli; raise SystemExit(cli.lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def circles(graph: grimp.ImportGraph) -> list[list[str]]:
    """Return the modules that import one another, directly or not (Tarjan's components)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for imported in graph.find_modules_directly_imported_by(module):
            if imported not in order:
                visit(imported)
                lowest[module] = min(lowest[module], lowest[imported])
            elif imported in stack:
                lowest[module] = min(lowest[module], order[imported])
        if lowest[module] == order[module]:
            start = stack.index(module)
            if len(stack) - start > 1:
                found.append(sorted(stack[start:]))
            del stack[start:]

    for module in sorted(graph.modules):
        if module not in order:
            visit(module)
    return found


def test_nothing_imports_itself_in_a_circle_not_in_functions_nor_for_types() -> None:
    graph = grimp.build_graph("spanlog", "spanlog_integrations", cache_dir=None)
    for shown in SHOWS_ITSELF:
        graph.remove_import(importer="spanlog.model.trace", imported=shown)
    # The package's own names are typed by what they are.
    for module in graph.find_modules_directly_imported_by("spanlog"):
        graph.remove_import(importer="spanlog", imported=module)
    assert circles(graph) == []


def lines_of_code(path: Path) -> int:
    """Count the lines of a file that are neither empty, nor comment, nor docstring."""
    text = path.read_text(encoding="utf-8")
    explained: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        if isinstance(node, documented) and ast.get_docstring(node) is not None:
            said = node.body[0]
            explained.update(range(said.lineno, (said.end_lineno or said.lineno) + 1))
    lines = [line.strip() for line in text.splitlines()]
    code = (line and line[0] != "#" and i not in explained for i, line in enumerate(lines, 1))
    return sum(map(bool, code))


def test_the_tracing_core_is_small() -> None:
    folders = (ROOT / "core" / "spanlog" / name for name in ("model", "record", "instrument"))
    files = [file for folder in folders for file in folder.rglob("*.py")]
    assert sum(map(lines_of_code, files)) < 5_300


ALONE = """
import sys

class Away:
    def find_spec(self, name, path=None, target=None):
        away = ("store", "api", "transfer", "display", "ui", "cli", "runtime", "client")
        if name.startswith(tuple(f"spanlog.{floor}" for floor in away)) or name == "sqlalchemy":
            raise ImportError(name)

sys.meta_path.insert(0, Away())
from spanlog.instrument import Integration, Target
from spanlog.record import default_recorder, start_span, trace

class Kept(list):
    def write(self, spans, headers):
        self += [(span.name, span.inputs, span.outputs) for span in spans]

default_recorder().sink = kept = Kept()

@trace
def double(x):
    return 2 * x

with start_span("work"):
    double(21)
assert default_recorder().flush()
assert kept == [("double", {"x": 21}, 42), ("work", None, None)], kept
"""


def test_the_tracing_core_works_without_store_views_and_commands(tmp_path: Path) -> None:
    command = [sys.executable, "-c", ALONE]
    (folder := tmp_path / "empty").mkdir()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
