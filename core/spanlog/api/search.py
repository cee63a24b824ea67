"""Find traces again, tag them, delete them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from spanlog.model.attachments import Attachment
from spanlog.model.trace import Trace
from spanlog.runtime import default
from spanlog.safety import logger
from spanlog.store.filters import parse_filter, parse_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from spanlog.model.span import Span
    from spanlog.model.trace import PagedList, Session
    from spanlog.runtime import Runtime


def get_trace(
    trace_id: str | None = None,
    silent: bool = False,
    flush: bool = True,  # noqa: ARG001 - MLflow's: it is always done
    request_id: str | None = None,
) -> Trace | None:
    """Return a trace with all that was recorded of it until now.

    Args:
        trace_id: Its id.
        silent: True to give no warning where there is none.
        flush: MLflow's: what was recorded until now is there in any case.
        request_id: The trace id, by MLflow's older name.

    Returns:
        The trace, or None if there is none with that id.
    """
    return read(default(), trace_id or request_id or "", silent=silent)


def read(runtime: Runtime, trace_id: str, *, silent: bool = False) -> Trace | None:
    """Do as `get_trace`."""
    runtime.flush()
    found = runtime.store.get(trace_id)
    if found is None and not silent:
        uri = runtime.settings.tracking_uri
        logger.warning("spanlog: there is no trace %s in %s", trace_id, uri)
    return found


def get_attachment(reference: str) -> bytes:
    """Return the binary content that stands as a reference in a span's inputs or outputs.

    Args:
        reference: `attachment:sha256-...`, as it stands there; or the SHA-256 alone.

    Raises:
        StoreError: The store does not have it.
    """
    default().flush()
    known = Attachment.of(reference)
    return default().store.attachment(known.sha256 if known else reference)


@overload
def search_traces(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str | None = ...,
    max_results: int | None = ...,
    order_by: Sequence[str] | None = ...,
    *,
    return_type: Literal["list"],
    include_spans: bool = ...,
    locations: Sequence[str] | None = ...,
    flush: bool = ...,
) -> list[Trace]: ...
@overload
def search_traces(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str | None = ...,
    max_results: int | None = ...,
    order_by: Sequence[str] | None = ...,
    *,
    return_type: Literal["pandas"],
    include_spans: bool = ...,
    locations: Sequence[str] | None = ...,
    flush: bool = ...,
) -> pd.DataFrame: ...
@overload
def search_traces(
    experiment_ids: Sequence[str] | None = ...,
    filter_string: str | None = ...,
    max_results: int | None = ...,
    order_by: Sequence[str] | None = ...,
    return_type: None = ...,
    include_spans: bool = ...,
    locations: Sequence[str] | None = ...,
    flush: bool = ...,
) -> Any: ...
def search_traces(
    experiment_ids: Sequence[str] | None = None,
    filter_string: str | None = None,
    max_results: int | None = None,
    order_by: Sequence[str] | None = None,
    return_type: Literal["pandas", "list"] | None = None,
    include_spans: bool = True,
    locations: Sequence[str] | None = None,
    flush: bool = True,  # noqa: ARG001 - MLflow's: it is always done
) -> Any:
    """Find traces.

    Args:
        experiment_ids: Of which experiments; of the current one by default.
        filter_string: Comparisons joined by AND, OR, NOT and parentheses, like
            `"status = 'ERROR' AND (tags.env = 'prod' OR span.duration_ms > 500)"`. The README
            names the fields and the operators.
        max_results: How many at most; all by default.
        order_by: Like `["execution_time_ms DESC"]`; the newest first by default.
        return_type: "pandas" for a DataFrame with a row a trace, "list" for a list of `Trace`.
            A DataFrame by default where pandas is installed, else a list.
        include_spans: False to leave the spans out, which makes a long list light.
        locations: The experiment ids, by MLflow's newer name.
        flush: MLflow's: what was recorded until now is found in any case.

    Raises:
        FilterError: The filter or the order does not parse.
        ValueError: `return_type` is something else.
        ImportError: A DataFrame was asked for and pandas is not installed.
    """
    kind = _kind(return_type)
    ids = locations if experiment_ids is None else experiment_ids
    found = find(default(), ids, filter_string, max_results, order_by, None, include_spans)
    if kind == "list":
        return found
    rows = [trace.to_pandas_dataframe_row() for trace in found]
    return frame(rows, Trace.pandas_dataframe_columns(), "search_traces(return_type='pandas')")


def find(
    runtime: Runtime,
    experiment_ids: Sequence[str] | None = None,
    filter_string: str | None = None,
    max_results: int | None = None,
    order_by: Sequence[str] | None = None,
    page_token: str | None = None,
    include_spans: bool = True,
) -> PagedList[Trace]:
    """Return what `search_traces` finds as a list that knows where the next page begins."""
    where, order = parse_filter(filter_string), parse_order(order_by or ())
    runtime.flush()
    return runtime.store.search(
        experiments_or_current(runtime, experiment_ids),
        where,
        order,
        max_results,
        page_token,
        include_spans=include_spans,
    )


def search_spans(
    experiment_ids: Sequence[str] | None = None,
    filter_string: str | None = None,
    max_results: int | None = None,
    order_by: Sequence[str] | None = None,
    return_type: Literal["pandas", "list"] | None = None,
) -> Any:
    """Find spans: what `search_traces` does, with a row a span.

    Args:
        experiment_ids: Of which experiments; of the current one by default.
        filter_string: The language of `search_traces`; all that is said of a span is said of the
            one in the row: `"span.type = 'TOOL' AND span.duration_ms > 500 AND status = 'OK'"`.
        max_results: How many at most; all by default.
        order_by: Like `["span.tokens DESC"]`; the newest first by default.
        return_type: "pandas" for a DataFrame, "list" for a list of `Span`. A DataFrame by default
            where pandas is installed, else a list.

    Raises:
        FilterError: The filter or the order does not parse.
        ValueError: `return_type` is something else.
        ImportError: A DataFrame was asked for and pandas is not installed.
    """
    kind = _kind(return_type)
    found = find_spans(default(), experiment_ids, filter_string, max_results, order_by)
    if kind == "list":
        return found
    return frame(
        [_span_row(span) for span in found], _SPAN_COLUMNS, "search_spans(return_type='pandas')"
    )


def find_spans(
    runtime: Runtime,
    experiment_ids: Sequence[str] | None = None,
    filter_string: str | None = None,
    max_results: int | None = None,
    order_by: Sequence[str] | None = None,
    page_token: str | None = None,
) -> PagedList[Span]:
    """Return what `search_spans` finds as a list that knows where the next page begins."""
    where = parse_filter(filter_string, of_spans=True)
    order = parse_order(order_by or (), of_spans=True)
    runtime.flush()
    ids = experiments_or_current(runtime, experiment_ids)
    return runtime.store.search_spans(ids, where, order, max_results, page_token)


def search_sessions(
    max_results: int | None = 100,
    filter_string: str | None = None,
    include_spans: bool = True,
    locations: Sequence[str] | None = None,
) -> list[Session]:
    """Find conversations: the traces that share a session id, the latest conversation first.

    Args:
        max_results: How many at most.
        filter_string: Only those with a trace that fits, in the language of `search_traces`.
        include_spans: False to leave the spans out.
        locations: The ids of the experiments; that of the current one by default.

    Raises:
        FilterError: The filter does not parse.
    """
    return find_sessions(default(), max_results, filter_string, include_spans, locations)


def find_sessions(
    runtime: Runtime,
    max_results: int | None,
    filter_string: str | None,
    include_spans: bool,
    experiment_ids: Sequence[str] | None,
) -> list[Session]:
    """Do as `search_sessions`."""
    where = parse_filter(filter_string)
    runtime.flush()
    ids = experiments_or_current(runtime, experiment_ids)
    return runtime.store.sessions(ids, where, max_results, include_spans=include_spans)


def experiments_or_current(runtime: Runtime, ids: Sequence[str] | None) -> Sequence[str]:
    """Return the ids of the experiments to look into: those given, or that of the current one."""
    if ids is not None:
        return ids
    current = runtime.store.find_experiment(runtime.settings.experiment)
    return [] if current is None else [current]


def _kind(return_type: str | None) -> str:
    if return_type is None:
        return "list" if _pandas() is None else "pandas"
    if return_type not in ("pandas", "list"):
        raise ValueError(f'return_type must be "pandas" or "list", not {return_type!r}')
    return return_type


def frame(rows: Sequence[dict[str, Any]], columns: Sequence[str], asked: str) -> pd.DataFrame:
    """Return rows as a DataFrame.

    Args:
        rows: The rows.
        columns: Which columns, in their order.
        asked: The call that needs it.

    Raises:
        ImportError: pandas is not installed.
    """
    pandas = _pandas()
    if pandas is None:
        raise ImportError(f"{asked} needs pandas: pip install 'spanlog[pandas]'")
    frame: pd.DataFrame = pandas.DataFrame(rows, columns=columns)
    return frame


def _pandas() -> Any:
    try:
        import pandas as pd
    except ImportError:
        return None
    return pd


_SPAN_COLUMNS = [
    "trace_id",
    "span_id",
    "parent_id",
    "name",
    "span_type",
    "status",
    "start_time_ns",
    "duration_ms",
    "model",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "inputs",
    "outputs",
    "attributes",
    "events",
]


def _span_row(span: Span) -> dict[str, Any]:
    took, data = span.duration_ns, span.to_dict()
    return {
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "name": span.name,
        "span_type": span.span_type,
        "status": span.status.status_code.value,
        "start_time_ns": span.start_time_ns,
        "duration_ms": None if took is None else took / 1e6,
        "model": span.model,
        **(span.usage or {}),
        **{name: data[name] for name in ("inputs", "outputs", "attributes", "events")},
    }


def set_trace_tag(
    trace_id: str | None = None, key: str = "", value: str = "", request_id: str | None = None
) -> None:
    """Set a tag of a trace. Of one that is not recorded, as while tracing is off, it does nothing.

    Raises:
        StoreError: There is no such trace.
    """
    set_tag(default(), trace_id or request_id, key, value)


def set_tag(runtime: Runtime, trace_id: str | None, key: str, value: str) -> None:
    """Do as `set_trace_tag`."""
    if not runtime.recorder.is_left_out(trace_id):
        runtime.flush()
        runtime.store.set_tag(trace_id or "", key, str(value))


def delete_trace_tag(
    trace_id: str | None = None, key: str = "", request_id: str | None = None
) -> None:
    """Remove a tag of a trace. Of one that is not recorded it does nothing.

    Raises:
        StoreError: There is no such trace or no such tag.
    """
    delete_tag(default(), trace_id or request_id, key)


def delete_tag(runtime: Runtime, trace_id: str | None, key: str) -> None:
    """Do as `delete_trace_tag`."""
    if not runtime.recorder.is_left_out(trace_id):
        runtime.flush()
        runtime.store.delete_tag(trace_id or "", key)


def delete_traces(
    experiment_id: str | None = None,
    max_timestamp_millis: int | None = None,
    max_traces: int | None = None,
    trace_ids: Sequence[str] | None = None,
    request_ids: Sequence[str] | None = None,
) -> int:
    """Delete traces, the oldest first.

    Args:
        experiment_id: Only those of this experiment.
        max_timestamp_millis: Only those that began then or before, in milliseconds since 1970.
        max_traces: So many at most.
        trace_ids: Only these.
        request_ids: The trace ids, by MLflow's older name.

    Returns:
        How many were deleted.

    Raises:
        ValueError: Nothing says which.
    """
    ids = request_ids if trace_ids is None else trace_ids
    return delete(default(), experiment_id, max_timestamp_millis, max_traces, ids)


def delete(
    runtime: Runtime,
    experiment_id: str | None,
    max_timestamp_millis: int | None,
    max_traces: int | None,
    trace_ids: Sequence[str] | None,
) -> int:
    """Do as `delete_traces`."""
    if experiment_id is None and max_timestamp_millis is None and trace_ids is None:
        raise ValueError("say which: give experiment_id, max_timestamp_millis or trace_ids")
    runtime.flush()
    return runtime.store.delete(experiment_id, max_timestamp_millis, max_traces, trace_ids)
