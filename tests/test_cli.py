"""The command line: what it prints, how it ends, and that a program it runs is as ever."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import spanlog

pytest.importorskip("click")
pytest.importorskip("rich")

from click.testing import CliRunner
from spanlog.cli import app
from spanlog.cli.datasets import datasets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result
    from spanlog.entities import Trace

USAGE = {"gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20}
SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")


def cli(*arguments: str, said: str | None = None) -> Result:
    spanlog.flush()
    result = CliRunner().invoke(app.spanlog, arguments, input=said)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def lines(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]


_started: list[subprocess.Popen[str]] = []


@pytest.fixture(autouse=True)
def nothing_goes_on() -> Iterator[None]:
    """End the programs that a test has started, however it ends."""
    yield
    while _started:
        _started.pop().kill()


def start(
    *arguments: str, cwd: Path, stdout: int = subprocess.PIPE, **env: str
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **env},
        text=True,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )
    _started.append(process)
    return process


def run(*arguments: str, cwd: Path, **env: str) -> tuple[int, str, str]:
    process = start(*arguments, cwd=cwd, **env)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.fixture
def three() -> dict[str, str]:
    """Record three traces; return their ids by name."""
    ids = {}
    for i, (name, status) in enumerate((("a", "OK"), ("b", "ERROR"), ("a", "OK")), 1):
        root = spanlog.start_span_no_context(
            name, inputs={"question": f"question {i}"}, start_time_ns=i * 10 * SECOND
        )
        chat = spanlog.start_span_no_context("chat", "CHAT_MODEL", root, attributes=USAGE)
        chat.set_attribute("gen_ai.request.model", "small")
        chat.set_inputs({"messages": [{"role": "user", "content": f"hello \x1b[31m{i}"}]})
        chat.end()
        root.end(status=status, end_time_ns=i * 11 * SECOND)
        ids[f"{name}{i}"] = root.trace_id
    return ids


def test_traces_lists_what_fits_and_ends_with_1_where_nothing_does(three: dict[str, str]) -> None:
    everything = cli("traces")
    assert everything.exit_code == 0
    shown = [line.split()[-7:] for line in everything.stdout.splitlines()[1:]]
    assert [row[-2:] for row in shown] == [["question", str(i)] for i in (3, 2, 1)]
    assert "100 in / 20 out" in everything.stdout
    assert three["b2"][-8:] in everything.stdout
    (failed,) = lines(cli("traces", "name = 'x' OR status = 'ERROR'", "--before", "1h", "--json"))
    assert failed["trace_id"] == three["b2"]
    assert failed["token_usage"]["total_tokens"] == 120
    for nothing in (["name = 'c'"], ["--since", "1h"], ["--experiment", "it's another"]):
        assert (cli("traces", *nothing).exit_code, cli("traces", *nothing).stdout) == (1, "")
    limited = cli("traces", "-n", "2", "--order-by", "timestamp_ms", "--json")
    assert [trace["trace_id"] for trace in lines(limited)] == [three["a1"], three["b2"]]


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.usefixtures("three")
def test_tables_fit_the_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    with spanlog.start_span("a name " * 20) as span:
        span.set_inputs("a request " * 50)
    assert cli("datasets", "add", "golden " * 20).exit_code == 0
    for command in (["traces"], ["stats"], ["datasets"], ["datasets", "show", "golden " * 20]):
        printed = cli(*command).stdout.splitlines()
        assert max(map(len, printed)) <= width
    listed = cli("traces").stdout.splitlines()
    assert len(listed) == 5
    if width == 40:
        assert [line.split()[-1] for line in listed[2:]] == ["a", "b", "a"]


def test_what_took_no_millisecond_is_listed_as_such() -> None:
    spanlog.start_span_no_context("quick", start_time_ns=5).end(end_time_ns=10)
    assert "OK      < 1 ms  " in cli("traces").stdout


def test_show_takes_the_beginning_or_end_of_an_id(three: dict[str, str]) -> None:
    for id_ in (three["b2"], three["b2"][-8:], three["b2"][:-1]):
        assert json.loads(cli("show", id_, "--json").stdout)["info"]["trace_id"] == three["b2"]
    assert three["a3"] in cli("show").stdout
    assert cli("show", "last").stdout == cli("show").stdout
    contents = cli("show", "--io").stdout
    assert "hello \N{REPLACEMENT CHARACTER}[31m3" in contents
    assert '"question": "question 3"' in contents
    for id_, problem in (
        (three["b2"][:6], "several traces"),
        ("zz", "no trace whose id begins or ends zz"),
        ("'", "not the id of a trace"),
    ):
        missing = cli("show", id_)
        assert (missing.exit_code, missing.stdout) == (1, "")
        assert problem in missing.stderr


@pytest.mark.usefixtures("three")
def test_stats_counts_errors_latency_and_tokens() -> None:
    found = json.loads(cli("stats", "--json").stdout)
    assert found["traces"]["states"] == {"OK": 2, "ERROR": 1}
    assert found["traces"]["errors"] == 1
    assert (found["traces"]["p50_ms"], found["traces"]["max_ms"]) == (2_000, 3_000)
    assert found["by_name"]["a"]["count"] == 2
    assert found["by_model"]["small"]["tokens"]["input_tokens"] == 300
    assert found["by_span"]["b"]["errors"] == 1
    text = cli("stats", "status = 'OK'").stdout
    assert text.startswith("2 traces  0 failed  200 in / 40 out")
    assert cli("stats", "name = 'c'").exit_code == 1


@pytest.mark.stores
def test_stats_count_a_call_that_several_layers_recorded_once() -> None:
    with spanlog.start_span("agent", attributes=USAGE), spanlog.start_span("step"):
        for model in ("small", "large"):
            with spanlog.start_span("chat", attributes={**USAGE, "gen_ai.request.model": model}):
                pass
    found = json.loads(cli("stats", "--json").stdout)
    assert found["traces"]["tokens"]["total_tokens"] == 240
    assert {k: v["tokens"]["total_tokens"] for k, v in found["by_model"].items()} == {
        "small": 120,
        "large": 120,
    }
    assert {k: v["tokens"] for k, v in found["by_span"].items() if k != "chat"} == {
        "agent": {},
        "step": {},
    }


def test_delete_asks_and_deletes_what_is_meant(three: dict[str, str]) -> None:
    assert cli("delete", "last", said="n\n").exit_code == 1
    assert len(lines(cli("traces", "--json"))) == 3
    assert cli("delete", three["b2"][-8:], said="y\n").exit_code == 0
    gone = cli("delete", "--filter", "name = 'a'", "--before", "1970-01-02", "--yes", "--json")
    assert set(json.loads(gone.stdout)["deleted"]) == {three["a1"], three["a3"]}
    assert cli("delete", "--before", "1h", "-y").exit_code == 1
    assert cli("delete").exit_code == 2
    assert cli("delete", "last", "--before", "1h").exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["traces", "stats = 'x'"], "Did you mean status?"),
        (["tail", "stats = 'x'"], "Did you mean status?"),
        (["traces", "--order-by", "nme"], "Did you mean name?"),
        (["stats", "--since", "yesterday"], "'yesterday' is no time"),
        (["run"], "Missing argument"),
        (["ui", "--port", "65536"], "65536 is not in the range"),
        (["nonsense"], "No such command"),
    ],
    ids=" ".join,
)
def test_what_is_misused_ends_with_2_and_says_why(arguments: list[str], problem: str) -> None:
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert problem in result.stderr


@pytest.mark.parametrize("command", ["traces", "show", "stats", "delete", "datasets"])
def test_looking_makes_no_store(command: str, tmp_path: Path) -> None:
    what = ["last"] if command == "delete" else []
    (tmp_path / "empty.db").touch()
    (tmp_path / "text.db").write_text("no database " * 100)
    (tmp_path / "folder.db").mkdir()
    before = {path: path.stat().st_size for path in tmp_path.iterdir()}
    for name, problem in (
        ("none.db", "there is no trace store at"),
        ("empty.db", "there is no trace store at"),
        ("text.db", "file is not a database"),
        ("folder.db", "folder.db is a directory"),
    ):
        result = cli(command, *what, "--store", str(tmp_path / name))
        assert (result.exit_code, result.stdout) == (1, "")
        assert problem in result.stderr
    assert {path: path.stat().st_size for path in tmp_path.iterdir()} == before


OF_DATASETS = [f"datasets {name}" for name in datasets.commands]


@pytest.mark.parametrize("command", [*app.spanlog.commands, *OF_DATASETS])
def test_help_teaches_with_examples(command: str) -> None:
    text = cli(*command.split(), "--help").stdout
    assert "--store" in text or command == "integrations"  # which are no store's
    assert command == "demo" or f"\n    spanlog {command}" in text


PROGRAM = """
import sys, os, signal
print(sys.argv, __name__, __file__, sys.path[0], len([p for p in sys.path if 'startup' in p]))
import __main__; print(__main__.__dict__ is globals())
def end(how):
    if how == 'exit': sys.exit(7)
    if how == 'raise': raise KeyError('x')
    if how == 'interrupt': os.kill(os.getpid(), signal.SIGINT)
