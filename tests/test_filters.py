"""A filter means the same in SQL as in plain Python, whatever it is made of."""

from __future__ import annotations

import base64
import contextlib
import operator
import re
import subprocess
import sys
from typing import Any

import orjson
import pytest
import spanlog
from hypothesis import given, settings
from hypothesis import strategies as st
from spanlog.client import TracingClient
from spanlog.runtime import default
from spanlog.store.filters import Filter, FilterError, parse_filter, parse_order, where
from sqlalchemy.dialects import sqlite

MS = 1_000_000
TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "Äb",
    "äb",
    "a%b",
    "a_b",
    "a\\b",
    "it's",
    '"q"',
    "1",
    "10",
    "2.0",
    "true",
]
NUMBERS = [-1, 0, 1, 2, 2.5, 10]
VALUES = st.sampled_from([*TEXTS, *NUMBERS, True, False])
TYPES = ["LLM", "TOOL", "a"]

SPANS = st.fixed_dictionaries(
    {
        "name": st.sampled_from(TEXTS),
        "type": st.sampled_from(TYPES),
        "status": st.sampled_from(["OK", "ERROR"]),
        "duration_ms": st.sampled_from([0, 1, 2, 10]),
        "attributes": st.dictionaries(
            st.sampled_from(["x", "k.e-y", "a b"]),
            VALUES | st.none() | st.just([1, "a"]),
            max_size=2,
        ),
    }
)
TRACES = st.fixed_dictionaries(
    {
        "tags": st.dictionaries(st.sampled_from(["x", "my key"]), st.sampled_from(TEXTS)),
        "metadata": st.dictionaries(st.sampled_from(["x", "y.z"]), st.sampled_from(TEXTS)),
        "timestamp_ms": st.integers(1, 4),
        "spans": st.lists(SPANS, min_size=1, max_size=3),
    }
)

ORDERED = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def like(text: str, pattern: str) -> bool:
    parts = [{"%": ".*", "_": "."}.get(c, re.escape(c)) for c in pattern]
    return re.fullmatch("".join(parts), text, re.DOTALL) is not None


PATTERNS = {
    "LIKE": like,
    "ILIKE": lambda text, pattern: like(text.lower(), pattern.lower()),
    "RLIKE": lambda text, pattern: re.search(pattern, text) is not None,
}


def compared(value: Any, symbol: str, other: Any) -> bool:
    """Compare a value that is there with one that a filter names."""
    if symbol == "IN":
        return any(compared(value, "=", each) for each in other)
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, list):
        value = '[1,"a"]'
    if isinstance(value, str):
        other = str(other).lower() if isinstance(other, bool) else str(other)
        return {**ORDERED, **PATTERNS}[symbol](value, other)
    if symbol in PATTERNS:
        return False
    try:
        return ORDERED[symbol](value, float(other))
    except ValueError:
        return symbol == "!="


def fits(values: list[Any], symbol: str, other: Any) -> bool:
    """Say whether one of the values that are there fits."""
    values = [value for value in values if value is not None]
    if symbol == "IS NULL":
        return not values
    if symbol == "IS NOT NULL":
        return bool(values)
    negated = symbol.startswith("NOT ")
    symbol = symbol.removeprefix("NOT ")
    return any(compared(value, symbol, other) != negated for value in values)


def of_span(span: dict[str, Any], node: Any) -> bool:
    if node[0] in ("AND", "OR"):
        return (all if node[0] == "AND" else any)(of_span(span, part) for part in node[1])
    field, symbol, other = node
    path = field.removeprefix("span.").replace("`", "")
    if path.startswith("attributes."):
        return fits([span["attributes"].get(path.removeprefix("attributes."))], symbol, other)
    return fits([span[path]], symbol, other)


def is_of_span(node: Any) -> bool:
    if node[0] in ("AND", "OR"):
        return all(is_of_span(part) for part in node[1])
    return node[0].startswith("span.")


def conjuncts(node: Any) -> list[Any]:
    """Return what is joined by AND, whatever the parentheses."""
    return [each for part in node[1] for each in conjuncts(part)] if node[0] == "AND" else [node]


def holds(trace: dict[str, Any], node: Any) -> bool:
    """Evaluate a filter over plain data."""
    if node[0] == "NOT":
        return not holds(trace, node[1])
    if is_of_span(node):
        return any(of_span(span, node) for span in trace["spans"])
    if node[0] == "OR":
        return any(holds(trace, part) for part in node[1])
    if node[0] == "AND":
        node = ("AND", conjuncts(node))
        of_spans = [part for part in node[1] if is_of_span(part)]
        one = ("AND", of_spans)
        return all(holds(trace, part) for part in node[1] if not is_of_span(part)) and (
            not of_spans or any(of_span(span, one) for span in trace["spans"])
        )
    field, symbol, other = node
    of, _, key = field.partition(".")
    if key:
        return fits([trace[of].get(key.replace("`", ""))], symbol, other)
    root = trace["spans"][0]
    value = {
        "name": root["name"],
        "status": root["status"],
        "timestamp_ms": trace["timestamp_ms"],
        "execution_time_ms": root["duration_ms"],
        "session": trace["metadata"].get("mlflow.trace.session"),
    }[field]
    return fits([value], symbol, other)


