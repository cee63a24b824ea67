"""Amazon Bedrock through boto3: Converse, InvokeModel, agents, knowledge bases, reranking.

Streamed and not, clients made before, and aiobotocore's (aioboto3's) clients. Every call of AWS
goes through one method; a table of operations says which are calls of a model, and all others go
by untouched. What a reply's body holds is recorded as far as the program reads it: nothing is read
ahead, so that a call takes its time, its memory and its errors where it does without tracing.
Events are recorded as they were on the wire, also those that an older botocore does not know.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson
import wrapt
from spanlog.capture import capture
from spanlog.context import current_span
from spanlog.entities import SpanType
from spanlog.patching import Call, Integration, Recording, Target, records
from spanlog.spans import LiveSpan
from spanlog.streams import Watch, Watched

from spanlog_integrations import _anthropic, _chat
from spanlog_integrations._stainless import failed
from spanlog_integrations._usage import openai_usage

if TYPE_CHECKING:
    from botocore.eventstream import EventStreamMessage

Json = dict[str, Any]

_SERVICES = ("bedrock-runtime", "bedrock-agent-runtime")

# Facts, and the places where they stand in a request, the first that is there being it.
_REQUEST = {
    "gen_ai.request.temperature": (
        "temperature",
        "inferenceConfig.temperature",
        "textGenerationConfig.temperature",
    ),
    "gen_ai.request.top_p": (
        "top_p",
        "topP",
        "p",
        "inferenceConfig.topP",
        "textGenerationConfig.topP",
    ),
    "gen_ai.request.top_k": (
        "top_k",
        "topK",
        "k",
        "topKReturn",
        "inferenceConfig.topK",
        "additionalModelRequestFields.top_k",
        "additionalModelRequestFields.inferenceConfig.topK",
    ),
    "gen_ai.request.max_tokens": (
        "max_tokens",
        "max_completion_tokens",
        "maxTokens",
        "max_gen_len",
        "max_tokens_to_sample",
        "inferenceConfig.maxTokens",
        "inferenceConfig.max_new_tokens",
        "textGenerationConfig.maxTokenCount",
    ),
    "gen_ai.request.frequency_penalty": ("frequency_penalty", "frequencyPenalty.scale"),
    "gen_ai.request.presence_penalty": ("presence_penalty", "presencePenalty.scale"),
    "gen_ai.request.seed": ("seed",),
    "gen_ai.request.choice.count": ("n", "num_generations", "numResults"),
    "gen_ai.request.reasoning.level": (
        "reasoning_effort",
        "output_config.effort",
        "additionalModelRequestFields.reasoning_effort",
        "additionalModelRequestFields.output_config.effort",
        "additionalModelRequestFields.reasoningConfig.maxReasoningEffort",
    ),
    "gen_ai.embeddings.dimension.count": (
        "dimensions",
        "output_dimension",
        "embeddingConfig.outputEmbeddingLength",
        "singleEmbeddingParams.embeddingDimension",
    ),
    "gen_ai.tool.definitions": ("toolConfig.tools", "tools", "actionGroups"),
    "gen_ai.agent.id": ("agentId",),
    "gen_ai.agent.name": ("agentName",),
    "gen_ai.conversation.id": ("sessionId",),
    "aws.bedrock.guardrail.id": (
        "guardrailConfig.guardrailIdentifier",
        "guardrailIdentifier",
        "guardrailConfiguration.guardrailIdentifier",
        "guardrailConfiguration.guardrailId",
    ),
    "aws.bedrock.knowledge_base.id": (
        "knowledgeBaseId",
        "retrieveAndGenerateConfiguration.knowledgeBaseConfiguration.knowledgeBaseId",
    ),
}
_STOP = (
    "stop_sequences",
    "stopSequences",
    "stop",
    "inferenceConfig.stopSequences",
    "textGenerationConfig.stopSequences",
)
_MODEL = (
    "modelId",
    "foundationModel",
    "retrieveAndGenerateConfiguration.knowledgeBaseConfiguration.modelArn",
    "retrieveAndGenerateConfiguration.externalSourcesConfiguration.modelArn",
    "rerankingConfiguration.bedrockRerankingConfiguration.modelConfiguration.modelArn",
)
# Facts of a reply. The models of an agent stand in its traces.
_RESPONSE = {
    "gen_ai.response.id": ("id", "response_id", "generation_id"),
    "gen_ai.response.model": (
        "model",
        "trace.promptRouter.invokedModelId",
        "traces.trace.*.modelInvocationInput.foundationModel",
    ),
    "aws.bedrock.guardrail.action": ("amazon-bedrock-guardrailAction", "guardrailAction"),
    "gen_ai.usage.reasoning.output_tokens": ("usage.output_tokens_details.thinking_tokens",),
}
_REASONS = (
    "stopReason",
    "stop_reason",
    "finish_reason",
    "choices.finish_reason",
    "choices.stop_reason",
    "outputs.stop_reason",
    "results.completionReason",
    "generations.finish_reason",
    "completions.finishReason.reason",
)
# Where token counts stand in a reply; those of the last place that has them count.
_USAGE = (
    "amazon-bedrock-invocationMetrics",
    "",
    "results",
    "meta.tokens",
    "usage",
    "traces.trace.*.modelInvocationOutput.metadata.usage",
)
# By which names. Input does not include the cached tokens.
_COUNTS = {
    "input": (
        "inputTokens",
        "input_tokens",
        "inputTokenCount",
        "inputTextTokenCount",
        "prompt_token_count",
        "x-amzn-bedrock-input-token-count",
    ),
    "output": (
        "outputTokens",
        "output_tokens",
        "outputTokenCount",
        "generation_token_count",
        "tokenCount",
        "x-amzn-bedrock-output-token-count",
    ),
    "cache_read": (
        "cacheReadInputTokens",
        "cacheReadInputTokenCount",
        "cache_read_input_tokens",
        "x-amzn-bedrock-cache-read-input-token-count",
    ),
    "cache_creation": (
        "cacheWriteInputTokens",
        "cacheWriteInputTokenCount",
        "cache_creation_input_tokens",
        "x-amzn-bedrock-cache-write-input-token-count",
    ),
}
# What a model is asked for by its name, where that is not text.
_MODELS = (
    (re.compile("embed"), "embeddings", SpanType.EMBEDDING),
    (re.compile("rerank"), "rerank", SpanType.RERANKER),
    (re.compile(r"^(\w+\.)?(stability|luma)\.|-image|canvas|-reel"), "image_generation", SpanType.LLM),
)
# What a client proves itself with.
_CREDENTIALS = ("access_key", "secret_key", "token", "_access_key", "_secret_key", "_token")


def _at(value: Any, path: str) -> list[Any]:
    """Return what stands at a path, in all items of lists; `*` is any name."""
    found = [value]
    for name in path.split(".") if path else ():
        held = [item for one in found for item in (one if isinstance(one, list) else [one])]
        maps = [item for item in held if isinstance(item, Mapping)]
        found = [v for m in maps for v in (m.values() if name == "*" else [m.get(name)])]
        found = [item for item in found if item is not None]
    return found


def _first(value: Any, paths: Sequence[str]) -> Any:
    """Return what stands at the first path that leads anywhere; the last item of lists."""
    return next((found[-1] for path in paths if (found := _at(value, path))), None)


def request(span: LiveSpan, asked: Json) -> None:
    """Record the parameters of a request."""
    body = asked.get("body")
    sent = {**asked, **body} if isinstance(body, Mapping) else asked
    for name, paths in _REQUEST.items():
        if (value := _first(sent, paths)) not in (None, []):
            span.set_attribute(name, value)
    if stop := _first(sent, _STOP):
        span.set_attribute("gen_ai.request.stop_sequences", [stop] if isinstance(stop, str) else stop)


def response(span: LiveSpan, reply: Any, headers: Mapping[str, Any]) -> None:
    """Record what a reply says of itself, in the shape of any family of models."""
    for name, paths in _RESPONSE.items():
        if isinstance(value := _first(reply, paths), (str, int)):
            span.set_attribute(name, value)
    if reasons := [reason for path in _REASONS for reason in _at(reply, path)]:
        span.set_attribute("gen_ai.response.finish_reasons", reasons)
    if _at(reply, "usage.prompt_tokens"):
        openai_usage(span, reply["usage"])
    else:
        usage(span, [[headers], *(_at(reply, path) for path in _USAGE)])


def usage(span: LiveSpan, places: Sequence[Sequence[Any]]) -> None:
    """Record token counts.

    Args:
        span: The span.
        places: Where they may stand, the better place later; at one place several are added up.
    """
    counts: dict[str, int] = {}
    for place in places:
        for kind, names in _COUNTS.items():
            told = [count for one in place if (count := _first(one, names)) is not None]
            if told:
                counts[kind] = sum(int(float(count)) for count in told)
    if not counts:
        return
    read, created = counts.get("cache_read", 0), counts.get("cache_creation", 0)
    sums = {
        "input_tokens": counts.get("input", 0) + read + created,
        "output_tokens": counts.get("output"),
        "total_tokens": counts.get("input", 0) + read + created + counts.get("output", 0),
        "cache_read.input_tokens": read or None,
        "cache_creation.input_tokens": created or None,
    }
    for name, count in sums.items():
        if count is not None:
            span.set_attribute(f"gen_ai.usage.{name}", count)


# Streams. An event is what its frame holds, under the name of its type.


def fold_message(events: Sequence[Json]) -> Json:
    """Rebuild the reply of Converse, or of Nova, that a stream of events spells out."""
    message: Json = {}
    reply: Json = {"output": {"message": message}}
    blocks: dict[int, Json] = {}
    for event in events:
        for kind, content in event.items():
            if kind == "messageStart":
                message.update(content)
            elif kind in ("messageStop", "metadata"):
                reply.update(content)
            elif kind.startswith("contentBlock"):
                block = blocks.setdefault(content["contentBlockIndex"], {})
                _add(block, content.get("start") or _delta(content.get("delta") or {}))
    message["content"] = [_block(blocks[index]) for index in sorted(blocks)]
    return reply


def _delta(delta: Json) -> Json:
    """Return a piece of a block so that it can be added to the others."""
    if "toolResult" in delta:
        return {"toolResult": {"content": delta["toolResult"]}}
    if "citation" in delta:
        return {"citations": [delta["citation"]]}
    redacted = _at(delta, "reasoningContent.redactedContent")
    if redacted:
        return {"reasoningContent": {"redactedContent": b64decode(redacted[0])}}
    return delta


def _add(whole: Json, piece: Mapping[str, Any]) -> None:
    """Add a piece of a value to what there is of it."""
    for key, value in piece.items():
        there = whole.get(key)
        if isinstance(there, dict) and isinstance(value, Mapping):
            _add(there, value)
        elif isinstance(there, (str, bytes, list)) and isinstance(value, type(there)):
            whole[key] = there + value
        else:
            whole[key] = dict(value) if isinstance(value, Mapping) else value


def _block(block: Json) -> Json:
    """Return a block that is whole as it stands in a reply that is not streamed."""
    if "citations" in block:
        cited = {"content": [{"text": block.get("text", "")}], "citations": block["citations"]}
        return {"citationsContent": cited}
    if _at(block, "toolUse.input"):
        return {"toolUse": {**block["toolUse"], "input": _parsed(block["toolUse"]["input"] or "{}")}}
    if "toolUse" in block:
        return {"toolUse": {**block["toolUse"], "input": {}}}
    reasoning = block.get("reasoningContent", {})
    if "redactedContent" not in reasoning and reasoning:
        return {"reasoningContent": {"reasoningText": reasoning}}
    return block


def _parsed(text: str | bytes) -> Any:
    """Return JSON as data; what is none, or cut off, as text, or where it is not that as bytes."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    try:
        return text.decode() if isinstance(text, bytes) else text
    except UnicodeDecodeError:
        return text


