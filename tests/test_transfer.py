"""Traces in files: what is read back is what was written, and a broken file does no harm."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import spanlog
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from spanlog.entities import AssessmentSource, Trace, TraceState
from spanlog.runtime import current_store, default
from spanlog.transfer import BrokenFileError, ImportResult
from test_entities import infos, spans

PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
PNG = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
# JSON that is another text, or cannot be read or written, after a way through a JSON library.
ODD = ("null", "1.0e5", '{"a": 1}', '{"a":1,"a":2}', "9" * 30, "[" * 300 + "]" * 300, "NaN")


@pytest.fixture(params=["jsonl", "jsonl.gz", "parquet"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    return tmp_path / f"traces.{request.param}"


def use(path: Path) -> None:
    spanlog.set_tracking_uri(str(path))


def everything() -> list[tuple[Any, ...]]:
    """Return all that a store has, by experiments' names."""
    spanlog.flush()
    store = current_store()
    found = []
    for there in store.experiments():
        for trace in spanlog.search_traces([there.experiment_id], return_type="list"):
            raw = [(s.inputs_json, s.outputs_json) for s in trace.data.spans]
            parts = [s.to_dict() | {"inputs": None, "outputs": None} for s in trace.data.spans]
            info = {**trace.info.to_dict(), "experiment_id": there.name}
            kept = [a.content for s in trace.data.spans for a in s.attachments]
            found.append((info, trace.info.token_usage, parts, raw, kept))
    return sorted(found, key=lambda trace: str(trace[0]["trace_id"]))


def record() -> list[str]:
    """Record traces with all that a trace can have, in two experiments."""
    ids = []
    for i, experiment in enumerate(("Default", "Default", "other")):
        spanlog.set_experiment(experiment)
        with spanlog.start_span(f"agent {i}") as root:
            root.set_inputs({"image": PNG, "i": i})
            spanlog.update_current_trace(tags={"env": "dev"}, session_id="s", user="ann")
            with spanlog.start_span("chat", "CHAT_MODEL") as span:
                span.set_attribute("gen_ai.usage.input_tokens", 3)
                span.set_attribute("gen_ai.request.model", "gpt-4o")
                span.set_outputs([PNG, "Grüße \x00"])
                span.record_exception(ValueError("no"))
        id_ = root.trace_id
        first = spanlog.log_feedback(
            trace_id=id_, name="ok", value=0.5, source=AssessmentSource("HUMAN", "ann")
        )
        spanlog.override_feedback(
            trace_id=id_, assessment_id=str(first.assessment_id), value={"no": [1]}, rationale="x"
        )
        spanlog.log_feedback(trace_id=id_, error=ValueError("x"), span_id=span.span_id)
        spanlog.log_expectation(trace_id=id_, name="answer", value="Rome", metadata={"k": "v"})
        ids.append(id_)
    return ids


def ids_of_experiments() -> list[str]:
    return [there.experiment_id for there in current_store().experiments()]


def test_a_store_that_is_exported_and_imported_is_the_same(file: Path, tmp_path: Path) -> None:
    record()
    before = everything()
    assert spanlog.export_traces(file, ids_of_experiments()) == 3
    use(tmp_path / "copy.db")
    assert spanlog.import_traces(file) == ImportResult(3, 0)
    assert everything() == before
    assert all(kept == [PICTURE, PICTURE] for *_, kept in before)
    assert spanlog.import_traces(file, "elsewhere") == ImportResult(0, 3)
    assert everything() == before
    found = spanlog.search_traces(
        filter_string="span.content LIKE '%Grüße%' AND span.tokens = 3 AND tokens = 3",
        return_type="list",
        locations=ids_of_experiments(),
    )
    assert len(found) == 3


