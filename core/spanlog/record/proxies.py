"""What stands in the place of an object, and is that object in all that a program can see.

Python looks for special methods on an object's class. A class of proxies that had them all would
make every stream one with a length, sync and async at once. So there is a class of proxies for
each class of objects, with just the special methods that these have.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any
from weakref import WeakKeyDictionary

_classes: WeakKeyDictionary[type, dict[type, type]] = WeakKeyDictionary()

# What a class has for itself, and what all proxies have.
_NOT_PASSED_ON = frozenset(
    f"__{name}__"
    for name in (
        *("class", "copy", "deepcopy", "del", "delattr", "dict", "doc", "getattr", "getattribute"),
        *("init", "init_subclass", "module", "new", "setattr", "slots", "subclasshook", "weakref"),
    )
)


class _OfClass:
    """A method that is found on the class only, where `copy.copy` looks for it.

    Others, as `itertools.tee`, ask the object, and are told what it has.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method

    def __get__(self, proxy: object, owner: type) -> Any:
        if proxy is None:
            return self._method
        raise AttributeError  # so Python asks `__getattr__`


class _Module(str):
    """The name of a class's module; objects of the class may have another, as functions do."""

    __slots__ = ()

    def __get__(self, proxy: Any, owner: type) -> Any:
        return proxy.__wrapped__.__module__


class _Doc:
    """The text about a class; objects of the class may have another."""

    def __init__(self, of_class: str | None) -> None:
        self._of_class = of_class

    def __get__(self, proxy: Any, owner: type) -> Any:
        return self._of_class if proxy is None else proxy.__wrapped__.__doc__


class Proxy:
    """Stands in the place of an object.

    A class derived from this names in `_Instead` the methods that take the place of the object's,
    where the object's class has them. Attributes whose names begin with `_self_` are its own.

    Args:
        wrapped: The object.
    """

    __slots__ = ("__wrapped__",)  # without an annotation: those of the object are asked for

    class _Instead:
        """Nothing is done otherwise."""

    def __new__(cls, wrapped: Any, /, *_args: Any, **_more: Any) -> Any:
        """Return a proxy of the class that is made for the object's."""
        proxy: Any = object.__new__(_class_of(cls, type(wrapped)))
        object.__setattr__(proxy, "__wrapped__", wrapped)
        return proxy

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_self_"):
            object.__setattr__(self, name, value)
        else:
            setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__wrapped__, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.__wrapped__.__class__

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        return self.__wrapped__.__dict__

    def _self_for(self, other: Any, *args: Any) -> Any:
        """Return the proxy of another object that is of the same kind as this."""
        return type(self).__base__(other, *args)  # type: ignore[misc]

    def _self_copied(self, copied: Any) -> Any:
        """Return what a copy of this is, given a copy of the object."""
        return copied

    @_OfClass
    def __copy__(self) -> Any:
        return _copied(self, copy.copy(self.__wrapped__))

    def __deepcopy__(self, memo: Any) -> Any:
        return _copied(self, copy.deepcopy(self.__wrapped__, memo))


class CallableProxy(Proxy):
    """A callable that is called through its proxy, as a method too."""

    __slots__ = ()

    class _Instead(Proxy._Instead):
        """A method of an object is a method whose function is the proxy."""

        def __get__(self: Any, instance: object, owner: type | None = None) -> Any:
            bound = self.__wrapped__.__get__(instance, owner)
            is_method = instance is not None and bound is not self.__wrapped__
            return MethodType(self, instance) if is_method else self


def _copied(proxy: Proxy, copied: Any) -> Any:
    return proxy if copied is proxy.__wrapped__ else proxy._self_copied(copied)


def _class_of(cls: type[Proxy], kind: type) -> type:
    made = _classes.setdefault(kind, {})
    if cls not in made:
        made[cls] = type(kind.__name__, (cls,), _namespace(cls, kind))
    return made[cls]


def _namespace(cls: type[Proxy], kind: type) -> dict[str, Any]:
    """Return what a class of proxies has: a class's special methods, and what replaces methods."""
    held = {name: value for base in reversed(kind.__mro__) for name, value in vars(base).items()}
    special = {n: v for n, v in held.items() if n[:2] == n[-2:] == "__" and n not in _NOT_PASSED_ON}
    passed_on: dict[str, Any] = {
        n: v and _pass_on(n) for n, v in special.items() if v is None or callable(v)
    }
    if issubclass(kind, type):
        passed_on["__mro_entries__"] = lambda proxy, _bases: (proxy.__wrapped__,)
        # `inspect` looks through `__wrapped__` for all but classes, from Python 3.13 on.
        passed_on["__signature__"] = property(lambda proxy: inspect.signature(proxy.__wrapped__))
    own: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        own.update(vars(vars(base).get("_Instead", Proxy._Instead)))
    instead = {n: method for n, method in own.items() if inspect.isfunction(method)}
    return {
        **passed_on,
        **{name: method for name, method in instead.items() if name in held},
        "__slots__": ("__weakref__",) if kind.__weakrefoffset__ else (),
        "__doc__": _Doc(kind.__doc__),
        "__module__": _Module(kind.__module__),
        "__qualname__": kind.__qualname__,
    }


def _pass_on(name: str) -> Callable[..., Any]:
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        wrapped = self.__wrapped__
        return getattr(type(wrapped), name)(wrapped, *args, **kwargs)

    method.__name__ = method.__qualname__ = name
    return method