def fold_agent(events: Sequence[Json]) -> Json:
    """Put together what an agent said, and keep all else that it told."""
    chunks = [event["chunk"] for event in events if "chunk" in event]
    said = b"".join(b64decode(chunk.get("bytes") or "") for chunk in chunks)
    files = [
        {**file, "bytes": b64decode(file.get("bytes") or "")} for file in _at(events, "files.files.")
    ]
    told = {
        "citations": _flat(_at(chunks, "attribution.citations")),
        "files": files,
        "traces": _at(events, "trace"),
    }
    reply: Json = {"completion": said.decode("utf-8", "replace")}
    for event in events:
        reply.update({k: v for k, v in event.items() if k not in ("chunk", "files", "trace")})
    return {**reply, **{name: value for name, value in told.items() if value}}


def _flat(lists: Sequence[Sequence[Any]]) -> list[Any]:
    return [item for one in lists for item in one]


def fold_generated(events: Sequence[Json]) -> Json:
    """Rebuild the reply of RetrieveAndGenerate."""
    parts = ("generatedResponsePart", "retrievedReferences")
    citations = [
        {name: value for name, value in (cited.get("citation") or cited).items() if name in parts}
        for cited in _at(events, "citation")
    ]
    reply: Json = {
        "output": {"text": "".join(_at(events, "output.text"))},
        "citations": citations,
    }
    if action := _first(events, ["guardrail.action"]):
        reply["guardrailAction"] = action
    return reply