@pytest.mark.slow
@settings(max_examples=10, phases=[Phase.generate])
@given(data=st.data())
def test_any_trace_survives(data: st.DataObject, file: Path, tmp_path_factory: Any) -> None:
    there = tmp_path_factory.mktemp("stores")
    lines = []
    for i in range(data.draw(st.integers(1, 3))):
        id_ = f"{i:032x}"
        found = data.draw(st.lists(spans(["1" * 16]), max_size=3, unique_by=lambda s: s.span_id))
        data_of = [{**span.to_dict(), "trace_id": id_} for span in found]
        for span in data_of:
            odd = data.draw(st.none() | st.sampled_from(ODD))
            span.update({"outputs_json": odd} if odd else {})
        info = {**data.draw(infos).to_dict(), "trace_id": id_}
        lines.append(json.dumps({"experiment": "e", "info": info, "data": {"spans": data_of}}))
    source = there / "made.jsonl"
    source.write_text("\n".join(lines), encoding="utf-8")
    use(there / "a.db")
    spanlog.import_traces(source)
    before = [bundle_of(trace) for trace in bundles()]
    assert spanlog.export_traces(there / file.name, ids_of_experiments()) == len(lines)
    use(there / "b.db")
    spanlog.import_traces(there / file.name)
    assert [bundle_of(trace) for trace in bundles()] == before


def bundles() -> list[Trace]:
    found = spanlog.search_traces(ids_of_experiments(), return_type="list", order_by=["trace_id"])
    return list(found)


def bundle_of(trace: Trace) -> Any:
    names = ("span_id", "parent_id", "name", "span_type", "start_time_ns", "end_time_ns", "status")
    names += ("inputs_json", "outputs_json", "attributes", "events")
    parts = [[getattr(span, name) for name in names] for span in trace.data.spans]
    return trace.info, sorted(parts, key=str)


def test_only_what_fits_is_exported_and_it_goes_where_it_shall(file: Path, tmp_path: Path) -> None:
    second = record()[1]
    spanlog.set_experiment("Default")
    assert spanlog.export_traces(file, filter_string="name = 'agent 0'") == 1
    assert spanlog.export_traces(file, max_results=1) == 1
    use(tmp_path / "copy.db")
    assert spanlog.import_traces(file, "golden") == (1, 0)
    ((info, *_),) = everything()
    assert (info["trace_id"], info["experiment_id"]) == (second, "golden")


def test_binary_content_is_in_a_file_once_and_kept_by_traces_that_are_new(
    file: Path, tmp_path: Path
) -> None:
    ids = record()
    spanlog.export_traces(file, ids_of_experiments())
    if file.name.endswith(".jsonl"):
        assert file.read_bytes().count(base64.b64encode(PICTURE)) == 1
    spanlog.delete_traces(trace_ids=ids[:1])
    assert spanlog.import_traces(file) == (1, 2)
    spanlog.delete_traces(trace_ids=ids[1:])
    ((*_, kept),) = everything()
    assert kept == [PICTURE, PICTURE]


def test_a_line_is_what_to_json_writes_and_to_json_can_be_imported(tmp_path: Path) -> None:
    (id_, *_) = record()
    trace = spanlog.get_trace(id_)
    assert trace is not None
    file = tmp_path / "by_hand.jsonl"
    spanlog.set_experiment("Default")
    spanlog.export_traces(file, filter_string="name = 'agent 0'")
    assert Trace.from_json(file.read_bytes()).to_dict() == trace.to_dict()
    file.write_text(trace.to_json() + "\n\n", encoding="utf-8")
    use(tmp_path / "copy.db")
    spanlog.set_experiment("mine")
    assert spanlog.import_traces(file) == (1, 0)
    assert [there.name for there in current_store().experiments()] == ["Default", "mine"]


def line(**changes: Any) -> bytes:
    info = {
        "trace_id": "a" * 32,
        "experiment_id": "0",
        "request_time": "2026-01-31T12:00:00.000+00:00",
        "state": "OK",
    }
    span = {
        "trace_id": "a" * 32,
        "span_id": "b" * 16,
        "name": "n",
        "span_type": "TOOL",
        "start_time_unix_nano": 1,
        "status": {"code": "OK"},
    }
    info.update(changes.pop("info", {}))
    span.update(changes.pop("span", {}))
    twice = changes.pop("twice", 1)
    return json.dumps({"info": info, "data": {"spans": [span] * twice}, **changes}).encode()


BROKEN = {
    "it is not JSON": b"{",
    "'info' is missing": b'{"data": {"spans": []}}',
    "it is not a trace": b"[1]",
    "is not a valid TraceState": line(info={"state": "FINE"}),
    "is not a valid SpanStatusCode": line(span={"status": {"code": "FINE"}}),
    "span must be str, not int": line(span={"name": 1}),
    "preview must be str": line(info={"request_preview": 5}),
    "end_time_ns is too large": line(span={"end_time_unix_nano": 2**63}),
    "tags must be str": line(info={"tags": {"a": 1}}),
    "is of another trace": line(span={"trace_id": "c" * 32}),
    "a span id is there twice": line(twice=2),
    "experiment must be str": line(experiment=5),
    "is not base64": line(contents={"a": "%"}),
    "is not what its SHA-256 says": line(contents={"a" * 64: "AAAA"}),
    "is not in the file": line(attachments=["a" * 64]),
}


