"""Binary content as rows of a store: once each, whoever has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from spanlog.store.database import name_of
from spanlog.store.dialects import insert
from spanlog.store.errors import NotFoundError
from spanlog.store.rows import in_chunks
from spanlog.store.schema import attachments, dataset_attachments, storable, trace_attachments

if TYPE_CHECKING:
    from spanlog.store.rows import Attached


def put(connection: sa.Connection, attached: Attached) -> None:
    """Add the content that is not there yet, and which trace has which."""
    insert_new = insert(connection.dialect)
    new = insert_new(attachments).on_conflict_do_nothing()
    links = insert_new(trace_attachments).on_conflict_do_nothing()
    for chunk in in_chunks(sorted(attached.contents)):
        known = sa.select(attachments.c.sha256).where(attachments.c.sha256.in_(chunk))
        there = set(connection.scalars(known))
        for sha256 in chunk:
            if sha256 not in there:
                row = {"sha256": sha256, "content": attached.contents[sha256]}
                connection.execute(new, row)
    if attached.links:
        rows = [{"trace_id": id_, "sha256": sha256} for id_, sha256 in sorted(attached.links)]
        connection.execute(links, rows)


def has(connection: sa.Connection, sha256: str) -> bool:
    """Say whether content is there."""
    query = sa.select(attachments.c.sha256).where(attachments.c.sha256 == sha256)
    return connection.scalar(query) is not None


def get(connection: sa.Connection, sha256: str) -> bytes:
    """Return content by its SHA-256.

    Raises:
        StoreError: It is not there.
    """
    query = sa.select(attachments.c.content).where(attachments.c.sha256 == storable(sha256))
    found: bytes | None = connection.scalar(query)
    if found is None:
        raise NotFoundError(f"there is no attachment {sha256} in {name_of(connection)}")
    return found


def delete_unused(connection: sa.Connection) -> None:
    """Delete the content that nothing has any more."""
    column = attachments.c.sha256
    used = [
        sa.select(table.c.sha256).where(table.c.sha256 == column).exists()
        for table in (trace_attachments, dataset_attachments)
    ]
    connection.execute(sa.delete(attachments).where(~sa.or_(*used)))
