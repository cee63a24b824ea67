"""What Amazon Bedrock's requests, replies and streams look like, of all families of models.

A fact is looked for in the places where one family or another has it: tables say which.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from spanlog import semconv

from spanlog_integrations.wire import anthropic, chat
from spanlog_integrations.wire.reply import parsed
from spanlog_integrations.wire.usage import openai_usage

if TYPE_CHECKING:
    from spanlog.record.span import LiveSpan

Json = dict[str, Any]

# Facts, and the places where they stand in a request, the first that is there being it.
_REQUEST = {
    semconv.REQUEST_TEMPERATURE: (
        "temperature",
        "inferenceConfig.temperature",
        "textGenerationConfig.temperature",
    ),
    semconv.REQUEST_TOP_P: (
        "top_p",
        "topP",
        "p",
        "inferenceConfig.topP",
        "textGenerationConfig.topP",
    ),
    semconv.REQUEST_TOP_K: (
        "top_k",
        "topK",
        "k",
        "topKReturn",
        "inferenceConfig.topK",
        "additionalModelRequestFields.top_k",
        "additionalModelRequestFields.inferenceConfig.topK",
    ),
    semconv.REQUEST_MAX_TOKENS: (
        "max_tokens",
        "max_completion_tokens",
        "maxTokens",
        "max_gen_len",
        "max_tokens_to_sample",
        "inferenceConfig.maxTokens",
        "inferenceConfig.max_new_tokens",
        "textGenerationConfig.maxTokenCount",
    ),
    semconv.REQUEST_FREQUENCY_PENALTY: ("frequency_penalty", "frequencyPenalty.scale"),
    semconv.REQUEST_PRESENCE_PENALTY: ("presence_penalty", "presencePenalty.scale"),
    semconv.REQUEST_SEED: ("seed",),
    semconv.REQUEST_CHOICE_COUNT: ("n", "num_generations", "numResults"),
    semconv.REQUEST_REASONING_LEVEL: (
        "reasoning_effort",
        "output_config.effort",
        "additionalModelRequestFields.reasoning_effort",
        "additionalModelRequestFields.output_config.effort",
        "additionalModelRequestFields.reasoningConfig.maxReasoningEffort",
    ),
    semconv.EMBEDDINGS_DIMENSION_COUNT: (
        "dimensions",
        "output_dimension",
        "embeddingConfig.outputEmbeddingLength",
        "singleEmbeddingParams.embeddingDimension",
    ),
    semconv.TOOL_DEFINITIONS: ("toolConfig.tools", "tools", "actionGroups"),
    semconv.AGENT_ID: ("agentId",),
    semconv.AGENT_NAME: ("agentName",),
    semconv.CONVERSATION_ID: ("sessionId",),
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
# Where the model that is asked stands.
MODEL = (
    "modelId",
    "foundationModel",
    "retrieveAndGenerateConfiguration.knowledgeBaseConfiguration.modelArn",
    "retrieveAndGenerateConfiguration.externalSourcesConfiguration.modelArn",
    "rerankingConfiguration.bedrockRerankingConfiguration.modelConfiguration.modelArn",
)
# Facts of a reply. The models of an agent stand in its traces.
_RESPONSE = {
    semconv.RESPONSE_ID: ("id", "response_id", "generation_id"),
    semconv.RESPONSE_MODEL: (
        "model",
        "trace.promptRouter.invokedModelId",
        "traces.trace.*.modelInvocationInput.foundationModel",
    ),
    "aws.bedrock.guardrail.action": ("amazon-bedrock-guardrailAction", "guardrailAction"),
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
    "cache_read.input": (
        "cacheReadInputTokens",
        "cacheReadInputTokenCount",
        "cache_read_input_tokens",
        "x-amzn-bedrock-cache-read-input-token-count",
    ),
    "cache_creation.input": (
        "cacheWriteInputTokens",
        "cacheWriteInputTokenCount",
        "cache_creation_input_tokens",
        "x-amzn-bedrock-cache-write-input-token-count",
    ),
    "reasoning.output": ("output_tokens_details.thinking_tokens",),
}


def at(value: Any, path: str) -> list[Any]:
    """Return what stands at a path, in all items of lists; `*` is any name."""
    found = [value]
    for name in path.split(".") if path else ():
        held = [item for one in found for item in (one if isinstance(one, list) else [one])]
        maps = [item for item in held if isinstance(item, Mapping)]
        found = [v for m in maps for v in (m.values() if name == "*" else [m.get(name)])]
        found = [item for item in found if item is not None]
    return found


def first(value: Any, paths: Sequence[str]) -> Any:
    """Return what stands at the first path that leads anywhere; the last item of lists."""
    return next((found[-1] for path in paths if (found := at(value, path))), None)


def request(span: LiveSpan, asked: Json) -> None:
    """Record the parameters of a request."""
    body = asked.get("body")
    sent = {**asked, **body} if isinstance(body, Mapping) else asked
    for name, paths in _REQUEST.items():
        if (value := first(sent, paths)) not in (None, []):
            span.set_attribute(name, value)
    if stop := first(sent, _STOP):
        span.set_attribute(
            semconv.REQUEST_STOP_SEQUENCES, [stop] if isinstance(stop, str) else stop
        )


def response(span: LiveSpan, reply: Any, headers: Mapping[str, Any]) -> None:
    """Record what a reply says of itself, in the shape of any family of models."""
    for name, paths in _RESPONSE.items():
        if (value := first(reply, paths)) and isinstance(value, (str, int)):
            span.set_attribute(name, str(value))
    if reasons := [reason for path in _REASONS for reason in at(reply, path)]:
        span.set_attribute(semconv.RESPONSE_FINISH_REASONS, reasons)
    if at(reply, "usage.prompt_tokens"):
        openai_usage(span, reply["usage"])
    else:
        usage(span, [[headers], *(at(reply, path) for path in _USAGE)])


def usage(span: LiveSpan, places: Sequence[Sequence[Any]]) -> None:
    """Record token counts.

    Args:
        span: The span.
        places: Where they may stand, the better place later; at one place several are added up.
    """
    counts: dict[str, int] = {}
    for place in places:
        for kind, names in _COUNTS.items():
            told = [count for one in place if (count := _count(first(one, names))) is not None]
            if told:
                counts[kind] = sum(told)
    if not counts:
        return
    cached = counts.get("cache_read.input", 0) + counts.get("cache_creation.input", 0)
    counts["input"] = counts.get("input", 0) + cached
    counts["total"] = counts["input"] + counts.get("output", 0)
    for kind, count in counts.items():
        span.set_attribute(f"gen_ai.usage.{kind}_tokens", count)


def _count(told: Any) -> int | None:
    """Return a count, which headers tell as text and Titan as a fraction."""
    if isinstance(told, str) and told.isdecimal():
        return int(told)
    return int(told) if isinstance(told, (int, float)) else None


# Streams. An event is what its frame holds, under the name of its type.


def fold_message(events: Sequence[Json]) -> Json:
    """Rebuild the reply of Converse that a stream of events spells out."""
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
    redacted = at(delta, "reasoningContent.redactedContent")
    if redacted:
        return {"reasoningContent": {"redactedContent": b64decode(redacted[0])}}
    return delta


# What is put together of pieces.
_SPELLED = (str, bytes, list)


def _add(whole: Json, piece: Mapping[str, Any]) -> None:
    """Add a piece of a value to what there is of it."""
    for key, value in piece.items():
        there: Any = whole.get(key)
        if isinstance(there, dict) and isinstance(value, Mapping):
            _add(there, value)
        elif type(value) is type(there) and type(there) in _SPELLED:
            whole[key] = there + value
        else:
            whole[key] = dict(value) if isinstance(value, Mapping) else value


def _block(block: Json) -> Json:
    """Return a block that is whole as it stands in a reply that is not streamed."""
    if "citations" in block:
        cited = {"content": [{"text": block.get("text", "")}], "citations": block["citations"]}
        return {"citationsContent": cited}
    if tool := block.get("toolUse"):
        return {"toolUse": {**tool, "input": parsed(tool.get("input") or "{}")}}
    reasoning = block.get("reasoningContent") or {}
    if reasoning and "redactedContent" not in reasoning:
        return {"reasoningContent": {"reasoningText": reasoning}}
    return block


def fold_agent(events: Sequence[Json]) -> Json:
    """Put together what an agent said, and keep all else that it told."""
    chunks = [event["chunk"] for event in events if "chunk" in event]
    said = b"".join(b64decode(chunk.get("bytes") or "") for chunk in chunks)
    files = _flat(at(events, "files.files"))
    told = {
        "citations": _flat(at(chunks, "attribution.citations")),
        "files": [{**file, "bytes": b64decode(file.get("bytes") or "")} for file in files],
        "traces": at(events, "trace"),
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
        for cited in at(events, "citation")
    ]
    reply: Json = {
        "output": {"text": "".join(at(events, "output.text"))},
        "citations": citations,
    }
    if action := first(events, ["guardrail.action"]):
        reply["guardrailAction"] = action
    return reply


# Streams of InvokeModel: each family of models has its own chunks.


def chunk(event: Mapping[str, Any]) -> bytes:
    """Return what the event of a chunk holds."""
    return b64decode(event.get("bytes") or "")


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


def _fold_nova(chunks: Sequence[Json]) -> Json:
    """Fold a stream in which each piece of a text is a block of its own."""
    reply = fold_message(chunks)
    message = reply["output"]["message"]
    runs = groupby(message["content"], key=lambda block: block.keys() == {"text"})
    message["content"] = [
        block
        for is_text, run in runs
        for block in ([{"text": "".join(at([*run], "text"))}] if is_text else run)
    ]
    return reply


def _fold_titan(chunks: Sequence[Json]) -> Json:
    spelled = _spelled("outputText")(chunks)
    result = {"tokenCount": spelled.pop("totalOutputTextTokenCount", None)}
    result |= {name: spelled.pop(name, None) for name in ("outputText", "completionReason")}
    spelled.pop("index", None)
    return {**spelled, "results": [result]}


def _fold_mistral(chunks: Sequence[Json]) -> Json:
    fold = _spelled("text")
    count = max((len(chunk.get("outputs") or ()) for chunk in chunks), default=0)
    texts = [
        [c["outputs"][i] for c in chunks if len(c.get("outputs") or ()) > i] for i in range(count)
    ]
    return {"outputs": [fold(pieces) for pieces in texts]}


def _fold_choices(chunks: Sequence[Json]) -> Json:
    """Fold chat completions; of Mistral's chat the pieces are called as the whole is."""
    pieces = ([*map(_piece, chunk.get("choices") or ())] for chunk in chunks)
    return chat.fold([{**c, "choices": choices} for c, choices in zip(chunks, pieces, strict=True)])


