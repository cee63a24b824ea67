"""What each model of a trace used is added up as spans are written, each call counted once."""

from __future__ import annotations

import pytest
import spanlog
import sqlalchemy as sa
from spanlog.record.span import LiveSpan
from spanlog.runtime import current_store
from spanlog.store.schema import schema_version, trace_models

LONG = "m" * 5_000


def call(model: str, tokens: int, parent: LiveSpan | None) -> LiveSpan:
    used = {"gen_ai.request.model": model, "gen_ai.usage.input_tokens": tokens}
    return spanlog.start_span_no_context("call", "CHAT_MODEL", parent, attributes=used)


def record() -> None:
    """Record calls at one and at two layers; ends come early, late, and long after the root's."""
    root = spanlog.start_span_no_context("root")
    for layers_apart in (False, True):
        outer = call("outer", 5, root)
        between = spanlog.start_span_no_context("chain", parent_span=outer)
        inner = call("inner", 5, between)
        for span in (outer, between, inner) if layers_apart else (inner, between, outer):
            span.end()
            spanlog.flush()
    call("inner", 1, root).end()
    call(LONG, 2, root).end()
    counted = {"gen_ai.usage.input_tokens": 4}
    spanlog.start_span_no_context("call", parent_span=root, attributes=counted).end()
    root.end()
    spanlog.flush()
    call("inner", 3, root).end()
    spanlog.flush()


def used() -> dict[str, int]:
    query = sa.select(trace_models.c.model, trace_models.c.total_tokens)
    with current_store().database.transaction(reads=True) as connection:
        return {model: tokens for model, tokens in connection.execute(query) if tokens}


EXPECTED = {"inner": 14, LONG[:300]: 2, "": 4}


@pytest.mark.stores
def test_a_call_counts_once_at_its_innermost_layer_in_whatever_order_spans_end() -> None:
    record()
    assert used() == EXPECTED
    (trace,) = spanlog.search_traces(return_type="list")
    assert trace.info.token_usage["total_tokens"] == 20
    spanlog.delete_traces(trace_ids=[trace.info.trace_id])
    assert used() == {}


@pytest.mark.stores
def test_an_older_store_gets_the_sums_when_it_is_opened(tracking_uri: str) -> None:
    record()
    store = current_store()
    with store.database.transaction() as connection:
        trace_models.drop(connection)
        connection.execute(sa.update(schema_version).values(version=5))
    spanlog.set_tracking_uri("sqlite://")
    spanlog.set_tracking_uri(tracking_uri)
    assert used() == EXPECTED


def test_an_imported_trace_brings_its_sums(tmp_path) -> None:
    record()
    spanlog.export_traces(tmp_path / "t.jsonl")
    spanlog.set_tracking_uri(str(tmp_path / "other.db"))
    spanlog.import_traces(tmp_path / "t.jsonl")
    assert used() == EXPECTED