@pytest.mark.parametrize("why", BROKEN)
def test_a_broken_line_is_named_and_nothing_of_the_file_is_imported(
    why: str, tmp_path: Path
) -> None:
    file = tmp_path / "broken.jsonl"
    good = line(info={"trace_id": "d" * 32}, span={"trace_id": "d" * 32})
    file.write_bytes(b"\n".join([good, b"", BROKEN[why], line()]))
    with pytest.raises(BrokenFileError, match=f"broken.jsonl, line 3: .*{why}"):
        spanlog.import_traces(file)
    assert everything() == []
    file.write_bytes(good + b"\n" + line())
    assert spanlog.import_traces(file) == (2, 0)
    assert {info["experiment_id"] for info, *_ in everything()} == {default().settings.experiment}


def test_a_file_that_was_cut_off_is_not_imported(file: Path, tmp_path: Path) -> None:
    record()
    spanlog.export_traces(file, ids_of_experiments())
    use(tmp_path / "copy.db")
    whole = file.read_bytes()
    for length in (len(whole) // 2, len(whole) - 20):
        file.write_bytes(whole[:length])
        with pytest.raises(BrokenFileError, match=f"{file.name}, (line|row) [1-4]: "):
            spanlog.import_traces(file)
    assert everything() == []


def test_an_export_that_fails_leaves_the_file_as_it_was(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record()
    spanlog.export_traces(file)
    before = file.read_bytes()
    with spanlog.start_span("gone"):
        pass
    monkeypatch.setattr(type(current_store()), "attachment", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        spanlog.export_traces(file, ids_of_experiments())
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir() if "traces." in path.name] == [file.name]


def test_a_trace_that_runs_is_exported_as_far_as_it_is(file: Path, tmp_path: Path) -> None:
    root = spanlog.start_span_no_context("root")
    spanlog.start_span_no_context("child", parent_span=root).end()
    assert spanlog.export_traces(file) == 1
    use(tmp_path / "copy.db")
    spanlog.import_traces(file)
    (trace,) = spanlog.search_traces(return_type="list")
    assert trace.info.state == TraceState.IN_PROGRESS
    root.end()


@pytest.mark.parametrize("name", ["traces.csv", "traces", "traces.parquet.gz"])
def test_a_name_that_says_no_format_is_refused(name: str, tmp_path: Path) -> None:
    for use_it in (spanlog.export_traces, spanlog.import_traces):
        with pytest.raises(ValueError, match=r"must end with .jsonl, .jsonl.gz, .parquet"):
            use_it(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_large_traces_come_in_several_row_groups(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    for _ in range(3):
        spanlog.start_span_no_context("large", inputs="x" * 5_000_000).end()
    spanlog.export_traces(tmp_path / "a.parquet")
    groups = parquet.ParquetFile(tmp_path / "a.parquet").metadata
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [1, 1, 1]


def test_a_compressed_file_is_gzip(tmp_path: Path) -> None:
    record()
    spanlog.export_traces(tmp_path / "a.jsonl.gz")
    assert json.loads(gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()))["info"]


def holding(inputs: str) -> bytes:
    return line(span={"inputs": "@"}).replace(b'"@"', inputs.encode())


def spans_of(count: int) -> bytes:
    data = json.loads(line())
    (span,) = data["data"]["spans"]
    data["data"]["spans"] = [{**span, "span_id": f"{i:016x}"} for i in range(count)]
    return json.dumps(data).encode()


def many(text: str, count: int) -> str:
    return "[" + ",".join([text] * count) + "]"


KEYS = json.dumps(dict.fromkeys(range(20_000), 0))
LONG = "a" * 300_000
# What is in a file, and what is said of it where a trace may take a megabyte.
HOSTILE = {
    "zeros": (bytes(3_000_000), "line 1: the trace takes more than 1 MB"),
    "empty lines": (b"\n" * 5_000, "line 1001: a run of empty lines takes more than 1 MB"),
    "blank lines": (b" \t\n" * 5_000, "line 1001: a run of empty lines takes"),
    "a long line": (holding(f'"{LONG * 4}"'), "line 1: the trace takes"),
    "a long second line": (line() + b"\n" + holding(f'"{LONG * 4}"'), "line 2: the trace takes"),
    "an open string": (b'"' + b"a" * 900_000, "line 1: it is not JSON"),
    "arrays": (holding(many("[]", 30_000)), "the trace takes"),
    "objects": (holding(many("{}", 30_000)), "the trace takes"),
    "numbers": (holding(many("1", 60_000)), "the trace takes"),
    "texts": (holding(many('""', 30_000)), "the trace takes"),
    "keys": (holding(KEYS), "the trace takes"),
    "nesting": (holding("[" * 900_000), "the trace takes"),
    "wide text": (holding(f'"{LONG}😀"'), "the trace takes"),
    "escaped text": (holding(f'"{LONG}\\ud83d\\ude00"'), "the trace takes"),
    "escaped quotes": (holding(many('"\\\\\\""', 30_000)), "the trace takes"),
    "texts that become one": (holding(f'["{LONG}","😀"]'), "the trace takes"),
    "spans": (spans_of(2_000), "the trace takes"),
    "a long state": (line(info={"state": LONG}), "line 1: it is not a trace: 'aaa"),
}


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_line_is_refused_in_a_few_words(kind: str, suffix: str, tmp_path: Path) -> None:
    data, why = HOSTILE[kind]
    file = tmp_path / f"hostile.{suffix}"
    file.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    with pytest.raises(BrokenFileError, match=why) as raised:
        spanlog.import_traces(file, trace_mb=1)
    said = str(raised.value)
    assert len(said) < 600
    assert ("raise trace_mb, --trace-mb or SPANLOG_IMPORT_TRACE_MB" in said) == ("takes" in said)
    assert everything() == []


@pytest.mark.parametrize("kind", ["arrays", "keys", "numbers", "spans", "texts that become one"])
def test_how_large_a_trace_may_be_can_be_set(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "large.jsonl"
    file.write_bytes(HOSTILE[kind][0])
    assert spanlog.import_traces(file) == (1, 0)
    monkeypatch.setattr(default().settings, "import_trace_bytes", 1_000_000)
    with pytest.raises(BrokenFileError, match="takes more than 1 MB"):
        spanlog.import_traces(file)
    assert spanlog.import_traces(file, trace_mb=50) == (0, 1)


@pytest.mark.slow
def test_what_is_compressed_out_of_proportion_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bomb.jsonl.gz"
    file.write_bytes(gzip.compress((line() + b"\n") * 4_000) * 3)
    with pytest.raises(BrokenFileError, match="over 200 times as long; to import it, decompress"):
        spanlog.import_traces(file, trace_mb=1)
    assert spanlog.import_traces(file) == (1, 11_999)


def test_what_has_no_end_is_refused_at_once(file: Path) -> None:
    for make in (os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero")):
        make(file)
        with pytest.raises(OSError, match=f"Not a regular file: .*{file.name}"):
            spanlog.import_traces(file)
        file.rmdir() if file.is_dir() else file.unlink()


def repeating(count: int) -> Any:
    """Return a table of a trace whose spans have the same inputs, which are in it once."""
    pa = pytest.importorskip("pyarrow")
    texts = ("name", "span_type", "status_message", "attributes", "events")
    spans = {
        "span_id": pa.array([f"{i:016x}" for i in range(count)]),
        "inputs": pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), [f'"{LONG}"']),
        "status": pa.array(["OK"] * count),
        **dict.fromkeys(texts, pa.array(["{}"] * count)),
        **dict.fromkeys(("start_time_unix_nano", "end_time_unix_nano"), pa.array([1] * count)),
        **dict.fromkeys(("parent_span_id", "outputs"), pa.nulls(count)),
    }
    row = {
        **dict.fromkeys(("trace_id", "experiment_id", "experiment"), pa.array(["0"])),
        "request_time": [dt.datetime(2026, 1, 31, tzinfo=dt.timezone.utc)],
        "state": ["OK"],
        "spans": pa.ListArray.from_arrays(
            pa.array([0, count], pa.int32()), pa.StructArray.from_arrays(spans.values(), spans)
        ),
        **dict.fromkeys(("cost", "tags", "trace_metadata"), pa.nulls(1)),
        **dict.fromkeys(("assessments", "attachments", "contents"), pa.array([[]])),
    }
    return pa.table(row)


def nothing(count: int) -> Any:
    """Return a table of a row with very many values that are none."""
    pa = pytest.importorskip("pyarrow")
    lists = pa.ListArray.from_arrays(pa.array([0, count], pa.int32()), pa.nulls(count, pa.string()))
    return pa.table({"attachments": lists})


def ids(found: list[Any], kind: str = "string", **how: Any) -> Any:
    pa = pytest.importorskip("pyarrow")
    return pa.table({"trace_id": pa.array(found, getattr(pa, kind)(**how))})


BY_PREFIX = {"use_dictionary": False, "column_encoding": {"trace_id": "DELTA_BYTE_ARRAY"}}
TABLES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "a long text": (lambda: ids(["x" * 2_000_000]), {}, "the row group takes more than 1 MB"),
    "one text many times": (lambda: repeating(50), {}, "the row group takes more than 1 MB"),
    "wide text": (lambda: ids([LONG + "😀"]), {"use_dictionary": False}, "the row group takes"),
    "many rows": (lambda: ids([None] * 50_000), {}, "the row group takes more than 1 MB"),
    "a long list": (lambda: nothing(50_000), {}, "the row group takes more than 1 MB"),
    "texts by prefix": (lambda: ids(["x" * 10_000] * 999), BY_PREFIX, "by what they begin with"),
    "bytes": (lambda: ids([b"x" * 9], "binary", length=9), {}, "trace_id is fixed_size_binary"),
    "other columns": (lambda: ids(["a"]).rename_columns(["b"]), {}, "'assessments' is missing"),
    "no spans": (lambda: ids(["a"]), {}, "'assessments' is missing"),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_hostile_table_is_refused(kind: str, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    make, how, why = TABLES[kind]
    file = tmp_path / "hostile.parquet"
    parquet.write_table(make(), file, compression="zstd", **how)
    assert file.stat().st_size < 100_000
    with pytest.raises(BrokenFileError, match=f"hostile.parquet, row 1: .*{why}"):
        spanlog.import_traces(file, trace_mb=1)
    assert everything() == []


def test_a_table_may_repeat_what_is_long(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "repeats.parquet"
    parquet.write_table(repeating(50), file)
    assert spanlog.import_traces(file) == (1, 0)
    ((*_, raw, _),) = everything()
    assert raw == [(f'"{LONG}"', None)] * 50


IMPORT = """
import pathlib, sys, spanlog
for file in sys.argv[1:]:
    try:
        print(*spanlog.import_traces(file))
    except spanlog.transfer.BrokenFileError as error:
        print("refused")
(peak,) = (x for x in pathlib.Path("/proc/self/status").open() if x.startswith("VmHWM"))
print(int(peak.split()[1]) * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux tells the peak")
def test_an_import_takes_little_memory_whatever_is_in_a_file(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "zeros.jsonl.gz").write_bytes(gzip.compress(bytes(10**7)) * 50)
    (tmp_path / "lines.jsonl.gz").write_bytes(gzip.compress(b"\n" * 10**7) * 50)
    (tmp_path / "arrays.jsonl").write_bytes(holding(many("[]", 3_000_000)))
    with (tmp_path / "sparse.jsonl").open("wb") as sparse:
        sparse.truncate(10**10)
    with (tmp_path / "large.jsonl").open("wb") as large:
        for i in (1, 2, 3):  # each is written by a statement of its own
            trace = spans_of(i).replace(b"a" * 32, b"%032x" % i)
            large.write(trace.replace(b'"TOOL"', f'"TOOL","inputs":"{LONG * 160}"'.encode(), 1))
            large.write(b"\n")
    parquet.write_table(repeating(5_000), tmp_path / "bomb.parquet")
    parquet.write_table(nothing(10**7), tmp_path / "nothing.parquet")
    parquet.write_table(repeating(160), tmp_path / "large.parquet")
    files = ("zeros.jsonl.gz", "lines.jsonl.gz", "arrays.jsonl", "sparse.jsonl", "large.jsonl")
    files += ("bomb.parquet", "nothing.parquet", "large.parquet")
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, *files],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        text=True,
    )
    *told, peak = done.stdout.splitlines()
    assert told == [*["refused"] * 4, "3 0", "refused", "refused", "1 0"]
    assert int(peak) < 300_000_000
