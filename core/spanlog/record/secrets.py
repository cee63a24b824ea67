"""What is secret: by its name, by its form, and by where it stands in a text.

Names are compared in lower case, without `_`, `-` and `.`, and by how they end: `apikey` stands for
`api_key`, `x-api-key` and `OPENAI_API_KEY`.
"""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64
from enum import Enum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MARK: Final = "[redacted]"

# Characters at the end of a name that tell its kind.
_LONGEST_NAME = 48
# Names whose kind is kept. There are few, unless a program makes them up.
_NAMES_KEPT = 20_000
# Characters of a value that is looked for in a text; what is longer is no key.
_LONGEST_VALUE = 16_384
# Characters: keys of a known form are as long as this, and most words of a text are not.
_SHORTEST_WORD = 16
# Characters: a shorter `token` is taken to be a piece of a text, as models count it.
_SHORTEST_TOKEN = 8
# Characters: a shorter text without quotation marks after `key=` is taken to be a word.
_SHORTEST_PLAIN = 6
# Characters: a shorter `?code=` in an address is no key.
_SHORTEST_PROOF = 12


class Kind(Enum):
    """What a name tells of its value."""

    SECRET = "secret"  # noqa: S105 - a name
    PASSWORD = "password"  # noqa: S105 - a secret that may be a word
    AUTHORIZATION = "authorization"  # a secret that may have spaces
    HEADERS = "headers"  # of HTTP: what they hold is secret; a list of texts is a table's
    TOKEN = "token"  # noqa: S105 - it may also be a piece of a text
    PLACE = "place"  # `pwd`, which may be a directory
    SERVER = "server"  # the address of an MCP server, which may hold a key anywhere
    PROOF = "proof"  # a value in an address


_KINDS = {
    Kind.PASSWORD: (
        r"(?:pass(?:word|wd|phrase|code)s?|secrets?)[0-9]{0,3}"
        r"|(?:db|user|smtp|mail|imap|my|sql|pg|postgres|redis|ftp|ssh|admin|root|http|proxy)pass"
        r"|(?:db|user|my|sql|pg|admin|root)pwd"
    ),
    Kind.SECRET: (
        r"(?:api|access|secret|private|account|subscription|encryption|signing|master|shared|auth"
        r"|admin|license|storage|ssh|ssl|tls|rsa|oci|app|application|consumer|functions|service"
        r"|session|webhook|openai|azure|azureopenai|azuresearch|anthropic|gemini|google|cohere"
        r"|mistral|groq|pinecone|qdrant|weaviate|tavily|serper|serpapi|exa|hf|huggingface|deepseek"
        r"|together|openrouter|xai|perplexity|voyage|jina|langsmith|langfuse|wandb)"
        r"keys?(?:id|value|hash)?[0-9]{0,3}"
        r"|secret(?:value|string|text|binary)|passwordhash|credentials?(?:json|info|value)?"
        r"|(?:access|auth|api|bearer|refresh|security|identity)tokens|tokenproviders?|tokenvalue"
        r"|authentication|auth(?:config|params|data)?|bearer|jwt|accesssignature"
        r"|conn(?:ection)?str(?:ing)?"
    ),
    Kind.AUTHORIZATION: (
        r"authorization(?:token)?|cookies?|(?:request|response)header(?!s\Z)\w+|authheader"
    ),
    Kind.HEADERS: r"headers|(?:http|request|response|extra|default|custom)header",
    Kind.PLACE: r"pwd",
    Kind.SERVER: r"serverurl",
}
# What one of these must be in, to be quick with all other names.
_HINT = re.compile(
    r"key|token|pass|pwd|secret|cred|auth|cookie|header|bearer|jwt|sign|conn|serverurl"
)
_BY_NAME = tuple((kind, re.compile(rf"(?:{names})\Z")) for kind, names in _KINDS.items())
# Tokens that prove nothing: of a model's vocabulary, of pages, of counts.
_NO_SECRET = re.compile(
    r"(?:next|page|pagination|paging|continuation|continue|sync|resume|skip|pad|padding|eos|bos|eot"
    r"|unk|unknown|sep|cls|mask|stop|special|added|first|last|(?<!su)per|start|(?<!back)(?<!front)end"
    r"|begin|decoded|new|input|output|prompt|completion|(?<!con)text|image|audio|cached?|total|max"
    r"|(?<!ad)min|num|(?<!ac)count|(?<!pub)sub|(?<!pass)word|draft|target|generated|placeholder"
    r"|idempotency|clientrequest|thinking|reasoning|tool|delta|top|best|previous|prev|current"
    r"|sampled|predicted)token\Z"
)
# What in the query of an address proves who asks, beside what is secret anywhere.
_PROOF = re.compile(
    r"(?:key|sig|signature|code|(?:xamz|xgoog)(?:signature|credential)|googleaccessid)\Z"
)

