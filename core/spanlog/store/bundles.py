"""A trace with all that belongs to it, as it leaves one store and comes into another."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spanlog.model.span import SpanStatusCode
from spanlog.store import assessed
from spanlog.store.rows import stored_span_row, stored_trace_row
from spanlog.store.schema import assessments, spans, storable, trace_tags, traces

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import sqlalchemy as sa

    from spanlog.model.trace import Trace
    from spanlog.store.filters import Filter, Order
    from spanlog.store.sql import SqlStore

# Traces that are in memory at once: enough that queries are few, and no heavy load.
_PAGE = 100


@dataclass
class Bundle:
    """A trace with all that belongs to it.

    Args:
        trace: The trace, with its spans.
        experiment: The name of its experiment.
        attachments: The SHA-256 of the binary content that it has.
        contents: Binary content by its SHA-256; of several traces that have the same, one brings
            it.
    """

    trace: Trace
    experiment: str
    attachments: list[str] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)

    @property
    def tags(self) -> list[tuple[str, str, str]]:
        """The tags as rows."""
        return self._pairs(self.trace.info.tags)

    @property
    def metadata(self) -> list[tuple[str, str, str]]:
        """The metadata as rows."""
        return self._pairs(self.trace.info.trace_metadata)

    def _pairs(self, pairs: dict[str, str]) -> list[tuple[str, str, str]]:
        id_ = self.trace.info.trace_id
        return [(id_, storable(key), storable(value)) for key, value in pairs.items()]

    def check(self) -> None:
        """See to it that a store takes it.

        Raises:
            ValueError: Something in it is not what it has to be; the message says what.
        """
        info, found = self.trace.info, self.trace.data.spans
        _texts("experiment", self.experiment)
        _texts("attachments", *self.attachments)
        _texts("name", info.name)
        _texts("client_request_id", info.client_request_id)
        _texts("preview", info.request_preview, info.response_preview)
        _texts("tags", *info.tags, *info.tags.values())
        _texts("trace_metadata", *info.trace_metadata, *info.trace_metadata.values())
        _check(traces, stored_trace_row(info, 0))
        for row in (*self.tags, *self.metadata):
            _check(trace_tags, row)
        _distinct("span id", [span.span_id for span in found])
        for span in found:
            SpanStatusCode(span._code)
            _texts("span", span.name, span.span_type, span._message)
            _check(spans, stored_span_row(span))
            if span.trace_id != info.trace_id:
                raise ValueError(f"span {span.span_id} is of another trace")
        _distinct("assessment id", [said.assessment_id for said in info.assessments])
        for said in info.assessments:
            if said.trace_id != info.trace_id:
                raise ValueError(f"assessment {said.assessment_id} is of another trace")
            values = assessed.to_row(said)
            _check(assessments, [values[column.name] for column in assessments.columns])
        for sha256, content in self.contents.items():
            if hashlib.sha256(content).hexdigest() != sha256:
                raise ValueError(f"attachment {sha256} is not what its SHA-256 says")


def bundles(
    store: SqlStore,
    experiment_ids: Sequence[str],
    where: Filter,
    order: Order,
    max_results: int | None = None,
) -> Iterator[Bundle]:
    """Go through the traces that fit a filter, each with all that belongs to it.

    However many there are, a page of them is in memory. Content comes with the first trace
    that has it.
    """
    names = {experiment.experiment_id: experiment.name for experiment in store.experiments()}
    left, token, come = max_results, None, set[str]()
    while left is None or left > 0:
        size = _PAGE if left is None else min(_PAGE, left)
        page = store.search(experiment_ids, where, order, size, token)
        links = store.attachments_of([trace.info.trace_id for trace in page])
        for trace in page:
            has = links.get(trace.info.trace_id, [])
            contents = {sha256: store.attachment(sha256) for sha256 in has if sha256 not in come}
            come.update(has)
            yield Bundle(trace, names[trace.info.experiment_id], has, contents)
        token, left = page.token, None if left is None else left - len(page)
        if token is None:
            return


def _texts(what: str, *values: object) -> None:
    """See to it that values are text, before a row makes them so."""
    for value in values:
        if not isinstance(value, str | None):
            raise ValueError(f"{what} must be str, not {type(value).__name__}")


def _distinct(what: str, ids: list[Any]) -> None:
    if len(set(ids)) < len(ids):
        raise ValueError(f"a {what} is there twice")


def _check(table: sa.Table, row: Iterable[Any]) -> None:
    """See to it that values are of the types of a table's columns."""
    for column, value in zip(table.columns, row, strict=True):
        kind = column.type.python_type
        if value is None:
            if not column.nullable:
                raise ValueError(f"{column.name} is missing")
        elif type(value) is not kind and (kind, type(value)) != (float, int):
            raise ValueError(f"{column.name} must be {kind.__name__}, not {type(value).__name__}")
        elif kind is int and not -(2**63) <= value < 2**63:
            raise ValueError(f"{column.name} is too large: {value}")
