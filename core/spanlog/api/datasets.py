"""Golden sets: what a search found, kept under a name to test programs with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spanlog import config
from spanlog.api.search import find, frame
from spanlog.model.dataset import DatasetRecord
from spanlog.model.trace import Trace
from spanlog.record.recorder import recorder
from spanlog.store import NotFoundError, current_store

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Dataset:
    """A named set of examples, in the order of the search that found them."""

    dataset_id: str
    name: str
    create_time_ms: int
    records: list[DatasetRecord] = field(default_factory=list)

    def __iter__(self) -> Iterator[DatasetRecord]:
        return iter(self.records)

    def __len__(self) -> int:
        return len(self.records)

    def merge_records(self, records: Sequence[Trace] | pd.DataFrame) -> Dataset:
        """Add traces after those that are in it; a trace that is in it already stays as it is.

        Args:
            records: What `search_traces` found.

        Returns:
            This, with all that is in it now.

        Raises:
            StoreError: The dataset or a trace is no longer there.
        """
        self.records = merge(self.name, records).records
        return self

    def to_df(self) -> Any:
        """Return a DataFrame with a row a record.

        Raises:
            ImportError: pandas is not installed.
        """
        columns = ["inputs", "outputs", "expectations", "trace_id"]
        return frame([vars(record) for record in self.records], columns, "to_df")


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
    return Dataset(*current_store().keep(name, [trace.info.trace_id for trace in found]))


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
        return Dataset(*found)
    raise NotFoundError(f"there is no dataset {name!r} in {config.tracking_uri}")


def search_datasets() -> list[Dataset]:
    """Return all datasets, the oldest first."""
    return [Dataset(*found) for found in current_store().datasets()]


def delete_dataset(name: str) -> None:
    """Delete a dataset.

    Raises:
        StoreError: There is none of that name.
    """
    current_store().delete_dataset(name)
