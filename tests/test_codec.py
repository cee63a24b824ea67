"""A span as plain data, JSON and rows: each way is there and back, and parses what it must once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import spanlog
from hypothesis import given
from spanlog.display import data
from spanlog.entities import Span, SpanEvent, Trace
from spanlog.model import codec
from test_entities import spans
from test_transfer import use


@given(spans(["1" * 16]))
def test_a_span_is_the_same_after_every_way_there_and_back(span: Span) -> None:
    parts = span._parts()
    for table in (codec.STORE, codec.FILE):
        assert table.read(table.row(parts)) == parts
    made = codec.to_dict(parts)
    exact = codec.from_dict(made | codec.inexact(parts, made))
    assert exact == parts


def recorded(count: int) -> list[str]:
    """Record traces in which no two JSON texts are the same, and return their ids."""
    ids = []
    for trace in range(count):
        with spanlog.start_span("root") as root:
            for part in range(3):
                with spanlog.start_span("child", "CHAT_MODEL" if part else "TOOL") as span:
                    span.set_inputs({"in": [trace, part]})
                    span.set_outputs({"out": [trace, part]})
                    span.set_attribute("which", [trace, part])
                    span.add_event(SpanEvent("event", {"of": [trace, part]}))
            root.set_inputs({"in": trace})
            root.set_outputs({"out": trace})
            root.set_attribute("which", trace)
            root.add_event(SpanEvent("event", {"of": trace}))
        ids.append(root.trace_id)
    spanlog.flush()
    return ids


def frame() -> None:
    spanlog.search_traces(return_type="pandas")


def spans_frame() -> None:
    spanlog.search_spans(return_type="pandas")


def export(name: str) -> Callable[[], object]:
    return lambda: spanlog.export_traces(name)


def each(do: Callable[[Trace], Any]) -> Callable[[], object]:
    def way() -> None:
        for trace in spanlog.search_traces(return_type="list"):
            do(trace)

    return way


WAYS: dict[str, Callable[[], object]] = {
    "search_traces": frame,
    "search_spans": spans_frame,
    "to_json": each(lambda trace: trace.to_json()),
    "to_json, pretty": each(lambda trace: trace.to_json(pretty=True)),
    "to_dict": each(lambda trace: trace.to_dict()),
    "view": each(lambda trace: [data.contents(s, data.Room()) for s in trace.data.spans]),
    "JSON lines": export("there.jsonl"),
    "Parquet": export("there.parquet"),
}


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often each text is parsed."""
    count: Counter[str] = Counter()
    decode = codec.decode

    def counted(text: Any) -> Any:
        if text not in (None, "{}", "[]"):
            count[text] += 1
        return decode(text)

    monkeypatch.setattr(codec, "decode", counted)
    return count


@pytest.mark.parametrize("way", WAYS)
def test_json_is_parsed_once_on_any_way(
    way: str, parsed: Counter[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recorded(2)
    parsed.clear()
    WAYS[way]()
    texts = 2 * 4 * (2 if way == "Parquet" else 4)  # where inputs and outputs are not parsed at all
    assert (len(parsed), set(parsed.values())) == (texts, {1})


@pytest.mark.parametrize("name", ["there.jsonl", "there.parquet"])
def test_an_import_does_not_parse_inputs_and_outputs(
    name: str, parsed: Counter[str], tmp_path: Path
) -> None:
    recorded(2)
    spanlog.export_traces(tmp_path / name)
    use(tmp_path / "copy.db")
    parsed.clear()
    assert spanlog.import_traces(tmp_path / name).imported == 2
    assert not [text for text in parsed if '"in"' in text or '"out"' in text]


def odd(text: str, name: str = "n", began: int = 1) -> Trace:
    """Return a trace that our own encoder does not write; the text is the root's inputs."""
    made = Trace.from_dict(
        {
            "info": {
                "trace_id": "a" * 32,
                "experiment_id": "0",
                "request_time": "2026-01-31T12:00:00.000+00:00",
                "state": "OK",
            },
            "data": {
                "spans": [
                    {
                        "trace_id": "a" * 32,
                        "span_id": "b" * 16,
                        "name": name,
                        "span_type": "TOOL",
                        "start_time_unix_nano": began,
                        "status": {"code": "OK"},
                        "inputs_json": text,
                    }
                ]
            },
        }
    )
    assert made.data.request == text
    return made


@pytest.mark.parametrize("text", ['{"a": 1}', '{"a":1,"a":2}', "9" * 30, "1.0e5"])
def test_json_stands_in_json_as_it_is(text: str) -> None:
    assert f'"inputs":{text},' in odd(text).to_json()


@pytest.mark.parametrize("text", ["NaN", '{"a":', "[" * 2_000 + "]" * 2_000, "1e400"])
def test_what_cannot_be_read_is_the_text_itself_everywhere(text: str) -> None:
    trace = odd(text)
    (span,) = trace.data.spans
    row = trace.to_pandas_dataframe_row()
    assert span.inputs == span.to_dict()["inputs"] == row["request"] == text
    for written in (trace.to_json(), trace.to_json(pretty=True), row["trace"]):
        assert json.loads(written)["data"]["spans"][0]["inputs"] == text
    assert data.contents(span, data.Room())["inputs"] == text


def test_a_trace_that_a_program_made_is_written_too() -> None:
    trace = odd('{"a":1}', "\ud800", 2**70)
    for pretty in (False, True):
        assert json.loads(trace.to_json(pretty)) == trace.to_dict()


def test_what_is_read_of_a_span_is_the_readers_own() -> None:
    (id_,) = recorded(1)
    trace = spanlog.get_trace(id_)
    assert trace is not None
    root, before = trace.data.spans[0], trace.to_json()
    root.inputs["in"] = "changed"
    made, row = root.to_dict(), trace.to_pandas_dataframe_row()
    made["outputs"]["out"] = made["attributes"]["which"] = "changed"
    row["request"]["in"] = "changed"
    assert (root.inputs, root.outputs, root.attributes) == ({"in": 0}, {"out": 0}, {"which": 0})
    assert trace.to_json() == before
