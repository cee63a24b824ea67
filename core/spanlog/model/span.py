"""A span: one operation that was recorded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from spanlog import semconv
from spanlog.characters import printable
from spanlog.model import codec, messages, prices, usage
from spanlog.model.attachments import Attachment, Contents, references
from spanlog.model.codec import Parts
from spanlog.model.event import SpanEvent

if TYPE_CHECKING:
    from spanlog.model.messages import ChatMessage, Tool

__all__ = ["Span", "SpanEvent", "SpanStatus", "SpanStatusCode", "SpanType"]


class SpanType:
    """What kind of work a span is; any other string is allowed too."""

    LLM = "LLM"
    CHAT_MODEL = "CHAT_MODEL"
    CHAIN = "CHAIN"
    AGENT = "AGENT"
    TOOL = "TOOL"
    RETRIEVER = "RETRIEVER"
    PARSER = "PARSER"
    EMBEDDING = "EMBEDDING"
    RERANKER = "RERANKER"
    MEMORY = "MEMORY"
    WORKFLOW = "WORKFLOW"
    TASK = "TASK"
    GUARDRAIL = "GUARDRAIL"
    EVALUATOR = "EVALUATOR"
    UNKNOWN = "UNKNOWN"


class SpanStatusCode(str, Enum):
    """How a span ended, in OpenTelemetry's words. UNSET: it has not."""

    UNSET = "UNSET"
    OK = "OK"
    ERROR = "ERROR"


@dataclass(frozen=True)
class SpanStatus:
    """How a span ended, and for an error why."""

    status_code: SpanStatusCode
    description: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "status_code", SpanStatusCode(self.status_code))