end(sys.argv[1])
"""


@pytest.mark.parametrize("end", ["exit", "raise", "interrupt"])
def test_a_program_that_is_run_is_as_without_us(end: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    how = ["-m", "program"] if end == "exit" else ["program.py"]
    plain = run(*how, end, "--help", cwd=tmp_path)
    assert run("-m", "spanlog", "run", *how, end, "--help", cwd=tmp_path) == plain


@pytest.mark.slow
def test_a_program_that_is_run_is_recorded(
    tmp_path: Path, traces: Callable[[], list[Trace]]
) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.theirs = True")
    code = """
import concurrent.futures, subprocess, sys, spanlog
assert sys.theirs and sys.flags.dev_mode
assert hasattr(concurrent.futures.ThreadPoolExecutor.submit, '__wrapped__')
with spanlog.start_span('program'): pass
if len(sys.argv) < 2:
    subprocess.run([sys.executable, '-X', 'dev', __file__, 'child'], check=True)
"""
    (tmp_path / "program.py").write_text(code)
    path = os.pathsep.join([*filter(None, sys.path), str(tmp_path)])
    command = ("-X", "dev", "-W", "ignore", "-m", "spanlog", "run", "--experiment", "e")
    done = run(*command, "--store", "spanlog.db", "program.py", cwd=tmp_path, PYTHONPATH=path)
    assert done == (0, "", "")
    spanlog.set_experiment("e")
    assert [trace.info.name for trace in traces()] == ["program", "program"]


@pytest.mark.slow
@pytest.mark.parametrize("form", [[], ["--json"], ["--tree"]], ids=["lines", "json", "tree"])
def test_tail_waits_for_a_store_and_shows_traces_as_they_come(
    form: list[str], tmp_path: Path
) -> None:
    process = start("-m", "spanlog", "tail", *form, "--store", "new.db", cwd=tmp_path)
    assert process.stdout
    assert process.stderr
    assert "Waiting for" in process.stderr.readline()
    assert not (tmp_path / "new.db").exists()
    spanlog.set_tracking_uri(str(tmp_path / "new.db"))
    with spanlog.start_span("agent"):
        spanlog.flush()
        if form != ["--tree"]:
            assert "agent" in (line := process.stdout.readline())
            assert "running" in line or "IN_PROGRESS" in line
    line = process.stdout.readline()
    assert "OK" in line
    assert "agent" in line
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")


@pytest.mark.slow
@pytest.mark.stores
def test_tail_shows_what_is_written_long_after_it_began(tmp_path: Path, tracking_uri: str) -> None:
    def begin(name: str) -> Any:
        return spanlog.start_span_no_context(name, start_time_ns=SECOND)

    def shown() -> str:
        assert process.stdout
        return str(json.loads(process.stdout.readline())["name"])

    old = begin("old")
    old.end(status="ERROR")
    spanlog.flush()
    tail = ("-m", "spanlog", "tail", "status = 'ERROR'", "--json", "--store", tracking_uri)
    process = start(*tail, cwd=tmp_path)
    assert shown() == "old"
    begin("late").end(status="ERROR")
    spanlog.flush()
    assert shown() == "late"
    long = begin("long")
    spanlog.flush()
    begin("late again").end(status="ERROR")
    spanlog.flush()
    assert shown() == "late again"
    spanlog.delete_traces(trace_ids=[old.trace_id])
    long.end(status="ERROR")
    spanlog.flush()
    assert shown() == "long"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)


def test_without_click_and_rich_there_is_one_clear_error(tmp_path: Path) -> None:
    code = "import sys; sys.modules['{}'] = None; from spanlog.cli import main; main()"
    for missing in ("click", "rich"):
        status, out, err = run("-c", code.format(missing), "traces", cwd=tmp_path)
        assert (status, out) == (1, "")
        assert err == "the command line needs two more packages: pip install 'spanlog[cli]'\n"


def test_what_is_exported_is_imported_into_another_store(
    three: dict[str, str], tmp_path: Path
) -> None:
    file, copy = str(tmp_path / "failed.jsonl.gz"), str(tmp_path / "copy.db")
    done = cli("export", file, "status = 'ERROR'", "--json")
    assert (done.exit_code, lines(done)) == (0, [{"exported": 1, "path": file}])
    for imported, skipped in ((1, 0), (0, 1)):
        (told,) = lines(cli("import", file, "--store", copy, "--experiment", "x", "--json"))
        assert told == {"path": file, "imported": imported, "skipped": skipped}
    (found,) = lines(cli("traces", "--store", copy, "--experiment", "x", "--json"))
    assert found["trace_id"] == three["b2"]
    large = cli("import", file, "--store", copy, "--trace-mb", "0.0001")
    assert large.exit_code == 1
    assert "line 1: the trace takes more than 0.0001 MB" in large.stderr
    assert "Nothing of this file was imported" in large.stderr
    assert cli("export", file, "name = 'none'").exit_code == 1
    assert cli("import", file, "--store", copy).exit_code == 1
    (tmp_path / "broken.jsonl").write_text("{}\n")
    broken = cli("import", str(tmp_path / "broken.jsonl"), "--store", copy)
    assert (broken.exit_code, "line 1: 'data' is missing" in broken.stderr) == (1, True)
    for misused in (["export", "a.csv"], ["import", "missing.jsonl"], ["export", file, "name ="]):
        assert cli(*misused).exit_code == 2


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a full disk to try")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", ["traces", "show", "stats", "--help"])
@pytest.mark.usefixtures("three")
def test_what_cannot_be_printed_is_one_clear_error_or_none(
    command: str, unbuffered: str, tmp_path: Path
) -> None:
    spanlog.flush()
    read, closed = os.pipe()
    os.close(read)
    for out, error in ((os.open("/dev/full", os.O_WRONLY), "No space left"), (closed, "")):
        process = start(
            "-m", "spanlog", command, cwd=tmp_path, stdout=out, PYTHONUNBUFFERED=unbuffered
        )
        os.close(out)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert (error in err, err.count("\n")) == (True, 1 if error else 0)


COMMANDS = (
    ["traces"],
    ["traces", "--json"],
    ["show", "last", "--io"],
    ["show", "last", "--json"],
    ["stats"],
    ["stats", "--json"],
    ["datasets", "add", "größe 漢字"],
    ["datasets"],
    ["datasets", "show", "größe 漢字"],
    ["export", "größe 漢字.jsonl"],
    ["import", "größe 漢字.jsonl"],
    ["delete", "--before", "0s"],
    ["--help"],
)
END = "that was it"
ONE_AFTER_THE_OTHER = f"""
import json, sys
import click
from spanlog.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["spanlog", *arguments]
    try:
        main()
    except SystemExit as end:
        if end.code:
            sys.exit(f"{{arguments}} ended with {{end.code}}")
    click.echo("{END}")
