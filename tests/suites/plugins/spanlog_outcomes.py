"""A plugin of pytest: writes how each test ended, a line of JSON each, as it ends."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

_ended: dict[str, dict[str, str]] = {}


def write(**fact: Any) -> None:
    """Add a line to the file of outcomes."""
    with Path(os.environ["SUITE_OUTCOMES"]).open("a", encoding="utf-8") as file:
        file.write(json.dumps(fact) + "\n")


def said(error: object) -> str:
    """Return the first line of what an error says, cut to what fits a line."""
    return (str(error).strip().splitlines() or [""])[0][:160]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Take down what is not just passed; of several things the last."""
    report = yield
    if report.passed and not hasattr(report, "wasxfail"):
        _ended.setdefault(item.nodeid, {"outcome": "passed"})
        return report
    if hasattr(report, "wasxfail"):
        outcome = "xfailed" if report.skipped else "xpassed"
    elif report.skipped:
        outcome = "skipped"
    else:
        outcome = "failed" if report.when == "call" else "error"
    error = call.excinfo
    _ended[item.nodeid] = {
        "outcome": outcome,
        "error": error.typename if error else "",
        "reason": said(error.value) if error else "",
    }
    return report


def pytest_runtest_logfinish(nodeid: str) -> None:
    """Write how a test ended."""
    write(test=nodeid, **_ended.pop(nodeid, {"outcome": "not run"}))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Write what could not be collected."""
    if not report.passed:
        last = str(report.longrepr).strip().splitlines()[-1]
        outcome = "skipped" if report.skipped else "error"
        write(test=report.nodeid, outcome=outcome, error="collection", reason=said(last))
