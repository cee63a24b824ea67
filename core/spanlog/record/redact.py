"""Take secrets out of a span before anything else sees it.

A secret is known by its name, wherever that stands; by its form; and by where it came from or was
found, so that what repeats it is cleaned, too. Values are replaced: names, order, numbers, booleans
and nulls stay.

Most spans hold no secret. Whether one may is told from its JSON as bytes, in a few passes; only
what may hold one is read.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

import orjson

from spanlog.model.capture import capture, decode
from spanlog.model.span import SpanEvent
from spanlog.record import secrets
from spanlog.record.secrets import MARK, Kind, Kinds
from spanlog.safety import report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spanlog.model.header import TraceHeader
    from spanlog.model.span import Span

# Keys that are looked for in every span, whatever its trace; each costs a search through all of it.
_REMEMBERED = 64
# Characters: a known key that is shorter, and has no digit where it is not much longer, may be a
# word (`ollama`, `EMPTY`, `not-needed`), which is left where it stands.
_SHORTEST_KNOWN = 6
_SHORTEST_WORDY = 12
# How deep JSON is looked for in the texts of JSON.
_MAX_NESTING = 8
# Seconds for which the environment is taken to be as it was.
_ENVIRONMENT_LASTS = 1.0
# The types of JSON Schema: they describe a parameter that is called `password`.
_SCHEMA_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_SCHEMA_WORDS = frozenset({"$ref", "anyOf", "allOf", "oneOf", "any_of"})
_EXAMPLES = frozenset({"const", "default", "enum", "example", "examples"})
# What stands beside a token that is a piece of a text.
_OF_PIECES = frozenset(
    {"bytes", "logProbability", "log_probability", "logprob", "special", "tokenId", "token_id"}
)
# What stands beside the address of an MCP server.
_OF_SERVERS = frozenset({"authorization_token", "headers", "transport"})
# What stays of what a secret is made of: which kind of secret it is.
_TOLD = frozenset({"type"})
_ITEM = re.compile(rb'"([^"\\]{1,60})\\{0,7}"\s*,')
_OPTION = re.compile(r"--?([A-Za-z][\w-]*)\Z")
_NUMBER = re.compile(r"[-+0-9.eE]*\Z")
# A key in the path of an address, and what its query holds.
_IN_PATH = re.compile(r"(?<=/)(?=[^/?#]{0,64}\d)[\w.~%=+-]{20,}(?=[/?#]|\Z)")
_IN_QUERY = re.compile(r"([?&][^=&#]*=)[^&#]+")


class Redactor:
    """What takes secrets out of spans.

    Args:
        more: What is secret beside what always is: names of values, as texts, and what stands in
            texts, as compiled patterns.
        on: Whether anything is taken out.
    """

    def __init__(self, more: Iterable[str | re.Pattern[str]] = (), *, on: bool = True) -> None:
        more = tuple(more)
        self._on = on
        self._kinds = Kinds(name for name in more if isinstance(name, str))
        self._patterns = [pattern for pattern in more if isinstance(pattern, re.Pattern)]
        self._remembered: dict[str, None] = {}
        self._environment_read = -_ENVIRONMENT_LASTS

    def clean(self, span: Span, known: set[str]) -> None:
        """Take the secrets out of a span, which is changed.

        Args:
            span: The span. One that cannot be cleaned loses its content.
            known: Secrets that its trace has met by where they came from; those that are found in
                the span are added.
        """
        if self._on:
            try:
                self._clean(span, known)
            except Exception as error:  # noqa: BLE001 - the guard: rather nothing than a secret
                span._inputs = span._outputs = None
                span._attributes, span._events, span._message = {}, [], ""
                report(error, "taking secrets out of a span")

    def learn(self, inputs: bytes | str | None, known: set[str]) -> None:
        """Find the secrets in the inputs of a span that goes on: spans below it may repeat them."""
        if self._on and inputs is not None:
            data = inputs if isinstance(inputs, bytes) else inputs.encode()
            if self._may_hold(data):
                self._learnt(self._reading(data), data, known)

    def clean_header(self, header: TraceHeader, known: set[str]) -> None:
        """Take the secrets out of what a program said of a trace: tags, metadata, previews."""
        said = (header.tags, header.metadata, header.request_preview, header.response_preview)
        if self._on and any(said):
            try:
                (cleaned,) = self._cleaned([before := capture(said)], known)
                if cleaned is not before:
                    (
                        header.tags,
                        header.metadata,
                        header.request_preview,
                        header.response_preview,
                    ) = decode(cleaned)
            except Exception as error:  # noqa: BLE001 - the guard: rather nothing than a secret
                header.tags, header.metadata = {}, {}
                header.request_preview = header.response_preview = None
                report(error, "taking secrets out of what was said of a trace")

    def _clean(self, span: Span, known: set[str]) -> None:
        if span._code == "ERROR":
            self._read_environment()
        parts = [
            _encoded(span._inputs),
            _encoded(span._outputs),
            capture(span._attributes) if span._attributes else b"",
            capture([event.attributes for event in span._events]) if span._events else b"",
            capture([span.name, span._message]),
        ]
        before = list(parts)
        inputs, outputs, attributes, events, texts = self._cleaned(parts, known)
        if inputs is not before[0]:
            span._inputs = inputs if isinstance(span._inputs, bytes) else inputs.decode()
        if outputs is not before[1]:
            span._outputs = outputs if isinstance(span._outputs, bytes) else outputs.decode()
        if attributes is not before[2]:
            span._attributes = decode(attributes)
        if events is not before[3]:
            cleaned = zip(span._events, decode(events), strict=True)
            span._events = [SpanEvent(e.name, held, e.timestamp) for e, held in cleaned]
        if texts is not before[4]:
            span.name, span._message = decode(texts)

    def _cleaned(self, parts: list[bytes], known: set[str]) -> list[bytes]:
        """Return JSON without secrets; the same objects where there are none."""
        whole = b"\n".join(parts)
        if self._may_hold(whole):
            reading = self._reading(whole)
            parts = [self._learnt(reading, part, known) for part in parts]
            whole = b"\n".join(parts)
        for secret in sorted({*known, *self._remembered}, key=len, reverse=True):
            for form in _forms(secret):
                if form in whole:
                    parts = [_without(part, form, secret) for part in parts]
        return parts

    def _reading(self, data: bytes) -> _Reading:
        has_words = any(secrets.words(data)) or any(secrets.users(data))
        return _Reading(self._kinds, self._patterns, has_words=has_words)

    def _learnt(self, reading: _Reading, data: bytes, known: set[str]) -> bytes:
        """Return JSON without what is secret in it, which is then known."""
        cleaned = reading.json(data) if data else data
        for secret in reading.found:
            if secret not in known and is_telling(secret):
                known.add(secret)
                self._remember(secret)
        reading.found.clear()
        return cleaned

    def _remember(self, secret: str) -> None:
        self._remembered[secret] = None
        if len(self._remembered) > _REMEMBERED:
            del self._remembered[next(iter(self._remembered))]

    def _read_environment(self) -> None:
        """Remember the keys in the environment, which errors repeat."""
        now = time.monotonic()
        if now - self._environment_read < _ENVIRONMENT_LASTS:
            return
        self._environment_read = now
        for name, value in list(os.environ.items()):
            if self._kinds[name] and not secrets.is_place(value) and is_telling(value):
                self._remember(value)

    def _may_hold(self, data: bytes) -> bool:
        """Say whether JSON may hold a secret; where it says that it does not, it does not."""
        if self._patterns:
            return True
        kinds = self._kinds
        if any(kinds.before(data)):
            return True
        if any(secrets.words(data)) or any(secrets.users(data)):
            return True
        # Names that stand as values: `["x-api-key", "..."]`, `{"name": "API_KEY", "value": "..."}`.
        if b"[[" in data or b'"value' in data or b'"--' in data:
            return any(kinds[name.decode("utf-8", "replace")] for name in _ITEM.findall(data))
        return False


class _Reading:
    """The reading of JSON that may hold secrets.

    Args:
        has_words: Whether there are secrets in it that are known by their form.

    Attributes:
        found: The secrets that were met.
    """

    def __init__(
        self, kinds: Kinds, patterns: Sequence[re.Pattern[str]], *, has_words: bool
    ) -> None:
        self._kinds = kinds
        self._patterns = patterns
        self._has_words = has_words
        self.found: dict[str, None] = {}  # in order

    def json(self, data: bytes) -> bytes:
        """Return JSON without secrets; the same object where there are none."""
        value = orjson.loads(data)
        cleaned = self._value(value, 0)
        if cleaned is value:
            return data
        if orjson.dumps(value) != data:  # it was not we who wrote it: numbers may be of any form
            exact: Callable[[str], Any] = lambda text: orjson.Fragment(text)  # noqa: E731
            value = json.loads(data, parse_int=exact, parse_float=exact)
            cleaned = self._value(value, 0)
        return orjson.dumps(cleaned)

    def _value(self, value: Any, nesting: int) -> Any:
        kind = type(value)
        if kind is str:
            return self._text(value, nesting)
        if kind is dict:
            return self._object(value, nesting)
        if kind is list:
            return self._list(value, nesting)
        return value

    def _object(self, value: dict[str, Any], nesting: int) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        for name, held in value.items():
            kind = self._kinds[name]
            if kind is None and name == "url" and not _OF_SERVERS.isdisjoint(value):
                kind = Kind.SERVER
            new = (
                self._value(held, nesting)
                if kind is None
                else self._named(kind, held, value, nesting)
            )
            if new is not held:
                changed[name] = new
        if "value" in value and "value" not in changed:
            label = value.get("name") or value.get("key")
            if isinstance(label, str) and self._kinds[label]:
                changed["value"] = self._blank(value["value"])
        return {**value, **changed} if changed else value

    def _list(self, value: list[Any], nesting: int) -> list[Any]:
        changed: dict[int, Any] = {}
        option = False
        for index, item in enumerate(value):
            kind = type(item)
            if kind is str:
                new: Any = self._blank(item) if option else self._text(item, nesting)
                named = _OPTION.match(item) if item[:1] == "-" else None
                option = named is not None and self._kinds[named[1]] is not None
            elif kind is list and len(item) == 2 and self._is_secret(item[0]):
                new = [item[0], self._blank(item[1])]
            elif kind is dict or kind is list:
                new = self._value(item, nesting)
            else:
                continue
            if new is not item:
                changed[index] = new
        return [changed.get(i, item) for i, item in enumerate(value)] if changed else value

    def _is_secret(self, name: Any) -> bool:
        return type(name) is str and self._kinds[name] is not None

    def _named(self, kind: Kind, held: Any, beside: Mapping[str, Any], nesting: int) -> Any:
        """Return the value of a name that tells of a secret."""
        if type(held) is list:
            if kind is Kind.HEADERS:
                return self._listed(held, nesting)
            cleaned = [self._named(kind, item, beside, nesting) for item in held]
            return held if all(map(_is_same, cleaned, held)) else cleaned
        if type(held) is dict:
            if not _OF_PIECES.isdisjoint(held) or kind is Kind.SERVER:
                return self._object(held, nesting)
            return self._schema(held, nesting) if _is_schema(held) else self._blank(held)
        if type(held) is not str:
            return held
        if kind is Kind.HEADERS:
            return self._text(held, nesting)
        if kind is Kind.SERVER:
            return self._address(held)
        is_open = (kind is Kind.PLACE and secrets.is_place(held)) or (
            kind is Kind.TOKEN and (secrets.is_piece(held) or not _OF_PIECES.isdisjoint(beside))
        )
        return self._text(held, nesting) if is_open else self._blank(held)

    def _listed(self, headers: list[Any], nesting: int) -> list[Any]:
        """Return a list of headers without their values. A list of texts is a table's."""
        cleaned: list[Any] = []
        for header in headers:
            if type(header) is list and len(header) == 2:
                cleaned.append([header[0], self._blank(header[1])])
            elif type(header) is dict:
                kept = {k: v if k in ("name", "key") else self._blank(v) for k, v in header.items()}
                cleaned.append(kept)
            else:
                cleaned.append(self._value(header, nesting))
        return headers if all(map(_is_same, cleaned, headers)) else cleaned

    def _blank(self, value: Any) -> Any:
        """Return a value with the mark in the place of all texts in it."""
        kind = type(value)
        if kind is str:
            if not value.strip("*") or value == MARK:
                return value
            self.found[value] = None
            self.found[value.rsplit(None, 1)[-1] if " " in value else value] = None
            return MARK
        if kind is dict:
            return {k: v if k in _TOLD else self._blank(v) for k, v in value.items()}
        return [self._blank(item) for item in value] if kind is list else value

    def _schema(self, schema: dict[str, Any], nesting: int) -> dict[str, Any]:
        """Return what describes a secret, without examples of it."""
        cleaned = {
            name: self._blank(held) if name in _EXAMPLES else self._value(held, nesting)
            for name, held in schema.items()
        }
        same = all(new is schema[name] for name, new in cleaned.items())
        return schema if same else cleaned

    def _address(self, address: str) -> str:
        cleaned = self._text(address, _MAX_NESTING)
        cleaned = _IN_QUERY.sub(rf"\1{MARK}", _IN_PATH.sub(MARK, cleaned))
        return address if cleaned == address else cleaned

    def _text(self, text: str, nesting: int) -> str:
        for pattern in self._patterns:
            if pattern.search(text):
                text = pattern.sub(MARK, text)
        is_json = text[:1] in ("{", "[") and nesting < _MAX_NESTING
        if not (is_json or self._has_words or ":" in text or "=" in text):
            return text
        data = text.encode()
        if is_json:
            try:
                value = orjson.loads(data)
            except orjson.JSONDecodeError:
                pass
            else:
                cleaned = self._value(value, nesting + 1)
                return text if cleaned is value else _written(cleaned, text)
        spans = [*secrets.values(data, self._kinds)]
        if self._has_words:
            spans += [*secrets.words(data), *secrets.users(data)]
        if not spans:
            return text
        for start, end in spans:
            self.found[data[start:end].decode("utf-8", "replace")] = None
        return secrets.replaced(data, spans).decode("utf-8", "replace")


