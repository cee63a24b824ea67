"""Traces are found by what is known of them, and a filter never means anything but itself."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import spanlog
from hypothesis import given
from hypothesis import strategies as st
from spanlog import client
from spanlog.api import search
from spanlog.entities import Trace
from spanlog.runtime import default
from spanlog.store.filters import FilterError
from spanlog.store.filters.fields import FIELDS

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000
MS = 1_000_000


def made(
    name: str, began: int = 0, took: int = 0, status: str = "OK", **said: Any
) -> spanlog.entities.LiveSpan:
    """Record a trace that began at a second and took some milliseconds."""
    span = spanlog.start_span_no_context(name, start_time_ns=began * SECOND, **said)
    span.end(status=status, end_time_ns=began * SECOND + took * MS)
    return span


def found(filter_string: str | None = None, **how: Any) -> list[str | None]:
    how.setdefault("order_by", ["timestamp_ms"])
    traces = spanlog.search_traces(filter_string=filter_string, return_type="list", **how)
    return [trace.info.name for trace in traces]


@pytest.fixture
def three() -> None:
    made("a", 1, 10, tags={"env": "dev", "my key": "x y"}, metadata={"user": "ann"})
    made("b", 2, 20, "ERROR", tags={"env": "prod"}, metadata={"user": "bob"})
    made("c", 3, 30, tags={"env": "prod", "n": "10"})
    with spanlog.start_span("d"):
        spanlog.update_current_trace(client_request_id="req-1")


@pytest.mark.stores
@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = 'a'", "a"),
        ("name != 'a'", "bcd"),
        ("name <> 'a'", "bcd"),
        ("name > 'b'", "cd"),
        ("attributes.name >= 'b'", "bcd"),
        ("trace.name < 'b'", "a"),
        ('name <= "b"', "ab"),
        ("status = 'ERROR'", "b"),
        ("attributes.status != 'ERROR'", "acd"),
        ("state = 'OK'", "acd"),
        ("timestamp_ms = 2000", "b"),
        ("timestamp_ms > 2000", "cd"),
        ("timestamp < 2000", "a"),
        ("request_time>=2000.5", "cd"),
        ("execution_time_ms > 10 AND execution_time_ms < 30", "b"),
        ("execution_time = 30", "c"),
        ("execution_duration <= -1", ""),
        ("end_time_ms <= 2020", "ab"),
        ("end_time > 99999999999999999999999999", ""),
        ("client_request_id = 'req-1'", "d"),
        ("experiment_id = 0", "abcd"),
        ("tags.env = 'prod'", "bc"),
        ("tag.env != 'prod'", "a"),
        ("tags.`my key` = 'x y'", "a"),
        ("tags.n = 10", "c"),
        ("metadata.user = 'ann'", "a"),
        ("request_metadata.user > 'ann'", "b"),
        ("tags.env = 'prod' and status = 'OK' AND metadata.user = 'x'", ""),
        ("tags.`mlflow.traceName` = 'c'", "c"),
        ("  \n", "abcd"),
    ],
)
def test_a_filter_finds(text: str, expected: str) -> None:
    assert "".join(map(str, found(text))) == expected


@pytest.mark.slow
@pytest.mark.stores
@pytest.mark.parametrize("field", FIELDS)
def test_every_field_takes_every_operator_of_its_kind(field: str) -> None:
    made("a", 1)
    kind = FIELDS[field].kind
    text = ["LIKE 'x%'", 'ILIKE "X_"', "NOT LIKE 'x'", "IS NULL", "IS NOT NULL"]
    ordered = [f"{op} {v}" for op in ["=", "!=", "<>", "<", "<=", ">", ">="] for v in ("5", "'6'")]
    some = ["IN (1)", "NOT IN ('1', '2.5')", "IS NULL", "is not null"]
    regular = ["RLIKE '^x'", "NOT RLIKE 'x|y'"]
    for rest in {"content": text, "number": ordered + some}.get(
        kind, text + ordered + some + regular
    ):
        found(f"{field} {rest}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nmae = 'a'", "at character 0: there is no field 'nmae'. Did you mean name?"),
        ("name = 'a' AND stats = 'OK'", "at character 15: there is no field 'stats'. Did you mean"),
        (
            "NOT spam.name = 'a'",
            "at character 4: there is no field 'spam.name'. Did you",
        ),
        ("name = a", "at character 7: expected a value, found 'a'; texts are written in quotes"),
        ("name LKE 'a'", "at character 5: cannot read 'LKE' here. Did you mean LIKE?"),
        ("name = 'a' ADN name = 'b'", "at character 11: cannot read 'ADN' here. Did you mean AND?"),
        ("name = 'a", "at character 7: the quote that begins here does not end"),
        ("name =", "at character 6: it ends too early"),
        ("name = 'a' AND", "at character 14: it ends too early"),
        ("(name = 'a'", "at character 11: it ends too early"),
        ("name = 'a')", "at character 10: cannot read ')' here"),
        ("name", "at character 0: expected a comparison: one of =, !=, <"),
        ("'a' = name", "at character 0: expected the name of a field"),
        ("name = NULL", "expected a value; write IS NULL or IS NOT NULL"),
        ("name IS 'a'", "expected NULL or NOT NULL"),
        ("name IN 'a'", "expected values in parentheses"),
        ("name IN ()", "expected values in parentheses"),
        ("name = 'a'; DROP TABLE traces", "at character 10: cannot read ';' here"),
        ("upper(name) = 'A'", "at character"),
        ("timestamp_ms > 'x'", "timestamp_ms is compared with a number, found 'x'"),
        ("timestamp_ms LIKE '1%'", "timestamp_ms is a number, which LIKE does not take"),
        ("name RLIKE '['", "at character 11: not a regular expression"),
        ("trace.text = 'x'", "trace.text takes LIKE and ILIKE, found ="),
        ("tags. = 'x'", "at character 4: cannot read '.' here"),
        ("(" * 60 + "name = 'a'" + ")" * 60, "it is nested too deeply"),
        ("(" * 6000 + "name = 'a'" + ")" * 6000, "it is nested too deeply"),
        (" AND ".join(["name = 'a'"] * 301), "more than 300 comparisons"),
        ("IN - IS NOT RLIKE 'a'", "at character"),
        ("name LIKE '" + "a" * 5001 + "'", "at character 10: a pattern has 5,000 characters"),
        ("name RLIKE '" + "a" * 5001 + "'", "at character 11: a pattern has 5,000 characters"),
    ],
)
def test_an_error_names_the_place_and_the_nearest_word(text: str, message: str) -> None:
    with pytest.raises(FilterError) as caught:
        spanlog.search_traces(filter_string=text)
    assert message in str(caught.value)
    assert str(caught.value).splitlines()[-2] == text


NASTY = [
    "' OR '1'='1",
    "'; DROP TABLE traces; --",
    '" OR ""="',
    "it's",
    "%",
    "_",
    ":p ? $1 %s {0}",
    "\\'",
    "`",
    "é\u2028\U0001f600",
    "\udcff",
    "\x00",
]


@pytest.mark.stores
@pytest.mark.parametrize("text", NASTY)
def test_any_text_matches_itself_and_nothing_else(text: str) -> None:
    made("other", 1, tags={"k": "other"})
    made("it", 2, tags={"k": text, text.replace("`", ""): "by key"})
    quoted = text.replace("'", "''")
    assert found(f"tags.k = '{quoted}'") == ["it"]
    assert found('tags.k = "{}"'.format(text.replace('"', '""'))) == ["it"]
    assert found(f"name = '{quoted}'") == []
    if "`" not in text:
        assert found(f"tags.`{text}` = 'by key'") == ["it"]


@pytest.mark.stores
@given(st.text(min_size=1), st.text())
def test_any_tag_is_found_by_its_value(value: str, other: str) -> None:
    span = made("x", tags={"k": value})
    quoted = value.replace("'", "''")
    hits = spanlog.search_traces(filter_string=f"tags.k = '{quoted}'", return_type="list")
    assert span.trace_id in [trace.info.trace_id for trace in hits]
    spanlog.delete_traces(trace_ids=[span.trace_id])


WORDS = st.sampled_from([*FIELDS, "tags.", "tags.a", "metadata.`b c`", "AND", "OR", "=", "<", "!="])
PIECES = WORDS | st.sampled_from(["'x'", '"', "'", "`", "5", "-1.5", "9" * 5000, "(", "LIKE"])


@pytest.mark.stores
@given(st.lists(PIECES | st.text(max_size=3), max_size=8).map(" ".join) | st.text())
def test_any_filter_works_or_is_a_filter_error(text: str) -> None:
    with contextlib.suppress(FilterError):
        spanlog.search_traces(filter_string=text, return_type="list")


@pytest.mark.stores
@given(st.lists(st.text(max_size=5) | st.sampled_from(["name DESC", "status", "end_time asc x"])))
def test_any_order_works_or_is_a_filter_error(order_by: list[str]) -> None:
    with contextlib.suppress(FilterError):
        spanlog.search_traces(order_by=order_by, return_type="list")


@pytest.mark.stores
@pytest.mark.parametrize(
    "part", ["name = 'a'", "trace.text LIKE '%a b%'", "feedback.a IN (1, 'b')"]
)
def test_a_filter_that_is_too_deep_for_a_database_is_a_filter_error(part: str) -> None:
    made("a", 1)
    for levels in range(0, 49, 6):
        with contextlib.suppress(FilterError):
            found("NOT " * levels + part)


@pytest.mark.stores
def test_a_number_of_a_filter_may_be_larger_than_those_of_a_store() -> None:
    made("a", 1)
    for number in (2**63, 2**64, "9" * 5_000, "1e400"):
        assert found(f"timestamp_ms < {number} AND span.duration_ms != {number}") == ["a"]
        assert found(f"timestamp_ms IN (1, {number}) OR feedback.a = {number}") == []


def test_a_filter_has_room_for_thousands_of_ids_but_an_end() -> None:
    made("a", 1)
    ids = ", ".join(f"'{n:032x}'" for n in range(6_000))
    assert found(f"trace_id NOT IN ({ids})") == ["a"]
    with pytest.raises(FilterError, match="a filter has 250,000 characters at most, found 300,000"):
        found(" " * 300_000)


@pytest.mark.stores
@pytest.mark.usefixtures("three")
def test_traces_are_ordered_and_counted_as_asked() -> None:
    assert found(order_by=None) == ["d", "c", "b", "a"]
    assert found(order_by=["execution_time_ms DESC"])[:3] == ["c", "b", "a"]
    assert found(order_by=["status ASC", "attributes.timestamp_ms  desc"]) == ["b", "d", "c", "a"]
    assert found(max_results=2) == ["a", "b"]
    assert found(max_results=0) == []
    with pytest.raises(FilterError, match=r"'nam'\. Did you mean name"):
        found(order_by=["nam"])
    with pytest.raises(FilterError, match="a filter is a text"):
        found(5)  # type: ignore[arg-type]
    with pytest.raises(FilterError, match="the direction is ASC or DESC"):
        found(order_by=["name DOWN"])
    with pytest.raises(ValueError, match='must be "pandas" or "list"'):
        spanlog.search_traces(return_type="dict")  # type: ignore[call-overload]


@pytest.mark.stores
def test_the_newest_come_first_also_within_a_millisecond() -> None:
    for number in range(20):
        with spanlog.start_span(str(number)):
            pass
    oldest_first = [str(number) for number in range(20)]
    assert found(order_by=None) == oldest_first[::-1]
    assert found(order_by=["timestamp_ms ASC"]) == oldest_first
    assert found(order_by=["timestamp_ms DESC"]) == oldest_first[::-1]


@pytest.mark.stores
@pytest.mark.usefixtures("three")
def test_a_dataframe_has_the_columns_of_mlflow_in_their_order() -> None:
    frame = spanlog.search_traces()
    assert isinstance(frame, pd.DataFrame)
    assert list(frame.columns) == [
        "trace_id",
        "trace",
        "client_request_id",
        "state",
        "request_time",
        "execution_duration",
        "request",
        "response",
        "trace_metadata",
        "tags",
        "spans",
        "assessments",
    ]
    row = frame[frame.client_request_id == "req-1"].iloc[0]
    assert Trace.from_json(row["trace"]).info.trace_id == row["trace_id"]
    assert [span["name"] for span in row["spans"]] == ["d"]
    empty = spanlog.search_traces(filter_string="name = 'none'")
    assert list(empty.columns) == list(frame.columns)
    assert len(empty) == 0


@pytest.mark.slow
def test_without_pandas_traces_come_as_a_list(tmp_path: Path) -> None:
    made("a")
    spanlog.flush()
    code = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] == 'pandas':
            raise ModuleNotFoundError('blocked', name=name)
sys.meta_path.insert(0, Blocker())
import spanlog
assert [t.info.name for t in spanlog.search_traces()] == ['a']
try:
    spanlog.search_traces(return_type='pandas')
except ImportError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert "pip install 'spanlog[pandas]'" in done.stdout, done.stderr


@pytest.mark.stores
def test_a_trace_that_is_not_there_is_none_with_a_warning_unless_silent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert spanlog.get_trace("nope", silent=True) is None
    assert caplog.text == ""
    assert spanlog.get_trace(request_id="nope") is None
    assert "there is no trace nope" in caplog.text


def test_the_client_searches_as_the_function_does() -> None:
    made("a", 1)
    made("b", 2)
    traces = client.TracingClient().search_traces(max_results=1, filter_string="name > ''")
    assert [trace.info.name for trace in traces] == ["b"]


@pytest.mark.slow
def test_a_thousand_traces_of_ten_spans_are_read_quickly(capsys: Any) -> None:
    for _ in range(1000):
        with spanlog.start_span("root"):
            for _ in range(9):
                with spanlog.start_span("child") as span:
                    span.set_inputs({"city": "Paris"})
    spanlog.flush()
    began = time.perf_counter()
    traces = search.find(default())
    took = time.perf_counter() - began
    with capsys.disabled():
        print(f"\n1,000 traces of 10 spans were read in {took * 1000:.0f} ms")
    assert sum(len(trace.data.spans) for trace in traces) == 10_000
    assert took < 5
