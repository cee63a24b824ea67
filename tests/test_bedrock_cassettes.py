"""Recorded exchanges with Amazon Bedrock, replayed through boto3: untraced, then traced.

Tracing changes no request, no result and no exception; and there is one span for each call of a
model, which says what the recorded body says. What it says is read here by a reader of its own.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
import spanlog
from cassettes import FOLDER, Exchange, load, paths

from fixtures.loopback import Loopback

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from spanlog.entities import Span

    from fixtures.loopback import Reply, Request

boto3 = pytest.importorskip("boto3")
pytest.importorskip("yaml")
pytestmark = [
    pytest.mark.usefixtures("content_inline"),
    pytest.mark.skipif(not FOLDER.is_dir(), reason=f"there are no recordings in {FOLDER}"),
]

from botocore.config import Config  # noqa: E402
from botocore.eventstream import EventStreamBuffer  # noqa: E402
from botocore.exceptions import BotoCoreError, ClientError  # noqa: E402

Json = dict[str, Any]

FILES = paths("bedrock")
SESSION = boto3.Session()
# The operation that a path belongs to, the names of what the path holds, and the service.
OPERATIONS = {
    "/model/(.+)/converse": ("converse", ["modelId"]),
    "/model/(.+)/converse-stream": ("converse_stream", ["modelId"]),
    "/model/(.+)/invoke": ("invoke_model", ["modelId"]),
    "/model/(.+)/invoke-with-response-stream": ("invoke_model_with_response_stream", ["modelId"]),
    "/agents/(.+)/agentAliases/(.+)/sessions/(.+)/text": (
        "invoke_agent",
        ["agentId", "agentAliasId", "sessionId"],
    ),
    "/agents/([^/]+)": ("invoke_inline_agent", ["sessionId"]),
    "/guardrail/(.+)/version/(.+)/apply": (
        "apply_guardrail",
        ["guardrailIdentifier", "guardrailVersion"],
    ),
    "/model/(.+)/count-tokens": ("count_tokens", ["modelId"]),
}
NO_MODEL = ("apply_guardrail", "count_tokens")


def call(exchange: Exchange, url: str) -> tuple[str, Any]:
    """Make the recorded call; return the method, and what the caller gets to see."""
    path = unquote(exchange.url.path)
    found = ((o, m) for pattern, o in OPERATIONS.items() if (m := re.fullmatch(pattern, path)))
    (method, names), match = next(found, (("", []), None))
    if match is None:
        return "", None
    agent = path.startswith("/agents")
    client = SESSION.client(
        "bedrock-agent-runtime" if agent else "bedrock-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="AKIARECORDED",
        aws_secret_access_key="recorded-secret",
        config=Config(retries={"max_attempts": 0}, parameter_validation=False),
    )
    if not hasattr(client, method):
        return "", None
    known = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[method])
    asked = dict(zip(names, match.groups(), strict=True))
    if method.startswith("invoke_model"):
        asked["body"] = exchange.request
    else:
        try:
            asked |= decoded(exchange.asked, known.input_shape)
        except KeyError:
            return "", None
    try:
        return method, seen(getattr(client, method)(**asked))
    except (ClientError, BotoCoreError) as error:
        return method, f"raised {error!r}"


def decoded(value: Any, shape: Any) -> Any:
    """Return a recorded body as boto3 takes it: bytes in the place of base64.

    Raises:
        KeyError: This version does not know something that was asked.
    """
    kind = getattr(shape, "type_name", None)
    if kind == "blob" and isinstance(value, str):
        return b64decode(value)
    if kind == "structure" and isinstance(value, dict) and not shape.is_document_type:
        return {k: decoded(v, shape.members[k]) for k, v in value.items()}
    if kind == "list":
        return [decoded(item, shape.member) for item in value]
    return value


def seen(reply: Json) -> Json:
    """Return all that a caller can read of a reply."""
    whole = dict(reply)
    for name in ("body", "stream", "completion"):
        if hasattr(whole.get(name), "read"):
            whole[name] = whole[name].read()
        elif name in whole:
            whole[name] = events = []
            try:
                events.extend(reply[name])
            except (ClientError, BotoCoreError) as error:
                events.append(f"raised {error!r}")
    return whole


# What a recorded body says.


def frames(exchange: Exchange) -> list[tuple[str, Json]]:
    buffer = EventStreamBuffer()
    buffer.add_data(exchange.reply)
    return [(m.headers.get(":event-type", ""), json.loads(m.payload)) for m in buffer]


def said(method: str, exchange: Exchange) -> Json:
    """Read text, usage, stop reason and chunks of a recorded reply."""
    if exchange.status >= 400:
        return {"status": exchange.status}
    if method in ("converse", "invoke_model"):
        return {"usage": usage([exchange.answered], exchange), "text": texts([exchange.answered])}
    events = frames(exchange)
    told = [content for _, content in events]
    if method.startswith("invoke_model"):
        told = [json.loads(b64decode(content["bytes"])) for content in told]
    if method.endswith("agent"):
        text = b"".join(b64decode(content.get("bytes", "")) for content in told).decode()
    else:
        text = texts(told)
    return {"usage": usage(told, exchange), "text": text, "chunks": len(events)}


def usage(told: Sequence[Json], exchange: Exchange) -> list[int] | None:
    """Return the input tokens with the cached ones, the output tokens, and the cached alone.

    What the models of an agent say is added up; what is said again while a reply is streamed not.
    """
    headers, text = exchange.headers, json.dumps(told)
    if exchange.url.path.startswith("/agents"):
        pairs = [json.loads(found) for found in re.findall(r'"usage": (\{[^{}]*\})', text)]
        sums = [sum(pair[f"{side}Tokens"] for pair in pairs) for side in ("input", "output")]
        return [*sums, 0, 0] if pairs else None

    def count(*names: str) -> int | None:
        found = [n for name in names for n in re.findall(rf'"{name}": (\d+)(?:\.0)?\b', text)]
        header = headers.get(f"x-amzn-bedrock-{names[0]}")
        return int(found[-1]) if found else int(header) if header else None

    fresh = count(
        "input-token-count",
        "inputTokenCount",
        "inputTokens",
        "input_tokens",
        "prompt_token_count",
        "prompt_tokens",
        "inputTextTokenCount",
    )
    read = count("cache-read-input-token-count", "cacheReadInputTokens", "cache_read_input_tokens")
    written = count(
        "cache-write-input-token-count", "cacheWriteInputTokens", "cache_creation_input_tokens"
    )
    output = count(
        "output-token-count",
        "outputTokenCount",
        "outputTokens",
        "output_tokens",
        "generation_token_count",
        "completion_tokens",
        "tokenCount",
        "totalOutputTextTokenCount",
    )
    if fresh is None:
        return None
    return [fresh + (read or 0) + (written or 0), output or 0, read or 0, written or 0]


_TEXTS = ("text", "completion", "outputText", "generation")


def texts(told: Any) -> str:
    """Return all texts that the model wrote, one after the other."""
    if isinstance(told, list):
        return "".join(map(texts, told))
    if not isinstance(told, dict):
        return ""
    left_out = ("trace", "amazon-bedrock-trace", "prompt", "tokens", "reasoningContent", "input")
    return "".join(
        value if name in _TEXTS and isinstance(value, str) else texts(value)
        for name, value in told.items()
        if name not in left_out
    )


def recorded(method: str, span: Span) -> Json:
    facts, outputs = span.attributes, span.outputs
    if status := facts.get("http.response.status_code"):
        return {"status": status}
    counts = span.usage
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens")
    told = counts and [counts.get(n, 0) for n in (*names, "cache_creation_input_tokens")]
    text = outputs["completion"] if method.endswith("agent") else texts(outputs)
    found = {"usage": told, "text": text}
    if "spanlog.stream.chunks" in facts:
        found["chunks"] = facts["spanlog.stream.chunks"]
    return found


@pytest.fixture(scope="module")
def counts(request: pytest.FixtureRequest) -> Iterator[Counter[tuple[str, str]]]:
    """Count the exchanges by source and method, and print it at the end."""
    counts: Counter[tuple[str, str]] = Counter()
    yield counts
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    if reporter is not None and capture is not None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            for source in sorted({source for source, _ in counts}):
                told = [f"{n} {m}" for (s, m), n in sorted(counts.items()) if s == source]
                reporter.write_line(f"{source}/bedrock: {', '.join(told)}")


def name_of(path: Path) -> str:
    return f"{path.relative_to(FOLDER).parts[0]}/{path.stem}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_recording_is_the_same_traced_and_its_spans_say_what_it_says(
    path: Path, counts: Counter[tuple[str, str]], caplog: pytest.LogCaptureFixture
) -> None:
    expected: list[Exchange] = []
    received: list[Request] = []

    def play(request: Request) -> Reply | None:
        received.append(request)
        same = unquote(request.path) == unquote(expected[0].url.path)
        return expected[0].served() if same else None

    source = path.relative_to(FOLDER).parts[0]
    exchanges = load(path).exchanges

    def run(url: str) -> list[Any]:
        results = []
        for exchange in exchanges:
            expected[:] = [exchange]
            received.clear()
            results.append((*call(exchange, url), [(r.path, r.body) for r in received]))
        return results

    with Loopback(play) as server:
        untraced = run(server.url)
        spanlog.bedrock.autolog()
        try:
            traced = run(server.url)
        finally:
            spanlog.bedrock.autolog(disable=True)
    assert traced == untraced
    spanlog.flush()
    found = [
        span for trace in spanlog.search_traces(return_type="list") for span in trace.data.spans
    ]
    spans = iter(sorted(found, key=lambda span: span.start_time_ns))
    for exchange, (method, _, _) in zip(exchanges, untraced, strict=True):
        counts[source, method or "not boto3's or not this version's"] += 1
        if method and method not in NO_MODEL:
            span = next(spans)
            assert recorded(method, span) == said(method, exchange)
            assert span.end_time_ns is not None
            assert (span.status.status_code == "ERROR") == (exchange.status >= 400)
    assert next(spans, None) is None
    assert not [record for record in caplog.records if record.name.startswith("spanlog")]
