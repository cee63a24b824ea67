"""The conformance suite, for Ollama's SDK and a server that answers as Ollama does."""

import json
import types
from typing import ClassVar

import ollama
from spanlog.testing import Library, Reply, libraries, scenarios
from spanlog.testing.suite import *  # noqa: F403 - all tests and what they are given

TEXT = {
    "plain": "Hello there! 你好 🌍 Glad to help.",
    "long": "".join(f"word{number} " for number in range(200)),
}


def router(request):
    asked = request.json
    words = asked["model"].split("-")
    headers = {"content-type": "application/json"}
    if error := scenarios.error(words, request.path, asked):
        status = scenarios.ERRORS[error]
        return Reply(status, headers, json.dumps({"error": f"{status} {error}"}).encode())
    text = TEXT["long" if "long" in words else "plain"]
    last = {"done": True, "done_reason": "stop", "prompt_eval_count": 12, "eval_count": 7}
    if not asked["stream"]:
        return scenarios.whole(200, headers, line(asked, text, **last), words)
    parts = [line(asked, f"{word} ", done=False) for word in text.split(" ")[:-1]]
    parts.append(line(asked, text.split(" ")[-1], **last))
    if "errorevent" in words:
        parts[3:] = [json.dumps({"error": "an error event"}).encode() + b"\n"]
    return scenarios.streamed(headers, parts, words)


def line(asked, text, **more):
    message = {"role": "assistant", "content": text}
    return (
        json.dumps({"model": f"{asked['model']}-2026", "message": message, **more}).encode() + b"\n"
    )


class Ollama(Library):
    name = module = install = "ollama"
    router = staticmethod(router)
    text = TEXT
    patched = ("ollama._client:Client._request", "ollama._client:AsyncClient._request")
    lazy = True  # the request of a stream is sent when it is first read
    picky = True  # pydantic refuses some inputs
    changing = "date"
    not_for_us: ClassVar = {
        "test_a_raw_reply_is_recorded_and_parsed_as_ever": "there are no raw replies",
        "test_a_raw_stream_is_recorded_and_parsed_as_ever": "there are no raw replies",
        "test_a_streaming_response_is_recorded_as_far_as_it_is_read": "there are none",
        "test_replies_and_responses_can_be_pickled": "a stream is a generator",
        "test_garbage_is_freed_as_without_tracing": "a stream gives no response",
        "test_retries_are_one_span": "the SDK does not try again",
    }

    def answered(self, model):
        return f"{model}-2026"

    def client(self, url, *, is_async, retries=0):
        return (ollama.AsyncClient if is_async else ollama.Client)(host=url)

    def leave(self, client):
        return client.close()

    def plain(self, client, model, text="Hi"):
        return client.chat(model, [{"role": "user", "content": text}])

    def stream(self, client, model):
        return client.chat(model, [{"role": "user", "content": "Hi"}], stream=True)

    def stream_type(self, *, is_async):
        return types.AsyncGeneratorType if is_async else types.GeneratorType

    def close(self, stream):
        return stream.aclose() if hasattr(stream, "aclose") else stream.close()

    def text_of(self, reply):
        return reply.message.content

    def text_of_chunk(self, chunk):
        return chunk.message.content

    def text_recorded(self, outputs):
        return outputs["message"]["content"]

    def data(self, reply):
        return reply.model_dump()


library = libraries(Ollama())