def _piece(choice: Json) -> Json:
    return {("delta" if name == "message" else name): value for name, value in choice.items()}


def _fold_cohere(chunks: Sequence[Json]) -> Json:
    """Take the reply that the last event of Command R holds, or as much of it as was told."""
    if whole := at(chunks, "response"):
        return dict(whole[-1])
    if not at(chunks, "event_type"):
        return {"generations": [_generation(chunks, index) for index in _indexes(chunks)]}
    reply = _generation(chunks, 0)
    calls = _flat(at(chunks, "tool_calls"))
    return {**reply, "tool_calls": calls} if calls else reply


def _indexes(chunks: Sequence[Json]) -> list[int]:
    return sorted({chunk.get("index") or 0 for chunk in chunks})


def _generation(chunks: Sequence[Json], index: int) -> Json:
    told = [chunk for chunk in chunks if (chunk.get("index") or 0) == index]
    reply = {"text": "".join(at(told, "text"))}
    reason = first(told, ("finish_reason",))
    return {**reply, "finish_reason": reason} if reason else reply


# What the chunks of a family have, and how they are put together.
_FAMILIES: dict[str, Callable[[Sequence[Json]], Json]] = {
    "completion": _spelled("completion"),  # Anthropic, before messages
    "message": anthropic.fold,
    "contentBlockDelta": _fold_nova,
    "messageStart": _fold_nova,
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


# Where the id of a document that a knowledge base found may stand.
_DOCUMENT_ID = (
    "documentId",
    "metadata.x-amz-bedrock-kb-chunk-id",
    "location.*.uri",
    "location.*.url",
    "location.*.id",
)


def documents(reply: Json) -> list[Json]:
    """Return what a knowledge base found, as documents."""
    return [
        {
            "page_content": first(found, ("content.text", "content.byteContent", "content")),
            "metadata": {
                **(found.get("metadata") or {}),
                **{name: found[name] for name in ("score", "location") if name in found},
            },
            "id": first(found, _DOCUMENT_ID),
        }
        for found in reply.get("retrievalResults") or ()
    ]
