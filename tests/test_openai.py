"""OpenAI's SDK: each route in each form, and all that is recorded of it."""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
import spanlog

from fixtures.openai_routes import TEXT, USAGE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from openai_calls import Client
    from spanlog.entities import Span, Trace

pytest_plugins = ("openai_calls",)
pytestmark = pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")

WAV = ("fox.wav", b"RIFF\x00\xff\r\n", "audio/wav")
ROUTES = ["chat/completions", "responses", "completions", "embeddings", "images/generations"]
PNG = ("fox.png", b"\x89PNG\r\n\x1a\n", "image/png")


@pytest.mark.parametrize("route", [*ROUTES, "moderations"])
async def test_a_call_is_recorded_as_it_was_sent_and_answered(
    client: Client, last: Callable[[], Span], route: str
) -> None:
    path, at, operation, span_type, fields = client.ROUTES[route]
    extra = {"metadata": {"a": "b"}, "user": "me"}
    await client.call(path, model="plain", **fields, extra_body=extra)
    span = last()
    sent = client.server.requests[-1]
    assert span.inputs == sent.json == {"model": "plain", **fields, **extra}
    assert client.masked(span.outputs) == client.answer(at, sent.json)
    assert (span.name, span.span_type) == (f"{operation} plain", span_type)
    facts = span.attributes
    assert facts["gen_ai.operation.name"] == operation
    assert facts["gen_ai.provider.name"] == "openai"
    assert facts["gen_ai.request.model"] == "plain"
    assert facts["server.address"] == "127.0.0.1"
    if "model" in span.outputs:
        assert span.model == facts["gen_ai.response.model"] == "plain-2026-01-01"
    if "id" in span.outputs:
        assert facts["gen_ai.response.id"] == span.outputs["id"]


@pytest.mark.parametrize("form", ["with_raw_response", "with_streaming_response"])
@pytest.mark.parametrize("route", [*ROUTES, "moderations"])
async def test_raw_and_streaming_responses_are_recorded_alike(
    client: Client, last: Callable[[], Span], route: str, form: str
) -> None:
    path, at, operation, span_type, fields = client.ROUTES[route]
    resource, _, method = path.rpartition(".")
    path, arguments = f"{resource}.{form}.{method}", {"model": "plain", **fields}
    if form == "with_streaming_response":
        make = client.method(path)
        body = await client.managed(make(**client.fitting(make, arguments)), "read")
    else:
        reply = await client.call(path, **arguments)
        body = reply.http_response.content if hasattr(reply, "http_response") else reply.content
    assert json.loads(body)
    span = last()
    assert client.masked(span.outputs) == client.answer(at, client.server.requests[-1].json)
    assert (span.name, span.span_type) == (f"{operation} plain", span_type)
    assert span.attributes["http.response.request_id"].startswith("req_")


# Files that are sent.


class Counted(io.BytesIO):
    """An open file that counts how often it is read."""

    name = "counted.wav"
    reads = 0

    def read(self, *args: Any) -> bytes:
        self.reads += 1
        return super().read(*args)


UPLOADS = {
    "transcriptions": ("audio.transcriptions.create", "transcription", {"file": WAV}),
    "translations": ("audio.translations.create", "translation", {"file": WAV}),
    "edits": ("images.edit", "image_generation", {"image": PNG, "prompt": "fox"}),
}


@pytest.mark.parametrize("route", UPLOADS)
async def test_an_upload_is_recorded_with_its_fields_and_what_its_file_is(
    client: Client, last: Callable[[], Span], route: str
) -> None:
    path, operation, fields = UPLOADS[route]
    reply = await client.call(path, model="plain", **fields)
    span = last()
    assert (span.name, span.span_type) == (f"{operation} plain", "LLM")
    sent = dict(span.inputs)
    field = "image" if "image" in fields else "file"
    (file,) = sent.pop(field)
    name, content, content_type = fields[field]
    data = base64.b64encode(content).decode()
    assert file == {
        "filename": name,
        "content_type": content_type,
        "content": f"data:application/octet-stream;base64,{data}",
    }
    assert sent == client.server.requests[-1].form
    if route in TEXT:
        assert span.outputs["text"] == reply.text == TEXT[route]
    else:
        assert span.outputs["data"][0]["b64_json"]