def literal(value: Any) -> str:
    if isinstance(value, list):
        return f"({', '.join(map(literal, value))})"
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, str):
        return "'{}'".format(value.replace("'", "''"))
    return str(value)


def text(node: Any) -> str:
    """Spell a filter."""
    if node[0] == "NOT":
        return f"NOT ({text(node[1])})"
    if node[0] in ("AND", "OR"):
        return "(" + f" {node[0]} ".join(map(text, node[1])) + ")"
    field, symbol, other = node
    return f"{field} {symbol}" if "NULL" in symbol else f"{field} {symbol} {literal(other)}"


TEXT_FIELDS = [
    "name",
    "status",
    "session",
    "tags.x",
    "tags.`my key`",
    "metadata.y.z",
    "span.name",
    "span.type",
    "span.status",
    "span.attributes.x",
    "span.attributes.k.e-y",
    "span.attributes.`a b`",
]
NUMBER_FIELDS = ["timestamp_ms", "execution_time_ms", "span.duration_ms"]
WRITTEN = st.sampled_from([*TEXTS, *NUMBERS, True])
LEAVES = st.one_of(
    st.tuples(st.sampled_from(TEXT_FIELDS), st.sampled_from([*ORDERED]), WRITTEN),
    st.tuples(
        st.sampled_from(TEXT_FIELDS),
        st.sampled_from(["IN", "NOT IN"]),
        st.lists(WRITTEN, min_size=1, max_size=3),
    ),
    st.tuples(
        st.sampled_from(TEXT_FIELDS),
        st.sampled_from(["LIKE", "NOT LIKE", "ILIKE", "NOT ILIKE"]),
        st.sampled_from([*TEXTS, "%", "A%", "_b", "%\\%", "ä%"]),
    ),
    st.tuples(
        st.sampled_from(TEXT_FIELDS),
        st.sampled_from(["RLIKE", "NOT RLIKE"]),
        st.sampled_from(["a", "^a", "b$", "[0-9]", "", "a.b"]),
    ),
    st.tuples(
        st.sampled_from(NUMBER_FIELDS), st.sampled_from([*ORDERED]), st.sampled_from(NUMBERS)
    ),
    st.tuples(
        st.sampled_from(NUMBER_FIELDS),
        st.sampled_from(["IN", "NOT IN"]),
        st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=3),
    ),
    st.tuples(
        st.sampled_from(TEXT_FIELDS + NUMBER_FIELDS),
        st.sampled_from(["IS NULL", "IS NOT NULL"]),
        st.none(),
    ),
)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.just("NOT"), inner),
        st.tuples(st.sampled_from(["AND", "OR"]), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=6,
)


def record(trace: dict[str, Any]) -> str:
    """Record a trace from plain data, with its number in the store as client request id."""
    root = None
    for said in trace["spans"]:
        span = spanlog.start_span_no_context(
            said["name"],
            said["type"],
            root,
            attributes=said["attributes"],
            start_time_ns=trace["timestamp_ms"] * MS,
            **({} if root else {"tags": trace["tags"], "metadata": trace["metadata"]}),
        )
        root = root or span
        if span is not root:
            span.end(
                status=said["status"], end_time_ns=span.start_time_ns + said["duration_ms"] * MS
            )
    assert root is not None
    said = trace["spans"][0]
    root.end(status=said["status"], end_time_ns=root.start_time_ns + said["duration_ms"] * MS)
    return root.trace_id


@pytest.mark.slow
@pytest.mark.stores
@pytest.mark.usefixtures("quick")
@settings(max_examples=60)
@given(st.lists(TRACES, min_size=1, max_size=6), st.lists(FILTERS, min_size=8, max_size=8))
def test_a_filter_finds_what_plain_python_finds(traces: list[Any], filters: list[Any]) -> None:
    spanlog.delete_traces("0")
    ids = {record(trace): trace for trace in traces}
    for node in filters:
        found = spanlog.search_traces(
            filter_string=text(node), return_type="list", include_spans=False
        )
        expected = {id_ for id_, trace in ids.items() if holds(trace, node)}
        assert {trace.info.trace_id for trace in found} == expected, text(node)


TREE = {"tags": {}, "metadata": {}, "timestamp_ms": 5}
TOOL = {"name": "t", "type": "TOOL", "status": "OK", "duration_ms": 1, "attributes": {"n": 1}}
LLM = {"name": "l", "type": "LLM", "status": "ERROR", "duration_ms": 9, "attributes": {"n": "1"}}


