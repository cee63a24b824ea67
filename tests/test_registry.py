"""Integrations are found, loaded with their libraries, and listed; others' as our own."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import spanlog
import spanlog_integrations
from click.testing import CliRunner
from spanlog.cli import app
from spanlog.instrument import imports

HERE = Path(__file__).parent
EXAMPLE = HERE / "spanlog-ollama"

LIBRARY = """
class Client:
    def chat(self, model):
        return {"model": model}
"""
INTEGRATION = """
'''Acme's SDK: chat.'''
from spanlog.instrument import Integration, ModelCall, Target, traced


def begin(call):
    return ModelCall("acme", call.argument(0, "model"), {"model": call.argument(0, "model")})


integration = Integration(
    "acme", "acme_sdk", "acme-sdk", Target("acme_sdk:Client.chat", traced(begin)), tested=("1", "2")
)
autolog = integration.autolog
"""
PROGRAM = """
import sys, spanlog
spanlog.autolog()
print("spanlog_acme" in sys.modules)
import acme_sdk
print("spanlog_acme" in sys.modules)
acme_sdk.Client().chat("m")
print(spanlog.acme.__name__, spanlog.acme.integration.on)
spanlog.acme.autolog(disable=True)
acme_sdk.Client().chat("m")
print(*(span.name for t in spanlog.search_traces(return_type="list") for span in t.data.spans))
"""


def entry_points(folder: Path, name: str, text: str) -> None:
    """Have a package be installed that has entry points."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(textwrap.dedent(text))


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """Give a folder with a library and an integration of another's, as pip would leave them."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "acme_sdk.py").write_text(LIBRARY)
    (folder / "spanlog_acme.py").write_text(INTEGRATION)
    points = """
        [spanlog.integrations]
        acme = spanlog_acme
        [spanlog.modules]
        acme_sdk = acme
    """
    entry_points(folder, "spanlog_acme", points)
    return folder


def run(code: str, packages: Path, cwd: Path) -> tuple[list[str], str]:
    path = os.pathsep.join([str(packages), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines(), done.stderr


@pytest.mark.slow
def test_an_integration_of_another_package_is_loaded_with_its_library_and_turned_on_and_off(
    packages: Path, tmp_path: Path
) -> None:
    printed, warnings = run(PROGRAM, packages, tmp_path)
    assert printed == ["False", "True", "spanlog_acme True", "chat m"]
    assert warnings == ""


def test_one_that_is_broken_is_one_warning_and_harms_no_other(
    packages: Path, tmp_path: Path
) -> None:
    (packages / "spanlog_broken.py").write_text("raise RuntimeError('not today')")
    (packages / "broken.py").write_text("")
    points = "[spanlog.integrations]\nbroken = spanlog_broken\nopenai = spanlog_broken\n"
    entry_points(packages, "spanlog_broken", points)
    code = "import spanlog\nspanlog.autolog()\nimport broken\nspanlog.autolog()\n" + PROGRAM
    printed, warnings = run(code, packages, tmp_path)
    assert printed == ["False", "True", "spanlog_acme True", "chat m"]
    taken, broken = warnings.splitlines()
    assert "openai (spanlog_broken) is passed over" in taken
    assert "broken (spanlog_broken) cannot be loaded" in broken
    assert broken.endswith("broken is not traced (RuntimeError: not today)")


def test_autolog_loads_nothing_that_no_library_needs_yet(packages: Path, tmp_path: Path) -> None:
    code = """
        import sys, spanlog
        spanlog.autolog()
        print(*(m for m in sys.modules if m.startswith("spanlog_integrations.")))
        print(*({"sqlalchemy", "orjson", "asyncio", "openai", "spanlog.runtime"} & {*sys.modules}))
    """
    printed, _ = run(textwrap.dedent(code), packages, tmp_path)
    assert printed == ["spanlog_integrations.threads", ""]


def test_our_own_are_declared_as_others_are() -> None:
    text = (HERE.parent / "pyproject.toml").read_text(encoding="utf-8")
    groups = re.findall(r'\[project.entry-points."spanlog.(\w+)"\]\n(.*?)\n\n', text, re.DOTALL)
    integrations, modules = (
        dict(re.findall(r'^"?([\w.]+)"? = "([\w.]+)"$', table, re.MULTILINE)) for _, table in groups
    )
    own = spanlog_integrations.LIBRARIES
    assert [*own] == [*spanlog.INTEGRATIONS]
    assert integrations == {name: f"spanlog_integrations.{name}" for name in own}
    declared = {
        name: tuple(m for m, of in modules.items() if of == name) or (name,) for name in own
    }
    assert declared == own


@pytest.mark.parametrize("name", sorted({*spanlog.INTEGRATIONS} - {"threads"}))
def test_what_is_listed_as_tested_are_the_versions_of_the_environments(name: str) -> None:
    texts = [p.read_text() for p in (HERE / "environments").glob(f"{name}-*.txt")]
    install = getattr(spanlog, name).integration.install
    found = [re.search(rf"^{install}(?:\[.*\])?==([\d.]+)", t, re.MULTILINE) for t in texts]
    pinned = sorted((v[1] for v in found if v), key=lambda v: [*map(int, v.split("."))])
    assert (pinned[0], pinned[-1]) == getattr(spanlog, name).integration.tested


def test_integrations_are_listed() -> None:
    listed = CliRunner().invoke(app.spanlog, ["integrations", "--json"], catch_exceptions=False)
    found = {each["name"]: each for each in map(json.loads, listed.stdout.splitlines())}
    assert {*spanlog.INTEGRATIONS} <= {*found}
    threads = found["threads"]
    assert threads["on"]
    assert threads["installed"] == ".".join(map(str, sys.version_info[:3]))
    assert found["openai"]["covers"].startswith("OpenAI's SDK: chat, responses")
    assert found["openai"]["on"] == (importlib.util.find_spec("openai") is not None)
    shown = CliRunner().invoke(app.spanlog, ["integrations"], catch_exceptions=False)
    assert shown.stdout.splitlines()[0].split() == ["library", "installed", "tested", "covers"]


# Being told of imports.


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the name of a module that can be imported."""
    (tmp_path / "heard_of.py").write_text("import os\nif os.environ.get('FAIL'): 1 / 0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "heard_of", raising=False)
    return "heard_of"


def test_a_module_that_is_heard_of_is_as_any_other(module: str) -> None:
    heard: list[object] = []
    plain = importlib.util.find_spec(module)
    assert plain
    imports.when_imported(module, heard.append)
    imported = importlib.import_module(module)
    assert heard == [imported]
    assert type(imported.__loader__) is type(plain.loader)
    assert imported.__spec__
    assert imported.__spec__.loader is imported.__loader__
    importlib.reload(imported)
    assert heard == [imported]


def test_an_import_that_fails_is_heard_of_when_it_succeeds(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[object] = []
    imports.when_imported(module, heard.append)
    monkeypatch.setenv("FAIL", "1")
    with pytest.raises(ZeroDivisionError):
        importlib.import_module(module)
    assert (heard, module in sys.modules) == ([], False)
    monkeypatch.delenv("FAIL")
    assert heard == [importlib.import_module(module)]


# The example.


def test_the_example_of_the_page_is_the_package_that_is_tested_here() -> None:
    page = (HERE.parent / "docs" / "write-an-integration.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:python|toml)\n(.*?)```", page, re.DOTALL)
    for file in ("spanlog_ollama.py", "test_spanlog_ollama.py", "pyproject.toml"):
        text = (EXAMPLE / file).read_text(encoding="utf-8")
        assert text in blocks, file
    assert len((EXAMPLE / "spanlog_ollama.py").read_text(encoding="utf-8").splitlines()) < 60


@pytest.mark.slow
def test_the_example_is_installed_and_passes_the_conformance_suite(tmp_path: Path) -> None:
    pytest.importorskip("ollama", reason="the example traces Ollama's SDK")
    site = tmp_path / "site"
    install = ["install", "-q", "--no-deps", "--target", str(site), str(EXAMPLE)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True)
    chosen = "is_a_span or whole_reply or left_early or error_reply or cannot_be_told or puts_back"
    suite = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pyproject.toml", "-k", chosen]
    done = subprocess.run(
        [sys.executable, *suite, "test_spanlog_ollama.py"],
        cwd=EXAMPLE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 20  # type: ignore[index]
