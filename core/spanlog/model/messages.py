"""What was said in a call of a model, read the same whatever the provider: messages and tools.

Inputs and outputs are kept as they were on the wire. Here they are read by their shape, which is
that of OpenAI (completions and responses), Anthropic, Google, Amazon Bedrock, Mistral, Cohere or a
framework's messages. What is not known is left out; nothing here raises.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from spanlog.model.attachments import Attachment

Json = dict[str, Any]


@dataclass(frozen=True)
class ToolCall:
    """A tool that the model asks for, and with which arguments: data, or text if it is no JSON."""

    id: str | None
    name: str
    arguments: Any = None

    def __str__(self) -> str:
        return f"{self.name}({'' if self.arguments is None else _flat(self.arguments)})"


@dataclass(frozen=True)
class ToolResult:
    """What a tool answered to the call with the same id."""

    id: str | None
    name: str | None
    content: Any = None
    is_error: bool = False

    def __str__(self) -> str:
        failed = "failed: " if self.is_error else ""
        return f"{self.name or self.id or 'result'}: {failed}{_flat(self.content)}"


@dataclass(frozen=True)
class Media:
    """An image, sound or document in a message.

    Args:
        media_type: Like `image/png`, or only `image`, `audio`, `video` or `document`.
        url: Where it is: an address, a `data:` URI, the provider's id of a file, or a reference
            that `spanlog.get_attachment` knows.
        size: In bytes, where it is known.
    """

    media_type: str
    url: str
    size: int | None = None


@dataclass(frozen=True)
class ChatMessage:
    """One message.

    Args:
        role: `system`, `user`, `assistant` or `tool`.
        text: What it says.
        reasoning: What the model thought, as far as it told.
        tool_calls: The tools that the model asks for.
        tool_results: What tools answered.
        media: Images, sound, documents.
    """

    role: str
    text: str = ""
    reasoning: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    tool_results: list[ToolResult] = field(default_factory=list)
    media: list[Media] = field(default_factory=list)


@dataclass(frozen=True)
class Tool:
    """A tool that is offered to the model; `parameters` is a JSON schema."""

    name: str
    description: str | None = None
    parameters: Any = None


# The types of spans that are calls of models.
MODELS = ("LLM", "CHAT_MODEL")

_ROLES = {
    "ai": "assistant",
    "aimessagechunk": "assistant",
    "chatbot": "assistant",
    "developer": "system",
    "function": "tool",
    "human": "user",
    "model": "assistant",
}
# Where a request says what the model is, and what came before.
_SYSTEM = ("system", "systemInstruction", "system_instruction", "instructions", "preamble")
_HISTORY = ("chat_history", "messages", "contents", "steps")
# Where a request or a reply of a model may have its text alone.
_ASKED = ("prompt", "input", "inputs", "inputText", "message")
_REPLIES = (
    *("choices", "candidates", "completions", "data", "generations", "outputs", "predictions"),
    *("results", "steps", "messages"),
)
_ANSWERED = (
    *("completion", "content", "generated_text", "generation", "outputText", "output_text"),
    *("response", "text"),
)


def read(inputs: Any, outputs: Any, *, of_model: bool) -> list[ChatMessage]:
    """Return the messages that were sent and, after them, those that were answered.

    Args:
        inputs: A span's inputs.
        outputs: A span's outputs.
        of_model: It is a call of a model, so that a text alone is a message.
    """
    asked, answered = conversation(inputs, outputs, of_model=of_model)
    return asked + answered


def conversation(
    inputs: Any, outputs: Any, *, of_model: bool
) -> tuple[list[ChatMessage], list[ChatMessage]]:
    """Return what `read` does in two parts: what was sent, and what was answered."""
    thread = _Thread()
    if inputs is not None:
        _asked(thread, inputs, of_model=of_model)
    sent = thread.close()
    if outputs is not None:
        _answered(thread, outputs, of_model=of_model)
    found = thread.messages()
    return found[:sent], found[sent:]


def read_tools(definitions: Any, inputs: Any) -> list[Tool]:
    """Return the tools that were offered to the model."""
    asked = _dict(inputs)
    body = _dict(asked.get("body")) or asked
    offered = (
        definitions
        or body.get("tools")
        or body.get("functions")
        or _dict(body.get("toolConfig")).get("tools")
        or _dict(body.get("config")).get("tools")
    )
    return [tool for one in _list(offered) for tool in _tools(one)]


def _tools(one: Any) -> Iterator[Tool]:
    tool = _dict(one)
    declared = tool.get("functionDeclarations") or tool.get("function_declarations")
    if declared:
        for each in _list(declared):
            yield from _tools(each)
        return
    spec = _first_dict(tool, "function", "toolSpec", "custom") or tool
    name = spec.get("name") or tool.get("type") or next(iter(tool), None)
    if not name:
        return
    schemas = ("parameters", "input_schema", "inputSchema", "parametersJsonSchema", "args_schema")
    schema = _first(spec, *schemas)
    schema = _dict(schema).get("json", schema)
    description = spec.get("description")
    yield Tool(str(name), None if description is None else str(description), schema)


# A conversation, put together.


class _Message:
    def __init__(self, role: str) -> None:
        self.role = role
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.calls: list[ToolCall] = []
        self.results: list[ToolResult] = []
        self.media: list[Media] = []

    @property
    def is_empty(self) -> bool:
        return not (self.texts or self.thoughts or self.calls or self.results or self.media)

    def built(self, names: dict[str | None, str]) -> ChatMessage:
        only_results = self.results and not (self.texts or self.media or self.calls)
        return ChatMessage(
            "tool" if only_results else self.role,
            "".join(self.texts),
            "\n".join(self.thoughts),
            self.calls,
            [
                ToolResult(r.id, r.name or names.get(r.id), r.content, r.is_error)
                for r in self.results
            ],
            self.media,
        )


class _Thread:
    """The messages so far; items that come one by one make up one message of their role."""

    def __init__(self) -> None:
        self._messages: list[_Message] = []
        self._open = False

    def message(self, role: Any) -> _Message:
        """Begin a message."""
        name = str(role or "user").lower()
        self._messages.append(_Message(_ROLES.get(name, name)))
        self._open = False
        return self._messages[-1]

    def item(self, role: str) -> _Message:
        """Go on with the message that the item before this one is of, or begin one."""
        if not (self._open and self._messages[-1].role == role):
            self.message(role)
        self._open = True
        return self._messages[-1]

    def close(self) -> int:
        """Have what comes now be of a new message; return how many there are."""
        self._open = False
        return sum(not message.is_empty for message in self._messages)

    def messages(self) -> list[ChatMessage]:
        names: dict[str | None, str] = {
            call.id: call.name for m in self._messages for call in m.calls if call.id
        }
        return [m.built(names) for m in self._messages if not m.is_empty]


def _asked(thread: _Thread, inputs: Any, *, of_model: bool) -> None:
    if isinstance(inputs, str):
        if of_model:
            _content(thread.message("user"), inputs)
        return
    if isinstance(inputs, list):
        _history(thread, inputs, "user", alone=of_model)
        return
    asked = _dict(inputs)
    if body := _dict(asked.get("body")):
        asked = body
    config = _dict(asked.get("config"))
    if of_model and (system := _first(asked, *_SYSTEM) or _first(config, *_SYSTEM)):
        _content(thread.message("system"), system)
    for name in _HISTORY:
        if held := asked.get(name):
            _history(thread, _list(held), "user", alone=of_model)
    if of_model:
        for name in _ASKED:
            if held := asked.get(name):
                _history(thread, _list(held), "user", alone=True)


def _history(thread: _Thread, items: Sequence[Any], role: str, *, alone: bool) -> None:
    """Read messages; LangChain has a list of them for each of several calls.

    Args:
        thread: The conversation.
        items: The messages.
        role: Of those that do not say it.
        alone: A text alone is a message.
    """
    for item in items:
        if _is_pair(item):
            _content(thread.message(item[0]), item[1])
        elif isinstance(item, list):
            _history(thread, item, role, alone=alone)
        elif isinstance(item, str):
            if alone:
                _content(thread.item(role), item)
        elif isinstance(item, dict):
            _one(thread, item, role)


def _is_pair(item: Any) -> TypeGuard[list[str]]:
    """Say whether something is a message as LangChain may be given it: a role and a text."""
    return (
        isinstance(item, list)
        and len(item) == 2
        and all(isinstance(part, str) for part in item)
        and (item[0] in _ROLES or item[0] in ("system", "user", "assistant"))
    )


def _one(thread: _Thread, item: Json, role: str) -> None:
    """Read a message, or an item of OpenAI's responses or the like."""
    kind = str(item.get("type") or item.get("object") or "")
    if known := _known(kind):
        whose, take = known
        take(thread.item(whose), item)
        return
    named = item.get("role") or (kind if kind in _ROLES or kind in ("system", "tool") else None)
    if named is None and not item.keys() & {"content", "parts", "message"}:
        if kind or "text" in item:  # the parts of one message
            _part(thread.item(role), item)
        return
    if isinstance(inner := item.get("message"), dict):
        _one(thread, inner, role)
        return
    # One of several items that OpenAI's responses have for what the model says at once.
    is_item = kind == "message" and named == "assistant"
    message = thread.item("assistant") if is_item else thread.message(named or role)
    if message.role == "tool" and "parts" not in item:
        _result(message, item)
        return
    _message(message, item)