def _is_same(one: object, other: object) -> bool:
    return one is other


def _is_schema(value: Mapping[str, Any]) -> bool:
    """Say whether an object is a JSON Schema, and describes a value instead of holding it."""
    kind = value.get("type")
    kinds = kind if isinstance(kind, list) else [kind]
    return not _SCHEMA_WORDS.isdisjoint(value) or any(
        isinstance(one, str) and one.lower() in _SCHEMA_TYPES for one in kinds
    )


def _written(value: Any, like: str) -> str:
    """Return data as JSON in a text, in lines where it was."""
    option = orjson.OPT_INDENT_2 if "\n" in like.strip() else None
    return orjson.dumps(value, option=option).decode()


def is_telling(secret: str) -> bool:
    """Say whether a secret can be looked for in other texts: a word would be found in many."""
    if len(secret) < _SHORTEST_KNOWN or _NUMBER.match(secret):
        return False
    return len(secret) >= _SHORTEST_WORDY or any(map(str.isdigit, secret))


@lru_cache(1024)
def _forms(secret: str) -> tuple[bytes, ...]:
    """Return a secret as it stands in JSON and in addresses."""
    if not is_telling(secret):
        return ()
    written = {orjson.dumps(text)[1:-1] for text in (secret, quote(secret), quote(secret, ""))}
    return tuple(written)


