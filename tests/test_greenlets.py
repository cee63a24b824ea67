"""Where threads are greenlets, of gevent or eventlet, recording is as ever and forks go well."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from spanlog.entities import Trace

PATCHES = {
    "gevent": "from gevent import monkey; monkey.patch_all()",
    "eventlet": "import warnings; warnings.simplefilter('ignore'); import eventlet; "
    "eventlet.monkey_patch()",
}
# What spawns several at once and waits for all.
RUNS = {
    "gevent": "import gevent; gevent.joinall([gevent.spawn(*one) for one in work])",
    "eventlet": "p = eventlet.GreenPool(); [p.spawn(*one) for one in work]; p.waitall()",
}
FORKS = {
    "subprocess": "subprocess.run([sys.executable, '-c', 'print(1)'], stdout=subprocess.DEVNULL)",
    "a function before it": "subprocess.run(['true'], preexec_fn=lambda: None)",
    "fork": "child = os.fork() or leave(); os.waitpid(child, 0)",
}
CODE = """
{first}
import os, subprocess, sys, time, spanlog
{later}
spanlog.autolog()
ran = []
def leave():
    with spanlog.start_span('child'):
        pass
    os._exit(ran != before)  # where nothing of the parent's may have gone on
@spanlog.trace
def forks():
    global before
    before = list(ran)
    {fork}
def records():
    for n in range(40):
        with spanlog.start_span('busy'):
            time.sleep(0.001)
        ran.append(n)
work = [(records,)] * 3 + [(forks,)] * 6
{run}
assert spanlog.flush()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize(
    "order", ["patched first", pytest.param("patched later", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    "fork",
    [
        pytest.param(FORKS["subprocess"], id="subprocess", marks=pytest.mark.slow),
        pytest.param(
            FORKS["a function before it"], id="a function before it", marks=pytest.mark.slow
        ),
        pytest.param(FORKS["fork"], id="fork"),
    ],
)
@pytest.mark.parametrize("kind", ["gevent", pytest.param("eventlet", marks=pytest.mark.slow)])
def test_subprocesses_beside_greenlets_that_record_go_well(
    tmp_path: Path, traces: Callable[[], list[Trace]], kind: str, fork: str, order: str
) -> None:
    if not importlib.util.find_spec(kind):
        pytest.skip(f"{kind} is not installed")
    patch = {order: PATCHES[kind]}
    code = CODE.format(
        first=patch.get("patched first", ""),
        later=patch.get("patched later", ""),
        fork=fork.replace("os.waitpid(child, 0)", "assert os.waitpid(child, 0)[1] == 0"),
        run=RUNS[kind],
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    names = [trace.info.name for trace in traces()]
    assert (names.count("busy"), names.count("forks")) == (120, 6)