# How keys begin: OpenAI's and those like it, Stripe's, AWS's, Google's, GitHub's, GitLab's,
# Hugging Face's, Slack's, those of other providers, SendGrid's, of packages, and web tokens.
_FORMS = tuple(
    (
        b"sk- sk_live_ sk_test_ rk_live_ rk_test_ AKIA ASIA AIza ya29. GOCSPX- ghp_ gho_ ghu_ ghs_"
        b" ghr_ github_pat_ glpat- hf_ xoxa- xoxb- xoxp- xoxr- xoxs- xapp- gsk_ xai- pplx- r8_"
        b" nvapi- tvly- lsv2_ pk-lf- SG. npm_ pypi- dop_v1_ eyJ"
    ).split()
)
_DIGIT = re.compile(rb"[0-9]")
_PLAIN_DIGITS = re.compile(rb"[0-9]*\Z")
_BASE64 = re.compile(rb"[A-Za-z0-9_.~+/=-]*")
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----([^-]{1,20000})")
# Who asks, in an address. Alone, without a password, a user's name proves something to web
# servers only.
_USER = re.compile(
    rb"://([^/\s\"'@\\<>?#:]{0,256}:[^/\s\"'@\\<>?#]{1,512}|(?:(?<=http://)|(?<=https://))"
    rb"[^/\s\"'@\\<>?#:]{1,512})@"
)
# The beginning of a value that is quoted, or that holds such.
_QUOTED = re.compile(rb"[=> \t]{0,3}(?:[bru]|Secret(?:Str|Bytes)\(b?)?(\\{0,15}[\"'])")
_OPENED = re.compile(rb"[=> \t]{0,3}\w{0,20}\(?([{\[(])")
_HELD = re.compile(rb":\s{0,4}[\[(]?b?(\\{0,15}[\"'])")
_PAIRED = re.compile(rb",\s{0,4}b?(\\{0,15}[\"'])")
_LISTED = re.compile(rb"[\[(,]\s{0,4}b?(\\{0,15}[\"'])")
_CLOSED = {b"{": b"}", b"[": b"]", b"(": b")"}
# A value without quotation marks: a word, the rest of a line.
_PLAIN = re.compile(rb"[ \t]{0,2}([^\s\"',;&\\()\[\]{}<>`|]+)")
_LINE = re.compile(rb"[ \t]{0,2}([^\r\n\"'\\]+)")
_SCHEME = re.compile(rb"(?:bearer|basic|token|digest|negotiate|apikey|aws4\S+) +\S", re.IGNORECASE)
# How what stands for a value begins, where the value itself is put in later.
_TEMPLATE = (b"$", b"{", b"<", b"%", b"*", b"[redacted]")


def _table(kept: str, others: dict[str, str]) -> bytes:
    """Return what has `bytes.translate` make spaces of all but some characters."""
    table = bytearray(b" " * 256)
    for character in kept:
        table[ord(character)] = ord(character.lower())
    for character, other in others.items():
        table[ord(character)] = ord(other)
    return bytes(table)


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
# Names as they are compared, each before a colon. `?` begins one in an address.
_FLAT = _table(_LETTERS + "?:", {"=": ":", "(": ":", "&": "?"})
_IN_NAMES = b"_-.\\\"'"
# Words, all of them alike: one that is long enough for a key is found at once.
_ALIKE = _table("", dict.fromkeys(_LETTERS + "_-.", "a"))
_WORD = b"a" * _SHORTEST_WORD