# Streams of InvokeModel: each family of models has its own chunks.


def _spelled(*texts: str) -> Callable[[Sequence[Json]], Json]:
    """Return the fold of chunks in which these texts are spelled out and all else stands whole."""

    def fold(chunks: Sequence[Json]) -> Json:
        reply: Json = {}
        for chunk in chunks:
            for name, value in chunk.items():
                if name in texts:
                    reply[name] = reply.get(name, "") + (value or "")
                elif value is not None or name not in reply:
                    reply[name] = value
        return reply

    return fold


def _fold_titan(chunks: Sequence[Json]) -> Json:
    spelled = _spelled("outputText")(chunks)
    result = {"tokenCount": spelled.pop("totalOutputTextTokenCount", None)}
    result |= {name: spelled.pop(name, None) for name in ("outputText", "completionReason")}
    spelled.pop("index", None)
    return {**spelled, "results": [result]}


def _fold_mistral(chunks: Sequence[Json]) -> Json:
    fold = _spelled("text")
    count = max((len(chunk.get("outputs") or ()) for chunk in chunks), default=0)
    texts = [[c["outputs"][i] for c in chunks if len(c.get("outputs") or ()) > i] for i in range(count)]
    return {"outputs": [fold(pieces) for pieces in texts]}


def _fold_choices(chunks: Sequence[Json]) -> Json:
    """Fold chat completions; of Mistral's chat the pieces are called as the whole is."""
    return _chat.fold([{**chunk, "choices": [*map(_piece, chunk["choices"])]} for chunk in chunks])


