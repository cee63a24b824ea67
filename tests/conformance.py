"""The libraries that the conformance suite (`spanlog.testing`) runs for.

A library describes its calls in a subclass of `Library` and is put in `DESCRIBED`; each test of
the suite then runs for it, with its sync and with its async client.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import types
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import spanlog
from mistral_calls import package
from spanlog.testing import Calls, Library

from fixtures import (
    anthropic_routes,
    bedrock_routes,
    gemini_routes,
    groq_routes,
    mistral_routes,
    openai_routes,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fixtures.loopback import Reply, Request


class OpenAI(Library):
    name = module = install = "openai"
    router = staticmethod(openai_routes.router)
    text = openai_routes.TEXT
    patched = (
        "openai._base_client:SyncAPIClient.request",
        "openai._base_client:AsyncAPIClient.request",
    )

    def client(self, url: str, *, is_async: bool, retries: int = 0) -> Any:
        import openai

        make = openai.AsyncOpenAI if is_async else openai.OpenAI
        return make(api_key="sk-conformance", base_url=f"{url}/v1", max_retries=retries)

    def plain(self, client: Any, model: str, text: object = "Hi") -> Any:
        messages = [{"role": "user", "content": text}]
        return client.chat.completions.create(model=model, messages=messages)

    def stream(self, client: Any, model: str) -> Any:
        messages = [{"role": "user", "content": "Hi"}]
        usage = {"stream_options": {"include_usage": True}}
        create = client.chat.completions.create
        return create(model=model, messages=messages, stream=True, extra_body=usage)

    def raw(self, client: Any, model: str, *, stream: bool = False) -> Any:
        messages = [{"role": "user", "content": "Hi"}]
        create = client.chat.completions.with_raw_response.create
        return create(model=model, messages=messages, stream=stream)

    def streaming_response(self, client: Any, model: str) -> Any:
        completions = client.chat.completions
        if not hasattr(completions, "with_streaming_response"):
            return None
        messages = [{"role": "user", "content": "Hi"}]
        return completions.with_streaming_response.create(model=model, messages=messages)

    def stream_type(self, *, is_async: bool) -> type:
        import openai

        return openai.AsyncStream if is_async else openai.Stream

    def close(self, stream: Any) -> Any:
        is_async = hasattr(type(stream), "__anext__")
        return stream.response.aclose() if is_async else stream.response.close()

    def http_response(self, stream: Any) -> Any:
        return stream.response

    def text_of(self, reply: Any) -> str:
        return str(reply.choices[0].message.content)

    def text_of_chunk(self, chunk: Any) -> str:
        return "".join(choice.delta.content or "" for choice in chunk.choices)

    def text_recorded(self, outputs: Any) -> str:
        return str(outputs["choices"][0]["message"]["content"])

    def data(self, reply: Any) -> Any:
        return reply.model_dump()


class Groq(OpenAI):
    name = module = install = "groq"
    router = staticmethod(groq_routes.router)
    text = groq_routes.TEXT
    patched = (
        "groq._base_client:SyncAPIClient.request",
        "groq._base_client:AsyncAPIClient.request",
    )

    def client(self, url: str, *, is_async: bool, retries: int = 0) -> Any:
        import groq

        make = groq.AsyncGroq if is_async else groq.Groq
        return make(api_key="gsk-conformance", base_url=url, max_retries=retries)

    def stream_type(self, *, is_async: bool) -> type:
        import groq

        return groq.AsyncStream if is_async else groq.Stream


class Anthropic(Library):
    name = module = install = "anthropic"
    router = staticmethod(anthropic_routes.router)
    text = anthropic_routes.TEXT
    patched = (
        "anthropic._base_client:SyncAPIClient.request",
        "anthropic._base_client:AsyncAPIClient.request",
    )

    def answered(self, model: str) -> str:
        return f"{model}-20260101"

    def client(self, url: str, *, is_async: bool, retries: int = 0) -> Any:
        import anthropic

        make = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
        return make(api_key="sk-ant-conformance", base_url=url, max_retries=retries)

    @staticmethod
    def asked(model: str, text: object = "Hi") -> dict[str, Any]:
        messages = [{"role": "user", "content": text}]
        return {"model": model, "max_tokens": 9, "messages": messages}

    def plain(self, client: Any, model: str, text: object = "Hi") -> Any:
        return client.messages.create(**self.asked(model, text))

    def stream(self, client: Any, model: str) -> Any:
        return client.messages.create(**self.asked(model), stream=True)

    def raw(self, client: Any, model: str, *, stream: bool = False) -> Any:
        return client.messages.with_raw_response.create(**self.asked(model), stream=stream)

    def streaming_response(self, client: Any, model: str) -> Any:
        return client.messages.with_streaming_response.create(**self.asked(model))

    def stream_type(self, *, is_async: bool) -> type:
        import anthropic

        return anthropic.AsyncStream if is_async else anthropic.Stream

    def close(self, stream: Any) -> Any:
        return stream.close()

    def http_response(self, stream: Any) -> Any:
        return stream.response

    def text_of(self, reply: Any) -> str:
        return "".join(block.text for block in reply.content)

    def text_of_chunk(self, chunk: Any) -> str:
        return getattr(getattr(chunk, "delta", None), "text", "")

    def text_recorded(self, outputs: Any) -> str:
        return "".join(block["text"] for block in outputs["content"])

    def data(self, reply: Any) -> Any:
        return reply.model_dump()


class AnthropicBedrock(Anthropic):
    """The same through Bedrock, whose streams are frames of AWS."""

    form = "bedrock"
    changing = "idempotency-key|authorization|x-amz-date"
    router = staticmethod(bedrock_routes.router)
    text = bedrock_routes.TEXT

    def answered(self, model: str) -> str:
        return model

    def client(self, url: str, *, is_async: bool, retries: int = 0) -> Any:
        pytest.importorskip("botocore")
        import anthropic

        make = anthropic.AsyncAnthropicBedrock if is_async else anthropic.AnthropicBedrock
        return make(
            aws_access_key="AKIACONFORMANCE",
            aws_secret_key="conformance-secret",
            aws_region="us-east-1",
            base_url=url,
            max_retries=retries,
        )

    @staticmethod
    def asked(model: str, text: object = "Hi") -> dict[str, Any]:
        return Anthropic.asked(model.replace("errorevent", "exc"), text)


class Mistral(Library):
    """Chat. One client is sync and async; the first versions give generators as streams."""

    name = "mistral"
    module = install = "mistralai"
    router = staticmethod(mistral_routes.router)
    text = mistral_routes.TEXT
    refused = r"4\d\d|500|without having called `read"  # 1.0.0 cannot tell of an error of a stream
    not_for_us: ClassVar[Mapping[str, str]] = dict.fromkeys(
        (
            "test_a_raw_reply_is_recorded_and_parsed_as_ever",
            "test_a_raw_stream_is_recorded_and_parsed_as_ever",
        ),
        "Mistral's SDK has no raw replies",
    )

    package = staticmethod(package)

    @property
    def patched(self) -> Sequence[str]:
        chat, base = self.package(".chat"), self.package(".basesdk")
        methods = ("complete", "stream", "parse", "parse_stream")
        names = [name for method in methods for name in (method, f"{method}_async")]
        return [
            *(f"{chat.__name__}:Chat.{name}" for name in names if hasattr(chat.Chat, name)),
            f"{base.__name__}:BaseSDK.do_request",
            f"{base.__name__}:BaseSDK.do_request_async",
        ]

    def client(self, url: str, *, is_async: bool, retries: int = 0) -> Any:
        httpx, utils = self.package(".basesdk").httpx, self.package(".utils")
        clients = {"client": httpx.Client(), "async_client": httpx.AsyncClient()}
        if retries:  # it tries for so long, not so often: at 0, 0.4 and 0.8 seconds
            if importlib.metadata.version("mistralai") == "1.0.0":
                pytest.skip("1.0.0 fails when it tries again")
            backoff = utils.BackoffStrategy(400, 400, 1, 400 * retries - 200)
            clients["retry_config"] = utils.RetryConfig("backoff", backoff, False)
        sdk = self.package().Mistral(
            api_key="mistral-conformance", server_url=f"{url}/mistral", **clients
        )
        return types.SimpleNamespace(sdk=sdk, is_async=is_async, **clients)

    async def leave(self, client: Any) -> None:
        client.client.close()
        await client.async_client.aclose()

    def caller(self, client: Any) -> Any:
        return client.sdk.chat

    def plain(self, client: Any, model: str, text: object = "Hi") -> Any:
        chat = client.sdk.chat
        complete = chat.complete_async if client.is_async else chat.complete
        return complete(model=model, messages=[{"role": "user", "content": text}])

    def stream(self, client: Any, model: str) -> Any:
        chat = client.sdk.chat
        stream = chat.stream_async if client.is_async else chat.stream
        return stream(model=model, messages=[{"role": "user", "content": "Hi"}])

    def streaming_response(self, client: Any, model: str) -> Any:
        return None

    def stream_type(self, *, is_async: bool) -> type:
        streams, name = self.package(".utils.eventstreaming"), "EventStream"
        old = types.AsyncGeneratorType if is_async else types.GeneratorType
        kind: type = getattr(streams, f"{name}Async" if is_async else name, old)
        return kind

    def close(self, stream: Any) -> Any:
        response = self.http_response(stream)
        return response.aclose() if hasattr(type(stream), "__anext__") else response.close()

    def http_response(self, stream: Any) -> Any:
        frame = getattr(stream, "gi_frame", None) or getattr(stream, "ag_frame", None)
        return frame.f_locals["response"] if frame else stream.response

    def text_of(self, reply: Any) -> str:
        return str(reply.choices[0].message.content)

    def text_of_chunk(self, chunk: Any) -> str:
        return "".join(choice.delta.content or "" for choice in chunk.data.choices)

    def text_recorded(self, outputs: Any) -> str:
        return str(outputs["choices"][0]["message"]["content"])

    def data(self, reply: Any) -> Any:
        return reply.model_dump()


class Bedrock(Library):
    """Converse; a sync client is boto3's, an async one aiobotocore's."""

    name = "bedrock"
    module = install = "boto3"
    form = method = "converse"
    refused = "Exception"
    changing = "amz-sdk-invocation-id|amz-sdk-request|authorization|x-amz-date"
    router = staticmethod(bedrock_routes.router)
    text = bedrock_routes.TEXT
    not_for_us: ClassVar[Mapping[str, str]] = dict.fromkeys(
        (
            "test_a_raw_reply_is_recorded_and_parsed_as_ever",
            "test_a_raw_stream_is_recorded_and_parsed_as_ever",
            "test_replies_and_responses_can_be_pickled",
        ),
        "botocore has no raw replies, and its HTTP responses cannot be pickled",
    )

    @property
    def patched(self) -> Sequence[str]:
        found = ["botocore.client:BaseClient._make_api_call"]
        if importlib.util.find_spec("aiobotocore"):
            found.append("aiobotocore.client:AioBaseClient._make_api_call")
        return found

    def answered(self, model: str) -> str:
        return model

    def client(self, url: str, *, is_async: bool, retries: int = 0) -> Any:
        make = self.async_client if is_async else boto3_session().client
        config = importlib.import_module("botocore.config").Config(
            retries={"max_attempts": retries}, max_pool_connections=64
        )
        client = make(
            "bedrock-runtime",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="AKIACONFORMANCE",
            aws_secret_access_key="conformance-secret",
            config=config,
        )
        if not hasattr(client, self.method):
            pytest.skip(f"this version has no {self.method}")
        return client

    @staticmethod
    def async_client(*args: Any, **kwargs: Any) -> Any:
        session = pytest.importorskip("aiobotocore.session").get_session()
        client = at_once(session._create_client(*args, **kwargs))
        return at_once(client.__aenter__())

    def model(self, model: str) -> str:
        return model.replace("errorevent", "exc")

    def plain(self, client: Any, model: str, text: object = "Hi") -> Any:
        messages = [{"role": "user", "content": [{"text": text}]}]
        return client.converse(modelId=self.model(model), messages=messages)

    def stream(self, client: Any, model: str) -> Any:
        messages = [{"role": "user", "content": [{"text": "Hi"}]}]
        return self.of(
            client.converse_stream(modelId=self.model(model), messages=messages), "stream"
        )

    @staticmethod
    def of(reply: Any, name: str) -> Any:
        """Return a member of a reply, or of one that has to be awaited."""

        async def later() -> Any:
            return (await reply)[name]

        return later() if inspect.isawaitable(reply) else reply[name]

    def streaming_response(self, client: Any, model: str) -> Any:
        return None

    def stream_type(self, *, is_async: bool) -> type:
        module = "aiobotocore.eventstream" if is_async else "botocore.eventstream"
        name = "AioEventStream" if is_async else "EventStream"
        kind: type = getattr(importlib.import_module(module), name)
        return kind

    def close(self, stream: Any) -> Any:
        return stream.close()

    def http_response(self, stream: Any) -> Any:
        return getattr(stream._raw_stream, "__wrapped__", stream._raw_stream)

    def text_of(self, reply: Any) -> str:
        return str(reply["output"]["message"]["content"][0]["text"])

    def text_of_chunk(self, chunk: Any) -> str:
        return str(chunk.get("contentBlockDelta", {}).get("delta", {}).get("text", ""))

    def text_recorded(self, outputs: Any) -> str:
        content = outputs["output"]["message"]["content"]
        return "".join(block["text"] for block in content)

    def data(self, reply: Any) -> Any:
        return reply


class BedrockInvoke(Bedrock):
    """InvokeModel of a model of Anthropic's; the body of a whole reply is read at once."""

    form = method = "invoke_model"

    def ask(self, text: object) -> object:
        if not isinstance(text, (str, int, float, type(None))):
            return text  # as the body itself
        return json.dumps({"messages": [{"role": "user", "content": text}], "max_tokens": 9})

    def plain(self, client: Any, model: str, text: object = "Hi") -> Any:
        reply = client.invoke_model(modelId=self.model(model), body=self.ask(text))
        if not inspect.isawaitable(reply):
            return json.loads(reply["body"].read())

        async def later() -> Any:
            return json.loads(await (await reply)["body"].read())

        return later()

    def stream(self, client: Any, model: str) -> Any:
        invoke = client.invoke_model_with_response_stream
        return self.of(invoke(modelId=self.model(model), body=self.ask("Hi")), "body")

    def answered(self, model: str) -> str:
        return self.model(model)

    def text_of(self, reply: Any) -> str:
        return str(reply["content"][0]["text"])

    def text_of_chunk(self, chunk: Any) -> str:
        return str(json.loads(chunk["chunk"]["bytes"]).get("delta", {}).get("text", ""))

    def text_recorded(self, outputs: Any) -> str:
        return "".join(block["text"] for block in outputs["content"])