class Kinds(dict["str | bytes", "Kind | None"]):
    """The kind of a name, as it is written or, in bytes, as it is compared; None for no secret.

    Args:
        more: Names that are secret beside those that always are.
    """

    def __init__(self, more: Iterable[str] = ()) -> None:
        super().__init__()
        self._more = tuple(filter(None, map(flat, more)))

    def __missing__(self, name: str | bytes) -> Kind | None:
        compared = flat(name) if isinstance(name, str) else name.decode()
        kind = self._of(compared[-_LONGEST_NAME:])
        if len(name) <= _LONGEST_NAME:
            if len(self) >= _NAMES_KEPT:
                self.clear()
            self[name] = kind
        return kind

    def _of(self, name: str) -> Kind | None:
        if "?" in name:
            name = name.rpartition("?")[2]
            return Kind.PROOF if self._of(name) or _PROOF.match(name) else None
        if self._more and name.endswith(self._more):
            return Kind.SECRET
        if name == "token":
            return Kind.TOKEN
        if name.endswith("token"):
            return None if _NO_SECRET.search(name) else Kind.SECRET
        if not _HINT.search(name):
            return None
        return next((kind for kind, pattern in _BY_NAME if pattern.search(name)), None)

    def before(self, data: bytes) -> list[Kind | None]:
        """Return the kinds of what stands before each `:`, `=` and `(`, and of what stands last."""
        pieces = data.translate(_FLAT, _IN_NAMES).replace(b" :", b":").split(b":")
        return list(map(self.__getitem__, [piece[piece.rfind(b" ") + 1 :] for piece in pieces]))


def flat(name: str) -> str:
    """Return a name as names are compared."""
    return name.encode("utf-8", "replace").translate(_FLAT, _IN_NAMES + b" ").decode()


def is_piece(text: str) -> bool:
    """Say whether what is called a token is taken to be a piece of a text."""
    return len(text) < _SHORTEST_TOKEN or " " in text


def is_place(text: str) -> bool:
    """Say whether what is called `pwd` is a directory."""
    return text.startswith(("/", "~", ".")) or text[1:3] == ":\\"