def _piece(choice: Json) -> Json:
    return {("delta" if name == "message" else name): value for name, value in choice.items()}


def _fold_cohere(chunks: Sequence[Json]) -> Json:
    """Take the reply that the last event of Command R holds, or as much of it as was told."""
    if whole := _at(chunks, "response"):
        return dict(whole[-1])
    spelled = _spelled("text")(chunks)
    ended = {"finish_reason": spelled["finish_reason"]} if "finish_reason" in spelled else {}
    if "event_type" not in spelled:
        return {"generations": [{"text": spelled.get("text", ""), **ended}]}
    calls = _flat(_at(chunks, "tool_calls"))
    return {"text": spelled.get("text", ""), **ended, **({"tool_calls": calls} if calls else {})}


# What the chunks of a family have, and how they are put together.
_FAMILIES: dict[str, Callable[[Sequence[Json]], Json]] = {
    "completion": _spelled("completion"),  # Anthropic, before messages
    "type": _anthropic.fold,
    "contentBlockDelta": fold_message,  # Nova
    "messageStart": fold_message,
    "outputText": _fold_titan,
    "generation": _spelled("generation"),  # Meta
    "outputs": _fold_mistral,
    "choices": _fold_choices,  # Mistral's chat, AI21, DeepSeek, OpenAI, Qwen, imported models
    "is_finished": _fold_cohere,
}


def fold_chunks(chunks: Sequence[Any]) -> Any:
    """Rebuild the body that InvokeModel would have given; of an unknown family, all its chunks."""
    ours = [chunk for chunk in chunks if isinstance(chunk, dict)]
    plain = [{k: v for k, v in chunk.items() if not k.startswith("amazon-")} for chunk in ours]
    of_bedrock = {k: v for chunk in ours for k, v in chunk.items() if k.startswith("amazon-")}
    folds = (fold for name, fold in _FAMILIES.items() if any(name in chunk for chunk in plain))
    fold = next(folds, None)
    if fold is None or len(ours) < len(chunks):
        return {"chunks": list(chunks)}
    return {**fold([chunk for chunk in plain if chunk]), **of_bedrock}