class Gemini(Library):
    """`generate_content`; its streams are generators, and its replies give no HTTP response."""

    name = "gemini"
    module = "google.genai"
    install = "google-genai"
    router = staticmethod(gemini_routes.router)
    text = gemini_routes.TEXT
    lazy = picky = True
    not_for_us: ClassVar[Mapping[str, str]] = dict.fromkeys(
        (
            "test_a_raw_reply_is_recorded_and_parsed_as_ever",
            "test_a_raw_stream_is_recorded_and_parsed_as_ever",
            "test_replies_and_responses_can_be_pickled",
        ),
        "there are no raw replies, and its streams cannot be pickled",
    )

    @property
    def patched(self) -> Sequence[str]:
        requests = ("request", "request_streamed", "async_request", "async_request_streamed")
        places = {
            "_api_client:ApiClient": requests,
            "_api_client:BaseApiClient": requests,
            "models:Models": ("generate_content", "generate_content_stream"),
            "models:AsyncModels": ("generate_content", "generate_content_stream"),
            "chats:Chat": ("send_message", "send_message_stream"),
            "chats:AsyncChat": ("send_message", "send_message_stream"),
            "_adapters:McpToGenAiToolAdapter": ("call_tool",),
            "_interactions._base_client:SyncAPIClient": ("request",),
            "_interactions._base_client:AsyncAPIClient": ("request",),
            "_gaos.basesdk:BaseSDK": ("do_request",),
            "_gaos.basesdk:AsyncBaseSDK": ("do_request_async",),
        }
        found = []
        for place, names in places.items():
            module, _, kind = place.partition(":")
            with contextlib.suppress(ModuleNotFoundError):
                if hasattr(importlib.import_module(f"google.genai.{module}"), kind):
                    found += [f"google.genai.{place}.{name}" for name in names]
        utils = importlib.import_module("google.genai._extra_utils")
        functions = ("invoke_function_from_dict_args", "invoke_function_from_dict_args_async")
        found += [f"{utils.__name__}:{name}" for name in functions if hasattr(utils, name)]
        return found

    def client(self, url: str, *, is_async: bool, retries: int = 0) -> Any:
        from google import genai

        options: dict[str, Any] = {"base_url": url}
        if not self.is_first():
            waits = {"initial_delay": 0.001, "max_delay": 0.01, "jitter": 0.001}
            options["retry_options"] = {"attempts": retries + 1, **waits}
        elif retries:
            pytest.skip("this version does not retry")
        client = genai.Client(api_key="AIza-conformance", http_options=options)
        return client.aio if is_async else client

    def leave(self, client: Any) -> Any:
        return getattr(client, "aclose", getattr(client, "close", lambda: None))()

    def caller(self, client: Any) -> Any:
        return client._api_client

    def can_be_cancelled(self) -> bool:
        return not self.is_first()  # which waits in threads, or has the loop wait

    @staticmethod
    def is_first() -> bool:
        return importlib.metadata.version("google-genai").startswith("1.0.")

    def plain(self, client: Any, model: str, text: object = "Hi") -> Any:
        return client.models.generate_content(model=model, contents=text)

    def stream(self, client: Any, model: str) -> Any:
        if "errorevent" in model and self.is_first():
            pytest.skip("this version passes over errors in a stream")
        return client.models.generate_content_stream(model=model, contents="Hi")

    def streaming_response(self, client: Any, model: str) -> Any:
        return None

    def stream_type(self, *, is_async: bool) -> type:
        return types.AsyncGeneratorType if is_async else types.GeneratorType

    def close(self, stream: Any) -> Any:
        async def close() -> None:
            await stream.aclose()
            await Calls.collect()  # what is inside, the loop closes

        return close() if hasattr(stream, "aclose") else stream.close()

    def http_response(self, stream: Any) -> Any:
        return stream

    def text_of(self, reply: Any) -> str:
        content = reply.candidates[0].content if reply.candidates else None
        return "".join(part.text or "" for part in (content and content.parts) or ())

    def text_of_chunk(self, chunk: Any) -> str:
        return self.text_of(chunk)

    def text_recorded(self, outputs: Any) -> str:
        return "".join(part["text"] for part in outputs["candidates"][0]["content"]["parts"])

    def data(self, reply: Any) -> Any:
        return reply.model_dump(exclude={"sdk_http_response"})