@pytest.mark.stores
@pytest.mark.parametrize(
    ("filter_string", "fits"),
    [
        ("span.type = 'TOOL' AND span.status = 'OK'", True),
        ("span.type = 'TOOL' AND span.status = 'ERROR'", False),
        ("span.type = 'TOOL' AND name = 't' AND span.status = 'ERROR'", False),
        ("span.type = 'TOOL' AND NOT NOT span.status = 'ERROR'", True),
        ("span.type = 'TOOL' AND (span.status = 'ERROR' OR span.duration_ms < 5)", True),
        ("NOT span.status = 'ERROR'", False),
        ("span.status != 'ERROR'", True),
        ("span.type NOT IN ('TOOL')", True),
        ("NOT span.type IN ('TOOL')", False),
        ("span.attributes.n = 1 AND span.type = 'TOOL'", True),
        ("span.attributes.n = '1' AND span.type = 'TOOL'", True),
        ("span.attributes.n = 1 AND span.type = 'LLM'", True),
        ("span.attributes.n > 0 AND span.type = 'TOOL'", True),
        ("span.attributes.n < 10 AND span.type = 'TOOL'", True),
        ("span.attributes.n < '10' AND span.type = 'LLM'", True),
        ("span.attributes.n LIKE '1'", True),
        ("span.content LIKE '%say \"hi\"%' AND span.type = 'TOOL'", True),
        ("span.content ILIKE '%SAY%' AND span.type = 'LLM'", False),
        ("trace.text LIKE '%say \"hi\"%' AND span.type = 'LLM'", True),
        ("trace.text NOT LIKE '%bye%'", True),
        ("trace.text LIKE '%Say%'", False),
        ("NOT trace.text ILIKE '%Say%'", False),
        ("span.content IS NULL AND span.type = 'LLM'", True),
        ("experiment = 'Default' AND experiment_id = '0'", True),
        ("session = 's' AND user = 'u'", True),
        ("session != 's'", False),
        ("tags.`mlflow.traceName` = 't'", True),
        ("request_id IS NOT NULL", True),
    ],
)
def test_what_is_said_of_spans_joined_by_and_is_said_of_one(filter_string: str, fits: bool) -> None:
    with spanlog.tracing.context(session_id="s", user="u"):
        root = spanlog.start_span_no_context("t", "TOOL", attributes={"n": 1})
        root.set_inputs({"text": 'say "hi"'})
        child = spanlog.start_span_no_context("l", "LLM", root, attributes={"n": "1"})
        child.end(status="ERROR", end_time_ns=child.start_time_ns + 9 * MS)
        root.end(end_time_ns=root.start_time_ns + MS)
    found = spanlog.search_traces(filter_string=filter_string, return_type="list")
    assert bool(found) is fits


@pytest.mark.slow
@pytest.mark.stores
@pytest.mark.usefixtures("quick")
@settings(max_examples=60)
@given(
    st.lists(TRACES, max_size=6),
    st.lists(
        st.tuples(
            st.sampled_from([*TEXT_FIELDS[:6], *NUMBER_FIELDS[:2], "end_time", "experiment"]),
            st.sampled_from(["", " ASC", " DESC"]),
        ).map("".join),
        max_size=2,
    ),
    st.integers(1, 3),
)
def test_pages_make_up_the_whole_in_its_order(
    traces: list[Any], order: list[str], size: int
) -> None:
    spanlog.delete_traces("0")
    for trace in traces:
        record(trace)
    client = TracingClient()
    whole = [t.info.trace_id for t in client.search_traces(order_by=order)]
    assert len(whole) == len(traces)
    pages, token = [], None
    while True:
        page = client.search_traces(order_by=order, max_results=size, page_token=token)
        assert len(page) <= size
        pages += [trace.info.trace_id for trace in page]
        token = page.token
        if token is None:
            break
        if len(pages) <= size:
            record({**TREE, "timestamp_ms": 2, "spans": [TOOL]})  # a newcomer moves nothing
    order_of = {id_: i for i, id_ in enumerate(whole)}
    assert [id_ for id_ in pages if id_ in order_of] == whole


@pytest.mark.stores
def test_a_page_token_is_of_one_order() -> None:
    for _ in range(2):
        record({**TREE, "spans": [TOOL]})
    client = TracingClient()
    token = client.search_traces(max_results=1).token
    assert token
    assert client.search_traces(max_results=1, page_token=token).token is None
    for wrong in (token, "x", "é", token[:-4]):
        with pytest.raises(FilterError, match="page token"):
            client.search_traces(order_by=["name"], page_token=wrong)


ODD = [None, True, 0, -1, 2**63, 2**64 - 1, 1.5, 1e300, "", "a", "\0", [], [1], {}, {"a": 1}]