# Operations.


@dataclass(frozen=True)
class Operation:
    """An operation that calls a model, and how its traffic is read.

    Args:
        name: What the span's name begins with, and its `gen_ai.operation.name`.
        span_type: From `spanlog.entities.SpanType`.
        payload: The member of the reply that is read later: a stream of events, or a body.
        fold: Makes of a stream's events the reply that they spell out.
        last: Says of the payload of an event's frame, and its type, that it is the stream's last.
        about: What the span is named after, where that is no model.
        outputs: Makes the span's outputs of the reply.
    """

    name: str
    span_type: str
    payload: str = ""
    fold: Callable[[Sequence[Any]], Any] | None = None
    last: Callable[[str, bytes], bool] = lambda _kind, _payload: False
    about: str = "modelId"
    outputs: Callable[[Any], Any] = lambda reply: reply


def _is_metadata(kind: str, _payload: bytes) -> bool:
    return kind == "metadata"


def _has_metrics(kind: str, payload: bytes) -> bool:
    return kind == "chunk" and b'"amazon-bedrock-invocationMetrics"' in _chunk(orjson.loads(payload))


def _chunk(content: Json) -> bytes:
    return b64decode(content.get("bytes") or "")


def documents(reply: Json) -> list[Json]:
    """Return what a knowledge base found, as documents."""
    return [
        {
            "page_content": _first(found, ["content.text", "content.byteContent"])
            or found.get("content"),
            "metadata": {
                **(found.get("metadata") or {}),
                **{name: found[name] for name in ("score", "location") if name in found},
            },
            "id": _first(found, _DOCUMENT_ID),
        }
        for found in reply.get("retrievalResults") or ()
    ]


_DOCUMENT_ID = (
    "documentId",
    "metadata.x-amz-bedrock-kb-chunk-id",
    "location.*.uri",
    "location.*.url",
    "location.*.id",
)

_GENERATE = ("retrieve_and_generate", SpanType.CHAIN)
_AGENT = ("invoke_agent", SpanType.AGENT)
_CHAT = ("chat", SpanType.CHAT_MODEL)

OPERATIONS = {
    "Converse": Operation(*_CHAT),
    "ConverseStream": Operation(*_CHAT, "stream", fold_message, _is_metadata),
    "InvokeModel": Operation(*_CHAT, "body"),
    "InvokeModelWithResponseStream": Operation(*_CHAT, "body", fold_chunks, _has_metrics),
    "InvokeAgent": Operation(*_AGENT, "completion", fold_agent, about="agentId"),
    "InvokeInlineAgent": Operation(*_AGENT, "completion", fold_agent, about="agentName"),
    "RetrieveAndGenerate": Operation(*_GENERATE),
    "RetrieveAndGenerateStream": Operation(*_GENERATE, "stream", fold_generated),
    "Retrieve": Operation(
        "retrieval", SpanType.RETRIEVER, about="knowledgeBaseId", outputs=documents
    ),
    "Rerank": Operation("rerank", SpanType.RERANKER),
}


# Calls.


def _begin(call: Call) -> Recording | None:
    operation = OPERATIONS.get(call.argument(0, "operation_name"))
    if operation is None or call.instance.meta.service_model.service_name not in _SERVICES:
        return None
    return _Call(call.instance, dict(call.argument(1, "api_params")), operation)


