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
from types import CodeType, CoroutineType, FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import wrapt

from spanlog.model.capture import wire
from spanlog.record.callables import Wrapper as Wrapper
from spanlog.record.callables import patched
from spanlog.record.context import CURRENT, recording
from spanlog.record.recorder import default_recorder
from spanlog.safety import logger, report

if TYPE_CHECKING:
    from spanlog.record.span import LiveSpan

_ABSENT: Any = object()


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
        self.span._finish(wire(result))
        return result

    def failed(self, error: BaseException) -> None:
        """Take the error and end the span."""
        self.span._fail(error)


@dataclass(frozen=True)
class Target:
    """A function to wrap: `at` is "module:function" or "module:Class.method".

    A program that has taken a function out of its module, as by `from module import function`,
    does not look for it there again. `in_place` covers that: the function stays, its code changes.
    It is for functions and coroutine functions, not for generators.

    A method that a class only prescribes, if it has it at all, is found in those derived from it.
    `derived` covers those: the ones there are, and the ones to come.
    """

    at: str
    wrapper: Wrapper
    in_place: bool = False
    derived: bool = False

    @property
    def module(self) -> str:
        """The module that must be imported first."""
        return self.at.partition(":")[0]


@dataclass(frozen=True)
class Hook:
    """A library's own hook.

    Args:
        module: The module that must be imported first.
        install: Puts in what is to be called, given the module; returns what takes it out again.
    """

    module: str
    install: Callable[[ModuleType], Callable[[], object]]


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
            report(error, f"recording a call of {getattr(wrapped, '__qualname__', wrapped)}")
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
        begun.span._fail(failure)
        report(error, f"recording the error of {begun.span.name}")


@dataclass
class _Patch:
    owner: Any
    name: str
    original: Any  # what `vars(owner)` held, or _ABSENT where the attribute was inherited
    wrapper: Any

    def undo(self) -> bool:
        """Put back exactly what was there, unless someone has wrapped our wrapper since."""
        if vars(self.owner).get(self.name) is not self.wrapper:
            return False
        if self.original is _ABSENT:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.original)
        return True


# The code that takes the place of a function's own. A code object can only be exchanged for one
# with as many variables from outside, and names in it are looked up in the library: what it calls
# is one of its constants. It is one line, which a traceback takes for the first of the function.
_STAND_IN = """
def made({outside}):
    {kind} stand_in(*args, **kwargs): call = "call"; return {calls} if True else ({outside})
    return stand_in
"""


class _InPlace:
    """A function whose code is exchanged for code that calls a wrapper around its twin."""

    def __init__(self, function: FunctionType, wrapper: Wrapper) -> None:
        self.function = function
        self._original = function.__code__
        self._signed = vars(function).keys() & {"__signature__", "__wrapped__"}
        twin = FunctionType(
            function.__code__,
            function.__globals__,
            function.__name__,
            function.__defaults__,
            function.__closure__,
        )
        twin.__kwdefaults__, twin.__qualname__ = function.__kwdefaults__, function.__qualname__

        def call(*args: Any, **kwargs: Any) -> Any:
            return wrapper(twin, None, args, kwargs)

        if not self._signed:
            vars(function)["__signature__"] = inspect.signature(function)
        function.__code__ = self._code = self._calling(call)

    def _calling(self, call: Callable[..., Any]) -> CodeType:
        is_async = self._original.co_flags & inspect.CO_COROUTINE
        source = _STAND_IN.format(
            outside=", ".join(f"_{number}" for number in range(len(self._original.co_freevars))),
            kind="async def" if is_async else "def",
            calls="await call(*args, **kwargs)" if is_async else "call(*args, **kwargs)",
        )
        made: dict[str, Any] = {}
        exec(source, made)  # noqa: S102 - our own source
        code: CodeType = made["made"](*self._original.co_freevars).__code__
        return code.replace(
            co_consts=tuple(call if const == "call" else const for const in code.co_consts),
            co_filename=self._original.co_filename,
            co_firstlineno=self._original.co_firstlineno,
            co_freevars=self._original.co_freevars,
            co_name=self._original.co_name,
        )

    def undo(self) -> bool:
        """Put back the function's own code, unless someone has exchanged ours since."""
        if self.function.__code__ is not self._code:
            return False
        self.function.__code__ = self._original
        if not self._signed:
            del vars(self.function)["__signature__"]
        return True


class _Hooked:
    """A hook of a library that is in use."""

    def __init__(self, take_out: Callable[[], object]) -> None:
        self._take_out = take_out

    def undo(self) -> bool:
        """Take out what was put in."""
        self._take_out()
        return True


