"""The libraries that are measured, each behind the same few methods, each in its own process.

All keep nothing outside this machine: spanlog and MLflow write a SQLite file, the others hand
their batches to an exporter that forgets them, which leaves out what their real exporters cost.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from pathlib import Path

Function = Callable[..., Any]


class Tracer:
    """A tracing library. What it does not offer raises NotImplementedError."""

    name: ClassVar[str]
    imports: ClassVar[str]  # what a program that uses it imports, for the time that this takes
    slow: ClassVar[bool] = False  # it needs tens of milliseconds to store a trace

    def __init__(self, folder: Path) -> None: ...

    def trace(self, function: Function) -> Any:
        """Return the function so that its calls are recorded with inputs and outputs."""
        raise NotImplementedError

    def off(self) -> AbstractContextManager[object]:
        """Return a context in which nothing is recorded."""
        raise NotImplementedError

    def openai(self, on: bool) -> None:
        """Record the calls of the OpenAI SDK, or leave them alone."""
        raise NotImplementedError

    def library(self, name: str, on: bool) -> None:
        """Record the calls of a library, by spanlog's name of it, or leave them alone."""
        raise NotImplementedError

    def langchain(self, on: bool) -> None:
        """Record what LangChain and LangGraph run, or leave them alone."""
        raise NotImplementedError

    def flush(self) -> None: ...


class Spanlog(Tracer):
    name = "spanlog"
    imports = "import spanlog; spanlog.trace"

    def __init__(self, folder: Path) -> None:
        import spanlog

        self.lib = spanlog
        spanlog.set_tracking_uri(str(folder / "spanlog.db"))

    def trace(self, function: Function) -> Any:
        return self.lib.trace(function)

    def off(self) -> AbstractContextManager[object]:
        return _switched(self.lib.tracing.disable, self.lib.tracing.enable)

    def openai(self, on: bool) -> None:
        self.lib.openai.autolog(log_traces=on)

    def library(self, name: str, on: bool) -> None:
        getattr(self.lib, name).autolog(log_traces=on)

    def langchain(self, on: bool) -> None:
        self.lib.langchain.autolog(log_traces=on)

    def flush(self) -> None:
        assert self.lib.flush()


class OpenTelemetry(Tracer):
    """Spans by hand, as there is no decorator that records inputs: they go in as JSON."""

    name = "opentelemetry-sdk"
    imports = (
        "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider; "
        "from opentelemetry.sdk.trace.export import BatchSpanProcessor"
    )

    def __init__(self, folder: Path) -> None:
        from opentelemetry.sdk.trace import TracerProvider

        self.provider = _batching(TracerProvider())
        self.tracer = self.provider.get_tracer("bench")

    def trace(self, function: Function) -> Any:
        def traced(*args: Any) -> Any:
            with self.tracer.start_as_current_span(function.__name__) as span:
                if not span.is_recording():
                    return function(*args)
                span.set_attribute("input.value", json.dumps(args))
                result = function(*args)
                span.set_attribute("output.value", json.dumps(result))
                return result

        return traced

    @contextmanager
    def off(self) -> Any:
        from opentelemetry.trace import NoOpTracer

        self.tracer, tracer = NoOpTracer(), self.tracer
        yield
        self.tracer = tracer

    def flush(self) -> None:
        self.provider.force_flush()


class OpenInference(Tracer):
    name = "openinference"
    imports = "import openinference.instrumentation; import openinference.instrumentation.openai"

    def __init__(self, folder: Path) -> None:
        from openinference.instrumentation import TracerProvider, suppress_tracing
        from openinference.instrumentation.openai import OpenAIInstrumentor

        self.provider, self.suppressed = _batching(TracerProvider()), suppress_tracing
        self.instrumentor: Any = OpenAIInstrumentor()

    def trace(self, function: Function) -> Any:
        return self.provider.get_tracer("bench").chain(function)

    def off(self) -> AbstractContextManager[object]:
        return self.suppressed()

    def openai(self, on: bool) -> None:
        if on:
            self.instrumentor.instrument(tracer_provider=self.provider)
        else:
            self.instrumentor.uninstrument()

    def langchain(self, on: bool) -> None:
        try:
            from openinference.instrumentation.langchain import LangChainInstrumentor
        except ImportError:
            raise NotImplementedError from None
        instrumentor: Any = LangChainInstrumentor()
        if on:
            instrumentor.instrument(tracer_provider=self.provider)
        else:
            instrumentor.uninstrument()

    def flush(self) -> None:
        self.provider.force_flush()


class Langfuse(Tracer):
    name = "langfuse"
    imports = "from langfuse import observe"

    def __init__(self, folder: Path) -> None:
        import langfuse

        self.lib: Any = langfuse
        self.client = langfuse.Langfuse(
            public_key="pk", secret_key="sk", base_url="http://[::1]:9", span_exporter=_forgetful()
        )

    def trace(self, function: Function) -> Any:
        return self.lib.observe()(function)

    def openai(self, on: bool) -> None:
        """Importing its module patches for good, so the patches are exchanged by hand."""
        from openai.resources.chat import AsyncCompletions, Completions

        if not hasattr(self, "patches"):
            found = [(kind, kind.create) for kind in (Completions, AsyncCompletions)]
            import langfuse.openai  # noqa: F401

            self.patches = [(kind, (plain, kind.create)) for kind, plain in found]
        for kind, creates in self.patches:
            setattr(kind, "create", creates[on])  # noqa: B010

    def flush(self) -> None:
        self.client.flush()


class Mlflow(Tracer):
    name = "mlflow"
    imports = "import mlflow; mlflow.trace"
    slow = True

    def __init__(self, folder: Path) -> None:
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder / 'mlflow.db'}"
        import mlflow
        import mlflow.version

        if mlflow.version.IS_TRACING_SDK_ONLY:
            raise ImportError("mlflow-tracing keeps nothing locally; mlflow does")
        self.lib: Any = mlflow

    def trace(self, function: Function) -> Any:
        return self.lib.trace(function)

    def off(self) -> AbstractContextManager[object]:
        return _switched(self.lib.tracing.disable, self.lib.tracing.enable)

    def openai(self, on: bool) -> None:
        self.lib.openai.autolog(disable=not on, silent=True)

    def langchain(self, on: bool) -> None:
        self.lib.langchain.autolog(disable=not on, silent=True)

    def flush(self) -> None:
        self.lib.flush_trace_async_logging()


@contextmanager
def _switched(off: Callable[[], object], on: Callable[[], object]) -> Any:
    off()
    yield
    on()


def _forgetful() -> Any:
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Forgetful(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            return SpanExportResult.SUCCESS

    return Forgetful()


def _batching(provider: Any) -> Any:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider.add_span_processor(BatchSpanProcessor(_forgetful()))
    return provider


TRACERS: dict[str, type[Tracer]] = {
    kind.name: kind for kind in (Spanlog, OpenTelemetry, OpenInference, Langfuse, Mlflow)
}
