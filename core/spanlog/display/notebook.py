"""Show the traces that a notebook cell made below it."""

from __future__ import annotations

import contextvars
import sys
import threading
from collections import deque
from html import escape
from typing import Any

from spanlog.runtime import default
from spanlog.safety import report

_SHOWN = 10  # traces a cell
_KEPT = 10_000  # trace ids that wait for the end of a cell
_WAIT = 10.0  # seconds that the end of a cell may be held up by the writing of its traces
_LONG = 2.0  # seconds after which a cell shows what it is at
_EVERY = 1.0

shown: bool = True

# The ids of the traces that ended in this cell. None outside notebooks.
collector: deque[str] | None = None


progress: _Progress | None = None


def watch() -> None:
    """Show traces after each cell from the first span on, where this is a notebook."""
    to_tell = default().recorder.on_start
    if _install not in to_tell:
        to_tell.append(_install)


def _install() -> None:
    global collector
    try:
        ipython = sys.modules.get("IPython")  # never imported for this: that takes long
        shell: Any = ipython.get_ipython() if ipython else None
        if collector is None and hasattr(shell, "kernel"):
            shell.events.register("pre_run_cell", _before_cell)
            shell.events.register("post_run_cell", _after_cell)
            collector = deque(maxlen=_KEPT)
            default().recorder.on_root_ended.append(_ended)
    except Exception as error:  # noqa: BLE001 - the guard
        report(error, "preparing the display of traces")


def _ended(trace_id: str) -> None:
    """Note that the root span of a trace has ended."""
    if collector is not None:
        collector.append(trace_id)


def _take() -> list[str]:
    """Empty the collector; other threads may add to it meanwhile."""
    return [collector.popleft() for _ in range(len(collector))] if collector else []


def _before_cell(_info: object = None) -> None:
    """Forget what ended between cells, in the background."""
    global progress
    _take()
    if shown:
        progress = _Progress()


def _after_cell(result: object = None) -> None:
    global progress
    trace_ids = _take()
    try:
        if progress:
            progress.end()
            progress = None
        if shown and trace_ids:
            _show(trace_ids, getattr(result, "result", None))
    except Exception as error:  # noqa: BLE001 - the guard
        report(error, "showing traces in the notebook")


class _Progress:
    """Tells below a long-running cell which spans are open; gone when the cell has ended."""

    def __init__(self) -> None:
        self._context = contextvars.copy_context()  # by which the kernel knows the cell
        self._ended = threading.Event()
        self._shown: Any = None
        self._thread = threading.Thread(target=self._run, name="spanlog progress", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        patience = _LONG
        try:
            while not self._ended.wait(patience):
                patience = _EVERY
                if shown and (words := _doing()):
                    self._context.run(self._tell, words)
        except Exception as error:  # noqa: BLE001 - the guard
            report(error, "showing the progress of a notebook cell")

    def _tell(self, words: str) -> None:
        from IPython.display import display

        # The style of what is faint, in any theme.
        html = f'<div style="opacity:.65">{escape(words)}</div>' if words else ""
        bundle: dict[str, Any] = {"text/html": html, "text/plain": words}
        if self._shown is None:
            self._shown = display(bundle, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._shown.update(bundle, raw=True)

    def end(self) -> None:
        """Take it away."""
        self._ended.set()
        if self._shown is not None:
            self._thread.join(_WAIT)
            self._tell("")


def _doing() -> str:
    """Return which spans are open, from the outermost to the latest, and for how long."""
    from spanlog.display.outline import duration, one_line

    spans = default().recorder.open_spans()
    if not spans:
        return ""
    way, span = [], spans[-1]
    while span is not None:
        way.append(one_line(span.name)[:60])
        span = span.parent  # type: ignore[assignment]
    if len(way) > 4:
        way[2:-1] = ["…"]
    return f"{' → '.join(reversed(way))}  {duration(int(spans[0]._age() * 1e9))}"


def _show(trace_ids: list[str], value: object) -> None:
    """Display traces, but not the one that is the cell's own value."""
    from IPython.display import display

    from spanlog.display import page, tree
    from spanlog.model.trace import Trace

    if isinstance(value, Trace):
        trace_ids = [id_ for id_ in trace_ids if id_ != value.info.trace_id]
    if not trace_ids or not default().flush(_WAIT):
        return
    store = default().store
    traces = [trace for id_ in trace_ids[:_SHOWN] if (trace := store.get(id_))]
    if not traces:
        return
    texts = [tree.render(trace) for trace in traces]
    more = max(len(trace_ids) - _SHOWN, 0)
    if more:
        texts.append(f"and {more:,} more")
    bundle: dict[str, Any] = {
        "text/html": page.render(traces, more),
        "text/plain": "\n\n".join(texts),
    }
    display(bundle, raw=True)  # type: ignore[no-untyped-call]
