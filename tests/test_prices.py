"""A call costs what its model's price says; what is not known is said to be unknown."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import spanlog
from spanlog.entities import Trace
from spanlog.model import prices


def call(model: str, provider: str | None = "openai", parent: Any = None, **counts: int) -> Any:
    usage = {f"gen_ai.usage.{name}": count for name, count in counts.items()}
    attributes = {"gen_ai.response.model": model, **usage}
    if provider:
        attributes["gen_ai.provider.name"] = provider
    span = spanlog.start_span_no_context("call", "CHAT_MODEL", parent, attributes=attributes)
    span.end()
    return span


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("prices are asked for over the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_a_known_model_has_a_cost_by_which_traces_are_found() -> None:
    with spanlog.start_span("root") as root:
        dear = call("gpt-4o", parent=root, input_tokens=1_000_000, output_tokens=1_000_000)
        call("gpt-4o", parent=root, input_tokens=1_000_000)
        call("no-such-model", parent=root, input_tokens=5)
    assert dear.cost == {"input_cost": 2.5, "output_cost": 10, "total_cost": 12.5}
    assert dear.llm_cost == dear.cost
    for text in ("cost = 15", "span.cost > 12"):
        (trace,) = spanlog.search_traces(filter_string=text, return_type="list")
        assert trace.info.cost == {"input_cost": 5, "output_cost": 10, "total_cost": 15}
        assert Trace.from_json(trace.to_json()).info.cost == trace.info.cost
    (span,) = spanlog.search_spans(filter_string="span.cost > 5", return_type="list")
    assert span.cost == dear.cost


def test_cached_tokens_cost_what_cached_tokens_do() -> None:
    whole = {"input_tokens": 1_000_000}
    full = prices.cost("gpt-4o", "openai", whole)
    cached = prices.cost("gpt-4o", "openai", {**whole, "cache_read_input_tokens": 1_000_000})
    assert full
    assert cached
    assert cached["input_cost"] == full["input_cost"] / 2


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("gpt-4o", "openai"),
        ("gpt-4o", None),
        ("claude-3-5-sonnet-20240620", "anthropic"),
        ("anthropic.claude-3-5-sonnet-20240620-v1:0", "aws.bedrock"),
        ("gemini-2.0-flash", "gcp.gemini"),
        ("gemini-2.0-flash", "gcp.vertex_ai"),
        ("mistral-large-latest", "mistral_ai"),
        ("llama-3.3-70b-versatile", "groq"),
        ("gpt-4o", "azure.ai.openai"),
    ],
)
def test_providers_are_known_by_opentelemetrys_names(model: str, provider: str | None) -> None:
    found = call(model, provider, input_tokens=1000).cost
    assert found
    assert found["total_cost"] > 0


@pytest.mark.parametrize(
    ("model", "provider", "counts"),
    [
        ("no-such-model", "openai", {"input_tokens": 1}),
        ("gpt-4o", "no-such-provider", {"input_tokens": 1}),
        ("gpt-4o", "openai", {}),
        ("gpt-4o", "openai", {"input_tokens": 1, "cache_read.input_tokens": 2}),
    ],
)
def test_what_is_not_known_is_none(model: str, provider: str, counts: dict[str, int]) -> None:
    assert call(model, provider, **counts).cost is None
    (trace,) = spanlog.search_traces(filter_string="cost IS NULL", return_type="list")
    assert trace.info.cost is None


def test_without_the_extra_nothing_has_a_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prices, "_package", lambda: None)
    assert call("gpt-4o", input_tokens=1).cost is None