class _Call(Recording):
    """A call of an operation that calls a model."""

    def __init__(self, client: Any, asked: Json, operation: Operation) -> None:
        if isinstance(asked.get("body"), (str, bytes, bytearray)):
            asked["body"] = _parsed(asked["body"])
        model = _first(asked, _MODEL)
        name, span_type = _kind(asked, model, operation)
        about = str(asked.get(operation.about) or model or "").rpartition("/")[2]
        super().__init__(
            LiveSpan(f"{name} {about}".rstrip(), span_type, current_span(), capture(asked))
        )
        self._client = client
        self._operation = operation
        self._facts = name, model

    def asked(self) -> None:
        name, model = self._facts
        facts = self.span.set_attribute
        facts("gen_ai.operation.name", name)
        facts("gen_ai.provider.name", "aws.bedrock")
        facts("server.address", urlsplit(self._client.meta.endpoint_url).hostname)
        if model:
            facts("gen_ai.request.model", model)
        if self._operation.fold:
            facts("gen_ai.request.stream", True)
        self.span.put_off(lambda span: request(span, span.inputs))

    def reply(self, result: Any) -> Any:
        facts = result.get("ResponseMetadata") or {}
        self._told(facts)
        read = _Reply(self._operation, result, facts.get("HTTPHeaders") or {}, self._secrets())
        payload = result.get(self._operation.payload)
        watch = _WATCHES.get(f"{type(payload).__module__}.{type(payload).__name__}")
        if watch is None:  # all of it is there, or it comes from a stub of the program's
            snapshot = capture(read.rest)
            self.span.put_off(lambda span: read.whole(span, orjson.loads(snapshot)))
            self.span.end()
        else:
            watch(payload, self.span, read)
        return result

    def failed(self, error: BaseException) -> None:
        told = vars(error).get("response")
        reply = told if isinstance(told, Mapping) else {}
        code = _first(reply, ["Error.Code"])
        self.span.set_attribute("error.type", code or type(error).__name__)
        if reply:
            facts = reply.get("ResponseMetadata") or {}
            self._told(facts)
            self.span.set_attribute("http.response.status_code", facts.get("HTTPStatusCode"))
            body = {name: value for name, value in reply.items() if name != "ResponseMetadata"}
            self.span.set_attribute("error.body", body)
        self.span.record_exception(error)
        self.span.redact(self._secrets())
        self.span.end()

    def _told(self, facts: Mapping[str, Any]) -> None:
        """Record what AWS tells of a request."""
        if request_id := facts.get("RequestId"):
            self.span.set_attribute("http.response.request_id", request_id)
        if retries := facts.get("RetryAttempts"):
            self.span.set_attribute("http.request.resend_count", retries)

    def _secrets(self) -> list[str]:
        """Return what the client proves itself with; nothing is refreshed for it."""
        signer = vars(self._client._request_signer)
        credentials, token = signer.get("_credentials"), signer.get("_auth_token")
        held = vars(credentials) if credentials else {}
        kept = [held.get(name) for name in _CREDENTIALS]
        kept.append(getattr(getattr(token, "_frozen_token", token), "token", None))
        return [text for text in kept if isinstance(text, str) and len(text) >= 4]


def _kind(asked: Json, model: Any, operation: Operation) -> tuple[str, str]:
    """Return the name of an operation and its span type; InvokeModel is for all sorts of models."""
    if operation.payload != "body":
        return operation.name, operation.span_type
    short = str(model).rpartition("/")[2]
    for pattern, name, span_type in _MODELS:
        if pattern.search(short):
            return name, span_type
    body = asked.get("body")
    if isinstance(body, Mapping) and "messages" not in body and {"prompt", "inputText"} & body.keys():
        return "text_completion", SpanType.LLM
    return operation.name, operation.span_type


