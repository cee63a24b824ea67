"""Which libraries have a test suite of their own that is run, and what it takes to run it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Suite:
    """The test suite of a library.

    Attributes:
        tests: What pytest is to run: patterns of paths in the source distribution.
        groups: The dependency groups in its pyproject.toml that its tests need.
        needs: What they need besides.
        extras: The extras of the library that they need.
        options: Options for pytest. Those that the library sets itself do not count.
        variables: Environment variables. `{url}` is that of a server that answers as providers do.
        version: The version to take; the newest by default.
        differs: Tests that are right to end otherwise when traced, by a pattern of their ids, and
            why that is right.
    """

    tests: tuple[str, ...] = ("tests",)
    groups: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    version: str | None = None
    differs: Mapping[str, str] = field(default_factory=dict)


LANGCHAIN = ("--disable-socket", "--allow-unix-socket", "--allow-hosts=127.0.0.1")

# By the name that the package index knows. LiteLLM is not here: no tests come with it.
SUITES = {
    "langchain-core": Suite(
        tests=("tests/unit_tests",),
        groups=("test",),
        options=(*LANGCHAIN, "--benchmark-disable"),
        differs={
            "*::test_benchmark_model": "1,000 calls may take a second, and recording takes a part",
            "*::test_merge_config_callbacks": "counts handlers, of which one more is ours",
        },
    ),
    "langchain-openai": Suite(tests=("tests/unit_tests",), groups=("test",), options=LANGCHAIN),
    "langchain-anthropic": Suite(tests=("tests/unit_tests",), groups=("test",), options=LANGCHAIN),
    "langchain": Suite(
        tests=("tests/unit_tests",), groups=("test",), options=(*LANGCHAIN, "--benchmark-disable")
    ),
    "langchain-classic": Suite(tests=("tests/unit_tests",), groups=("test",), options=LANGCHAIN),
    "langgraph": Suite(groups=("test",), variables={"NO_DOCKER": "true"}),
    "langgraph-prebuilt": Suite(groups=("test",), variables={"NO_DOCKER": "true"}),
    "langgraph-checkpoint": Suite(
        groups=("dev",),
        options=("--ignore=tests/test_redis_cache.py",),  # waits for a server of Redis
    ),
    "llama-index-core": Suite(),
    "llama-index-workflows": Suite(
        groups=("dev",),
        needs=("llama-index-core",),
        extras=("server", "client"),
        options=("-p", "llama_index.core"),  # by which they are recorded
        version="2.11.0",  # the last that holds its tests
    ),
    "dspy": Suite(needs=("pytest-asyncio", "pytest-mock")),
    # Of the thousands of tests for one route each, those of the routes that are recorded.
    "openai": Suite(
        tests=(
            "tests/lib",
            "tests/test_*",
            "tests/api_resources/audio",
            "tests/api_resources/chat",
            "tests/api_resources/responses",
            "tests/api_resources/test_completions.py",
            "tests/api_resources/test_embeddings.py",
            "tests/api_resources/test_images.py",
            "tests/api_resources/test_moderations.py",
            "tests/api_resources/test_responses.py",
        ),
        groups=("dev", "pydantic-v2"),
        extras=("aiohttp", "realtime", "datalib", "bedrock", "vertex"),
        variables={"TEST_API_BASE_URL": "{url}/v1"},
    ),
    "anthropic": Suite(
        tests=(
            "tests/lib",
            "tests/test_*",
            "tests/decoders",
            "tests/types",
            "tests/api_resources/*messages*",
            "tests/api_resources/beta/*messages*",
        ),
        groups=("dev", "pydantic-v2"),
        extras=("aiohttp", "vertex", "aws", "bedrock", "mcp", "webhooks"),
        options=("-p", "tests._alias_httpx"),
        variables={"TEST_API_BASE_URL": "{url}"},
    ),
    "groq": Suite(
        needs=("respx", "pytest-asyncio", "time-machine", "dirty-equals", "rich"),
        extras=("aiohttp",),
        variables={"TEST_API_BASE_URL": "{url}"},
    ),
    "mistralai": Suite(tests=("src/mistralai/extra",), groups=("dev",), extras=("agents",)),
    "google-genai": Suite(
        tests=("google/genai/tests",),
        needs=("pytest-asyncio", "mcp", "pillow"),
        extras=("aiohttp", "httpx"),
        options=("-o", "consider_namespace_packages=true"),  # else it is another `genai` they test
        variables={"GOOGLE_API_KEY": "key"},
    ),
    "boto3": Suite(),
    "botocore": Suite(
        tests=(
            "tests/unit",
            "tests/functional/test_bedrock_runtime.py",
            "tests/functional/test_events.py",
            "tests/functional/test_retry.py",
            "tests/functional/test_stub.py",
        ),
        needs=("jsonschema",),
    ),
    "aiobotocore": Suite(
        groups=("test",),
        extras=("httpx",),
        differs={
            "*::test_patches?BaseClient._make_api_call-*": "asks what botocore's"
            " function is wrapped around; traced, that is the function itself",
        },
    ),
}