"""


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "cp437", "koi8-r", "utf-16"])
def test_whatever_characters_can_be_written_everything_is_printed(
    encoding: str, tmp_path: Path
) -> None:
    with spanlog.start_span("größe 漢字 └─ 🌍 \u2028") as span:
        span.set_inputs({"messages": [{"role": "user", "content": "Zürich 🌍 → …"}]})
        with spanlog.start_span("x" * 300):
            pass
        span.set_status_error("ließ nach …")
    spanlog.flush()
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, json.dumps(COMMANDS)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding},
        input=("y\n" * len(COMMANDS)).encode(encoding),
        capture_output=True,
    )
    written = "utf-8" if encoding == "ascii" else encoding  # as click has it
    said = done.stderr.decode(written)
    assert (done.returncode, "Traceback" in said) == (0, False), said
    printed = done.stdout.decode(written).split(END + "\n")[:-1]
    for arguments, out in zip(COMMANDS, printed, strict=True):
        if "--json" in arguments:
            assert "größe 漢字" in json.dumps(json.loads(out.split("\n")[0]), ensure_ascii=False)


@pytest.mark.stores
def test_a_dataset_is_made_added_to_shown_and_deleted(three: dict[str, str]) -> None:
    assert (cli("datasets").exit_code, cli("datasets").stdout) == (1, "")
    spanlog.log_expectation(trace_id=three["b2"], name="answer", value=["Rome", 7])
    for where, added, skipped in (("status = 'ERROR'", 1, 0), ("", 2, 1)):
        done = cli("datasets", "add", "golden", where, "--json")
        assert lines(done) == [{"name": "golden", "added": added, "skipped": skipped}]
    (size,) = lines(cli("datasets", "--json"))
    assert (size["name"], size["records"]) == ("golden", 3)
    assert cli("datasets").stdout.splitlines()[-1].split()[-2:] == ["3", "golden"]
    records = lines(cli("datasets", "--json", "show", "golden"))
    assert [record["trace_id"] for record in records] == [three[n] for n in ("b2", "a3", "a1")]
    assert records[0]["expectations"] == {"answer": ["Rome", 7]}
    assert records[0]["inputs"] == {"question": "question 2"}
    shown = cli("datasets", "show", "golden").stdout.splitlines()
    assert '{"answer": ["Rome", 7]}' in shown[1]
    assert cli("delete", "--before", "1h", "-y").exit_code == 0
    assert lines(cli("datasets", "show", "golden", "--json")) == records
    assert cli("datasets", "delete", "golden", said="n\n").exit_code == 1
    assert cli("datasets", "delete", "golden", said="y\n").stdout == "Deleted golden.\n"
    for missing in (["show", "golden"], ["delete", "golden"], ["add", "golden", "name = 'x'"]):
        assert (cli("datasets", *missing).exit_code, cli("datasets", *missing).stdout) == (1, "")
    for misused in (["show"], ["add", "golden", "nme = 'x'"], ["nonsense"]):
        assert cli("datasets", *misused).exit_code == 2
    elsewhere = ["--store", "none.db"]
    for order in (["datasets", *elsewhere, "show", "x"], ["datasets", "show", "x", *elsewhere]):
        assert "no trace store at" in cli(*order).stderr
