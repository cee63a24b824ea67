"""Words of inputs and outputs are found through an index that follows what is written."""

from __future__ import annotations

from typing import Any

import pytest
import spanlog
from hypothesis import given
from hypothesis import strategies as st
from spanlog.client import TracingClient
from spanlog.runtime import current_store

pytestmark = pytest.mark.stores


def said(inputs: Any, outputs: Any = None) -> str:
    with spanlog.start_span("a") as span:
        span.set_inputs(inputs)
        if outputs is not None:
            span.set_outputs(outputs)
        return span.trace_id


def finds(pattern: str, how: str = "LIKE") -> bool:
    quoted = pattern.replace("'", "''")
    text = f"trace.text {how} '{quoted}'"
    return bool(spanlog.search_traces(filter_string=text, return_type="list"))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("%refund%", True),
        ("%Refund%", False),
        ("%refund policy%", True),
        ("%policy refund%", False),
        ("%refund%day%", True),
        ("%refund pol%", True),
        ("%fund%", False),  # words are found from their beginning on
        ("%C:\\new\\%", True),
        ("%second line%", True),
        ("%a\nsecond%", True),
        ('%"quoted"%', True),
        ("%Zürich%", True),
        ("%天气%", True),
        ("%e-mail: x@y.org%", True),
        ("%100\\%", False),
        ("%it's%", True),
        ("%!!%", True),
        ("%answer%", True),
    ],
)
def test_text_is_found(pattern: str, expected: bool) -> None:
    said(
        {"q": 'the refund policy, 30 day, a\nsecond line, C:\\new\\x "quoted" it\'s in Zürich !!'},
        ["今天天气很好", "e-mail: x@y.org", "answer it's"],
    )
    assert finds(pattern) is expected
    assert finds(pattern.swapcase(), "ILIKE") is (expected or pattern == "%Refund%")


def test_a_text_of_hundreds_of_words_is_found() -> None:
    text = " ".join(f"word{n}" for n in range(500))
    said(f"so: {text}.")
    assert finds(f"%{text}%")
    assert not finds(f"%{text} more%")


def test_what_many_have_is_found_by_the_same_rules() -> None:
    for n in range(30):
        said({"q": f"the refund policy, item {n}"}, "of a\nday")
    for pattern, found in (("%refund pol%", 30), ("%fund%", 0), ("%a\nday%", 30), ("%ay%", 0)):
        text = f"trace.text LIKE '{pattern}'"
        for limit in (7, 29, 30, 31, 500):
            page = TracingClient().search_traces(filter_string=text, max_results=limit)
            assert len(page) == min(found, limit)
            assert (page.token is None) is (found <= limit)


def test_an_attribute_is_found_by_its_value_however_it_is_spelled() -> None:
    values = [
        5,
        5.0,
        0.25,
        -3,
        1e16,
        10**20,
        "5",
        "05",
        "t-3",
        "Zürich 天气",
        'a"b\\c\n',
        True,
        [1],
    ]
    for value in values:
        with spanlog.start_span("a") as span:
            span.set_attribute("x", value)
            span.set_attribute("other", "t-4 true 7")
    wanted = {
        "5": [5, 5, "5"],
        "5.0": [5, 5],
        "05": [5, 5, "05"],
        "0.25": [0.25],
        ".25": [0.25],
        "-3": [-3],
        "1e16": [1e16],
        "t-3": ["t-3"],
        "t-4": [],
        "Zürich 天气": ["Zürich 天气"],
        'a"b\\c\n': ['a"b\\c\n'],
        "true": [True],
        "7": [],
    }
    for text, found in wanted.items():
        spans = spanlog.search_spans(
            filter_string=f"span.attributes.x = '{text}'", return_type="list"
        )
        assert [span.attributes["x"] for span in reversed(spans)] == found, text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1))
def test_any_text_of_an_attribute_is_found(text: str) -> None:
    with spanlog.start_span("a") as span:
        span.set_attribute("x", text)
    quoted = text.replace("'", "''")
    query = f"trace_id = '{span.trace_id}' AND span.attributes.x = '{quoted}'"
    assert len(spanlog.search_traces(filter_string=query, return_type="list")) == 1


def test_the_index_follows_what_is_written_and_deleted() -> None:
    with spanlog.start_span("open") as span:
        span.set_inputs("begun")
        spanlog.flush()
        assert not finds("%begun%")  # a span is indexed once it has ended
        span.set_outputs("done")
    assert finds("%begun%")
    assert finds("%done%")
    other = said("kept")
    spanlog.delete_traces(trace_ids=[span.trace_id])
    assert not finds("%done%")
    with current_store()._transaction(reads=True) as connection:
        test = {"sqlite": "span_words MATCH", "postgresql": "words @@"}[connection.dialect.name]
        for word, expected in (("done", 0), ("kept", 1)):
            count = f"SELECT count(*) FROM span_words WHERE {test} '{word}'"
            assert connection.exec_driver_sql(count).scalar_one() == expected
    spanlog.delete_traces(trace_ids=[other])
    assert not finds("%kept%")


WORDS = st.text(alphabet="abAB éß\"\\\n%'-1", max_size=8)


@pytest.mark.usefixtures("quick")
@given(WORDS, WORDS, WORDS)
def test_any_text_that_begins_with_a_word_is_found(before: str, text: str, after: str) -> None:
    spanlog.delete_traces("0")
    said({"x": f"{before} {text}{after}"})
    assert finds(f"%{text.replace('%', '_')}%")