def _message(message: _Message, item: Json) -> None:
    for name in ("reasoning_content", "reasoning"):
        if isinstance(thought := item.get(name), str):
            message.thoughts.append(thought)
            break
    for name in ("content", "parts", "blocks", "message"):
        if item.get(name):
            _content(message, item[name])
            break
    if isinstance(refusal := item.get("refusal"), str):
        message.texts.append(refusal)
    if sound := _dict(item.get("audio")):
        message.texts.append(_str(sound.get("transcript")))
        _media(message, "audio", sound)
    for image in _list(item.get("images")):
        _part(message, image)
    told = {call.id for call in message.calls if call.id}
    for call in _list(item.get("tool_calls")):
        found = _call_of(_dict(call))
        if found and (found.id is None or found.id not in told):  # LangChain tells of it twice
            message.calls.append(found)
    if call := _dict(item.get("function_call")):
        _call(message, call)


def _answered(thread: _Thread, outputs: Any, *, of_model: bool) -> None:
    if isinstance(outputs, str):
        if of_model:
            _content(thread.message("assistant"), outputs)
        return
    if isinstance(outputs, list):
        _history(thread, outputs, "assistant", alone=of_model)
        return
    reply = _dict(outputs)
    output = reply.get("output")
    if isinstance(inner := _dict(output).get("message"), dict):
        _one(thread, inner, "assistant")
        return
    for name in _REPLIES:
        if held := reply.get(name):
            for one in _list(held):
                _choice(thread, one)
    if isinstance(output, list):
        _history(thread, output, "assistant", alone=False)
    if output or any(reply.get(name) for name in _REPLIES):
        return
    if reply.get("role") or isinstance(reply.get("message"), dict):
        _one(thread, reply, "assistant")
    elif of_model:
        text = _first(reply, *_ANSWERED)
        if isinstance(text, (str, list)):
            _message(thread.message("assistant"), {**reply, "content": text})


