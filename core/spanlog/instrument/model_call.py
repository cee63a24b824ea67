"""A call of a model: what most providers' SDKs need no more than two readers for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spanlog import semconv
from spanlog.instrument.call import TracedCall
from spanlog.instrument.spans import begin_span
from spanlog.model.capture import decode, wire
from spanlog.model.span import SpanType
from spanlog.record.span import LiveSpan
from spanlog.record.streams import Watch, Worked

Json = dict[str, Any]


class ModelCall(TracedCall):
    """A call of a model that answers with an object, or with a stream of objects.

    An integration derives a class from this that says what is read of a reply, and how the chunks
    of a stream are put together.

    Args:
        provider: Who is asked, by OpenTelemetry's name where it has one (`gen_ai.provider.name`).
        model: The model that is asked.
        inputs: The request, as it goes over the wire.
        operation: What the span's name begins with (`gen_ai.operation.name`).
        span_type: From `SpanType`.
    """

    def __init__(
        self,
        provider: str,
        model: str | None,
        inputs: Any,
        *,
        operation: str = "chat",
        span_type: str = SpanType.CHAT_MODEL,
    ) -> None:
        facts = {
            semconv.OPERATION_NAME: operation,
            semconv.PROVIDER_NAME: provider,
            semconv.REQUEST_MODEL: model,
        }
        name = f"{operation} {model}" if model else operation
        super().__init__(begin_span(name, span_type, inputs, facts))

    def read(self, span: LiveSpan, reply: Json) -> None:
        """Record facts of a reply: which model answered, why it stopped, its usage.

        Called off the program's thread, before the span is written.
        """

    def fold(self, chunks: Sequence[Json]) -> Json:
        """Return the reply that the chunks of a stream, at least one, spell out."""
        return {"chunks": list(chunks)}

    def on_response(self, result: Any) -> Any:
        """Record the reply and end the span; that of a stream ends with the stream."""
        if hasattr(type(result), "__next__") or hasattr(type(result), "__anext__"):
            watch = Watch(self.span, self._read_stream, keep=wire, fail=self._stream_failed)
            return Worked(result, watch)
        outputs = wire(result)
        self.span._read_later(lambda span: self._read(span, decode(outputs)))
        self.span._finish(outputs)
        return result

    def on_error(self, error: BaseException) -> None:
        """Record the error and, where it has one, the HTTP status, and end the span."""
        self.span.set_attribute(semconv.ERROR_TYPE, type(error).__name__)
        status = getattr(error, "status_code", None)
        if isinstance(status, int):
            self.span.set_attribute(semconv.HTTP_RESPONSE_STATUS_CODE, status)
        self.span._fail(error)

    def _stream_failed(self, _span: LiveSpan, error: BaseException) -> None:
        self.on_error(error)

    def _read_stream(self, span: LiveSpan, chunks: list[bytes], stopped: bool) -> None:
        span.set_attribute(semconv.STREAM_CHUNKS, len(chunks))
        if stopped:
            span.set_attribute(semconv.STREAM_COMPLETED, False)
        if chunks:
            reply = self.fold([decode(chunk) for chunk in chunks])
            span.set_outputs(reply)
            self._read(span, reply)

    def _read(self, span: LiveSpan, reply: Any) -> None:
        if isinstance(reply, dict):
            self.read(span, reply)