def words(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where keys of a known form are."""
    alike = data.translate(_ALIKE)
    start = alike.find(_WORD)
    while start >= 0:
        end = alike.find(b" ", start)
        after = end = len(data) if end < 0 else end
        escaped = start > 0 and data[start - 1] == ord("\\")  # as in JSON's `\n`
        if data.startswith(_FORMS, start + escaped):
            word = data[start + escaped : end].rstrip(b".-")
            if _has_form(word):
                yield start + escaped, start + escaped + len(word)
        elif data[start - 6 : start].lower() in (b"earer ", b"basic "):
            whole = _BASE64.match(data, start)
            end = max(end, whole.end() if whole else end)
            if _is_proof(data[start - 6 : start], data[start:end]):
                yield start, end
        start = alike.find(_WORD, after)
    if b"PRIVATE KEY-" in data:
        yield from (match.span(1) for match in _PRIVATE_KEY.finditer(data))


def _has_form(word: bytes) -> bool:
    if word.startswith(b"eyJ"):
        return b".eyJ" in word
    return _DIGIT.search(word) is not None


def _is_proof(scheme: bytes, word: bytes) -> bool:
    if scheme.lower() != b"basic ":
        return _DIGIT.search(word) is not None
    try:
        return b":" in b64decode(word, validate=True)
    except NotBase64:
        return False


def users(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where addresses tell who asks."""
    if b"://" in data and b"@" in data:
        yield from (match.span(1) for match in _USER.finditer(data))


def values(data: bytes, kinds: Kinds) -> Iterator[tuple[int, int]]:
    """Yield where the values of names that are secret stand in a text."""
    found = kinds.before(data)
    if not any(found[:-1]):
        return
    at, read = -1, 0
    pieces = data.replace(b"=", b":").replace(b"(", b":").split(b":")
    for kind, piece in zip(found[:-1], pieces, strict=False):
        at += 1 + len(piece)
        if kind is not None and at >= read:
            spans, read = _after(data, at, piece[-_LONGEST_NAME:], kind)
            yield from spans


def _after(data: bytes, at: int, name: bytes, kind: Kind) -> tuple[list[tuple[int, int]], int]:
    """Return where a value is that stands after a name and the sign at `at`, and where it ends."""
    is_call = data[at : at + 1] == b"("
    if is_call and kind is not Kind.HEADERS:
        return [], at
    is_quoted = name.rstrip()[-1:] in (b'"', b"'")
    if quoted := _QUOTED.match(data, at + 1):
        start, end = _inside(data, quoted)
        value = data[start:end]
        is_held = value and _is_value(value, kind, spaced=is_quoted)
        return [(start, end)] if is_held else [], end if is_held else at
    if (opened := _OPENED.match(data, at + 1)) and (is_quoted or kind is Kind.HEADERS):
        last = opened.end() + _LONGEST_VALUE
        end = data.find(_CLOSED[opened[1]], opened.end(), last)
        end = last if end < 0 else end
        items = _HELD if opened[1] == b"{" else _PAIRED if kind is Kind.HEADERS else _LISTED
        held = items.finditer(data, opened.end() - 1, end)
        return [_inside(data, one) for one in held], end
    plain = None if is_quoted or is_call else _plain(data, at, name, kind)
    return ([plain], plain[1]) if plain else ([], at)


def _inside(data: bytes, opened: re.Match[bytes]) -> tuple[int, int]:
    """Return where a text is that a quotation mark opens."""
    mark, start = opened[1], opened.end()
    last = start + _LONGEST_VALUE
    end = data.find(mark, start, last)
    while end > 0 and len(mark) == 1 and data[end - 1] == ord("\\"):
        end = data.find(mark, end + 1, last)
    if end < 0:  # it was cut off
        rest = _LINE.match(data, start)
        end = rest.end() if rest else start
    return start, end


def _is_value(value: bytes, kind: Kind, *, spaced: bool) -> bool:
    if value.startswith(_TEMPLATE) or kind is Kind.HEADERS:
        return False
    if kind is Kind.TOKEN:
        return not is_piece(value.decode("utf-8", "replace"))
    if kind is Kind.PLACE:
        return not is_place(value.decode("utf-8", "replace"))
    return spaced or kind is Kind.AUTHORIZATION or b" " not in value


def _plain(data: bytes, at: int, name: bytes, kind: Kind) -> tuple[int, int] | None:
    """Return where a value without quotation marks is, if it is one: neither prose nor code."""
    if kind is Kind.AUTHORIZATION:
        line = _LINE.match(data, at + 1)
        scheme = _SCHEME.match(line[1]) if line else None
        if line and (scheme or b"=" in line[1]):
            is_template = scheme and line[1].startswith(_TEMPLATE, scheme.end() - 1)
            return None if is_template else line.span(1)
    found = _PLAIN.match(data, at + 1)
    if not found or data[found.end() : found.end() + 1] in (b"(", b"[") or kind is Kind.HEADERS:
        return None
    value, tight = found[1], found.start(1) == at + 1
    if value.startswith(_TEMPLATE) or (
        kind is Kind.PLACE and is_place(value.decode("utf-8", "replace"))
    ):
        return None
    has_digit = _DIGIT.search(value) is not None
    if kind is Kind.PROOF:
        short = name.rstrip().lower().endswith((b"key", b"code"))
        return found.span(1) if not short or (has_digit and len(value) >= _SHORTEST_PROOF) else None
    if _PLAIN_DIGITS.match(value) and not (kind is Kind.PASSWORD and tight):
        return None
    strong = has_digit and len(value) >= _SHORTEST_PLAIN
    if data[at : at + 1] == b":":
        compound = b"-" in name or b"_" in name or kind is Kind.AUTHORIZATION
        return found.span(1) if strong and compound else None
    # Without a digit in it, it may be a variable: of a shell's environment it is none, nor where
    # the next is no other argument.
    in_environment = tight and name.split()[-1].isupper()
    of_connection = (
        tight and kind is Kind.PASSWORD and data[found.end() : found.end() + 1] not in (b",", b")")
    )
    if strong or ((in_environment or of_connection) and len(value) >= 4):
        return found.span(1)
    return None


def replaced(data: bytes, spans: Iterable[tuple[int, int]]) -> bytes:
    """Return a text with the mark in the place of some of it; the text itself for none of it."""
    kept, at = [], 0
    for start, end in sorted(spans):
        if start >= at:
            kept.append(data[at:start])
            at = end
        else:
            at = max(at, end)
    return MARK.encode().join([*kept, data[at:]]) if kept else data
