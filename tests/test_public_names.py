"""What `import spanlog` gives, and what it does not load."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import spanlog
import spanlog_integrations
from spanlog import entities

HEAVY = (
    "wrapt",
    "sqlalchemy",
    "orjson",
    "pandas",
    "opentelemetry",
    "openai",
    "asyncio",
    "pydantic",
)


def run(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    "code", ["import spanlog", "import spanlog; dir(spanlog); spanlog.__all__"]
)
def test_importing_spanlog_loads_nothing_heavy(code):
    assert run(f"{code}; import sys; print(*(m for m in {HEAVY} if m in sys.modules))") == []


def test_importing_spanlog_loads_no_integration():
    code = "import spanlog, sys; print(*(m for m in sys.modules if m.startswith('spanlog')))"
    assert run(code) == ["spanlog"]


def test_every_public_name_resolves():
    for name in spanlog.__all__:
        assert getattr(spanlog, name) is not None
    assert sorted(spanlog.__all__) == list(spanlog.__all__)
    assert set(spanlog.__all__) <= set(dir(spanlog))
    public = {}
    exec("from spanlog import *", public)
    assert set(spanlog.__all__) == set(public) - {"__builtins__"}


def test_a_type_checker_sees_the_same_names():
    source = Path(spanlog.__file__).read_text(encoding="utf-8").split("TYPE_CHECKING:")[1]
    imported = {line.split()[-1] for line in source.splitlines() if " import " in line}
    assert imported | {"genai", "langgraph"} == set(spanlog.__all__)
    assert "    genai = gemini\n    langgraph = langchain\n" in source


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'spanlog' has no attribute 'nonsense'"):
        _ = spanlog.nonsense


def test_the_integrations_are_the_modules_on_disk():
    files = Path(spanlog_integrations.__file__).parent.glob("[!_]*.py")
    assert sorted(spanlog.INTEGRATIONS) == sorted(file.stem for file in files)


@pytest.mark.parametrize("name", sorted({*spanlog.INTEGRATIONS} - {"threads"}))
def test_every_integration_is_tested_on_its_oldest_and_its_newest_version(name):
    pins = (Path(__file__).parent / "environments").glob(f"{name}-*.txt")
    assert len(list(pins)) >= 2


@pytest.mark.parametrize("name", spanlog.INTEGRATIONS)
def test_every_integration_is_turned_on_in_the_same_way(name):
    autolog = getattr(spanlog, name).autolog
    assert str(inspect.signature(autolog)).startswith(
        "(log_traces: 'bool' = True, disable: 'bool' = False, silent: 'bool' = False"
    )


def members(owner):
    for name, value in vars(owner).items():
        if not name.startswith("_") and (inspect.isroutine(value) or isinstance(value, property)):
            yield f"{owner.__name__}.{name}", value


def public():
    for name in spanlog.__all__:
        value = getattr(spanlog, name)
        if inspect.ismodule(value):
            names = getattr(value, "__all__", [n for n in vars(value) if not n.startswith("_")])
            found = [getattr(value, n) for n in names]
            home = (value.__name__, "spanlog.entities", "spanlog.spans")
            yield value.__name__, value
        else:
            found, home = [value], ("",)
        for thing in found:
            mine = getattr(thing, "__module__", "").startswith(home)
            if (inspect.isclass(thing) or inspect.isroutine(thing)) and mine:
                yield thing.__qualname__, thing
                yield from members(thing) if inspect.isclass(thing) else ()


@pytest.mark.parametrize("thing", [pytest.param(v, id=n) for n, v in dict(public()).items()])
def test_everything_public_says_what_it_is(thing):
    assert inspect.getdoc(thing)


@pytest.mark.parametrize("name", entities.__all__)
def test_entities_are_found_by_mlflows_names(name):
    assert getattr(importlib.import_module("spanlog.entities"), name)
