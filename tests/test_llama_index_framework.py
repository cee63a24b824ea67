"""LlamaIndex does what every framework's integration does: see `test_frameworks.py`."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
from frameworks import Framework, Program, autolog  # noqa: F401 - a fixture
from test_frameworks import *  # noqa: F403 - its tests run for LlamaIndex here

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

if importlib.util.find_spec("llama_index") is None:
    pytest.skip("LlamaIndex is not installed", allow_module_level=True)

pytestmark = [pytest.mark.filterwarnings("ignore")]


class LlamaIndex(Framework):
    """A query engine of the program's own, that asks a model and then the user's function."""

    name = "llama_index"
    module = "llama_index.core"

    def __init__(self, a: str = "") -> None:
        self.tree = f"""
            Asking.{a}query CHAIN
              MockLLM.{a}complete LLM
              step UNKNOWN
        """

    def program(self, step: Callable[[str], Any], *, is_async: bool) -> Callable[[str], Any]:
        from llama_index.core.llms import MockLLM
        from llama_index.core.query_engine import CustomQueryEngine

        model = MockLLM()

        class Asking(CustomQueryEngine):
            def custom_query(self, query_str: str) -> str:
                return str(step(model.complete(query_str).text))

            async def acustom_query(self, query_str: str) -> str:
                return str(await step((await model.acomplete(query_str)).text))

        asking = Asking()

        def run(text: str) -> str:
            return str(asking.query(text))

        async def run_later(text: str) -> str:
            return str(await asking.aquery(text))

        return run_later if is_async else run

    def hooks(self) -> Sequence[Any]:
        from llama_index.core.instrumentation import get_dispatcher

        root = get_dispatcher()
        return [*root.span_handlers, *root.event_handlers]


@pytest.fixture(scope="module")
def framework() -> Framework:
    importlib.import_module("llama_index.core")
    return LlamaIndex()


@pytest.fixture(params=["sync", "async"])
def program(request: pytest.FixtureRequest) -> Program:
    is_async = request.param == "async"
    return Program(LlamaIndex("a" if is_async else ""), is_async=is_async)


def test_turned_on_before_the_import_it_traces_all_the_same(tmp_path: Path) -> None:
    code = """
        import sys, spanlog
        sys.path.insert(0, sys.argv[1])
        spanlog.llama_index.autolog()
        assert "llama_index.core" not in sys.modules
        from frameworks import outline
        from test_llama_index_framework import LlamaIndex
        LlamaIndex().program(spanlog.trace(str.upper, name="step"), is_async=False)("hi")
        print(outline(spanlog.get_trace(spanlog.get_last_active_trace_id())))
    """
    here = next(path for path in sys.path if path.endswith("tests"))
    command = [sys.executable, "-c", textwrap.dedent(code), here]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == textwrap.dedent(LlamaIndex().tree).strip()
