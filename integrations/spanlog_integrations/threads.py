"""Thread and process pools, and threads: work started there goes under the span it began in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spanlog.instrument import Integration, Target
from spanlog.instrument.integration import prepare
from spanlog.record.context import SCOPE, Scope, active, carry, current_span

# What records is imported where it is needed: `autolog()` loads this module and is to be quick.
if TYPE_CHECKING:
    from collections.abc import Callable

    from spanlog.record.span import LiveSpan


def _submit(wrapped: Callable[..., Any], _pool: Any, args: Any, kwargs: Any) -> Any:
    if not args:
        return wrapped(*args, **kwargs)
    function, *rest = args
    return _outside(wrapped, carry(function), *rest, **kwargs)


def _outside(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function where nothing is current: the threads it starts are for others too."""
    scope = SCOPE.get()
    SCOPE.set(None)
    try:
        with active(None):
            return function(*args, **kwargs)
    finally:
        SCOPE.set(scope)


class _Above:
    """What is current where work is submitted, to be sent to another process."""

    def __init__(self, span: LiveSpan | None, scope: Scope | None) -> None:
        from spanlog.record.recorder import default_recorder

        self.span = span and (span.trace_id, span.span_id)
        self.scope = scope
        settings = default_recorder().settings
        self.settings = settings.experiment, settings.tracking_uri

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function in this process, under the span that submitted it."""
        from spanlog.record.recorder import default_recorder
        from spanlog.record.span import RemoteSpan

        prepare()  # to record in this process, too
        recorder = default_recorder()
        recorder.settings.experiment, recorder.settings.tracking_uri = self.settings
        span = self.span and RemoteSpan(*self.span, self.settings[0])
        before = SCOPE.get()
        SCOPE.set(self.scope)
        try:
            with active(span):
                return function(*args, **kwargs)
        finally:
            SCOPE.set(before)
            recorder.flush()


def _submit_process(wrapped: Callable[..., Any], _pool: Any, args: Any, kwargs: Any) -> Any:
    if not args:
        return wrapped(*args, **kwargs)
    # Where nothing is current it is sent too: a forked process has what was current at the fork.
    return _outside(wrapped, _Above(current_span(), SCOPE.get()).call, *args, **kwargs)


def _start(wrapped: Callable[..., Any], thread: Any, args: Any, kwargs: Any) -> Any:
    if current_span() is None and SCOPE.get() is None:
        return wrapped(*args, **kwargs)
    run = carry(thread.run)
    own = vars(thread).get("run")

    def put_back() -> None:
        del thread.run  # the class's own is seen again, and no cycle is left
        if own is not None:
            thread.run = own

    def run_once() -> None:
        put_back()
        run()

    thread.run = run_once
    try:
        return wrapped(*args, **kwargs)
    except BaseException:
        put_back()
        raise


integration = Integration(
    "threads",
    "threading",
    "python",
    Target("concurrent.futures.thread:ThreadPoolExecutor.submit", _submit),
    Target("concurrent.futures.process:ProcessPoolExecutor.submit", _submit_process),
    Target("threading:Thread.start", _start),
)
autolog = integration.autolog
