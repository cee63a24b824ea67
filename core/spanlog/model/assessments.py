"""What people, code and judges say of a trace or a span: feedback, and what was expected."""

from __future__ import annotations

import datetime as dt
import time
import traceback
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from spanlog.model.capture import capture, decode, safe_str

if TYPE_CHECKING:
    from collections.abc import Mapping


class AssessmentSourceType:
    """Who assesses."""

    HUMAN = "HUMAN"
    LLM_JUDGE = "LLM_JUDGE"
    AI_JUDGE = LLM_JUDGE  # its former name
    CODE = "CODE"
    SOURCE_TYPE_UNSPECIFIED = "SOURCE_TYPE_UNSPECIFIED"


_SOURCE_TYPES = {
    name: value for name, value in vars(AssessmentSourceType).items() if name.isupper()
}


@dataclass
class AssessmentSource:
    """Who or what made an assessment.

    Args:
        source_type: One of `AssessmentSourceType`, in capitals or not.
        source_id: Which one: a person's address, a judge's model, a program's path.

    Raises:
        ValueError: There is no such source type.
    """

    source_type: str
    source_id: str | None = "default"

    def __post_init__(self) -> None:
        known = _SOURCE_TYPES.get(str(self.source_type).upper())
        if known is None:
            raise ValueError(
                f"source_type must be one of {', '.join(_SOURCE_TYPES)}, not {self.source_type!r}"
            )
        self.source_type = known


@dataclass
class AssessmentError:
    """Why there is no value: what went wrong when it was to be found."""

    error_code: str
    error_message: str | None = None
    stack_trace: str | None = None

    @classmethod
    def from_exception(cls, error: BaseException) -> AssessmentError:
        """Return what is to be said of an error."""
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        return cls(type(error).__name__, safe_str(error), safe_str("".join(lines)))


def _now() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class Assessment:
    """One thing that is said of a trace or of a span of it: a `Feedback` or an `Expectation`.

    Args:
        name: What it is about, like "correctness".
        value: What is said: a bool, number, text, list or dict.
        source: Who says so.
        trace_id: Of which trace.
        span_id: Of which span; None if it is about the trace as a whole.
        rationale: Why.
        metadata: Facts about it.
        error: Why there is no value.
        assessment_id: Its id.
        create_time_ms: When it was made, in milliseconds since 1970.
        last_update_time_ms: When it was last changed.
        overrides: The id of the assessment that it takes the place of.
        valid: False once another has taken its place.
    """

    kind: ClassVar[str] = ""
    default_source: ClassVar[str] = AssessmentSourceType.CODE

    name: str = ""
    value: Any = None
    error: AssessmentError | None = None
    source: AssessmentSource = None  # type: ignore[assignment]  # `default_source` by default
    trace_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    span_id: str | None = None
    create_time_ms: int = field(default_factory=_now)
    last_update_time_ms: int = field(default_factory=_now)
    rationale: str | None = None
    overrides: str | None = None
    valid: bool = True
    assessment_id: str | None = None

    def __post_init__(self) -> None:
        self.name = self.name or self.kind
        if isinstance(self.error, BaseException):
            self.error = AssessmentError.from_exception(self.error)
        self.source = self.source or AssessmentSource(self.default_source)
        self.value = decode(capture(self.value))
        self.metadata = {safe_str(k): safe_str(v) for k, v in (self.metadata or {}).items()}

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON data, which `from_dict` reads back."""
        said: dict[str, Any] = {"value": self.value}
        if self.error:
            said["error"] = asdict(self.error)
        return {
            "assessment_id": self.assessment_id,
            "assessment_name": self.name,
            "trace_id": self.trace_id,
            "span_id": self.span_id,
            "source": asdict(self.source),
            "create_time": _iso(self.create_time_ms),
            "last_update_time": _iso(self.last_update_time_ms),
            self.kind: said,
            "rationale": self.rationale,
            "metadata": self.metadata,
            "overrides": self.overrides,
            "valid": self.valid,
        }

    to_dictionary = to_dict

    @property
    def feedback(self) -> Assessment | None:
        """This, if it is feedback: for MLflow, its value and error are one level further down."""
        return self if self.kind == "feedback" else None

    @property
    def expectation(self) -> Assessment | None:
        """This, if it is an expectation: as `feedback`."""
        return self if self.kind == "expectation" else None

    @property
    def error_code(self) -> str | None:
        """The kind of error because of which there is no value."""
        return self.error.error_code if self.error else None

    @property
    def error_message(self) -> str | None:
        """What was wrong."""
        return self.error.error_message if self.error else None

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Assessment:
        """Return the assessment that `to_dict` wrote."""
        kind = next(kind for kind in KINDS if kind in data)
        error = data[kind].get("error")
        return KINDS[kind](
            name=data["assessment_name"],
            value=data[kind].get("value"),
            error=AssessmentError(**error) if error else None,
            source=AssessmentSource(**data["source"]),
            trace_id=data["trace_id"],
            metadata=data.get("metadata") or {},
            span_id=data.get("span_id"),
            create_time_ms=_milliseconds(data["create_time"]),
            last_update_time_ms=_milliseconds(data["last_update_time"]),
            rationale=data.get("rationale"),
            overrides=data.get("overrides"),
            valid=data.get("valid", True),
            assessment_id=data.get("assessment_id"),
        )

    from_dictionary = from_dict


class Feedback(Assessment):
    """How good something was."""

    kind = "feedback"


class Expectation(Assessment):
    """What should have come out."""

    kind = "expectation"
    default_source = AssessmentSourceType.HUMAN


KINDS: dict[str, type[Assessment]] = {"feedback": Feedback, "expectation": Expectation}


def _iso(milliseconds: int) -> str:
    moment = dt.datetime.fromtimestamp(milliseconds / 1000, dt.timezone.utc)
    return moment.isoformat(timespec="milliseconds")


def _milliseconds(iso: str) -> int:
    return round(dt.datetime.fromisoformat(iso).timestamp() * 1000)
