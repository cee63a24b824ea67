"""Thread and process pools, and threads: work started there goes under the span it began in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spanlog import config
from spanlog.context import SCOPE, active, carry, current_span
from spanlog.patching import Integration, Target
from spanlog.recorder import recorder
from spanlog.spans import LiveSpan


def _submit(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    if not args:
        return wrapped(*args, **kwargs)
    function, *rest = args
    return wrapped(carry(function), *rest, **kwargs)


def _submit_process(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    span = current_span()
    if not args or span is None:
        return wrapped(*args, **kwargs)
    above = (span.trace_id, span.span_id, config.experiment, config.tracking_uri)
    return wrapped(_under, above, *args, **kwargs)


def _under(above: tuple[str, str, str, str], function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function in another process, under the span that submitted it."""
    trace_id, span_id, config.experiment, config.tracking_uri = above
    try:
        with active(LiveSpan.remote(trace_id, span_id, config.experiment)):
            return function(*args, **kwargs)
    finally:
        recorder.flush()


def _start(wrapped: Callable[..., Any], thread: Any, args: Any, kwargs: Any) -> Any:
    if current_span() is None and SCOPE.get() is None:
        return wrapped(*args, **kwargs)
    run = carry(thread.run)

    def run_once() -> None:
        del thread.run  # the class's own is seen again, and no cycle is left
        run()

    thread.run = run_once
    try:
        return wrapped(*args, **kwargs)
    except BaseException:
        vars(thread).pop("run", None)
        raise


integration = Integration(
    "threads",
    "threading",
    "python",
    Target("concurrent.futures.thread:ThreadPoolExecutor.submit", _submit),
    Target("concurrent.futures.process:ProcessPoolExecutor.submit", _submit_process),
    Target("threading:Thread.start", _start),
)


def autolog(log_traces: bool = True, disable: bool = False, silent: bool = False) -> None:
    """Carry the current span into threads, thread pools and process pools.

    Args:
        log_traces: False turns it off and puts Python's own functions back.
        disable: True does the same; both are there because MLflow has both.
        silent: Taken for the sake of sameness; there is nothing to warn of.
    """
    integration.autolog(log_traces, disable, silent)
