"""A forked child and its parent both record, each its own, and nothing twice."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import spanlog

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")

Traces = "Callable[[], list[Trace]]"

BEGIN = """
import multiprocessing, os, sys, threading, time, warnings
import spanlog
def record(name):
    with spanlog.start_span(name):
        pass
"""


def run(tmp_path: Path, code: str) -> str:
    path = tmp_path / "program.py"
    path.write_text(BEGIN + code)
    done = subprocess.run(
        [sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.slow
@pytest.mark.stores
def test_parent_and_child_both_record_and_nothing_is_there_twice(
    tmp_path: Path, traces: Traces
) -> None:
    code = """
for _ in range(300): record('before')
child = os.fork()
who = 'parent' if child else 'child'
for _ in range(300): record(who)
if child:
    os.waitpid(child, 0)
"""
    run(tmp_path, code)
    found = [trace.info.name for trace in traces()]
    assert {name: found.count(name) for name in set(found)} == {
        "before": 300,
        "parent": 300,
        "child": 300,
    }


@pytest.mark.stores
def test_a_child_forked_inside_a_span_goes_on_under_it(tmp_path: Path, traces: Traces) -> None:
    code = """
with spanlog.start_span('root') as root:
    root.set_inputs('from the parent')
    child = os.fork()
    if child == 0:
        root.set_inputs('from the child')
        with spanlog.start_span('child') as span:
            record('grandchild')
    else:
        os.waitpid(child, 0)
        record('sibling')
"""
    run(tmp_path, code)
    (trace,) = traces()
    spans = {span.name: span for span in trace.data.spans}
    assert sorted(spans) == ["child", "grandchild", "root", "sibling"]
    assert len(trace.data.spans) == 4
    assert spans["root"].inputs == "from the parent"
    assert spans["child"].parent_id == spans["sibling"].parent_id == spans["root"].span_id
    assert spans["grandchild"].parent_id == spans["child"].span_id
    assert (trace.info.name, trace.info.state) == ("root", "OK")


@pytest.mark.slow
@pytest.mark.stores
def test_forks_while_other_threads_record_and_read_lose_and_hang_nothing(
    tmp_path: Path, traces: Traces
) -> None:
    code = """
record('thread')
assert spanlog.search_traces(return_type='list')
stop = threading.Event()
counts = [1, 0]
def write(i):
    while not stop.is_set():
        record('thread'); counts[i] += 1
        time.sleep(0.0005)
def read():
    while not stop.is_set():
        spanlog.search_traces(max_results=5, return_type='list')
threads = [threading.Thread(target=write, args=(i,)) for i in (0, 1)]
threads += [threading.Thread(target=read)]
for thread in threads: thread.start()
warnings.simplefilter('ignore')  # of forking beside the threads of this very test
for i in range(12):
    child = os.fork()
    if child == 0:
        for _ in range(20): record('child')
        assert spanlog.search_traces(max_results=1, return_type='list')
        assert spanlog.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
stop.set()
for thread in threads: thread.join()
print(sum(counts))
"""
    count = int(run(tmp_path, code))
    found = [trace.info.name for trace in traces()]
    assert (found.count("child"), found.count("thread")) == (240, count)


@pytest.mark.slow
def test_a_fork_in_the_first_moment_of_a_program_is_safe(tmp_path: Path, traces: Traces) -> None:
    code = """
record('parent')
time.sleep(0.001)  # the writer is opening the store now
child = os.fork()
if child == 0:
    record('child')
    assert spanlog.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    run(tmp_path, code)
    assert sorted(str(trace.info.name) for trace in traces()) == ["child", "parent"]


@pytest.mark.slow
def test_python_is_given_no_reason_to_warn_of_a_fork(tmp_path: Path, traces: Traces) -> None:
    code = """
warnings.simplefilter('error')
record('before')
child = os.fork()
if child == 0:
    assert threading.active_count() == 1
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
record('after')
"""
    run(tmp_path, code)
    assert len(traces()) == 2


@pytest.mark.slow
@pytest.mark.stores
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_spans_of_a_multiprocessing_child_are_written_at_its_end(
    tmp_path: Path, traces: Traces, method: str
) -> None:
    code = f"""
def late():
    with spanlog.start_span('in a thread'):
        time.sleep(0.2)
def work(i):
    record('child')
    threading.Thread(target=late).start()
if __name__ == '__main__':
    record('parent')
    context = multiprocessing.get_context({method!r})
    children = [context.Process(target=work, args=(i,)) for i in range(2)]
    for child in children: child.start()
    for child in children: child.join()
    assert [child.exitcode for child in children] == [0, 0]
"""
    run(tmp_path, code)
    found = [trace.info.name for trace in traces()]
    assert sorted(map(str, found)) == ["child", "child", "in a thread", "in a thread", "parent"]


