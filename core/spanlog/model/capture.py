"""Turn any Python value into JSON bytes, at once and without ever failing.

The bytes are the snapshot of the value: what the queue holds and what the store keeps. Almost
every value takes the fast way, one `orjson.dumps`. What it refuses (objects, cycles, lone
surrogates, integers over 64 bits) is taken apart piece by piece, and each piece goes the fast way
if it can. orjson is never given a `default`: it does not bear that a list shrinks while its items
are written, and whatever runs Python code may do that, or let another thread do it.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import types
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any

import orjson

# A value nested deeper is cut there: orjson itself stops at 254 levels.
_MAX_DEPTH = 100
# A value is taken apart into so many pieces at most: a tangle of cycles has no end of them.
_MAX_PIECES = 100_000
# The text that stands for an object JSON does not know.
_MAX_REPR = 2_000
# A larger array is summed up: its text would be larger than what a person or a query can use.
_MAX_ARRAY = 100_000
# orjson's result keeps room for growth: 4 KB for 30 bytes. What is smaller than this is copied.
_LARGE = 10_000
# What orjson may write by itself, subclasses too.
_NATIVE = (
    str,
    int,
    float,
    types.NoneType,
    dict,
    list,
    tuple,
    enum.Enum,
    dt.date,
    dt.time,
)
# Modules whose objects are best known by their text.
_PRINTED = frozenset(
    {"datetime", "decimal", "fractions", "ipaddress", "pathlib", "uuid", "zoneinfo"}
)


def capture(value: object) -> bytes:
    """Return `value` as JSON, as it is now.

    Dataclasses, pydantic models and named tuples become objects; sets and deques arrays; bytes a
    `data:` URI (RFC 2397); NaN and infinities null, as in every JSON writer that keeps to the
    standard; whatever has no JSON form its `repr`. Generators and files are never consumed.
    """
    try:
        data = orjson.dumps(value)
    except Exception:  # noqa: BLE001 - whatever it is that orjson refuses
        data = _taken_apart(value)
    return data if len(data) > _LARGE else memoryview(data).tobytes()


def _taken_apart(value: object, unsent: Collection[str] | None = None) -> bytes:
    try:
        return orjson.dumps(_Pieces(unsent).take(value, 0))
    except Exception:  # noqa: BLE001 - a value may raise anything
        return orjson.dumps(_text(f"<{type(value).__name__}>"))


def wire(value: object, unsent: Collection[str] = ()) -> bytes:
    """Return what a provider is sent or has answered as JSON, as it is on the wire.

    Of pydantic models that is the fields that were set and no others, by their names there.

    Args:
        value: What was sent or answered.
        unsent: The types whose values stand for what is not sent, by name.
    """
    try:
        if hasattr(type(value), "__pydantic_serializer__"):
            return _model(value, on_the_wire=True)
        data = orjson.dumps(value)
    except Exception:  # noqa: BLE001 - whatever it is that is refused
        data = _taken_apart(value, unsent)
    return data if len(data) > _LARGE else memoryview(data).tobytes()


def decode(data: bytes | str | None) -> Any:
    """Return the plain data that `capture` wrote; None for None."""
    return None if data is None else orjson.loads(data)


def safe_repr(value: object) -> str:
    """Return `repr(value)`, shortened; never raises."""
    try:
        text = repr(value)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - user code
        return f"<{type(value).__name__} object at {id(value):#x}>"
    return text if len(text) <= _MAX_REPR else f"{text[:_MAX_REPR]}... ({len(text)} characters)"


def safe_str(value: object) -> str:
    """Return `str(value)` as text that can be encoded; never raises."""
    try:
        return _text(str(value))
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - user code
        return f"<unprintable {type(value).__name__}>"


def _text(value: str) -> str:
    """Return a plain `str` without lone surrogates, which UTF-8 cannot carry."""
    return str.encode(value, "utf-8", "backslashreplace").decode()


def _valid(data: bytes) -> bytes:
    """Return JSON that pydantic wrote, unless it holds the NaN that a model may ask it to write."""
    if b"NaN" in data or b"Infinity" in data:
        orjson.loads(data)
    return data


def _safe(value: object) -> object:
    """Stand in for what pydantic's serializer does not know."""
    return decode(capture(value))


def _data_uri(value: bytes | bytearray | memoryview) -> str:
    return "data:application/octet-stream;base64," + base64.b64encode(value).decode()


def _model(value: Any, *, on_the_wire: bool) -> bytes:
    how = {"exclude_unset": on_the_wire, "by_alias": on_the_wire}
    to_json = type(value).__pydantic_serializer__.to_json
    return _valid(to_json(value, warnings=False, fallback=_safe, **how))


def _array(value: Any) -> object:
    """Give a numpy array or scalar as numbers, a very large array as its shape and beginning."""
    if value.size <= _MAX_ARRAY:
        plain = value.tolist()
        return safe_repr(value) if type(plain) is type(value) else plain
    return {
        "type": "ndarray",
        "dtype": str(value.dtype),
        "shape": list(value.shape),
        "first": value.flat[:10].tolist(),
    }


