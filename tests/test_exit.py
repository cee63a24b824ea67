"""Whatever way a program ends, what it recorded is in the store."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import spanlog

if TYPE_CHECKING:
    from pathlib import Path

    from spanlog.entities import Trace

Traces = "Callable[[], list[Trace]]"

BEGIN = """
import atexit, os, signal, sys, threading, time
import spanlog
def record(name):
    with spanlog.start_span(name):
        pass
"""


def begin(tmp_path: Path, code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + code],
        cwd=tmp_path,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(tmp_path: Path, code: str) -> tuple[int, str, str]:
    process = begin(tmp_path, code)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def after(tmp_path: Path, code: str, number: int) -> tuple[int, str, str]:
    """Run a program until it says it is ready, then send it a signal."""
    process = begin(tmp_path, code)
    assert process.stdout
    assert process.stdout.readline() == "ready\n", process.stderr and process.stderr.read()
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def names(found: list[Trace]) -> list[str | None]:
    return sorted((trace.info.name for trace in found), key=str)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("end", "status"),
    [("", 0), ("sys.exit(3)", 3), ("raise KeyError('x')", 1), ("os.kill(os.getpid(), 2)", -2)],
    ids=["falling off the end", "sys.exit", "an uncaught exception", "ctrl-c"],
)
def test_all_is_written_at_the_end(tmp_path: Path, traces: Traces, end: str, status: int) -> None:
    code = f"record('a'); spanlog.flush()\nfor _ in range(2000): record('a')\n{end}"
    found = run(tmp_path, code)
    assert found[0] == status
    assert "spanlog" not in found[2]
    assert len(traces()) == 2001


@pytest.mark.slow
def test_the_end_of_a_program_that_records_is_quick(tmp_path: Path) -> None:
    code = "record('a'); spanlog.flush(); print(time.time(), flush=True)"
    _, out, _ = run(tmp_path, code)
    assert time.time() - float(out) < 8  # it may be held up for 10 seconds


def test_a_span_ended_in_an_exit_handler_is_written(tmp_path: Path, traces: Traces) -> None:
    code = """
record('before')
atexit.register(record, 'in a handler registered after spanlog was loaded')
"""
    early = "import atexit\natexit.register(lambda: record('in a handler registered first'))\n"
    process = subprocess.run(
        [sys.executable, "-c", early + BEGIN + code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert len(traces()) == 3


@pytest.mark.slow
def test_a_span_ended_by_a_thread_that_outlives_the_main_one_is_written(
    tmp_path: Path, traces: Traces
) -> None:
    code = """
def late():
    with spanlog.start_span('late'):
        threading.main_thread().join()
        time.sleep(0.3)
threading.Thread(target=late).start()
"""
    assert run(tmp_path, code)[0] == 0
    (trace,) = traces()
    assert trace.info.state == "OK"


_WAITS = {
    "asleep": "time.sleep(60)",
    "at a lock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "in C": "import hashlib; hashlib.pbkdf2_hmac('sha512', b'x', b'y', 100_000_000)",
    "in C that lets no thread run": "re.match('(a+)+$', 'a' * 40 + '!')",
    "in asyncio": """
async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, print)
    hashlib.pbkdf2_hmac('sha512', b'x', b'y', 100_000_000)
asyncio.run(main())""",
}


@pytest.mark.slow
@pytest.mark.parametrize("wait", _WAITS.values(), ids=_WAITS)
def test_sigterm_ends_the_program_at_once_whatever_it_does(
    tmp_path: Path, traces: Traces, wait: str
) -> None:
    code = f"""
import asyncio, hashlib, re
spanlog.autolog()
root = spanlog.start_span('open').__enter__()
record('a')
assert spanlog.flush()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
assert signal.set_wakeup_fd(-1) == -1
print('ready', flush=True)
{wait}
"""
    process = begin(tmp_path, code)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (-signal.SIGTERM, "")
    assert time.monotonic() - began < 5
    (trace,) = traces()
    assert trace.info.state == "INTERRUPTED"
    assert sorted(span.name for span in trace.data.spans) == ["a", "open"]


@pytest.mark.slow
def test_the_last_to_end_before_sigterm_is_written_within_moments(
    tmp_path: Path, traces: Traces
) -> None:
    code = """
