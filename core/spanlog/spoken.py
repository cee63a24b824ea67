"""What a program was asked and what it answered, in words: what lists and conversations show.

What was said in a conversation is read by `messages`. A program may also be given and return data
of its own shape: a question under some name, a state, a prediction. Of that the text is found.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import orjson

from spanlog.model import messages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from spanlog.model.messages import ChatMessage

Json = dict[str, Any]

# Bytes of JSON that are read for a preview: an agent's long conversation is under 1 MB, and 4 MB
# take some 20 ms to parse, in which no other thread runs. Of larger data its beginning is shown.
READ = 4_000_000
# Characters of a preview.
_LENGTH = 1_000
# Items of a list of messages that are read, the last ones: some 50 ms, and more than are ever sent.
_MESSAGES = 10_000
# How deep in data its one text may stand. Each step reads anew what is below.
_DEPTH = 6

# Under which names programs are asked, the most telling first.
_QUESTIONS = (
    *("question", "query", "user_msg", "user_input", "input", "prompt", "message", "task"),
    *("request", "resume", "start_event"),
)
# Under which names they answer.
_ANSWERS = (
    *("answer", "response", "output", "result", "completion", "generation", "output_text"),
    *("generated_text", "content", "text", "reply"),
)
_ANSWER_ENDS = ("_answer", "_response", "_output", "_result", "_reply")
# What an answer repeats of the question, and how it was thought out.
_BESIDE = frozenset(
    {
        *("question", "query", "user_msg", "user_input", "input"),
        *("reasoning", "rationale", "trajectory"),
    }
)
# Where LangGraph has what it asks someone and waits for.
_INTERRUPT = "__interrupt__"
# Replies of a model that has given several to choose from: the first is the reply.
_CHOICES = ("choices", "candidates", "completions", "generations", "predictions", "results")


def preview(data: str | bytes, *, reply: bool, of_model: bool) -> str:
    """Return what JSON says, in 1,000 characters: what was said, else the data itself.

    Args:
        data: Inputs or outputs.
        reply: They are outputs.
        of_model: They are those of a call of a model.
    """
    if len(data) > READ:
        return shortened(data)
    try:
        value = _recent(orjson.loads(data))
        return shortened(in_words(value, reply=reply, of_model=of_model))
    except (orjson.JSONDecodeError, TypeError, RecursionError):  # nested too deeply
        return shortened(data)


def shortened(data: str | bytes) -> str:
    """Return the beginning of a text, in 1,000 characters."""
    text = data if isinstance(data, str) else data[: 4 * _LENGTH].decode(errors="ignore")
    return text if len(text) <= _LENGTH else text[: _LENGTH - 3] + "..."


def in_words(value: Any, *, reply: bool = False, of_model: bool = False) -> str:
    """Return what was said, else plain names and values in words, else the JSON."""
    text = said(value, reply=reply, of_model=of_model) or _listed(value, reply=reply)
    return text or orjson.dumps(value).decode()


def said(value: Any, *, reply: bool, of_model: bool = False) -> str:
    """Return what was said: the last thing the user did, or what the assistant answered.

    Where the assistant said nothing, it is which tools it asks for; empty where nothing was said.

    Args:
        value: Inputs or outputs.
        reply: They are outputs.
        of_model: They are those of a call of a model.
    """
    return _text_in(value, reply, of_model, _DEPTH)


def _text_in(value: Any, reply: bool, of_model: bool, depth: int) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, (dict, list)) or depth == 0:
        return ""
    if isinstance(value, list):
        # Lists of messages may be in lists: what is in those has been read.
        below = [one for one in value[:1] if len(value) == 1 and not isinstance(one, list)]
        return _spoken(value, reply, of_model) or _first_in(below, reply, of_model, depth)
    if reply and (asks := value.get(_INTERRUPT)):
        return questions(asks)
    if of_model and (text := _spoken(value, reply, of_model)):
        return text
    named = [value[name] for name in _names(value, reply) if value.get(name)]
    if not of_model:
        alone = next((one for one in named if isinstance(one, str)), "")
        if text := alone or _spoken(value, reply, of_model):
            return text
    return _first_in(named, reply, of_model, depth) or _first_in(
        _only(value, reply).values(), reply, of_model, depth
    )


def _first_in(values: Iterable[Any], reply: bool, of_model: bool, depth: int) -> str:
    """Return the first text that is found in one of some values."""
    found = (_text_in(value, reply, of_model, depth - 1) for value in values)
    return next(filter(None, found), "")


def _names(value: Json, reply: bool) -> Iterator[str]:
    """Yield the names under which a text may be the one that is looked for."""
    if not reply:
        yield from _QUESTIONS
        return
    yield from _ANSWERS
    yield from (n for n in reversed(value) if n.startswith("final_") or n.endswith(_ANSWER_ENDS))


def _only(value: Json, reply: bool) -> Json:
    """Return what is in data beside the question and the thoughts, if it is one thing only."""
    told = _told(value) if reply else value
    return told if len(told) == 1 else {}


def _told(value: Json) -> Json:
    """Return an answer without what stands beside it, unless there is nothing else."""
    return {name: held for name, held in value.items() if name not in _BESIDE} or value


def questions(interrupts: Any) -> str:
    """Return in words what LangGraph's interrupts ask."""
    return "\n".join(map(_question, interrupts if isinstance(interrupts, list) else [interrupts]))