def _exception(value: BaseException) -> object:
    return {"type": type(value).__name__, "message": safe_str(value)}


def _named(value: Any) -> object:
    return f"{value.__module__}.{value.__qualname__}"


_plain_of: list[tuple[type | tuple[type, ...], Callable[[Any], object]]] = [
    ((bytes, bytearray, memoryview), _data_uri),
    ((set, frozenset, deque), list),
    (Mapping, dict),
    (BaseException, _exception),
    ((type, types.FunctionType, types.BuiltinFunctionType), _named),
    (enum.Enum, lambda value: value.value),
]


def _plain(value: Any, *, on_the_wire: bool) -> object:
    """Give a value that orjson does not know in terms of values that it knows, one level deep."""
    kind = type(value)
    if hasattr(kind, "__pydantic_serializer__") and not isinstance(value, type):
        return orjson.Fragment(_model(value, on_the_wire=on_the_wire))
    package = kind.__module__.partition(".")[0]
    if package == "numpy" and hasattr(value, "tolist"):
        return _array(value)
    if package in _PRINTED:
        return str(value)
    if isinstance(value, tuple):
        fields = getattr(value, "_asdict", None)
        return list(value) if fields is None else fields()
    for types_, convert in _plain_of:
        if isinstance(value, types_):
            return convert(value)
    if hasattr(kind, "__fields__") and hasattr(kind, "dict"):  # pydantic 1
        return value.dict()
    if dataclasses.is_dataclass(value):
        return {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
    return safe_repr(value)


class _Pieces:
    """One value that is taken apart; a piece that fails becomes its `repr`.

    Args:
        unsent: For what goes over the wire the types whose values are left out; else None.
    """

    def __init__(self, unsent: Collection[str] | None = None) -> None:
        self._unsent = unsent
        self._above: set[int] = set()
        self._left = _MAX_PIECES

    def take(self, value: Any, depth: int) -> object:
        """Return a piece as what orjson writes without running any Python code."""
        kind = type(value)
        if id(value) in self._above:
            return f"<cycle to {kind.__name__}>"
        try:
            if issubclass(kind, _NATIVE) or hasattr(kind, "__dataclass_fields__"):
                return orjson.Fragment(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
        except Exception as error:  # noqa: BLE001 - whatever it is that orjson refuses
            # Getting lost in a cycle takes long, and in a tangle there is one behind each corner.
            self._left -= 50 if "ecursion" in str(error) else 1
        if issubclass(kind, str):
            return _text(value)
        if issubclass(kind, int):
            return _integer(int.__index__(value))
        if issubclass(kind, float):
            return float.__float__(value)
        if depth >= _MAX_DEPTH or self._left < 0:
            why = "nested too deeply" if self._left >= 0 else "left out"
            return _text(f"<{kind.__name__} {why}>")
        self._left -= 1
        self._above.add(id(value))
        try:
            return self._apart(value, kind, depth + 1)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - user code: properties, iterators, serializers
            return _text(safe_repr(value))
        finally:
            self._above.discard(id(value))

    def _apart(self, value: Any, kind: type, depth: int) -> object:
        # The methods of dict and list themselves: a subclass may do anything in its own.
        if issubclass(kind, dict):
            left_out = self._unsent or ()
            items = [kv for kv in list(dict.items(value)) if type(kv[1]).__name__ not in left_out]
            return {_key(k): self.take(v, depth) for k, v in items}
        if issubclass(kind, list):
            return [self.take(item, depth) for item in list.copy(value)]
        try:
            plain = _plain(value, on_the_wire=self._unsent is not None)
        except Exception:  # noqa: BLE001 - a serializer of the user's; the fields themselves may do
            plain = _fields(value, kind)
        if type(plain) is str:
            return _text(plain)
        return plain if type(plain) is orjson.Fragment else self.take(plain, depth)


def _fields(value: Any, kind: type) -> object:
    """Give the fields of a pydantic model, without those that it keeps out of its JSON."""
    if not any(hasattr(kind, of_pydantic) for of_pydantic in ("model_fields", "__fields__")):
        return safe_repr(value)
    declared = getattr(kind, "model_fields", {})
    hidden = {name for name, field in declared.items() if getattr(field, "exclude", None)}
    return {name: held for name, held in vars(value).items() if name not in hidden}


def _key(key: object) -> str:
    """Give a dictionary's key as text: a string itself, everything else its JSON."""
    if type(key) is str:
        return _text(key)
    data = capture(key)
    text = decode(data)
    return text if isinstance(text, str) else data.decode()


def _integer(value: int) -> int | str:
    if -(2**63) <= value < 2**64:
        return value
    try:
        return str(value)
    except ValueError:  # more digits than sys.get_int_max_str_digits() allows
        return hex(value)