def _choice(thread: _Thread, one: Any) -> None:
    """Read one of several replies."""
    if isinstance(one, list):  # LangChain's generations
        for inner in one:
            _choice(thread, inner)
        return
    choice = _dict(one)
    message, content = choice.get("message"), choice.get("content")
    if isinstance(message, dict):
        _one(thread, _dict(message.get("kwargs")) or message, "assistant")
    elif isinstance(content, dict):
        _message(thread.message(content.get("role") or "model"), content)
    elif isinstance(text := _first(choice, "text", "outputText", "data.text"), str):
        _content(thread.message("assistant"), text)
    elif choice.keys() & {"b64_json", "bytesBase64Encoded", "url"}:  # a picture
        _media(thread.item("assistant"), "image", choice)
    else:
        _history(thread, [choice], "assistant", alone=False)


# The content of a message.


def _content(message: _Message, content: Any) -> None:
    if isinstance(content, str):
        message.texts.append(content)
    elif isinstance(content, list):
        for part in content:
            _part(message, part)
    elif isinstance(content, dict):
        parts = content.get("parts")
        _content(message, parts) if parts else _part(message, content)


def _part(message: _Message, part: Any) -> None:
    if isinstance(part, str):
        message.texts.append(part)
        return
    told = _dict(part)
    kind = str(told.get("type") or told.get("block_type") or "")
    if known := _known(kind):
        known[1](message, told)
        return
    for name, take in _NAMED.items():
        if held := told.get(name):
            take(message, held if isinstance(held, dict) else told)
            return
    text = told.get("text")
    if isinstance(text, str):
        (message.thoughts if told.get("thought") is True else message.texts).append(text)


