"""PostgreSQL as the store: what is its own way, beside what `stores` marks of the other tests."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import postgres
import pytest
import spanlog
from spanlog import config
from spanlog.cli.store import exists
from spanlog.runtime import current_store
from spanlog.store import StoreError
from spanlog.store.filters import FilterError

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def uri(postgresql: str) -> Iterator[str]:
    with postgres.schema(postgresql) as uri:
        yield uri
        spanlog.set_tracking_uri("sqlite://")


def record(name: str = "a", **said: object) -> str:
    span = spanlog.start_span_no_context(name, **said)  # type: ignore[arg-type]
    span.end()
    return span.trace_id


def found(filter_string: str) -> list[str | None]:
    traces = spanlog.search_traces(filter_string=filter_string, return_type="list")
    return [trace.info.name for trace in traces]


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_url_means_psycopg_and_its_password_is_told_to_nobody(scheme: str) -> None:
    uri = f"{scheme}://me:secret@127.0.0.1:1/db"
    assert config.database_url(uri) == "postgresql+psycopg://me:secret@127.0.0.1:1/db"
    with pytest.raises(StoreError, match=r"psycopg://me:\*\*\*@.* refused") as caught:
        spanlog.set_tracking_uri(uri)
    assert "secret" not in str(caught.value)


def test_without_psycopg_the_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["psycopg"] = None
import spanlog
spanlog.set_tracking_uri("postgresql://localhost/db")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'spanlog[postgres]'" in done.stderr


def test_looking_for_a_store_makes_none(uri: str) -> None:
    assert not exists(uri)
    spanlog.set_tracking_uri(uri)
    assert exists(uri)


def test_processes_that_make_a_store_at_once_make_one(uri: str) -> None:
    code = f"""
import spanlog
spanlog.set_tracking_uri({uri!r})
spanlog.set_experiment("theirs")
with spanlog.start_span("a"): pass
"""
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=60)[1] for process in processes] == [""] * 4
    spanlog.set_tracking_uri(uri)
    spanlog.set_experiment("theirs")
    assert found("name = 'a'") == ["a"] * 4
    assert len(current_store().experiments()) == 2


def test_what_another_process_locks_is_waited_for_and_then_written(
    uri: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("spanlog.store.database._PATIENCE", 0.1)
    spanlog.set_tracking_uri(uri)
    other = current_store().database.engine.connect()
    other.exec_driver_sql("LOCK TABLE traces")
    record("kept")
    assert not spanlog.flush()
    assert "lock timeout" in caplog.text
    other.close()
    while not spanlog.flush():
        pass
    assert found("name = 'kept'") == ["kept"]


def test_values_may_be_longer_than_an_index_takes(uri: str) -> None:
    spanlog.set_tracking_uri(uri)
    long = "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(20_000))
    record(long, tags={"k": long}, metadata={"mlflow.trace.session": long})
    spanlog.set_trace_tag(record("b"), "k", "short")
    assert found(f"tags.k = '{long}' AND session = '{long}'") == [long]
    assert found("tags.k = 'short'") == ["b"]


def test_a_zero_character_hides_nothing(uri: str) -> None:
    spanlog.set_tracking_uri(uri)
    record(attributes={"zero": "a\x00b", "n": 5, "path": "\\u0000"})
    assert found("span.attributes.n = 5 AND span.attributes.zero LIKE 'a_b'") == ["a"]
    assert spanlog.get_trace("\x00", silent=True) is None
    (span,) = spanlog.search_spans(return_type="list")
    assert span.attributes["zero"] == "a\x00b"


def test_a_regular_expression_that_only_python_knows_is_a_filter_error(uri: str) -> None:
    spanlog.set_tracking_uri(uri)
    record()
    with pytest.raises(FilterError, match="invalid regular expression"):
        found("name RLIKE '(?P<x>a)'")
