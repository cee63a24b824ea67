"""What it costs to take secrets out of a span, on the writer's thread.

`python -m tests.benchmarks.redaction` prints microseconds of CPU a span, and megabytes a second.
"""

from __future__ import annotations

import time
import timeit
from typing import Any

from spanlog.model.capture import capture
from spanlog.model.span import Span
from spanlog.record.redact import Redactor

TEXT = "What do the authors say about keyboards, and what does it cost in tokens? "
REPLY = {
    "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5q",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT, "refusal": None}}],
    "usage": {"prompt_tokens": 19, "completion_tokens": 10, "total_tokens": 29},
}
FACTS = {"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 19, "server.address": "x"}


def _messages(times: int) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": TEXT * times}]}


def _headers(times: int) -> dict[str, Any]:
    return {**_messages(times), "extra_headers": {"x-api-key": "kq7Zw2nV9xR4tB"}}


CASES = {
    "a number": 1,
    "a question": _messages(1),
    "2 kB": _messages(27),
    "20 kB": _messages(270),
    "10 MB": _messages(135_000),
    "a question, a key": _headers(1),
    "2 kB, a key": _headers(27),
    "20 kB, a key": _headers(270),
    "10 MB, a key": _headers(135_000),
}


def main() -> None:
    """Print the table."""
    redactor = Redactor()
    for name, value in CASES.items():
        inputs, outputs = capture(value), capture(REPLY)

        def clean(inputs: bytes = inputs, outputs: bytes = outputs) -> None:
            span = Span._stored(
                "t", "s", None, "chat gpt-4o", "CHAT_MODEL", 1, 2, "OK", "", None, None, FACTS, []
            )
            span._inputs, span._outputs = inputs, outputs
            redactor.clean(span, set())

        repeat = 5 if len(inputs) > 1_000_000 else 500
        rounds = timeit.repeat(clean, number=1, repeat=repeat, timer=time.process_time)
        seconds = min(rounds)
        size = (len(inputs) + len(outputs)) / 1e6
        print(f"{name:20} {seconds * 1e6:12,.1f} us {size / seconds:8,.0f} MB/s")


if __name__ == "__main__":
    main()
