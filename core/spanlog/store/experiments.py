"""Experiments as rows of a store."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from spanlog.model.trace import Experiment
from spanlog.store.dialects import insert
from spanlog.store.errors import NotFoundError
from spanlog.store.schema import experiments, storable, traces

if TYPE_CHECKING:
    from collections.abc import Iterable

_ID = re.compile("[0-9]{1,10}")  # the id of one; Python reads no number of any length


def get_id(connection: sa.Connection, name: str) -> int:
    """Return the id of an experiment, which is made if there is none of that name."""
    known = find_id(connection, name)
    if known is None:
        new = insert(connection.dialect)(experiments).on_conflict_do_nothing()
        connection.execute(new, {"name": storable(name)})
        known = find_id(connection, name)
    assert known is not None
    return known


def find_id(connection: sa.Connection, name: str) -> int | None:
    """Return the id of an experiment, or None if there is none of that name."""
    column = experiments.c.experiment_id
    return connection.scalar(sa.select(column).where(experiments.c.name == storable(name)))


def get(connection: sa.Connection, experiment_id: str) -> Experiment:
    """Return an experiment by its id.

    Raises:
        StoreError: There is none with that id.
    """
    query = sa.select(experiments.c.name).where(
        sa.cast(experiments.c.experiment_id, sa.String) == experiment_id
    )
    found = connection.scalar(query)
    if found is None:
        raise NotFoundError(f"there is no experiment with the id {experiment_id!r}")
    return Experiment(experiment_id, found)


def get_all(connection: sa.Connection) -> list[Experiment]:
    """Return all experiments, the oldest first."""
    query = sa.select(experiments).order_by(experiments.c.experiment_id)
    rows = connection.execute(query).all()
    return [Experiment(str(row.experiment_id), row.name) for row in rows]


def in_experiments(ids: Iterable[str], column: Any = traces.c.experiment_id) -> Any:
    """Return the condition that a trace belongs to one of some experiments."""
    numbers = [int(id_) for id_ in ids if _ID.fullmatch(str(id_))]
    return column.in_([number for number in numbers if number < 2**31])
