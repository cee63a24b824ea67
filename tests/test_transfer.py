"""Traces in files: what is read back is what was written, and a broken file does no harm."""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from spanlog import config
from spanlog.entities import AssessmentSource, Trace, TraceState
from spanlog.store import current_store
from spanlog.transfer import BrokenFileError, ImportResult
from test_entities import infos, spans

if TYPE_CHECKING:
    from pathlib import Path

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
    assert {info["experiment_id"] for info, *_ in everything()} == {config.experiment}


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
    assert [groups.row_group(i).num_rows for i in range(groups.num_row_groups)] == [2, 1]


def test_a_compressed_file_is_gzip(tmp_path: Path) -> None:
    record()
    spanlog.export_traces(tmp_path / "a.jsonl.gz")
    assert json.loads(gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()))["info"]
