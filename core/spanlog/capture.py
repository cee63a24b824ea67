"""Turn any Python value into JSON bytes, at once and without ever failing.

The bytes are the snapshot of the value: what the queue holds and what the store keeps. Almost
every value takes the fast way, one `orjson.dumps`; what it refuses (cycles, lone surrogates,
integers over 64 bits, keys that are no strings) takes a careful way that always yields something.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import math
import types
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import orjson

# A value nested deeper is cut there: orjson itself stops at 254 levels.
_MAX_DEPTH = 100
# The text that stands for an object JSON does not know.
_MAX_REPR = 2_000
# A larger array is summed up: its text would be larger than what a person or a query can use.
_MAX_ARRAY = 100_000
# Modules whose objects are best known by their text.
_PRINTED = frozenset({"datetime", "decimal", "fractions", "ipaddress", "pathlib", "zoneinfo"})


def capture(value: object) -> bytes:
    """Return `value` as JSON, as it is now.

    Dataclasses, pydantic models and named tuples become objects; sets and deques arrays; bytes a
    `data:` URI (RFC 2397); NaN and infinities null, as in every JSON writer that keeps to the
    standard; whatever has no JSON form its `repr`. Generators and files are never consumed.
    """
    try:
        return orjson.dumps(value, _plain)
    except Exception:  # noqa: BLE001 - a value may raise anything; the careful way bears it
        try:
            return orjson.dumps(_careful(value, 0, set()), option=orjson.OPT_NON_STR_KEYS)
        except Exception:  # noqa: BLE001
            return orjson.dumps(_text(f"<{type(value).__name__}>"))


def wire(value: object) -> bytes:
    """Return a provider's reply as JSON, with the fields that were on the wire and no others."""
    serializer = getattr(type(value), "__pydantic_serializer__", None)
    if serializer is None:
        return capture(value)
    try:
        return _valid(serializer.to_json(value, exclude_unset=True, warnings=False, fallback=_safe))
    except Exception:  # noqa: BLE001
        return capture(value)


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
    return value.encode("utf-8", "backslashreplace").decode()


def _valid(data: bytes) -> orjson.Fragment | bytes:
    """Return JSON that pydantic wrote, unless it holds the NaN that a model may ask it to write."""
    if b"NaN" in data or b"Infinity" in data:
        orjson.loads(data)
    return data


def _safe(value: object) -> object:
    """Stand in for what pydantic's serializer does not know."""
    return decode(capture(value))


def _data_uri(value: bytes | bytearray | memoryview) -> str:
    return "data:application/octet-stream;base64," + base64.b64encode(value).decode()


def _pydantic(value: Any) -> object:
    data = type(value).__pydantic_serializer__.to_json(value, warnings=False, fallback=_safe)
    return orjson.Fragment(_valid(data))


def _array(value: Any) -> object:
    """Give a numpy array or scalar as numbers, a very large array as its shape and beginning."""
    if not hasattr(value, "shape") or value.size <= _MAX_ARRAY:
        return value.tolist()
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


def _plain(value: Any) -> object:
    """Give a value that orjson does not know in terms of values that it knows."""
    kind = type(value)
    if hasattr(kind, "__pydantic_serializer__") and not isinstance(value, type):
        return _pydantic(value)
    if kind.__module__ == "numpy":
        return _array(value)
    if kind.__module__ in _PRINTED:
        return str(value)
    if isinstance(value, tuple):
        return value._asdict() if hasattr(kind, "_asdict") else list(value)
    for types_, convert in _plain_of:
        if isinstance(value, types_):
            return convert(value)
    if hasattr(kind, "__fields__") and hasattr(kind, "dict"):  # pydantic 1
        return value.dict()
    if dataclasses.is_dataclass(value):
        return {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
    return safe_repr(value)


def _careful(value: Any, depth: int, above: set[int]) -> object:
    """Copy a value into plain data piece by piece; a piece that fails becomes its `repr`."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else _integer(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if id(value) in above:
        return f"<cycle to {type(value).__name__}>"
    if depth >= _MAX_DEPTH:
        return f"<{type(value).__name__} nested too deeply>"
    above.add(id(value))
    try:
        return _careful_container(value, depth + 1, above)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001 - user code: properties, iterators, serializers
        return _text(safe_repr(value))
    finally:
        above.discard(id(value))


def _careful_container(value: Any, depth: int, above: set[int]) -> object:
    if isinstance(value, dict):
        return {_key(k): _careful(v, depth, above) for k, v in list(value.items())}
    if isinstance(value, list) or type(value) is tuple:
        return [_careful(item, depth, above) for item in list(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {f.name: _careful(getattr(value, f.name, None), depth, above) for f in fields}
    try:
        return decode(orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_SUBCLASS))
    except TypeError:
        pass
    try:
        plain = _plain(value)
    except Exception:  # noqa: BLE001 - a serializer of the user's; its plain fields may do
        plain = dict(vars(value)) if hasattr(value, "__dict__") else safe_repr(value)
    if isinstance(plain, orjson.Fragment):
        return decode(plain.contents)
    return _careful(plain, depth, above)


def _key(key: object) -> str:
    if isinstance(key, str):
        return _text(key)
    if isinstance(key, bool) or key is None:
        return {True: "true", False: "false", None: "null"}[key]
    return _text(safe_repr(key))


def _integer(value: int) -> str:
    try:
        return int.__repr__(value)
    except ValueError:  # more digits than sys.get_int_max_str_digits() allows
        return hex(value)