def _known(kind: str) -> tuple[str, Callable[[_Message, Json], None]] | None:
    """Return of whom an item of a type is, and how it is read; new tools come again and again."""
    if kind in _ITEMS:
        return _ITEMS[kind]
    if kind.endswith("_call"):
        return "assistant", _hosted
    return ("tool", _result) if kind.endswith(("_call_output", "_tool_result")) else None


def _text(message: _Message, part: Json) -> None:
    message.texts.append(_str(_first(part, "text", "refusal", "content")))


def _thought(message: _Message, part: Json) -> None:
    told = _first(part, "thinking", "summary", "text", "reasoningText.text", "content")
    texts = [_str(one) or _str(_dict(one).get("text")) for one in _list(told)]
    message.thoughts += [text for text in texts if text]


def _call(message: _Message, part: Json) -> None:
    if found := _call_of(part):
        message.calls.append(found)


def _call_of(call: Json) -> ToolCall | None:
    spec = _first_dict(call, "function", "custom") or call
    name = _first(spec, "name", "tool_name", "tool_kwargs.name")
    if not isinstance(name, str):
        return None
    given = _first(spec, "arguments", "args", "input", "tool_kwargs", "parameters")
    id_ = _first(call, "call_id", "tool_call_id", "id", "toolUseId", "tool_use_id", "tool_id")
    return ToolCall(None if id_ is None else str(id_), name, _parsed(given))


def _result(message: _Message, part: Json) -> None:
    told = ("tool_call_id", "tool_use_id", "toolUseId", "call_id", "id")
    id_, name = _first(part, *told), part.get("name")
    content = _first(part, "content", "output", "result", "response", "text")
    failed = part.get("is_error") is True or part.get("status") == "error"
    message.results.append(
        ToolResult(
            None if id_ is None else str(id_),
            name if isinstance(name, str) else None,
            _plain(content),
            failed,
        )
    )


def _hosted(message: _Message, item: Json) -> None:
    """Read a tool that the provider itself has run: that it was called, and what it made."""
    kind = _str(item.get("name")) or str(item.get("type")).removesuffix("_call")
    id_ = _first(item, "call_id", "id")
    given = _first(item, "action", "queries", "code", "arguments")
    message.calls.append(ToolCall(None if id_ is None else str(id_), kind, _parsed(given)))
    if isinstance(image := item.get("result"), str) and kind == "image_generation":
        _media(message, "image", {"data": image, "media_type": "image/png"})


def _medium(kind: str) -> Callable[[_Message, Json], None]:
    return lambda message, part: _media(message, kind, part)


def _media(message: _Message, kind: str, part: Json) -> None:
    inner = (
        _first_dict(part, "source", "image_url", "input_audio", "file", "document", "image") or part
    )
    source = _dict(inner.get("source")) or inner
    named = _first(source, "media_type", "mime_type", "mimeType", "format") or _first(
        inner, "media_type", "mime_type", "mimeType", "format"
    )
    names = ("url", "image_url", "file_url", "fileUri", "file_uri", "uri", "data", "bytes")
    more = (
        *("b64_json", "bytesBase64Encoded", "document_url", "file_data", "file_id"),
        "s3Location.uri",
    )
    url = _first(source, *names, *more) or _first(part, *names, *more)
    if not isinstance(url, str) or not url:
        return
    media_type = str(named) if named and "/" in str(named) else f"{kind}/{named}" if named else kind
    if known := Attachment.of(url):
        message.media.append(Media(known.media_type, url, known.size))
        return
    if url.startswith("data:"):
        media_type = url[5:].partition(";")[0] or media_type
        size: int | None = len(url.partition(",")[2]) * 3 // 4
    elif source.keys() & {"b64_json", "bytes", "bytesBase64Encoded", "data"}:
        size, url = len(url) * 3 // 4, f"data:{media_type};base64,{url}"
    else:
        size = None
    message.media.append(Media(media_type, url, size))