def _encoded(data: bytes | str | None) -> bytes:
    return (data.encode() if isinstance(data, str) else data) or b""


def _without(data: bytes, form: bytes, secret: str) -> bytes:
    """Return JSON with the mark in the place of a secret; the same object where it is not there."""
    if form not in data:
        return data
    cleaned = data.replace(form, MARK.encode())
    if b"\\" + MARK.encode() in cleaned:  # perhaps the secret's `n` was that of a `\n`
        try:
            orjson.loads(cleaned)
        except orjson.JSONDecodeError:
            return orjson.dumps(_replaced(orjson.loads(data), secret))
    return cleaned


def _replaced(value: Any, secret: str) -> Any:
    if isinstance(value, str):
        return value.replace(secret, MARK)
    if isinstance(value, dict):
        return {_replaced(name, secret): _replaced(held, secret) for name, held in value.items()}
    return [_replaced(item, secret) for item in value] if isinstance(value, list) else value


def redactor_of(redact: bool | Iterable[str | re.Pattern[str]]) -> Redactor:
    """Return what takes out what a program calls secret: see `spanlog.tracing.configure`.

    Raises:
        TypeError: It is neither a boolean nor names and compiled patterns of text.
    """
    if isinstance(redact, bool):
        return Redactor(on=redact)
    more = list(redact) if isinstance(redact, Iterable) and not isinstance(redact, str) else None
    if more is None or not all(map(_can_be_told, more)):
        raise TypeError(
            "redact is True, False, or a list of names and compiled patterns, such as "
            '["employee_id", re.compile(r"\\d{16}")]'
        )
    return Redactor(more)


def _can_be_told(one: object) -> bool:
    if isinstance(one, str):
        return bool(secrets.flat(one))
    return isinstance(one, re.Pattern) and isinstance(one.pattern, str)


_kinds = Kinds()


def secrets_in(*held: Mapping[str, Any]) -> list[str]:
    """Return the texts that are secret by their names there, or proofs in an address.

    It is for what a call proves itself with: the headers of a request, a client's settings.
    """
    texts = [(str(name), text) for one in held for name, text in one.items() if type(text) is str]
    reading = _Reading(_kinds, (), has_words=True)
    for name, text in texts:
        if _kinds[name] is not None or "://" in text:
            reading.json(capture({name: text}))
        if "://" in text and "?" in text:
            told = parse_qsl(text.partition("?")[2])
            reading.found.update((value, None) for key, value in told if _kinds[f"?{key}"])
    return list(reading.found)
