"""A stand-in for the model: an HTTP server on this machine that answers like OpenAI's."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_THINKING = 0.15  # seconds, so that the tree has durations to show


@contextmanager
def serve(cities: list[str]) -> Generator[str]:
    """Run the server inside a `with` block; gives the base URL for the SDK.

    Args:
        cities: The cities that it recognises in a question.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(_THINKING)
            body = json.dumps(_completion(request, cities)).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("x-request-id", "req_demo")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


def _completion(request: dict[str, Any], cities: list[str]) -> dict[str, Any]:
    """Answer as a model does: first with tool calls, then with a text made of their results."""
    messages = request["messages"]
    results = [json.loads(m["content"]) for m in messages if m["role"] == "tool"]
    question = messages[0]["content"].lower()
    asked = [city.title() for city in cities if city in question] or ["Paris"]
    if results:
        known = [f"{r['city']}: {r['sky']}, {r['celsius']} °C" for r in results]
        message: dict[str, Any] = {"role": "assistant", "content": ". ".join(known) + "."}
    else:
        calls = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": "get_weather", "arguments": json.dumps({"city": city})},
            }
            for number, city in enumerate(asked, 1)
        ]
        message = {"role": "assistant", "content": None, "tool_calls": calls}
    asked_tokens, answered_tokens = len(json.dumps(request)) // 4, len(json.dumps(message)) // 4
    return {
        "id": "chatcmpl-demo",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": f"{request['model']}-2024-07-18",
        "choices": [
            {
                "index": 0,
                "message": message,
                "logprobs": None,
                "finish_reason": "stop" if results else "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": asked_tokens,
            "completion_tokens": answered_tokens,
            "total_tokens": asked_tokens + answered_tokens,
        },
    }