async def test_variations_have_no_model(client: Client, last: Callable[[], Span]) -> None:
    await client.call("images.create_variation", image=PNG)
    span = last()
    assert span.name == "image_generation"
    assert span.outputs["data"][0]["url"]


@pytest.mark.parametrize("kind", ["bytes", "open file", "path", "tuple with open file"])
async def test_a_file_is_read_by_the_sdk_alone(
    client: Client, last: Callable[[], Span], kind: str, tmp_path: Path
) -> None:
    stored = tmp_path / "stored.wav"
    stored.write_bytes(WAV[1])

    async def reads() -> int:
        counted = Counted(WAV[1])
        kinds = {"bytes": WAV[1], "open file": counted, "path": stored}
        file = kinds.get(kind, ("named.wav", counted))
        await client.call("audio.transcriptions.create", model="plain", file=file)
        return counted.reads

    traced = await reads()
    (file,) = last().inputs["file"]
    spanlog.openai.autolog(disable=True)
    assert await reads() == traced
    assert (
        file.get("filename")
        == {
            "bytes": None,
            "open file": "counted.wav",
            "path": "stored.wav",
            "tuple with open file": "named.wav",
        }[kind]
    )
    assert ("content" in file) == (kind in ("bytes", "path"))


@pytest.mark.parametrize("wanted", ["text", "verbose_json", "json"])
async def test_a_transcript_is_recorded_in_each_format(
    client: Client, last: Callable[[], Span], wanted: str
) -> None:
    path = "audio.transcriptions.with_raw_response.create"
    await client.call(path, model="plain", file=WAV, response_format=wanted)
    span = last()
    text = span.outputs if wanted == "text" else span.outputs["text"]
    assert text.strip() == TEXT["transcriptions"]


async def test_speech_is_recorded_as_the_bytes_it_is(
    client: Client, last: Callable[[], Span]
) -> None:
    reply = await client.call("audio.speech.create", model="plain", voice="alloy", input="x")
    span = last()
    kind, _, data = span.outputs.partition(",")
    assert kind == "data:application/octet-stream;base64"
    assert base64.b64decode(data) == reply.content
    assert span.name == "speech plain"


# What is recorded beside the inputs and outputs.

USAGE_FACTS = {
    "gen_ai.usage.input_tokens": "input",
    "gen_ai.usage.output_tokens": "output",
    "gen_ai.usage.cache_read.input_tokens": "cached",
    "gen_ai.usage.cache_creation.input_tokens": "cache_write",
    "gen_ai.usage.reasoning.output_tokens": "reasoning",
}


