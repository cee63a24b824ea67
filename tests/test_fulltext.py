"""Words of inputs and outputs are found through an index that follows what is written."""

from __future__ import annotations

from typing import Any

import pytest
import spanlog
from hypothesis import given
from hypothesis import strategies as st
from spanlog.store import current_store

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