class GeminiInteractions(Gemini):
    """Interactions, in the versions that have them."""

    form = "interactions"
    lazy = False
    until_text = 5
    not_for_us: ClassVar[Mapping[str, str]] = {
        "test_an_error_reply_is_one_failed_span": "an error is recorded as it is on the wire",
    }

    def client(self, url: str, *, is_async: bool, retries: int = 0) -> Any:
        if not importlib.util.find_spec("google.genai.interactions"):
            pytest.skip("this version has no interactions")
        if "_interactions" in self.stream_type(is_async=is_async).__module__:
            retries -= 1  # what these versions take for the number of retries is that of attempts
        return super().client(url, is_async=is_async, retries=retries)

    def plain(self, client: Any, model: str, text: object = "Hi") -> Any:
        return client.interactions.create(model=model, input=text)

    def stream(self, client: Any, model: str) -> Any:
        return client.interactions.create(model=model, input="Hi", stream=True)

    def raw(self, client: Any, model: str, *, stream: bool = False) -> Any:
        create = client.interactions.with_raw_response.create
        return create(model=model, input="Hi", stream=stream)

    def streaming_response(self, client: Any, model: str) -> Any:
        return client.interactions.with_streaming_response.create(model=model, input="Hi")

    def stream_type(self, *, is_async: bool) -> type:
        for module in ("_interactions._streaming", "_gaos.utils.eventstreaming"):
            with contextlib.suppress(ModuleNotFoundError):
                streams: Any = importlib.import_module(f"google.genai.{module}")
        kind: type = streams.AsyncStream if is_async else streams.Stream
        return kind

    def close(self, stream: Any) -> Any:
        is_async = hasattr(type(stream), "__anext__")
        return stream.response.aclose() if is_async else stream.response.close()

    def http_response(self, stream: Any) -> Any:
        return stream.response

    def text_of(self, reply: Any) -> str:
        return self.text_recorded(self.data(reply))

    def text_of_chunk(self, chunk: Any) -> str:
        return str((self.data(chunk).get("delta") or {}).get("text", ""))

    def text_recorded(self, outputs: Any) -> str:
        steps = outputs.get("steps") or [{}]
        return "".join(part["text"] for part in steps[-1].get("content") or ())

    def data(self, reply: Any) -> Any:
        return reply.model_dump()


