"""The engine: put wrappers around a library's functions, and take them away again.

An integration is a table of `Target`s. The engine finds them, before or after the library is
imported; calls the original exactly once; passes its result or error on untouched; and sees to it
that no error of ours reaches the program.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
import threading
import weakref
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib import import_module
from types import CoroutineType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import wrapt

from spanlog.callables import TracedFunction, _BoundTracedFunction
from spanlog.capture import wire
from spanlog.context import CURRENT, recording
from spanlog.safety import logger, report

if TYPE_CHECKING:
    from spanlog.spans import LiveSpan

_ABSENT: Any = object()
Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]


class Call(NamedTuple):
    """A call of a target: the object it was made on, and its arguments."""

    instance: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def argument(self, position: int, name: str, default: Any = None) -> Any:
        """Return an argument, however it was passed."""
        if len(self.args) > position:
            return self.args[position]
        return self.kwargs.get(name, default)


class Recording:
    """A call that is being recorded: its open span, and how what is asked and answered is read.

    An integration overrides what differs for its library.
    """

    def __init__(self, span: LiveSpan) -> None:
        self.span = span
        self.awaited = False

    def asked(self) -> None:
        """Record facts of the request, before it is made."""

    def reply(self, result: Any) -> Any:
        """Take the result and end the span, now or later; return what the user gets."""
        self.span.finish(wire(result))
        return result

    def failed(self, error: BaseException) -> None:
        """Take the error and end the span."""
        self.span.fail(error)


@dataclass(frozen=True)
class Target:
    """A function to wrap: `at` is "module:function" or "module:Class.method"."""

    at: str
    wrapper: Wrapper

    @property
    def module(self) -> str:
        """The module that must be imported first."""
        return self.at.partition(":")[0]


def records(begin: Callable[[Call], Recording | None]) -> Wrapper:
    """Return the wrapper that records calls.

    Args:
        begin: Opens the span of a call; None for a call that is not to be recorded.
    """

    def wrapper(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not recording():
            return wrapped(*args, **kwargs)
        begun = None
        try:
            begun = begin(Call(instance, args, kwargs))
            if begun is not None:
                begun.asked()
        except Exception as error:  # noqa: BLE001 - the guard
            report(error, f"recording a call of {wrapped.__qualname__}")
        if begun is None:
            return wrapped(*args, **kwargs)
        before = CURRENT.get()
        CURRENT.set(begun.span)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as error:
            _failed(begun, error)
            raise
        finally:
            CURRENT.set(before)
        if type(result) is CoroutineType:
            later: Any = _await(begun, result)
            later.__name__, later.__qualname__ = result.__name__, result.__qualname__
            weakref.finalize(later, _never_awaited, begun).atexit = False
            return later
        return _reply(begun, result)

    return wrapper


def _never_awaited(begun: Recording) -> None:
    if not begun.awaited:
        begun.span.end()


async def _await(begun: Recording, work: Coroutine[Any, Any, Any]) -> Any:
    begun.awaited = True
    before = CURRENT.get()
    CURRENT.set(begun.span)
    try:
        result = await work
    except BaseException as error:
        _failed(begun, error)
        raise
    finally:
        if CURRENT.get() is begun.span:
            CURRENT.set(before)
    return _reply(begun, result)


def _reply(begun: Recording, result: Any) -> Any:
    try:
        return begun.reply(result)
    except Exception as error:  # noqa: BLE001 - the guard
        begun.span.end()
        report(error, f"recording the reply of {begun.span.name}")
        return result


def _failed(begun: Recording, failure: BaseException) -> None:
    try:
        begun.failed(failure)
    except Exception as error:  # noqa: BLE001 - the guard
        begun.span.fail(failure)
        report(error, f"recording the error of {begun.span.name}")


class _BoundPatched(_BoundTracedFunction):
    def __reduce_ex__(self, protocol: Any) -> Any:
        through_its_class = self._self_instance is None
        found = self._self_parent if through_its_class else super()
        return found.__reduce_ex__(protocol)


class _Patched(TracedFunction):
    """What stands in a function's place, and is pickled as what is found in that place."""

    __bound_function_wrapper__ = _BoundPatched

    def __init__(self, original: Any, wrapper: Wrapper, owner: Any, name: str) -> None:
        super().__init__(original, wrapper)
        self._self_place = owner, name

    def __reduce_ex__(self, protocol: Any) -> Any:
        owner, name = self._self_place
        return name if isinstance(owner, ModuleType) else (getattr, (owner, name))


@dataclass
class _Patch:
    owner: Any
    name: str
    original: Any  # what `vars(owner)` held, or _ABSENT where the attribute was inherited
    wrapper: Any