def _question(interrupt: Any) -> str:
    """Return what one asks: its value, which may be LangChain's list of what is to be approved."""
    asked = interrupt.get("value", interrupt) if isinstance(interrupt, dict) else interrupt
    actions = asked.get("action_requests") if isinstance(asked, dict) else asked
    if isinstance(actions, list) and actions:
        told = [one.get("description") if isinstance(one, dict) else None for one in actions]
        texts = [text for text in told if isinstance(text, str) and text]
        if len(texts) == len(actions):
            return "\n".join(texts)
    return in_words(asked)


# Out of a conversation.


def _spoken(value: Any, reply: bool, of_model: bool) -> str:
    if reply:
        found = messages.read(None, value, of_model=of_model)
        first = isinstance(value, dict) and any(value.get(name) for name in _CHOICES)
    else:
        found, first = messages.read(value, None, of_model=of_model), False
    if not first:
        found.reverse()
    for message in found:
        if message.role == _WHO[reply] and (text := _answer(message) if reply else message.text):
            return text
    texts = chain((message.text for message in found), map(_rest, found))
    return next((text for text in texts if text.strip()), "")


def _recent(value: Any) -> Any:
    """Return data with only the ends of lists that are very long."""
    if not isinstance(value, dict):
        return value
    return {n: held[-_MESSAGES:] if type(held) is list else held for n, held in value.items()}


_WHO = {False: "user", True: "assistant"}


def _answer(message: ChatMessage) -> str:
    return message.text if message.text.strip() else ", ".join(map(str, message.tool_calls))


def _rest(message: ChatMessage) -> str:
    """Return what is in a message that has no text."""
    media = [f"[{medium.media_type}]" for medium in message.media]
    parts = [*message.tool_calls, *message.tool_results, *media]
    return ", ".join(map(str, parts)) or message.reasoning


# Small data in words.


def _listed(value: Any, *, reply: bool) -> str:
    """Return data of names and plain values as `name: value, name: value`; else nothing."""
    if not isinstance(value, dict):
        return ""
    told = _told(value) if reply else value
    if len(told) == 1:
        (held,) = told.values()
        if isinstance(held, dict):
            return _listed(held, reply=reply)
        if not isinstance(held, list):
            return _plain(held) or ""
    words = {name: _plain(held) for name, held in told.items()}
    if any(word is None for word in words.values()):
        return ""
    return ", ".join(f"{name}: {word}" for name, word in words.items())


def _plain(value: Any) -> str | None:
    """Return a text, number or list of them in words; None of all else."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        some = [_plain(item) for item in value if not isinstance(item, list)]
        known = [item for item in some if item is not None]
        return ", ".join(known) if len(known) == len(value) else None
    return None if isinstance(value, dict) else orjson.dumps(value).decode()