record('first'); spanlog.flush(); time.sleep(0.2)
record('last'); time.sleep(2)
os.kill(os.getpid(), signal.SIGTERM)
"""
    assert run(tmp_path, code)[0] == -signal.SIGTERM
    assert names(traces()) == ["first", "last"]


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_users_own_sigterm_handler_is_left_alone(
    tmp_path: Path, traces: Traces, when: str
) -> None:
    handle = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))"
    first, then = (handle, "") if when == "before" else ("", handle)
    code = f"""
{first}
record('a')
{then}
assert 'lambda' in repr(signal.getsignal(signal.SIGTERM))
print('ready', flush=True)
time.sleep(30)
"""
    status, _, err = after(tmp_path, code, signal.SIGTERM)
    assert (status, err) == (7, "")
    assert names(traces()) == ["a"]


@pytest.mark.slow
def test_sigterm_is_ignored_where_the_user_ignores_it(tmp_path: Path) -> None:
    code = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
record('a')
os.kill(os.getpid(), signal.SIGTERM)
print('alive')
"""
    assert run(tmp_path, code)[:2] == (0, "alive\n")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_killed_program_leaves_what_had_ended_and_what_was_open(
    tmp_path: Path, traces: Traces, how: str
) -> None:
    code = f"""
with spanlog.start_span('root') as root:
    root.set_inputs('the question')
    record('ended')
    with spanlog.start_span('open'):
        sys.stdin.read()
        {how}
"""
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + code],
        cwd=tmp_path,
        text=True,
        stdin=subprocess.PIPE,
    )
    assert process.stdin
    end_by = time.monotonic() + 30
    while not (found := traces()) or len(found[0].data.spans) < 3:  # both are a second old
        assert time.monotonic() < end_by
        time.sleep(0.05)
    assert found[0].info.state == "IN_PROGRESS"
    process.stdin.close()
    process.wait(timeout=60)
    (trace,) = traces()
    assert trace.info.state == "INTERRUPTED"
    assert trace.info.request_preview == "the question"
    ended = {span.name: span.end_time_ns is not None for span in trace.data.spans}
    assert ended == {"root": False, "ended": True, "open": False}


@pytest.mark.slow
def test_a_killed_program_that_nobody_has_asked_after_counts_as_ended(
    tmp_path: Path, traces: Traces
) -> None:
    code = "s = spanlog.start_span('a').__enter__(); spanlog.flush(); print(1, flush=True)"
    process = begin(tmp_path, f"{code}; os._exit(0)")
    assert process.stdout
    assert process.stdout.read() == "1\n"
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    (trace,) = traces()
    assert trace.info.state == "INTERRUPTED"
    process.communicate()


LOCKED = """
from spanlog.record import recorder
recorder._EXIT_WAIT = {bound}
import sqlite3
record('a'); spanlog.flush()
db = sqlite3.connect('spanlog.db', isolation_level=None); db.execute('BEGIN IMMEDIATE')
record('b')
print(time.time(), flush=True)
"""


@pytest.mark.slow
def test_the_end_is_held_up_only_so_long_by_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    spanlog.flush()
    status, out, err = run(tmp_path, LOCKED.format(bound=1.0))
    assert status == 0
    assert time.time() - float(out) < 10
    assert "1 spans could not be written before the end" in err


@pytest.mark.slow
def test_the_end_is_not_held_up_by_a_store_that_is_known_to_be_away(tmp_path: Path) -> None:
    code = """
default().settings.tracking_uri = '/proc/no/spanlog.db'
record('a')
print(time.time(), flush=True)
"""
    status, out, err = run(tmp_path, f"from spanlog.runtime import default\n{code}")
    assert status == 0
    assert time.time() - float(out) < 5  # it is held up for half a second; more is the machine's
    assert "1 spans could not be written before the end" in err


@pytest.mark.slow
def test_ctrl_c_ends_the_wait_for_the_store_at_once(tmp_path: Path) -> None:
    spanlog.flush()
    process = begin(tmp_path, LOCKED.format(bound=300.0) + "recorder._AWAY_WAIT = 300.0")
    assert process.stdout
    process.stdout.readline()
    time.sleep(0.5)
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - began < 5
    assert process.returncode == 0
    assert err.splitlines()[-1] == "spanlog: 1 spans could not be written before the end"
    assert "Traceback" not in err
