"""Golden sets: what a search found, kept under a name to test programs with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spanlog.api.search import find, frame
from spanlog.model.dataset import DatasetRecord
from spanlog.model.trace import Trace
from spanlog.runtime import Runtime, default
from spanlog.store.errors import NotFoundError

if TYPE_CHECKING:
    import pandas as pd


@dataclass
class Dataset:
    """A named set of examples, in the order of the search that found them."""

    dataset_id: str
    name: str
    create_time_ms: int
    records: list[DatasetRecord] = field(default_factory=list)
    _runtime: Runtime | None = field(default=None, repr=False, compare=False)

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
        runtime = self._runtime or default()
        runtime.flush()
        traces = records if isinstance(records, Sequence) else records["trace_id"]
        ids = [one.trace_id if isinstance(one, Trace) else str(one) for one in traces]
        runtime.store.keep_more(self.name, ids)
        self.records = read(runtime, self.name).records
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
    runtime = default()
    found = find(runtime, experiment_ids, filter_string, max_results, order_by, include_spans=False)
    ids = [trace.info.trace_id for trace in found]
    return Dataset(*runtime.store.keep(name, ids), _runtime=runtime)


def get_dataset(name: str) -> Dataset:
    """Return a dataset by its name.

    Raises:
        StoreError: There is none.
    """
    return read(default(), name)


def read(runtime: Runtime, name: str) -> Dataset:
    """Do as `get_dataset`."""
    for found in runtime.store.datasets(name):
        return Dataset(*found, _runtime=runtime)
    raise NotFoundError(f"there is no dataset {name!r} in {runtime.settings.tracking_uri}")


def search_datasets() -> list[Dataset]:
    """Return all datasets, the oldest first."""
    runtime = default()
    return [Dataset(*found, _runtime=runtime) for found in runtime.store.datasets()]


def delete_dataset(name: str) -> None:
    """Delete a dataset.

    Raises:
        StoreError: There is none of that name.
    """
    default().store.delete_dataset(name)
