"""Read the arguments of a call by the names of their parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

Binder = Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]]


def binder(function: Callable[..., Any]) -> Binder:
    """Return what turns a call's arguments into `{parameter: value}`, defaults applied.

    The signature is read once. A leading `self` or `cls` is left out. A callable without a
    signature, as some builtins are, gives `{"args": [...], "kwargs": {...}}`.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return lambda args, kwargs: {"args": args, "kwargs": kwargs}
    kinds = inspect.Parameter
    positional = [
        p.name for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)
    ]
    rest = next((p.name for p in parameters if p.kind is kinds.VAR_POSITIONAL), None)
    extra = next((p.name for p in parameters if p.kind is kinds.VAR_KEYWORD), None)
    named = {
        p.name for p in parameters if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
    }
    defaults = [(p.name, p.default) for p in parameters if p.default is not kinds.empty]
    count = len(positional)
    first = positional[0] if positional else None
    owner = first if first in ("self", "cls") else None

    def bind(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        bound = dict(zip(positional, args, strict=False))
        if rest is not None and len(args) > count:
            bound[rest] = args[count:]
        if extra is None or kwargs.keys() <= named:
            bound.update(kwargs)
        else:
            bound.update({k: v for k, v in kwargs.items() if k in named})
            bound[extra] = {k: v for k, v in kwargs.items() if k not in named}
        for name, default in defaults:
            if name not in bound:
                bound[name] = default
        if owner is not None:
            bound.pop(owner, None)
        return bound

    return bind