def _skip(message: _Message, item: Json) -> None:
    """Read nothing."""


# What stands in lists of content, by its type: of whom it is where it is no part of a message.
_ITEMS: dict[str, tuple[str, Callable[[_Message, Json], None]]] = {
    **dict.fromkeys(("text", "input_text"), ("user", _text)),
    **dict.fromkeys(("output_text", "refusal"), ("assistant", _text)),
    **dict.fromkeys(
        ("thinking", "redacted_thinking", "reasoning", "thought", "summary_text"),
        ("assistant", _thought),
    ),
    **dict.fromkeys(
        (
            "custom_tool_call",
            "function_call",
            "function.call",
            "mcp_call",
            "mcp_tool_use",
            "server_tool_use",
            "tool_call",
            "tool_use",
        ),
        ("assistant", _call),
    ),
    "tool.execution": ("assistant", _hosted),
    **dict.fromkeys(("function.result", "function_result", "tool_result"), ("tool", _result)),
    **dict.fromkeys(("image", "image_url", "input_image"), ("user", _medium("image"))),
    **dict.fromkeys(("audio", "input_audio", "audio_url"), ("user", _medium("audio"))),
    **dict.fromkeys(("video", "video_url"), ("user", _medium("video"))),
    **dict.fromkeys(
        ("document", "document_url", "file", "input_file", "media"), ("user", _medium("document"))
    ),
    "user_input": ("user", lambda message, item: _content(message, item.get("content"))),
    "model_output": ("assistant", lambda message, item: _content(message, item.get("content"))),
    "message.input": ("user", lambda message, item: _content(message, item.get("content"))),
    "message.output": ("assistant", lambda message, item: _content(message, item.get("content"))),
    "item_reference": ("user", _skip),
}
# The same where not its type but its name tells what it is: of Google and Bedrock.
_NAMED: dict[str, Callable[[_Message, Json], None]] = {
    "functionCall": _call,
    "function_call": _call,
    "toolUse": _call,
    "functionResponse": _result,
    "function_response": _result,
    "toolResult": _result,
    "reasoningContent": _thought,
    "inlineData": _medium("document"),
    "inline_data": _medium("document"),
    "fileData": _medium("document"),
    "file_data": _medium("document"),
    "image": _medium("image"),
    "image_url": _medium("image"),
    "document": _medium("document"),
    "video": _medium("video"),
    "audio": _medium("audio"),
    "guardContent": lambda message, part: _content(message, _dict(part.get("text")).get("text")),
    "citationsContent": lambda message, part: _content(message, part.get("content")),
}


# Any JSON, looked into.


def _dict(value: Any) -> Json:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _flat(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _str(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _first(held: Json, *paths: str) -> Any:
    """Return what stands first under one of some names; a dot leads into what stands there."""
    for path in paths:
        value: Any = held.get(path)
        if value is None and "." in path:
            value = held
            for name in path.split("."):
                value = _dict(value).get(name)
        if value is not None:
            return value
    return None


def _first_dict(held: Json, *names: str) -> Json:
    return next((held[name] for name in names if isinstance(held.get(name), dict)), {})


def _parsed(arguments: Any) -> Any:
    if not isinstance(arguments, str):
        return arguments
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _plain(content: Any) -> Any:
    """Return the text of content that is nothing else."""
    parts = content if isinstance(content, list) else [content]
    told = [part if isinstance(part, str) else _dict(part).get("text") for part in parts]
    texts = [text for text in told if isinstance(text, str)]
    return "".join(texts) if texts and len(texts) == len(parts) else content