@pytest.mark.parametrize("route", ["chat/completions", "responses"])
@pytest.mark.parametrize("scenario", ["plain", "cached", "reasoning", "tools"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_usage_is_recorded_in_full(
    client: Client, last: Callable[[], Span], route: str, scenario: str, stream: bool
) -> None:
    path, _, _, _, fields = client.ROUTES[route]
    extra = {"stream_options": {"include_usage": True}} if stream and "chat" in route else {}
    await client.call(path, model=scenario, stream=stream, **fields, extra_body=extra)
    facts, usage = last().attributes, USAGE[scenario]
    for name, field in USAGE_FACTS.items():
        assert facts.get(name, 0) == getattr(usage, field), name
    assert facts["gen_ai.usage.total_tokens"] == usage.input + usage.output


async def test_usage_of_other_routes(client: Client, traces: Callable[[], list[Trace]]) -> None:
    await client.call("embeddings.create", model="plain", input="x")
    await client.call("audio.transcriptions.create", model="plain", file=WAV)
    await client.call("images.generate", model="plain", prompt="fox")
    found = [trace.data.spans[0] for trace in traces()]
    assert found[0].usage == {"input_tokens": 8, "total_tokens": 8}
    transcript, images = USAGE["transcriptions"], USAGE["images"]
    assert found[1].usage["input_tokens"] == transcript.input
    assert found[1].attributes["gen_ai.usage.audio.input_tokens"] == transcript.input
    assert found[2].usage["output_tokens"] == images.output
    assert found[2].attributes["gen_ai.usage.text.input_tokens"] >= 0


async def test_parameters_tools_and_facts_of_the_reply_are_attributes(
    client: Client, last: Callable[[], Span]
) -> None:
    asked = {
        "temperature": ("temperature", 0.5),
        "top_p": ("top_p", 0.9),
        "max_tokens": ("max_tokens", 7),
        "seed": ("seed", 3),
        "presence_penalty": ("presence_penalty", 0.1),
        "frequency_penalty": ("frequency_penalty", 0.2),
        "stop": ("stop_sequences", ["x"]),
        "n": ("choice.count", 2),
    }
    tools = [{"type": "function", "function": {"name": "get_weather", "parameters": {}}}]
    parameters = {name: value for name, (_, value) in asked.items()}
    more = {"service_tier": "flex", "reasoning_effort": "low", "tools": tools}
    path = "chat.completions.create"
    await client.call(path, model="tools", messages=client.HI, **parameters, extra_body=more)
    facts = last().attributes
    for name, value in asked.values():
        assert facts[f"gen_ai.request.{name}"] == value
    assert facts["gen_ai.request.reasoning.level"] == "low"
    assert facts["openai.request.service_tier"] == "flex"
    assert facts["gen_ai.tool.definitions"] == tools
    assert facts["gen_ai.response.finish_reasons"] == ["tool_calls"]
    assert facts["openai.response.service_tier"] == "default"
    assert facts["openai.response.system_fingerprint"]


@pytest.mark.parametrize("form", ["create", "with_raw_response.create"])
async def test_the_request_id_is_recorded(
    client: Client, last: Callable[[], Span], form: str
) -> None:
    reply = await client.call(f"chat.completions.{form}", model="plain", messages=client.HI)
    request_id = getattr(reply, "_request_id", None) or getattr(reply, "headers", {}).get(
        "x-request-id"
    )
    if not request_id:
        pytest.skip("this version's reply does not tell it")
    assert last().attributes["http.response.request_id"] == request_id


@pytest.mark.parametrize(
    ("model", "status"), [("bad", 400), ("unauthorized", 401), ("limit", 429), ("broken", 500)]
)
async def test_an_error_is_recorded_with_its_status_and_body(
    client: Client, last: Callable[[], Span], model: str, status: int
) -> None:
    openai = client.package
    with pytest.raises(openai.APIStatusError) as caught:
        await client.call("chat.completions.create", model=model, messages=client.HI)
    span = last()
    assert span.attributes["http.response.status_code"] == status
    assert span.attributes["error.type"]
    told = json.loads(caught.value.response.text)["error"]["message"].replace(
        client.KEY, "[redacted]"
    )
    assert told in json.dumps(span.attributes["error.body"])
    assert span.status.description.startswith(
        f"{type(caught.value).__name__}: Error code: {status}"
    )


@pytest.mark.parametrize("path", ["models.list", "files.list", "batches.list"])
async def test_calls_of_no_model_make_no_span(
    client: Client, traces: Callable[[], list[Trace]], path: str
) -> None:
    await client.call(path)
    assert traces() == []


# Other clients.


async def say_hi(client: Client, sdk: Any) -> None:
    await client.call("chat.completions.create", sdk, model="plain", messages=client.HI)


async def test_azure_is_its_own_provider(client: Client, last: Callable[[], Span]) -> None:
    facts = {"api_key": client.KEY, "azure_endpoint": client.url, "api_version": "2024-02-01"}
    try:
        sdk = client.make("AzureOpenAI", **facts)
    except AttributeError:
        pytest.skip("this version has no Azure client")
    await say_hi(client, sdk)
    span = last()
    assert client.server.requests[-1].path.startswith("/openai/deployments/plain/")
    assert span.attributes["gen_ai.provider.name"] == "azure.ai.openai"
    assert span.name == "chat plain"
    assert span.inputs["model"] == "plain"


async def test_copies_options_and_the_users_own_http_client_are_traced(
    client: Client, traces: Callable[[], list[Trace]]
) -> None:
    kinds = type(client.sdk._client).__mro__
    http = next(kind for kind in kinds if kind.__module__.startswith("httpx"))()
    base = {"api_key": client.KEY, "base_url": f"{client.url}/v1"}
    for sdk in (
        client.sdk.with_options(timeout=9),
        client.sdk.copy(),
        client.make(**base, http_client=http),
    ):
        await say_hi(client, sdk)
    assert [trace.info.name for trace in traces()] == ["chat plain"] * 3
    await http.aclose() if client.is_async else http.close()


def test_the_module_level_client_is_traced(
    openai_server: Any, traced: None, last: Callable[[], Span], monkeypatch: pytest.MonkeyPatch
) -> None:
    openai = pytest.importorskip("openai")
    monkeypatch.setattr(openai, "api_key", "module-level-key")
    monkeypatch.setattr(openai, "base_url", f"{openai_server.url}/v1/")
    monkeypatch.setattr(openai, "_client", None, raising=False)
    openai.chat.completions.create(model="plain", messages=[{"role": "user", "content": "Hi"}])
    assert last().name == "chat plain"


# Secrets.


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("way", ["api_key", "header", "callable", "azure", "unsendable"])
async def test_no_key_is_in_the_database(
    client: Client,
    last: Callable[[], Span],
    stored: Callable[[], bytes],
    way: str,
    stream: bool,
) -> None:
    other = "another-secret-key"
    base = {"base_url": f"{client.url}/v1", "max_retries": 0}
    sdk = client.sdk
    fields: dict[str, Any] = {"model": "unauthorized", "messages": client.HI, "stream": stream}
    if way == "header":
        fields["extra_headers"] = {"Authorization": f"Bearer {other}"}
    elif way == "callable":
        later = client.is_async

        async def provide_later() -> str:
            return other

        sdk = client.make(api_key=provide_later if later else lambda: other, **base)
    elif way == "azure":
        facts = {"azure_endpoint": client.url, "api_version": "2024-02-01", "max_retries": 0}
        client.method("AzureOpenAI", client.package)
        sdk = client.make("AzureOpenAI", api_key=other, **facts)
    elif way == "unsendable":
        sdk = client.make(api_key=f"{other}\n", **base)
    with pytest.raises(Exception, match=r".") as caught:
        await client.call("chat.completions.create", sdk, **fields)
    if way == "callable" and not isinstance(caught.value, client.package.APIStatusError):
        pytest.skip("keys of this version are texts")
    assert last().status.status_code == "ERROR"
    everything = stored()
    assert b"unauthorized" in everything
    for secret in (client.KEY, other):
        assert secret.encode() not in everything


async def test_no_key_is_in_the_spans_that_an_error_passes_through(
    client: Client, traces: Callable[[], list[Trace]], stored: Callable[[], bytes]
) -> None:
    @spanlog.trace
    async def agent() -> None:
        with spanlog.start_span("step"):
            await client.call("chat.completions.create", model="unauthorized", messages=client.HI)

    with pytest.raises(client.package.AuthenticationError) as caught:
        await agent()
    assert client.KEY in str(caught.value)
    spans = traces()[-1].data.spans
    assert [span.status.status_code for span in spans] == ["ERROR"] * 3
    assert all("[redacted]" in span.status.description for span in spans)
    assert client.KEY.encode() not in stored()
