"""A user's program, to be checked against the built wheel."""

import statistics
from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING

import spanlog
from spanlog.client import MlflowClient
from spanlog.entities import Document, LiveSpan, SpanType, Trace

if TYPE_CHECKING:
    from typing_extensions import assert_type

spanlog.autolog(log_traces=True, silent=True)
spanlog.openai.autolog(log_traces=False)
spanlog.threads.autolog(disable=True)


@spanlog.trace
def plain(x: int, y: str = "") -> float:
    return x / len(y)


@spanlog.trace(name="tool", span_type=SpanType.TOOL, attributes={"a": 1})
async def tool(city: str) -> dict[str, int]:
    return {city: 1}


@spanlog.trace(output_reducer=len)
def words() -> Generator[str]:
    yield "a"


@spanlog.trace
async def more() -> AsyncGenerator[int]:
    yield 1


mean = spanlog.trace(statistics.mean)


class Agent:
    @spanlog.trace(span_type=SpanType.AGENT)
    def run(self, question: str) -> list[Document]:
        return [Document(question)]


async def main() -> None:
    with spanlog.start_span("work", span_type=SpanType.CHAIN) as span:
        span.set_inputs({"a": 1})
        spanlog.update_current_trace(tags={"a": "b"}, session_id="s")
    found = spanlog.get_trace(span.trace_id)
    if TYPE_CHECKING:
        assert_type(span, LiveSpan)
        assert_type(found, Trace | None)
        assert_type(plain(1, y="a"), float)
        assert_type(await tool("a"), dict[str, int])
        assert_type(words(), Generator[str])
        assert_type(Agent().run("a"), list[Document])
        assert_type(spanlog.search_traces(return_type="list"), list[Trace])
    MlflowClient().set_trace_tag(span.trace_id, "a", "b")
