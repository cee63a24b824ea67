"""Spans are found one by one, with what they used; older stores are brought up to date."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import spanlog
from spanlog.client import TracingClient
from spanlog.store.schema import COUNTS

if TYPE_CHECKING:
    from pathlib import Path

MS = 1_000_000
ANSWER = {"gen_ai.response.model": "gpt-4o", "gen_ai.usage.input_tokens": 3}


def call(parent: Any, name: str, output_tokens: int, took: int = 1) -> Any:
    """Begin a model call's span; `end` ends it."""
    span = spanlog.start_span_no_context(name, "CHAT_MODEL", parent, attributes=ANSWER)
    span.set_attribute("gen_ai.usage.output_tokens", output_tokens)
    span.start_time_ns = root_of(span).start_time_ns
    return span


def root_of(span: Any) -> Any:
    while span.parent:
        span = span.parent
    return span


def end(span: Any, took: int = 1) -> None:
    span.end(end_time_ns=span.start_time_ns + took * MS)


def agent(began: int = 1, outputs: tuple[int, ...] = (10, 20), **said: Any) -> str:
    """Record an agent that calls a model through a second layer, and a tool that fails."""
    root = spanlog.start_span_no_context("agent", "AGENT", start_time_ns=began * 1000 * MS, **said)
    for tokens in outputs:
        outer = call(root, "outer", tokens)
        inner = call(outer, "inner", tokens)
        end(inner, tokens)
        end(outer, tokens + 1)
    tool = spanlog.start_span_no_context("tool", "TOOL", root, start_time_ns=root.start_time_ns)
    tool.end(status="ERROR", end_time_ns=tool.start_time_ns + 5 * MS)
    end(root, 100)
    return str(root.trace_id)


def names(filter_string: str | None = None, order_by: Any = ("span.duration_ms",)) -> str:
    spans = spanlog.search_spans(
        filter_string=filter_string, order_by=list(order_by), return_type="list"
    )
    return " ".join(span.name for span in spans)


@pytest.mark.stores
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("span.type = 'TOOL'", "tool"),
        ("span.status = 'ERROR' AND status = 'OK'", "tool"),
        ("NOT span.type = 'CHAT_MODEL'", "tool agent"),
        ("span.model = 'gpt-4o' AND span.duration_ms > 20", "outer"),
        ("span.tokens = 13", "inner outer"),
        ("span.output_tokens IN (20)", "inner outer"),
        ("span.model IS NULL", "tool agent"),
        ("tags.env = 'prod' AND span.name LIKE '%l'", "tool"),
        ("tags.env = 'dev'", ""),
        ("span.attributes.`gen_ai.usage.output_tokens` < 15", "inner outer"),
        ("(span.name = 'tool' OR span.name = 'agent') AND span.duration_ms < 50", "tool"),
        ("tokens = 36", "tool inner outer inner outer agent"),
    ],
)
def test_a_filter_of_spans_finds(text: str, expected: str) -> None:
    agent(tags={"env": "prod"})
    assert names(text) == expected


@pytest.mark.stores
def test_spans_come_in_the_order_asked_for_and_in_pages() -> None:
    agent(1)
    agent(2, outputs=(1,))
    whole = spanlog.search_spans(order_by=["span.tokens DESC", "name"], return_type="list")
    assert [(span.usage or {}).get("total_tokens") for span in whole[:5]] == [23, 23, 13, 13, 4]
    pages: list[Any] = []
    token = None
    while token or not pages:
        page = TracingClient().search_spans(
            order_by=["span.tokens DESC", "name"], max_results=4, page_token=token
        )
        token = page.token
        pages += page
    assert [span.span_id for span in pages] == [span.span_id for span in whole]
    newest = spanlog.search_spans(max_results=1, return_type="list")
    assert newest[0].start_time_ns == 2000 * MS


@pytest.mark.stores
def test_spans_as_a_dataframe() -> None:
    agent()
    frame = spanlog.search_spans(filter_string="span.type = 'CHAT_MODEL'")
    assert isinstance(frame, pd.DataFrame)
    assert set(frame.model) == {"gpt-4o"}
    assert sorted(frame.total_tokens) == [13, 13, 23, 23]
    assert list(spanlog.search_spans(filter_string="span.name = 'x'").columns) == [*frame.columns]


@pytest.mark.stores
def test_each_call_counts_once_in_a_traces_tokens_whenever_it_is_written() -> None:
    id_ = agent()
    late = spanlog.start_span_no_context("agent", start_time_ns=1)
    outer = call(late, "outer", 5)
    inner = call(outer, "inner", 5)
    end(outer)
    spanlog.flush()
    end(inner)
    spanlog.flush()
    end(late)
    (light,) = TracingClient().search_traces(filter_string="tokens = 36", include_spans=False)
    whole = spanlog.get_trace(id_)
    assert whole
    assert light.info.token_usage == whole.info.token_usage
    assert whole.info.token_usage == {"input_tokens": 6, "output_tokens": 30, "total_tokens": 36}
    (light,) = TracingClient().search_traces(filter_string="tokens = 8", include_spans=False)
    assert light.info.trace_id == late.trace_id
    order = TracingClient().search_traces(order_by=["tokens DESC"], include_spans=False)
    assert [trace.info.trace_id for trace in order] == [id_, late.trace_id]


@pytest.mark.stores
def test_a_count_beyond_all_bounds_does_not_lose_the_span() -> None:
    with spanlog.start_span("a", attributes={"gen_ai.usage.input_tokens": 10**30}):
        pass
    assert names() == "a"


def test_a_store_of_an_older_version_is_brought_up_to_date(tmp_path: Path) -> None:
    id_ = agent()
    spanlog.flush()
    spanlog.set_tracking_uri("sqlite://")
    db = sqlite3.connect(tmp_path / "spanlog.db", isolation_level=None)
    made = db.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE INDEX%'").fetchall()
    for (index,) in made:
        if index.startswith("spans_") or index == "traces_by_tokens":
            db.execute(f"DROP INDEX {index}")
    for table, columns in (("spans", [*COUNTS, "model"]), ("traces", COUNTS)):
        for column in columns:
            db.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    for table in ("attachments", "trace_attachments"):
        db.execute(f"DROP TABLE {table}")
    db.execute("UPDATE spanlog_schema SET version = 1")
    db.close()
    spanlog.set_tracking_uri(str(tmp_path / "spanlog.db"))
    (light,) = TracingClient().search_traces(filter_string="tokens = 36", include_spans=False)
    assert light.info.trace_id == id_
    assert names("span.model = 'gpt-4o' AND span.tokens = 13") == "inner outer"
    agent(2)
    assert len(TracingClient().search_traces(filter_string="tokens = 36")) == 2
    db = sqlite3.connect(tmp_path / "spanlog.db")
    indexes = "SELECT count(*) FROM sqlite_master WHERE name LIKE 'spans%' AND type = 'index'"
    assert db.execute(indexes).fetchone() == (5,)