@pytest.mark.slow
def test_a_pool_that_is_terminated_leaves_what_its_workers_recorded(
    tmp_path: Path, traces: Traces
) -> None:
    code = """
def work(i):
    record('work')
if __name__ == '__main__':
    record('parent')
    with multiprocessing.get_context('fork').Pool(2) as pool:
        pool.map(work, range(40))
"""
    run(tmp_path, code)
    assert len(traces()) == 41


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_worker_ends_by_sigterm_whatever_it_waits_for(
    tmp_path: Path, traces: Traces, method: str
) -> None:
    code = f"""
import signal
def late():
    # As if it came just before the main thread began to wait, which it does not interrupt then.
    time.sleep(0.5)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    time.sleep(60)
def work():
    record('work')
    threading.Thread(target=late, daemon=True).start()
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()
if __name__ == '__main__':
    record('parent')
    worker = multiprocessing.get_context('{method}').Process(target=work)
    worker.start()
    worker.join(20)
    print(worker.exitcode)
    worker.kill()
"""
    assert run(tmp_path, code) == "-15\n"
    assert sorted(str(trace.info.name) for trace in traces()) == ["parent", "work"]


@pytest.mark.slow
def test_a_worker_in_a_long_call_in_c_ends_by_sigterm_at_once(
    tmp_path: Path, traces: Traces
) -> None:
    code = """
import hashlib
def work(queue):
    record('work')
    queue.put(1)
    hashlib.pbkdf2_hmac('sha512', b'x', b'y', 100_000_000)  # for minutes
if __name__ == '__main__':
    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    worker = context.Process(target=work, args=(queue,))
    worker.start()
    queue.get()
    time.sleep(0.1)
    worker.terminate()
    worker.join(20)
    print(worker.exitcode)
    worker.kill()
"""
    assert run(tmp_path, code) == "-15\n"
    assert [trace.info.name for trace in traces()] == ["work"]


@pytest.mark.slow
@pytest.mark.parametrize("why", ["a handler", "a wakeup descriptor"])
def test_a_worker_that_is_told_of_signals_itself_is_left_alone(tmp_path: Path, why: str) -> None:
    uses = {
        "a handler": "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))",
        "a wakeup descriptor": "signal.set_wakeup_fd(theirs.fileno())",
    }
    code = f"""
import signal, socket
ours, theirs = socket.socketpair()
theirs.setblocking(False)
def work(queue):
    {uses[why]}
    handler, told = signal.getsignal(signal.SIGTERM), signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(told)
    record('work')
    assert signal.getsignal(signal.SIGTERM) == handler
    assert signal.set_wakeup_fd(-1) == told
    queue.put(1)
if __name__ == '__main__':
    context = multiprocessing.get_context('fork')
    queue = context.Queue()
    worker = context.Process(target=work, args=(queue,))
    worker.start()
    assert queue.get(timeout=20)
    worker.join()
"""
    run(tmp_path, code)


@pytest.mark.slow
def test_a_child_that_records_nothing_is_left_to_itself(tmp_path: Path) -> None:
    code = """
import signal
def work():
    record('worker')
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    child = os.fork()
    if child == 0:
        as_ever = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        os._exit(not as_ever or signal.set_wakeup_fd(-1) != -1)
    sys.exit(os.waitpid(child, 0)[1])
if __name__ == '__main__':
    worker = multiprocessing.get_context('fork').Process(target=work)
    worker.start()
    worker.join()
    assert worker.exitcode == 0
"""
    run(tmp_path, code)


@pytest.mark.slow
def test_a_fork_waits_a_bounded_time_for_a_locked_store(tmp_path: Path, traces: Traces) -> None:
    code = """
import sqlite3
record('a'); spanlog.flush()
db = sqlite3.connect('spanlog.db', isolation_level=None); db.execute('BEGIN IMMEDIATE')
record('b')
time.sleep(0.3)
warnings.simplefilter('ignore')  # of the thread that could not end in so short a time
began = time.monotonic()
child = os.fork()
if child == 0:
    os._exit(0)
assert time.monotonic() - began < 4, time.monotonic() - began
os.waitpid(child, 0)
db.execute('ROLLBACK'); db.close()
"""
    run(tmp_path, code)
    assert len(traces()) == 2


def test_a_store_in_memory_survives_a_fork(tmp_path: Path) -> None:
    spanlog.set_tracking_uri("sqlite://")
    with spanlog.start_span("a"):
        pass
    spanlog.flush()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert len(spanlog.search_traces(return_type="list")) == 1
