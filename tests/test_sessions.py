"""Traces of one conversation are found together, in their order."""

from __future__ import annotations

import pytest
import spanlog
from spanlog.entities import PagedList, Session
from spanlog.runtime import current_store
from spanlog.store.filters import parse_filter

pytestmark = pytest.mark.stores

SECOND = 1_000_000_000


def turn(session: str | None, name: str, second: int) -> None:
    with spanlog.tracing.context(session_id=session):
        span = spanlog.start_span_no_context(name, start_time_ns=second * SECOND)
        span.end(end_time_ns=second * SECOND + 1)


def told(**how: object) -> list[tuple[str | None, str]]:
    found = spanlog.search_sessions(**how)  # type: ignore[arg-type]
    return [(s.id, "".join(t.info.name or "" for t in s)) for s in found]


def test_sessions_come_with_the_latest_first_and_their_traces_in_order() -> None:
    for session, name, second in (
        ("x", "a", 1),
        ("y", "b", 2),
        (None, "c", 3),
        ("x", "d", 5),
        ("x", "e", 4),
        ("z", "f", 6),
    ):
        turn(session, name, second)
    assert told() == [("z", "f"), ("x", "aed"), ("y", "b")]
    assert told(max_results=2) == [("z", "f"), ("x", "aed")]
    assert told(filter_string="name = 'e' OR name = 'b'") == [("x", "aed"), ("y", "b")]
    assert told(filter_string="session = 'y'") == [("y", "b")]
    assert told(locations=["9"]) == []
    (session,) = spanlog.search_sessions(filter_string="session = 'x'", include_spans=False)
    assert len(session) == 3
    assert session[0].data.spans == []
    assert session.traces[-1].info.name == "d"
    spanlog.set_experiment("other")
    assert told() == []


def test_a_page_of_sessions_begins_after_the_one_before_whatever_comes_meanwhile() -> None:
    for number, session in enumerate("xyzxw"):
        turn(session, "a", number // 2)  # some at the same time
    spanlog.flush()

    def page(token: str | None) -> PagedList[Session]:
        return current_store().sessions(["0"], parse_filter(""), 2, token)

    first = page(None)
    turn("v", "a", 9)
    spanlog.flush()
    second = page(first.token)
    assert [session.id for session in [*first, *second]] == ["w", "x", "z", "y"]
    assert second.token is None