class Integration:
    """One library: where it is hooked, and whether it is on.

    Args:
        library: The name it goes by here: `spanlog.<library>`.
        module: The module that a program imports.
        install: What pip installs.
        targets: The functions to wrap. One that this version of the library lacks is left out.
    """

    def __init__(self, library: str, module: str, install: str, *targets: Target) -> None:
        self.library = library
        self.module = module
        self.install = install
        self.targets = targets
        self.on = False
        self.explicit = False
        self.silent = False
        self._lock = threading.RLock()
        self._patches: dict[Target, _Patch] = {}
        self._awaited: set[str] = set()

    def autolog(self, log_traces: bool, disable: bool, silent: bool) -> None:
        """Turn tracing of the library on or off, at the user's explicit wish.

        Raises:
            ImportError: The library is not installed.
        """
        on = log_traces and not disable
        if on and not self.installed():
            raise ImportError(
                f"spanlog.{self.library}.autolog() needs {self.module}, which is not installed: "
                f"pip install {self.install}"
            )
        self.explicit = True
        self.switch(on, silent)

    def installed(self) -> bool:
        """Say whether the library can be imported, without importing it."""
        if sys.modules.get(self.module) is not None:
            return True
        try:
            return importlib.util.find_spec(self.module) is not None
        except ModuleNotFoundError:
            return False

    def switch(self, on: bool, silent: bool = False) -> None:
        """Turn it on or off; either twice is as good as once."""
        with self._lock:
            self.on, self.silent = on, silent
            if on:
                for module in dict.fromkeys(target.module for target in self.targets):
                    self._patch_when_imported(module)
            else:
                for target in list(self._patches):
                    self._restore(target)

    def _patch_when_imported(self, module: str) -> None:
        if module in sys.modules:
            self._patch(sys.modules[module])
        elif module not in self._awaited:
            self._awaited.add(module)
            wrapt.register_post_import_hook(self._imported, module)

    def _imported(self, module: ModuleType) -> None:
        try:
            with self._lock:
                if self.on:
                    self._patch(module)
        except Exception as error:  # noqa: BLE001 - the guard: the import must not fail
            report(error, f"preparing {module.__name__}")

    def _patch(self, module: ModuleType) -> None:
        """Wrap the targets of a module that is imported now."""
        targets = [target for target in self.targets if target.module == module.__name__]
        found = [self._apply(target, module) for target in targets]
        if not any(found) and not self.silent:
            logger.warning(
                "spanlog: this version of %s has none of the functions that spanlog knows in %s; "
                "its calls are not recorded",
                self.module,
                module.__name__,
            )

    def _apply(self, target: Target, module: ModuleType) -> bool:
        if target in self._patches:
            return True
        *path, name = target.at.partition(":")[2].split(".")
        owner: Any = module
        for part in path:
            owner = getattr(owner, part, None)
        original = inspect.getattr_static(owner, name, _ABSENT)
        if original is _ABSENT:
            logger.debug("spanlog: %s is not there", target.at)
            return False
        wrapper = _Patched(original, self._switched(target.wrapper), owner, name)
        self._patches[target] = _Patch(owner, name, vars(owner).get(name, _ABSENT), wrapper)
        setattr(owner, name, wrapper)
        return True

    def _switched(self, wrapper: Wrapper) -> Wrapper:
        """Return the wrapper so that it does nothing while the integration is off."""

        def switched(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
            if self.on:
                return wrapper(wrapped, instance, args, kwargs)
            return wrapped(*args, **kwargs)

        return switched

    def _restore(self, target: Target) -> None:
        """Put back exactly what was there, unless someone has wrapped our wrapper since."""
        patch = self._patches[target]
        if vars(patch.owner).get(patch.name) is not patch.wrapper:
            return
        if patch.original is _ABSENT:
            delattr(patch.owner, patch.name)
        else:
            setattr(patch.owner, patch.name, patch.original)
        del self._patches[target]


def autolog(log_traces: bool = True, disable: bool = False, silent: bool = False) -> None:
    """Trace every supported library that is installed, whether imported already or later.

    A library that was turned on or off by its own `spanlog.<library>.autolog()` stays as it was.

    Args:
        log_traces: False turns tracing off and puts the libraries' own functions back.
        disable: True does the same; both are there because MLflow has both.
        silent: True keeps warnings about libraries to itself.
    """
    from spanlog import INTEGRATIONS

    for name in INTEGRATIONS:
        integration: Integration = import_module(f"spanlog_integrations.{name}").integration
        if not integration.explicit and integration.installed():
            integration.switch(log_traces and not disable, silent)
