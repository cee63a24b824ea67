"""Golden sets: what a search found, kept under a name to test programs with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spanlog import config
from spanlog.entities import Trace
from spanlog.recorder import recorder
from spanlog.search import find
from spanlog.store import NotFoundError, current_store

if TYPE_CHECKING:
    import pandas as pd

    from spanlog.entities import Dataset


def create_dataset(
    name: str,
    experiment_ids: Sequence[str] | None = None,
    filter_string: str | None = None,
    max_results: int | None = None,
    order_by: Sequence[str] | None = None,
) -> Dataset:
    """Keep what a search finds: inputs, outputs and expectations of each trace.

    They are copies: they stay as they are when the traces change or are deleted.

    Args:
        name: What it shall be called.
        experiment_ids: Of which experiments; of the current one by default.
        filter_string: Which traces, in the language of `search_traces`.
        max_results: How many at most; all by default.
        order_by: In which order; the newest first by default.

    Raises:
        FilterError: The filter or the order does not parse.
        StoreError: There is a dataset of that name.
    """
    found = find(experiment_ids, filter_string, max_results, order_by, include_spans=False)
    return current_store().keep(name, [trace.info.trace_id for trace in found])


def merge(name: str, records: Sequence[Trace] | pd.DataFrame) -> Dataset:
    """Do as `Dataset.merge_records`."""
    recorder.flush()
    traces = records if isinstance(records, Sequence) else records["trace_id"]
    ids = [one.trace_id if isinstance(one, Trace) else str(one) for one in traces]
    current_store().keep_more(name, ids)
    return get_dataset(name)


def get_dataset(name: str) -> Dataset:
    """Return a dataset by its name.

    Raises:
        StoreError: There is none.
    """
    for found in current_store().datasets(name):
        return found
    raise NotFoundError(f"there is no dataset {name!r} in {config.tracking_uri}")


def search_datasets() -> list[Dataset]:
    """Return all datasets, the oldest first."""
    return current_store().datasets()


def delete_dataset(name: str) -> None:
    """Delete a dataset.

    Raises:
        StoreError: There is none of that name.
    """
    current_store().delete_dataset(name)
