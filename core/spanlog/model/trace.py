"""A trace: all spans that were recorded under one id, and what is known of them together."""

from __future__ import annotations

import datetime as dt
import json
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

import orjson

from spanlog import semconv
from spanlog.characters import printable
from spanlog.model import codec, usage
from spanlog.model.assessments import Assessment
from spanlog.model.span import Span

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")


class TraceState(str, Enum):
    """How a trace stands. INTERRUPTED: its process ended before the trace did."""

    STATE_UNSPECIFIED = "STATE_UNSPECIFIED"
    OK = "OK"
    ERROR = "ERROR"
    IN_PROGRESS = "IN_PROGRESS"
    INTERRUPTED = "INTERRUPTED"


class PagedList(list[T]):
    """A page of what a search found.

    Args:
        items: What is on the page.
        token: What the search takes as `page_token` for the next page; None if this is the last.
    """

    def __init__(self, items: Iterable[T] = (), token: str | None = None) -> None:
        super().__init__(items)
        self.token = token


@dataclass
class Document:
    """One document that a retriever found."""

    page_content: str
    metadata: dict[str, Any] = field(default_factory=dict)
    id: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the document as plain data."""
        return dict(vars(self))


@dataclass(frozen=True)
class Experiment:
    """A named set of traces."""

    experiment_id: str
    name: str


@dataclass
class TraceInfo:
    """What a trace is about, without its spans. Times are in milliseconds since 1970.

    Args:
        trace_id: 32 hex digits.
        experiment_id: The experiment it belongs to.
        request_time: When the first span began.
        state: How it stands.
        execution_duration: How long the root span took; None while it runs.
        name: The root span's name.
        request_preview: The request in at most 1,000 characters.
        response_preview: The response in at most 1,000 characters.
        client_request_id: The id that the caller's own system gave the request.
        trace_metadata: Facts about the trace; `mlflow.trace.session` and `mlflow.trace.user`
            hold the session and the user, under MLflow's keys.
        tags: What may be changed afterwards with `set_trace_tag`.
        assessments: Feedback and expectations.
        token_usage: Sums over the model calls, each counted once (see `spanlog.model.usage`).
        cost: The sums of `Span.cost` in US dollars, over the calls whose prices are known; None
            if none is.
    """

    trace_id: str
    experiment_id: str
    request_time: int
    state: TraceState
    execution_duration: int | None = None
    name: str | None = None
    request_preview: str | None = None
    response_preview: str | None = None
    client_request_id: str | None = None
    trace_metadata: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    assessments: list[Assessment] = field(default_factory=list)
    token_usage: dict[str, int] | None = None
    cost: dict[str, float] | None = None

    @property
    def request_id(self) -> str:
        """The trace id, by MLflow's older name."""
        return self.trace_id

    @property
    def status(self) -> TraceState:
        """The state, by MLflow's older name."""
        return self.state

    @property
    def timestamp_ms(self) -> int:
        """The request time, by MLflow's older name."""
        return self.request_time

    @property
    def execution_time_ms(self) -> int | None:
        """The duration, by MLflow's older name."""
        return self.execution_duration

    @property
    def request_metadata(self) -> dict[str, str]:
        """The metadata, by MLflow's older name."""
        return self.trace_metadata

    def to_dict(self) -> dict[str, Any]:
        """Return the info as plain JSON data."""
        started = dt.datetime.fromtimestamp(self.request_time / 1000, dt.timezone.utc)
        return {
            "trace_id": self.trace_id,
            "experiment_id": self.experiment_id,
            "name": self.name,
            "request_time": started.isoformat(timespec="milliseconds"),
            "state": self.state.value,
            "execution_duration_ms": self.execution_duration,
            "request_preview": self.request_preview,
            "response_preview": self.response_preview,
            "client_request_id": self.client_request_id,
            "trace_metadata": self.trace_metadata,
            "tags": self.tags,
            "cost": self.cost,
            "assessments": [assessment.to_dict() for assessment in self.assessments],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TraceInfo:
        """Return the info that `to_dict` wrote."""
        started = dt.datetime.fromisoformat(data["request_time"])
        return cls(
            trace_id=data["trace_id"],
            experiment_id=data["experiment_id"],
            name=data.get("name"),
            request_time=round(started.timestamp() * 1000),
            state=TraceState(data["state"]),
            execution_duration=data.get("execution_duration_ms"),
            request_preview=data.get("request_preview"),
            response_preview=data.get("response_preview"),
            client_request_id=data.get("client_request_id"),
            trace_metadata=dict(data.get("trace_metadata") or {}),
            tags=dict(data.get("tags") or {}),
            cost=data.get("cost"),
            assessments=[Assessment.from_dict(said) for said in data.get("assessments") or []],
        )


@dataclass
class TraceData:
    """The spans of a trace, in the order in which they began."""

    spans: list[Span] = field(default_factory=list)

    def _root(self) -> Span | None:
        """Return the topmost span that there is: that without a parent, else with one elsewhere."""
        ids = {None, *(span.span_id for span in self.spans)}
        tops = [span for span in self.spans if span.parent_id is None or span.parent_id not in ids]
        return min(tops, key=lambda span: span.parent_id is not None, default=None)

    @property
    def request(self) -> str | None:
        """The root span's inputs as JSON text."""
        root = self._root()
        return root.inputs_json if root else None

    @property
    def response(self) -> str | None:
        """The root span's outputs as JSON text."""
        root = self._root()
        return root.outputs_json if root else None

    def to_dict(self) -> dict[str, Any]:
        """Return the spans as plain JSON data."""
        return {"spans": [span.to_dict() for span in self.spans]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TraceData:
        """Return the spans that `to_dict` wrote."""
        return cls([Span.from_dict(span) for span in data["spans"]])


@dataclass
class Trace:
    """Everything recorded under one trace id.

    `print(trace)` shows it as a tree; in a notebook and with rich it shows itself.
    """

    info: TraceInfo
    data: TraceData

    def __post_init__(self) -> None:
        if self.info.token_usage is None:
            self.info.token_usage = usage.total(self.data.spans)

    @property
    def trace_id(self) -> str:
        """The trace id."""
        return self.info.trace_id

    def search_spans(
        self,
        span_type: str | None = None,
        name: str | re.Pattern[str] | None = None,
        span_id: str | None = None,
    ) -> list[Span]:
        """Return the spans that fit every argument given; a pattern is searched in the name."""

        def fits(span: Span) -> bool:
            if span_type is not None and span.span_type != span_type:
                return False
            if span_id is not None and span.span_id != span_id:
                return False
            if isinstance(name, re.Pattern):
                return name.search(span.name) is not None
            return name is None or span.name == name

        return [span for span in self.data.spans if fits(span)]

    def search_assessments(
        self,
        name: str | None = None,
        span_id: str | None = None,
        all: bool = False,  # noqa: A002 - MLflow's name
        type: str | None = None,  # noqa: A002 - MLflow's name
    ) -> list[Assessment]:
        """Return the assessments that fit every argument given.

        Args:
            name: What they are about.
            span_id: Of which span.
            all: True for those, too, that others have taken the place of.
            type: "feedback" or "expectation".
        """
        return [
            said
            for said in self.info.assessments
            if (name is None or said.name == name)
            and (span_id is None or said.span_id == span_id)
            and (type is None or said.kind == type)
            and (all or said.valid)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return the trace as plain JSON data, which `from_dict` reads back without loss."""
        return {"info": self.info.to_dict(), "data": self.data.to_dict()}

    def to_json(self, pretty: bool = False) -> str:
        """Return the trace as JSON text, which `from_json` reads back without loss."""
        if not pretty:
            return self._to_json(span.to_dict() for span in self.data.spans)
        data = self.to_dict()
        try:
            return orjson.dumps(data, option=orjson.OPT_INDENT_2).decode()
        except orjson.JSONEncodeError:  # nested more than 254 levels deep
            return json.dumps(data, indent=2, ensure_ascii=False)

    def _to_json(self, spans: Iterable[dict[str, Any]]) -> str:
        """Return the trace as JSON text, given its spans as plain data."""
        made = zip(self.data.spans, spans, strict=True)
        data = {"spans": [codec.spliced(span._parts(), plain) for span, plain in made]}
        try:
            return orjson.dumps({"info": codec.json(self.info.to_dict()), "data": data}).decode()
        except orjson.JSONEncodeError:  # a number or a text that only Python knows
            return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Trace:
        """Return the trace that `to_dict` wrote."""
        spans = TraceData.from_dict(data["data"])
        return cls(TraceInfo.from_dict(data["info"]), spans)

    @classmethod
    def from_json(cls, text: str | bytes) -> Trace:
        """Return the trace that `to_json` wrote."""
        return cls.from_dict(orjson.loads(text))

    @staticmethod
    def pandas_dataframe_columns() -> list[str]:
        """Return the names in `to_pandas_dataframe_row`."""
        return [
            "trace_id",
            "trace",
            "client_request_id",
            "state",
            "request_time",
            "execution_duration",
            "request",
            "response",
            "trace_metadata",
            "tags",
            "spans",
            "assessments",
        ]

    def to_pandas_dataframe_row(self) -> dict[str, Any]:
        """Return the trace as a row of the DataFrame that `search_traces` gives.

        `request` and `response` are the very data that `spans` has of the root.
        """
        info, spans = self.info, self.data.to_dict()["spans"]
        root = next((span for span in spans if span["parent_span_id"] is None), None)
        values = (
            info.trace_id,
            self._to_json(spans),
            info.client_request_id,
            info.state.value,
            info.request_time,
            info.execution_duration,
            root and root["inputs"],
            root and root["outputs"],
            info.trace_metadata,
            info.tags,
            spans,
            [said.to_dict() for said in info.assessments],
        )
        return dict(zip(self.pandas_dataframe_columns(), values, strict=True))

    def __str__(self) -> str:
        from spanlog.display.tree import render

        return printable(render(self))

    def __repr__(self) -> str:
        return f"Trace(trace_id={self.info.trace_id!r})"

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from spanlog.display.tree import rich_tree

        yield rich_tree(self, console.encoding)

    def _repr_html_(self) -> str:
        from spanlog.display.page import render

        return render([self])


@dataclass
class Session:
    """A conversation: the traces that share a session id, the oldest first."""

    traces: list[Trace]

    @property
    def id(self) -> str | None:
        """The session id."""
        return self.traces[0].info.trace_metadata.get(semconv.SESSION) if self.traces else None

    def __iter__(self) -> Iterator[Trace]:
        return iter(self.traces)

    def __len__(self) -> int:
        return len(self.traces)

    def __getitem__(self, index: int) -> Trace:
        return self.traces[index]

    def __repr__(self) -> str:
        return printable(f"Session(id={self.id!r})")