class _Reply:
    """A reply, and how what is read of it later is recorded."""

    def __init__(
        self,
        operation: Operation,
        result: Mapping[str, Any],
        headers: Mapping[str, str],
        secrets: list[str],
    ) -> None:
        self._operation = operation
        self._headers = headers
        self._secrets = secrets
        left_out = ("ResponseMetadata", operation.payload, "contentType")
        self.rest = {name: value for name, value in result.items() if name not in left_out}

    def whole(self, span: LiveSpan, reply: Any) -> None:
        """Make the span's outputs of a reply."""
        if reply or not self._operation.payload:
            span.set_outputs(self._operation.outputs(reply))
        response(span, reply, self._headers)

    # A stream of events.

    def is_last(self, messages: list[EventStreamMessage]) -> bool:
        """Say whether the stream's last event has just been received."""
        newest = messages[-1]
        kind = newest.headers.get(":event-type", "")
        return _error(newest) is not None or self._operation.last(kind, newest.payload)

    def events(
        self, span: LiveSpan, messages: list[EventStreamMessage], stopped: bool
    ) -> None:
        """Make the outputs of the events that were received."""
        if stopped and not (messages and self.is_last(messages)):
            span.set_attribute("spanlog.stream.completed", False)
        span.set_attribute("spanlog.stream.chunks", len(messages))
        errors = [error for message in messages if (error := _error(message))]
        found = [_event(message) for message in messages if not _error(message)]
        if self._operation.payload == "body":
            found = [_parsed(_chunk(event["chunk"])) for event in found if "chunk" in event]
        if found and self._operation.fold:
            reply = self._operation.fold(found)
            of_agent = {} if self._operation.payload == "body" else self.rest
            self.whole(span, {**of_agent, **reply})
        for error in errors:
            failed(span, error)
            span.redact(self._secrets)

    # A body.

    def is_whole(self, pieces: list[bytes]) -> bool:
        """Say whether as many bytes were read as the reply has."""
        return self._length() == sum(map(len, pieces))

    def _length(self) -> int:
        told = self._headers.get("content-length", "")
        return int(told) if told.isdigit() else -1

    def body(self, span: LiveSpan, pieces: list[bytes], stopped: bool) -> None:
        """Make the outputs of the bytes that were read."""
        body = b"".join(pieces)
        if stopped and len(body) != self._length():
            span.set_attribute("spanlog.stream.completed", False)
        if body:
            self.whole(span, _parsed(body))


def _event(message: EventStreamMessage) -> Json:
    content = _parsed(message.payload)
    if isinstance(content, dict):
        content.pop("p", None)  # padding
    return {message.headers.get(":event-type", ""): content}


def _error(message: EventStreamMessage) -> Json | None:
    """Return the error that a frame tells of, if it does."""
    told = message.headers
    if told.get(":message-type") == "event":
        return None
    content = _parsed(message.payload)
    return {
        "code": told.get(":exception-type") or told.get(":error-code") or "error",
        "message": _first(content, ["message", "Message"]) or told.get(":error-message") or "",
    }


def _watch_events(stream: Any, span: LiveSpan, reply: _Reply) -> None:
    watch = Watch(span, reply.events, reply.is_last)
    stream._event_generator = Watched(stream._event_generator, watch)
    stream._raw_stream = _Source(stream._raw_stream, watch)


def _watch_body(body: Any, span: LiveSpan, reply: _Reply) -> None:
    watch = Watch(span, reply.body, reply.is_whole)
    body._raw_stream = _Body(body._raw_stream, watch)


def _watch_async_body(body: Any, span: LiveSpan, reply: _Reply) -> None:
    watch = Watch(span, reply.body, reply.is_whole)
    body.content = _AsyncBody(body.content, watch)


_WATCHES: dict[str, Callable[[Any, LiveSpan, _Reply], None]] = {
    "botocore.eventstream.EventStream": _watch_events,
    "aiobotocore.eventstream.AioEventStream": _watch_events,
    "botocore.response.StreamingBody": _watch_body,
    "aiobotocore.response.StreamingBody": _watch_async_body,
}


class _Source(wrapt.ObjectProxy):  # type: ignore[type-arg]
    """What a stream is read from: closing it ends the span, and so does letting go of it."""

    def __init__(self, source: Any, watch: Watch) -> None:
        super().__init__(source)
        self._self_watch = watch

    def close(self) -> Any:
        """Close it."""
        self._self_watch.stopped()
        return self.__wrapped__.close()

    def __del__(self) -> None:
        self._self_watch.stopped()


class _Body(_Source):
    """What a body is read from; whatever is read of it, in whatever way, is kept."""

    def _self_read(self, name: str, *args: Any, to_the_end: bool = False, **kwargs: Any) -> Any:
        watch = self._self_watch
        try:
            data = getattr(self.__wrapped__, name)(*args, **kwargs)
        except StopIteration:
            watch.completed()
            raise
        except BaseException as error:
            watch.failed(error)
            raise
        if data:
            watch.piece(data)
        if to_the_end or not data:
            watch.completed()
        return data

    def read(self, *args: Any, **kwargs: Any) -> Any:
        """Read some bytes, or all that are left."""
        amount = args[0] if args else kwargs.get("amt")
        if amount == 0:
            return self.__wrapped__.read(*args, **kwargs)
        to_the_end = amount is None or amount < 0
        return self._self_read("read", *args, to_the_end=to_the_end, **kwargs)
