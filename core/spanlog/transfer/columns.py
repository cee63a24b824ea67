"""How large the columns of a Parquet file are in Python, before they are there."""

from __future__ import annotations

from typing import Any

from pyarrow import compute, types

pc: Any = compute  # which makes its functions when it is imported
_TEXT = (types.is_string, types.is_large_string)
_LETTERS = (*_TEXT, types.is_binary, types.is_large_binary)
_NUMBERS = (types.is_boolean, types.is_integer, types.is_floating, types.is_timestamp)


def check_kind(field: Any) -> None:
    """See to it that a column is of a kind that traces have: others make much of little.

    Raises:
        ValueError: It is of another.
    """
    kind = field.type
    if types.is_dictionary(kind):
        check_kind(field.with_type(kind.value_type))
    elif types.is_struct(kind) or types.is_map(kind) or _is(kind, types.is_list):
        for i in range(kind.num_fields):
            check_kind(kind.field(i))
    elif not _is(kind, *_LETTERS, *_NUMBERS, types.is_null):
        raise ValueError(f"{field.name} is {kind}")


def size_of(array: Any) -> int:
    """Return how many bytes the texts of an array take, a text as often as it is repeated."""
    kind = array.type
    if types.is_map(kind):
        return size_of(array.keys) + size_of(array.items)
    if types.is_struct(kind):
        return sum(map(size_of, array.flatten()))
    if types.is_nested(kind):
        return size_of(array.flatten())
    texts = array.dictionary if types.is_dictionary(kind) else array
    if not _is(texts.type, *_LETTERS):
        return 0
    sizes = pc.binary_length(texts).cast("int64")
    if _is(texts.type, *_TEXT):
        wide = pc.invert(pc.string_is_ascii(texts)).cast("int64")
        sizes = pc.multiply(sizes, pc.add(pc.multiply(wide, 3), 1))  # four bytes a character
    if types.is_dictionary(kind):
        sizes = sizes.take(array.indices)
    return pc.sum(sizes).as_py() or 0


def _is(kind: Any, *those: Any) -> bool:
    return any(is_it(kind) for is_it in those)
