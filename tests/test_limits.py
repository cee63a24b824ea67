"""A search holds up nobody, and ends in time."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import spanlog
from hypothesis import given
from hypothesis import strategies as st
from spanlog.runtime import current_store, default
from spanlog.store import limits
from spanlog.store.filters import FilterError, parse_filter
from spanlog.store.limits import SearchTimeoutError

if TYPE_CHECKING:
    pass

pytest.importorskip("regex")

# What Python's own engine needs minutes for, and twice as long for each letter more.
SLOW = {
    "nested": (r"^(a+)+$", "a" * 40 + "!"),
    "the same twice": (r"^(a|a)*$", "a" * 40 + "!"),
    "the same thrice": (r"(x+x+)+y", "x" * 40),
    "backwards": (r"^(a|aa)+$", "a" * 60 + "b"),
    "many parts": (r"^(.*?,){11}P", "1," * 400),
    "looking ahead": (r"^(?=(a+))+b\1*$|(?:a?){40}a{40}c", "a" * 40),
}


def record(name: str, **about: Any) -> None:
    with spanlog.start_span(name) as span:
        span.set_inputs(about)
        spanlog.update_current_trace(session_id="s")


def found(filter_string: str, **how: Any) -> list[Any]:
    return spanlog.search_traces(filter_string=filter_string, return_type="list", **how)


class Ticks:
    """A thread that notes how long it was held up at most."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(0.001):
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now

    def __enter__(self) -> Ticks:  # noqa: PYI034
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_no_pattern_holds_up_other_threads_or_runs_on(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern, text = SLOW[name]
    monkeypatch.setattr(default().settings, "search_seconds", 1.0)
    record(text)
    began = time.monotonic()
    with Ticks() as ticks, contextlib.suppress(SearchTimeoutError):
        assert found(f"name RLIKE '{pattern}'") == []
    assert ticks.longest < 2
    assert time.monotonic() - began < 20


def test_a_pattern_that_runs_on_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default().settings, "search_seconds", 0.2)
    record("a" * 60 + "!")
    with pytest.raises(SearchTimeoutError, match=r"SPANLOG_SEARCH_SECONDS"):
        found("name RLIKE '^(a|a)*$'")
    assert len(found("name LIKE 'a%'")) == 1
    with pytest.raises(SearchTimeoutError):
        list(current_store().figures(parse_filter("name RLIKE '^(a|a)*$'")))


@pytest.mark.stores
def test_any_search_is_stopped_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(2_000):
        record(f"{'a' * 40}!{n}", text="cloud map " * 30)
    spanlog.flush()
    monkeypatch.setattr(default().settings, "search_seconds", 1e-3)
    slow = "name RLIKE '^(a|a)*$' OR span.content ILIKE '%no such thing%'"
    for search in (
        lambda: found(slow),
        lambda: found(slow, max_results=5),
        lambda: spanlog.search_spans(filter_string=slow, return_type="list"),
        lambda: spanlog.search_sessions(filter_string=slow),
    ):
        with pytest.raises(SearchTimeoutError):
            search()
    monkeypatch.setattr(default().settings, "search_seconds", 60.0)
    assert len(found("name LIKE 'aa%'")) == 2_000


@pytest.mark.stores
def test_a_search_that_finds_much_takes_the_time_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(1_500):
        record(f"trace {n}")
    spanlog.flush()
    monkeypatch.setattr(default().settings, "search_seconds", 0.5)
    found = current_store().figures(parse_filter(None))
    next(found)
    time.sleep(1)  # whoever asks takes longer than the search may
    assert sum(1 for _ in found) == 1_499


def test_a_missing_engine_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    record("a")
    monkeypatch.setitem(sys.modules, "regex", None)
    limits._compiled.cache_clear()
    with pytest.raises(FilterError, match=r"pip install 'spanlog\[regex\]'"):
        found("name RLIKE 'a'")


@pytest.mark.slow
def test_large_texts_are_searched_and_lowered_without_holding_up_others() -> None:
    record("a", text="Storm " + "Cloud " * 3_000_000)
    assert spanlog.flush()
    with Ticks() as ticks:
        assert len(found("span.content LIKE '%Storm Cloud%'")) == 1
        assert len(found("span.content ILIKE '%storm cloud%'")) == 1
        assert found("span.content ILIKE '%cloud storm%' OR name ILIKE 'storm'") == []
    assert ticks.longest < 2


@given(st.text("aAbB_ \nßÉ", max_size=60), st.sampled_from(["a", "ab", "b", "ß", "aabb"]))
def test_a_word_is_found_wherever_a_text_is_parted(text: str, word: str) -> None:
    pattern = rf"(?i)(?:(?<![^\W_])|(?<=\\[ntr])){word}"
    part = limits._PART
    limits._PART = 7
    try:
        assert limits._has_word(pattern, text) == (re.search(pattern, text) is not None)
        assert limits._lower(text) == text.lower()
    finally:
        limits._PART = part
    assert limits._has_word(pattern, None) is limits._lower(None) is None
