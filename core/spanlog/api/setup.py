"""Where traces are kept, which experiment they belong to, and that they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spanlog import config
from spanlog.runtime import default

if TYPE_CHECKING:
    from spanlog.model.trace import Experiment


def flush(timeout: float = 30.0) -> bool:
    """Wait until all that was recorded so far is in the store.

    Args:
        timeout: How long to wait at most, in seconds.

    Returns:
        False if that could not be done in time, or not at all for now: the store is away.
    """
    return default().flush(timeout)


def flush_trace_async_logging(terminate: bool = False) -> None:  # noqa: ARG001 - MLflow's
    """Do as `flush`, by MLflow's name.

    Args:
        terminate: MLflow's; there is nothing that would have to end.
    """
    flush()


def set_tracking_uri(uri: str) -> None:
    """Keep traces in another place from now on.

    Args:
        uri: A path of a SQLite file, or a database URL.

    Raises:
        StoreError: It cannot be opened; the store stays as it was.
    """
    default().flush()
    default().move(str(uri))


def get_tracking_uri() -> str:
    """Return where traces are kept, as a database URL."""
    return config.database_url(default().settings.tracking_uri)


def set_experiment(
    experiment_name: str | None = None, experiment_id: str | None = None
) -> Experiment:
    """Have new traces belong to an experiment, which is created if there is none of that name.

    Raises:
        ValueError: Neither or both were given.
        StoreError: There is no experiment with that id.
    """
    if (experiment_name is None) == (experiment_id is None):
        raise ValueError("give experiment_name or experiment_id")
    runtime = default()
    found = runtime.store.experiment(experiment_name, experiment_id)
    runtime.settings.experiment = found.name
    return found
