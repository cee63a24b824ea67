"""Calls that a framework tells of by two events: that one begins, and that it has ended.

Both events must come from around the call, in its own thread and task: in between, the call's span
is current. Events of calls that began while nothing was recorded are passed over.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from spanlog.instrument.call import TracedCall, fail, respond
from spanlog.record.context import CURRENT, recording
from spanlog.record.span import LiveSpan
from spanlog.safety import report


class _Begun(NamedTuple):
    call: TracedCall
    before: LiveSpan | None
    handled: BaseException | None


class Events:
    """The calls that have begun and not ended, by the ids that a framework gives them."""

    def __init__(self) -> None:
        self._begun: dict[Hashable, _Begun] = {}

    def begin(self, key: Hashable, open_call: Callable[[], TracedCall | None]) -> None:
        """Note that a call begins.

        Args:
            key: The id of the call.
            open_call: Opens its span; None for a call that is not to be recorded.
        """
        if not recording():
            return
        call = None
        try:
            call = open_call()
            if call is not None:
                call.on_request()
        except Exception as error:  # noqa: BLE001 - the guard
            report(error, "recording the beginning of a call")
        if call is not None:
            self._begun[key] = _Begun(call, CURRENT.get(), sys.exc_info()[1])
            CURRENT.set(call.span)

    def end(self, key: Hashable, result: Any, error: BaseException | None) -> None:
        """Note that a call has ended. Of a cancellation not every framework tells as an error."""
        begun = self._begun.pop(key, None)
        if begun is None:
            return
        if CURRENT.get() is begun.call.span:
            CURRENT.set(begun.before)
        raised = sys.exc_info()[1]
        error = error or (raised if raised is not begun.handled else None)
        if error is None:
            respond(begun.call, result)
        else:
            fail(begun.call, error)
