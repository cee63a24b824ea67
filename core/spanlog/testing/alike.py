"""What a program can see of an object without changing it, to compare one with its stand-in."""

from __future__ import annotations

import collections.abc
import copy
import inspect
import itertools
import operator
import pickle
import re
import types
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_KINDS = [
    *(getattr(collections.abc, name) for name in collections.abc.__all__),
    *(kind for kind in vars(types).values() if isinstance(kind, type)),
]
_PREDICATES = {
    name: ask for name, ask in vars(inspect).items() if name.startswith("is") and callable(ask)
}
_SPECIAL = {
    name for kind in (*_KINDS, int, str, list, dict) for name in dir(kind) if name.startswith("__")
}
# How Python lays objects of a class out, lets them go, and asks what is a base and no class; what
# it notes of a class statement.
_LAYOUT = {
    "__annotations__",
    "__firstlineno__",
    "__static_attributes__",
    "__mro_entries__",
    "__del__",
    "__slots__",
    "__slotnames__",
    "__weakref__",
    "__weakrefoffset__",
}


def _pickled(protocol: int, thing: Any) -> Any:
    return kind(pickle.loads(pickle.dumps(thing, protocol)))


LOOKS: dict[str, Callable[[Any], Any]] = {
    "class": lambda thing: thing.__class__.__qualname__,
    "isinstance": lambda thing: [kind for kind in _KINDS if isinstance(thing, kind)],
    "inspect": lambda thing: [name for name, ask in _PREDICATES.items() if ask(thing)],
    "special": lambda thing: [n for n in _SPECIAL - _LAYOUT if hasattr(thing, n)],
    "dir": lambda thing: [name for name in dir(thing) if name not in _LAYOUT],
    "names": lambda thing: [
        getattr(thing, f"__{name}__", None) for name in ("name", "qualname", "module", "doc")
    ],
    "names of its type": lambda thing: [
        getattr(type(thing), f"__{name}__") for name in ("name", "qualname", "module", "doc")
    ],
    "vars": lambda thing: sorted(vars(thing)),
    "callable": callable,
    "bool": bool,
    "len": len,
    "length hint": operator.length_hint,
    "iter": lambda thing: (kind(iter(thing)), iter(thing) is thing),
    "aiter": lambda thing: (kind(thing.__aiter__()), thing.__aiter__() is thing),
    "tee": lambda thing: [kind(one) for one in itertools.tee(thing)],
    "tee read": lambda thing: [list(one) for one in itertools.tee(thing)],
    "yield from": lambda thing: list((lambda: (yield from thing))()),
    "copy": lambda thing: (kind(copy.copy(thing)), copy.copy(thing) is thing),
    "deepcopy": lambda thing: (kind(copy.deepcopy(thing)), copy.deepcopy(thing) is thing),
    "deepcopy in a list": lambda thing: kind(copy.deepcopy([thing])[0]),
    **{f"pickle {n}": partial(_pickled, n) for n in range(pickle.HIGHEST_PROTOCOL + 1)},
    "weakref": lambda thing: weakref.ref(thing)() is thing,
    "hash": lambda thing: hash(thing) == hash(thing),
    "equal": lambda thing: (thing == thing, thing != thing, thing == 0, thing in [thing]),
    "signature": inspect.signature,
    "source": inspect.getsource,
    "repr": repr,
    "str": str,
    "format": lambda thing: f"{thing}",
}


def seen(make: Callable[[], Any]) -> dict[str, Any]:
    """Return what is seen of the objects that `make` makes, one for each look."""
    return {name: outcome(look, make()) for name, look in LOOKS.items()}


async def seen_async(make: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    """Do the same for objects that are awaited."""
    return {name: outcome(look, await make()) for name, look in LOOKS.items()}


def kind(thing: Any) -> Any:
    return thing.__class__


def outcome(look: Callable[[Any], Any], thing: Any) -> Any:
    """Return what a look at an object comes to, without what is new in each."""
    try:
        found = look(thing)
    except Exception as error:
        found = type(error), str(error)
    if isinstance(found, list):
        return {plain(one) for one in found}
    return plain(found)


def plain(found: Any) -> str:
    return re.sub(r"0x[0-9a-f]+|[0-9a-f-]{8,}|(?<=')[a-z_]+\.(?=\w+')", "", repr(found))


def differences(one: Callable[[], Any], other: Callable[[], Any]) -> dict[str, Any]:
    """Return in what two kinds of objects are told from each other."""
    return compared(seen(one), seen(other))


def compared(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Return in what two looks differ; of a set, what only one has."""
    return {
        name: (a - b, b - a) if isinstance(a, set) and isinstance(b, set) else (a, b)
        for name, a in first.items()
        if a != (b := second[name])
    }