class _Derived:
    """A method of the classes derived from one, each wrapped where it has its own."""

    def __init__(self, base: type, name: str, wrapper: Wrapper) -> None:
        self._base, self._name, self._wrapper = base, name, wrapper
        self._patches: list[_Patch] = []
        for cls in _derived(base):
            self._wrap(cls)
        self._patches.append(self._watch())

    def _watch(self) -> _Patch:
        """Be told of classes that are made from now on."""
        base = self._base
        original = vars(base).get("__init_subclass__", _ABSENT)

        def made(cls: type, /, **kwargs: Any) -> None:
            if original is _ABSENT:
                super(base, cls).__init_subclass__(**kwargs)  # type: ignore[arg-type]
            else:
                original.__get__(None, cls)(**kwargs)
            self._wrap(cls)

        watching: Any = classmethod(made)
        setattr(base, "__init_subclass__", watching)  # noqa: B010 - a type has no such attribute
        return _Patch(base, "__init_subclass__", original, watching)

    def _wrap(self, cls: type) -> None:
        original = vars(cls).get(self._name, _ABSENT)
        if original is not _ABSENT:
            wrapper = patched(original, self._wrapper, cls, self._name)
            self._patches.append(_Patch(cls, self._name, original, wrapper))
            setattr(cls, self._name, wrapper)

    def undo(self) -> bool:
        """Put back exactly what was there, unless someone has wrapped a wrapper of ours since."""
        self._patches = [patch for patch in self._patches if not patch.undo()]
        return not self._patches


def _derived(base: type) -> list[type]:
    """Return the classes derived from a class, directly or not, each once."""
    directly: list[type] = base.__subclasses__()
    found = [cls for direct in directly for cls in (direct, *_derived(direct))]
    return list(dict.fromkeys(found))


class Integration:
    """One library: where it is hooked, and whether it is on.

    Args:
        library: The name it goes by here: `spanlog.<library>`.
        module: The module that a program imports.
        install: What pip installs.
        targets: The functions to wrap, and the library's own hooks. A function that this version
            of the library lacks is left out.
    """

    def __init__(self, library: str, module: str, install: str, *targets: Target | Hook) -> None:
        self.library = library
        self.module = module
        self.install = install
        self.targets = targets
        self.on = False
        self.explicit = False
        self.silent = False
        self._lock = threading.RLock()
        self._patches: dict[Target | Hook, _Patch | _InPlace | _Derived | _Hooked] = {}
        self._awaited: set[str] = set()

    def autolog(self, log_traces: bool = True, disable: bool = False, silent: bool = False) -> None:
        """Trace the calls made with this library: `spanlog.<library>.autolog()`.

        Args:
            log_traces: False turns tracing off and puts the library's own functions back.
            disable: True does the same; both are there because MLflow has both.
            silent: True keeps warnings about the library to itself.

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
                last_first = reversed(self._patches.items())  # one may wrap what another did
                self._patches = {t: patch for t, patch in last_first if not patch.undo()}

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
        if module.__name__.partition(".")[0] not in sys.stdlib_module_names:
            default_recorder().prepare()  # with a library that will be recorded, not without
        targets = [target for target in self.targets if target.module == module.__name__]
        found = [self._apply(target, module) for target in targets]
        if not any(found) and not self.silent:
            logger.warning(
                "spanlog: this version of %s has none of the functions that spanlog knows in %s; "
                "its calls are not recorded",
                self.module,
                module.__name__,
            )

    def _apply(self, target: Target | Hook, module: ModuleType) -> bool:
        if target in self._patches:
            return True
        if isinstance(target, Hook):
            self._patches[target] = _Hooked(target.install(module))
            return True
        *path, name = target.at.partition(":")[2].split(".")
        owner: Any = module
        for part in path:
            owner = getattr(owner, part, None)
        call = self._switched(target.wrapper)
        if target.derived and owner is not None:
            self._patches[target] = _Derived(owner, name, call)
            return True
        original = inspect.getattr_static(owner, name, _ABSENT)
        if original is _ABSENT:
            logger.debug("spanlog: %s is not there", target.at)
            return False
        if target.in_place and isinstance(original, FunctionType):
            if not self._is_in_place(original):
                self._patches[target] = _InPlace(original, call)
            return True
        wrapper = patched(original, call, owner, name)
        self._patches[target] = _Patch(owner, name, vars(owner).get(name, _ABSENT), wrapper)
        setattr(owner, name, wrapper)
        return True

    def _is_in_place(self, function: FunctionType) -> bool:
        """Say whether a function is changed already, by another of the names that it goes by."""
        changed = (patch for patch in self._patches.values() if isinstance(patch, _InPlace))
        return any(patch.function is function for patch in changed)

    def _switched(self, wrapper: Wrapper) -> Wrapper:
        """Return the wrapper so that it does nothing while the integration is off."""

        def switched(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
            if self.on:
                return wrapper(wrapped, instance, args, kwargs)
            return wrapped(*args, **kwargs)

        return switched


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