class Span:
    """A recorded span, as read back from the store or from JSON. It does not change."""

    __slots__ = (
        "__weakref__",
        "_attributes",
        "_code",
        "_contents",
        "_events",
        "_inputs",
        "_message",
        "_outputs",
        "end_time_ns",
        "name",
        "parent_id",
        "span_id",
        "span_type",
        "start_time_ns",
        "trace_id",
    )

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    span_type: str
    start_time_ns: int
    end_time_ns: int | None
    _inputs: bytes | str | None
    _outputs: bytes | str | None
    _attributes: dict[str, Any]
    _events: list[SpanEvent]
    _code: str
    _message: str
    _contents: Contents | None  # where the binary content is, of a span out of a store

    @classmethod
    def _stored(
        cls,
        trace_id: str,
        span_id: str,
        parent_id: str | None,
        name: str,
        span_type: str,
        start_time_ns: int,
        end_time_ns: int | None,
        code: str,
        message: str,
        inputs: bytes | str | None,
        outputs: bytes | str | None,
        attributes: dict[str, Any],
        events: list[SpanEvent],
        contents: Contents | None = None,
    ) -> Span:
        """Return a span from what the store holds of it."""
        span = cls.__new__(cls)
        span.trace_id = trace_id
        span.span_id = span_id
        span.parent_id = parent_id
        span.name = name
        span.span_type = span_type
        span.start_time_ns = start_time_ns
        span.end_time_ns = end_time_ns
        span._code = code
        span._message = message
        span._inputs = inputs
        span._outputs = outputs
        span._attributes = attributes
        span._events = events
        span._contents = contents
        return span

    @property
    def request_id(self) -> str:
        """The trace id, by MLflow's older name."""
        return self.trace_id

    @property
    def inputs(self) -> Any:
        """What went in, as plain JSON data of the caller's own: each access parses it anew.

        It is the JSON text itself where that cannot be read, for instance nested too deeply.
        """
        return codec.plain(self._inputs)

    @property
    def outputs(self) -> Any:
        """What came out, as plain JSON data of the caller's own: each access parses it anew.

        It is the JSON text itself where that cannot be read.
        """
        self._settle()
        return codec.plain(self._outputs)

    @property
    def inputs_json(self) -> str | None:
        """What went in, as JSON text."""
        return codec.as_text(self._inputs)

    @property
    def outputs_json(self) -> str | None:
        """What came out, as JSON text."""
        self._settle()
        return codec.as_text(self._outputs)

    @property
    def attachments(self) -> list[Attachment]:
        """The binary content that inputs and outputs of a stored span refer to."""
        texts = (self.inputs_json, self.outputs_json)
        contents = getattr(self, "_contents", None)  # neither has one that runs or was pickled
        return list(dict.fromkeys(one for text in texts for one in references(text, contents)))

    @property
    def attributes(self) -> dict[str, Any]:
        """A copy of the attributes, as plain JSON data."""
        self._settle()
        return dict(self._attributes)

    def get_attribute(self, key: str) -> Any:
        """Return one attribute; None where it is not set."""
        self._settle()
        return self._attributes.get(key)

    @property
    def events(self) -> list[SpanEvent]:
        """A copy of the list of events."""
        self._settle()
        return list(self._events)

    @property
    def status(self) -> SpanStatus:
        """How the span ended."""
        self._settle()
        return SpanStatus(SpanStatusCode(self._code), self._message)

    @property
    def duration_ns(self) -> int | None:
        """How long it took, in nanoseconds; None while it runs."""
        return None if self.end_time_ns is None else self.end_time_ns - self.start_time_ns

    @property
    def usage(self) -> dict[str, int] | None:
        """Token counts by the names of `spanlog.model.usage`; None where none are known."""
        self._settle()
        return usage.read(self._attributes)

    @property
    def model(self) -> str | None:
        """The model that answered, or where that is not known the model that was asked."""
        self._settle()
        get = self._attributes.get
        return get(semconv.RESPONSE_MODEL) or get(semconv.REQUEST_MODEL)

    @property
    def note(self) -> str | None:
        """What a tree shows of it beside its name: what is asked of someone who is waited for."""
        self._settle()
        found = self._attributes.get(semconv.NOTE)
        return found if isinstance(found, str) else None

    @property
    def chat_messages(self) -> list[ChatMessage]:
        """What was said, read the same whatever the provider: what was sent, then the answer."""
        of_model = self.span_type in messages.MODELS
        return messages.read(self.inputs, self.outputs, of_model=of_model)

    @property
    def tools(self) -> list[Tool]:
        """The tools that were offered to the model."""
        return messages.read_tools(self.get_attribute(semconv.TOOL_DEFINITIONS), self.inputs)

    @property
    def cost(self) -> dict[str, float] | None:
        """What the call cost in US dollars: `input_cost`, `output_cost` and `total_cost`.

        None where that is not known; it takes the extra `prices`.
        """
        used = self.usage
        provider = self._attributes.get(semconv.PROVIDER_NAME)
        return prices.cost(self.model, provider, used) if used else None

    @property
    def llm_cost(self) -> dict[str, float] | None:
        """The cost, by MLflow's name."""
        return self.cost

    @property
    def model_name(self) -> str | None:
        """The model, by MLflow's name."""
        return self.model

    def _settle(self) -> None:
        """Have all of it read; a span that was recorded has been."""

    def _parts(self) -> Parts:
        """Return what it is made of, as it is now and stays in what is returned."""
        return Parts(
            self.trace_id,
            self.span_id,
            self.parent_id,
            self.name,
            self.span_type,
            self.start_time_ns,
            self.end_time_ns,
            self._code,
            self._message,
            self._inputs,
            self._outputs,
            dict(self._attributes),
            list(self._events),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the span as plain JSON data, which `from_dict` reads back without loss."""
        self._settle()
        return codec.to_dict(self._parts())

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Span:
        """Return the span that `to_dict` wrote."""
        return Span._stored(*codec.from_dict(data))

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        """Leave behind what belongs to this process: the store."""
        names = [name for kind in type(self).__mro__ for name in getattr(kind, "__slots__", ())]
        kept = [name for name in names if name not in ("__weakref__", "_contents")]
        return None, {name: getattr(self, name) for name in kept if hasattr(self, name)}

    def __repr__(self) -> str:
        return printable(f"{type(self).__name__}(name={self.name!r}, span_id={self.span_id!r})")
