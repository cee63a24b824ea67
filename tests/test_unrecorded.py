"""A program that says something of a trace that is not recorded goes on as ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from spanlog import safety, tracing
from spanlog.runtime import default
from spanlog.store import StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from spanlog.entities import Trace


@pytest.fixture(params=["disabled", "disabled here", "left out"])
def unrecorded(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have traces not be recorded, for one reason or another."""
    if request.param == "disabled":
        tracing.disable()
        yield
    elif request.param == "disabled here":
        with tracing.context(enabled=False):
            yield
    else:
        with monkeypatch.context() as full:
            full.setattr(default().settings, "queue_spans", 0)
            full.setattr(safety, "_reported", {"dropped"})
            yield


@pytest.mark.parametrize("of", ["the active trace", "the span", "the last trace"])
def test_what_is_said_of_a_trace_that_is_not_recorded_is_said_to_nobody(
    of: str, unrecorded: None, traces: Callable[[], list[Trace]]
) -> None:
    client = spanlog.TracingClient()

    def say(trace_id: Any) -> None:
        said = spanlog.log_feedback(trace_id=trace_id, name="ok", value=True)
        assert (said.name, said.value) == ("ok", True)
        spanlog.log_expectation(trace_id=trace_id, name="answer", value="Rome")
        spanlog.log_assessment(trace_id, said)
        spanlog.update_assessment(trace_id, "a-1", said)
        spanlog.override_feedback(trace_id=trace_id, assessment_id="a-1", value=False)
        spanlog.delete_assessment(trace_id, "a-1")
        spanlog.set_trace_tag(trace_id, "key", "value")
        spanlog.delete_trace_tag(trace_id, "key")
        client.set_trace_tag(trace_id, "key", "value")
        client.delete_trace_tag(trace_id, "key")
        client.log_assessment(trace_id, said)
        assert client.get_trace(trace_id) is None

    @spanlog.trace
    def program() -> int:
        spanlog.update_current_trace(tags={"a": "b"}, session_id="s", state="OK")
        with spanlog.start_span("inner") as span:
            if of == "the active trace":
                say(spanlog.get_active_trace_id())
            elif of == "the span":
                say(span.trace_id)
        return 3

    assert program() == 3
    if of == "the last trace":
        say(spanlog.get_last_active_trace_id())
    assert traces() == []


def test_what_is_said_of_no_trace_where_tracing_is_on_is_an_error() -> None:
    with pytest.raises(StoreError, match="there is no trace"):
        spanlog.log_feedback(trace_id=None, value=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give trace_id"):
        spanlog.TracingClient().set_trace_tag(None, "key", "value")
