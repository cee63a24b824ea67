"""The data that users read: traces, their spans, and the words used in them.

Names and shapes follow `mlflow.entities`, so that code that reads traces moves over unchanged.
"""

from __future__ import annotations

from spanlog.api.datasets import Dataset
from spanlog.model.assessments import (
    Assessment,
    AssessmentError,
    AssessmentSource,
    AssessmentSourceType,
    Expectation,
    Feedback,
)
from spanlog.model.attachments import Attachment
from spanlog.model.dataset import DatasetRecord
from spanlog.model.messages import ChatMessage, Media, Tool, ToolCall, ToolResult
from spanlog.model.span import Span, SpanEvent, SpanStatus, SpanStatusCode, SpanType
from spanlog.model.trace import (
    Document,
    Experiment,
    PagedList,
    Session,
    Trace,
    TraceData,
    TraceInfo,
    TraceState,
)
from spanlog.record.span import LiveSpan, NoOpSpan

__all__ = [
    "Assessment",
    "AssessmentError",
    "AssessmentSource",
    "AssessmentSourceType",
    "Attachment",
    "ChatMessage",
    "Dataset",
    "DatasetRecord",
    "Document",
    "Expectation",
    "Experiment",
    "Feedback",
    "LiveSpan",
    "Media",
    "NoOpSpan",
    "PagedList",
    "Session",
    "Span",
    "SpanEvent",
    "SpanStatus",
    "SpanStatusCode",
    "SpanType",
    "Tool",
    "ToolCall",
    "ToolResult",
    "Trace",
    "TraceData",
    "TraceInfo",
    "TraceState",
]