@functools.cache
def boto3_session() -> Any:
    """Return a session that keeps what it has loaded for the next client."""
    return importlib.import_module("boto3").Session()


def at_once(work: Any) -> Any:
    """Return the result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("it waits")


class LiteLLM(Library):
    """LiteLLM over OpenAI's wire.

    Its streams name the model that was asked; here the server does so too.
    """

    name = module = install = "litellm"
    refused = "Error"
    text = openai_routes.TEXT
    patched = (  # beside the functions whose code is changed; test_litellm.py has those
        "litellm.router:Router.function_with_fallbacks",
        "litellm.router:Router.async_function_with_fallbacks",
        "concurrent.futures.thread:ThreadPoolExecutor.submit",
    )
    not_for_us: ClassVar[Mapping[str, str]] = {
        **dict.fromkeys(
            (
                "test_a_raw_reply_is_recorded_and_parsed_as_ever",
                "test_a_raw_stream_is_recorded_and_parsed_as_ever",
                "test_a_streaming_response_is_recorded_as_far_as_it_is_read",
                "test_replies_and_responses_can_be_pickled",
            ),
            "there are no raw replies",
        ),
        "test_a_function_kept_from_before_off_is_untraced_afterwards": "there is no client",
        "test_garbage_is_freed_as_without_tracing": "its streams are cycles, and a proxy is none",
        "test_on_twice_makes_one_span_and_off_makes_none": "it turns on OpenAI's SDK below too",
    }

    @staticmethod
    def router(request: Request) -> Reply | None:
        reply = openai_routes.router(request)
        if reply is None:
            return None
        body = reply.body
        pieces = [body] if isinstance(body, bytes) else list(body)
        plain = [piece.replace(b"-2026-01-01", b"") for piece in pieces]
        return dataclasses.replace(reply, body=plain[0] if isinstance(body, bytes) else plain)

    def answered(self, model: str) -> str:
        return model

    def client(self, url: str, *, is_async: bool, retries: int = 0) -> Any:
        import litellm

        litellm.suppress_debug_info = True
        litellm.in_memory_llm_clients_cache.flush_cache()  # an async one belongs to a loop
        settings = {"api_base": f"{url}/v1", "api_key": "sk-conformance", "max_retries": retries}
        function = litellm.acompletion if is_async else litellm.completion
        return functools.partial(function, **settings)

    def leave(self, client: Any) -> Any:
        return None

    def plain(self, client: Any, model: str, text: object = "Hi") -> Any:
        return client(model=f"openai/{model}", messages=[{"role": "user", "content": text}])

    def stream(self, client: Any, model: str) -> Any:
        messages = [{"role": "user", "content": "Hi"}]
        usage = {"include_usage": True}
        if "hang" in model and not self.closes:
            pytest.skip("this version passes over chunks without text")
        return client(model=f"openai/{model}", messages=messages, stream=True, stream_options=usage)

    def stream_type(self, *, is_async: bool) -> type:
        return importlib.import_module("litellm").CustomStreamWrapper

    @property
    def closes(self) -> bool:
        return hasattr(self.stream_type(is_async=True), "aclose")

    def close(self, stream: Any) -> Any:
        return stream.aclose() if self.closes else None

    def http_response(self, stream: Any) -> Any:
        return stream.completion_stream

    def text_of(self, reply: Any) -> str:
        return str(reply.choices[0].message.content)

    def text_of_chunk(self, chunk: Any) -> str:
        return "".join(choice.delta.content or "" for choice in chunk.choices)

    def text_recorded(self, outputs: Any) -> str:
        return str(outputs["choices"][0]["message"]["content"])

    def data(self, reply: Any) -> Any:
        return reply.model_dump()


DESCRIBED: Sequence[Library] = [
    OpenAI(),
    Groq(),
    Mistral(),
    Anthropic(),
    AnthropicBedrock(),
    Bedrock(),
    BedrockInvoke(),
    Gemini(),
    GeminiInteractions(),
    LiteLLM(),
]
LIBRARIES = [
    library for library in DESCRIBED if getattr(spanlog, library.name).integration.installed()
]