@pytest.mark.stores
@pytest.mark.usefixtures("quick")
@given(
    st.sampled_from(["", "name", "feedback.a", "cost, experiment"]),
    st.lists(st.sampled_from(ODD), min_size=2, max_size=4) | st.none(),
    st.sampled_from([*ODD, {"": 1, "a": 2, "b": 3}]),
)
def test_any_page_token_works_or_is_a_filter_error(order: str, values: Any, other: Any) -> None:
    token = other if values is None else [order, *values]
    text = base64.urlsafe_b64encode(orjson.dumps(token)).decode()
    with contextlib.suppress(FilterError):
        TracingClient().search_traces(order_by=order.split(", ") if order else [], page_token=text)


@pytest.mark.stores
def test_traces_without_their_spans_are_light_but_whole_otherwise() -> None:
    record({**TREE, "tags": {"a": "b"}, "spans": [TOOL, LLM]})
    (light,) = TracingClient().search_traces(include_spans=False)
    (whole,) = TracingClient().search_traces(locations=["0"])
    assert light.data.spans == []
    assert light.info.to_dict() == whole.info.to_dict()
    assert TracingClient().search_traces(locations=["9"]) == []


@pytest.mark.slow
def test_sqlglot_is_loaded_for_a_filter_and_for_nothing_else(tmp_path: Any) -> None:
    code = """
import sys, spanlog
with spanlog.start_span("a"): pass
spanlog.search_traces(return_type="list", order_by=["tags.x DESC"])
print("sqlglot" in sys.modules)
spanlog.search_traces(filter_string="name = 'a'", return_type="list")
print("sqlglot" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "True"]
    assert default().settings.experiment == "Default"


@pytest.mark.parametrize(
    "text",
    [
        "a" * 200_000 + " = 1",
        "name = 'x' AND " * 1_000 + "nope = 1",
        "tags." + "k" * 200_000 + " ~ 1",
        "name = 'x' " + "'" * 100_001,
        "span.type RLIKE '" + "(" * 4_000 + "'",
        "trace.name RLIKE '" + "a" * 6_000 + "'",
    ],
)
def test_what_is_wrong_with_a_long_filter_is_said_in_one_line_and_shown_as_far_as_is_sensible(
    text: str,
) -> None:
    with pytest.raises(FilterError) as raised:
        parse_filter(text)
    said, shown, _ = str(raised.value).splitlines()
    assert len(said) < 1_500
    assert len(shown) <= 50_003


@pytest.mark.parametrize("text", ["x" * 100_000, "name " + "D" * 100_000])
def test_what_is_wrong_with_a_long_order_is_said_in_one_line(text: str) -> None:
    with pytest.raises(FilterError) as raised:
        parse_order([text])
    assert len(str(raised.value)) < 1_500


def test_the_place_in_a_filter_of_several_lines_is_shown_in_its_line() -> None:
    with pytest.raises(FilterError) as raised:
        parse_filter("name = 'a' AND\n  nope = 1\n  AND status = 'OK'")
    assert str(raised.value).endswith("\n  nope = 1\n  ^")


def sql(filter_: Filter) -> str:
    """Return the condition that a filter is, with its values in it."""
    compiled = filter_.clause.compile(
        dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}
    )
    return str(compiled)


def test_a_filter_is_made_of_names_and_values_as_of_text() -> None:
    ours = where("name", "IN", "it's", "b") & where("tokens", ">", 3)
    text = parse_filter("name IN ('it''s', 'b') AND tokens > 3")
    assert sql(ours) == sql(text)
    either = where("user", "IS NULL") | where("trace_id", "LIKE", "%a")
    assert sql(either) == sql(parse_filter("user IS NULL OR trace_id LIKE '%a'"))


def test_a_text_is_joined_with_what_is_asked_beside_it() -> None:
    text = parse_filter("span.name = 'a' OR span.type = 'TOOL'")
    joined = text & where("span.status", "=", "ERROR") & Filter()
    whole = "(span.name = 'a' OR span.type = 'TOOL') AND span.status = 'ERROR'"
    assert sql(joined) == sql(parse_filter(whole))
    assert len(joined.sources) == len(parse_filter(whole).sources)
    assert (Filter() & text) is text
    assert (text | Filter()).node is None


def test_what_is_joined_with_a_filter_of_spans_is_of_the_same_span() -> None:
    text = parse_filter("span.name = 'a'", of_spans=True)
    whole = parse_filter("span.name = 'a' AND span.status = 'OK'", of_spans=True)
    assert sql(text & where("span.status", "=", "OK")) == sql(whole)


def test_a_comparison_of_what_there_is_not_is_refused() -> None:
    with pytest.raises(FilterError, match=r"there is no field 'nmae'\. Did you mean name"):
        where("nmae", "=", "a")
