"""What recorded spans go to: the store, and whatever else wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from spanlog.errors import Unavailable as Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spanlog.model.header import TraceHeader
    from spanlog.model.span import Span


class Sink(Protocol):
    """What recorded spans go to. It is called by one thread at a time, never the program's.

    What it is handed is what was recorded, without secrets, after the program's own processors:
    nothing of it changes any more, and sinks change nothing of it.

    ```python
    class Printer:
        def write(self, spans, traces):
            for span in spans:
                print(span.name, span.duration_ns, span.usage)


    spanlog.tracing.add_sink(Printer())
    ```
    """

    def write(self, spans: Sequence[Span], traces: Sequence[TraceHeader], /) -> None:
        """Take spans, and what is known of their traces.

        A span may come more than once, with more in it: while it is open (`end_time_ns` is None),
        and when it has ended. A header may come without spans, when something was said of a trace.

        Raises:
            Unavailable: Nothing was taken; the same comes again, later.
        """
