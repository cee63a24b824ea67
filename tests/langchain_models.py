"""Models that LangChain can call without a network, in all its versions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.llms import LLM
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult


class Echo(BaseChatModel):
    """A chat model that says what it was told last, or what it is given to say in turn."""

    script: Any = None
    tools: Any = None
    on_call: Any = None

    @property
    def _llm_type(self) -> str:
        return "echo"

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self.bind(tools=[{"type": "function", "function": {"name": t.name}} for t in tools])

    def _generate(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        if self.on_call:
            self.on_call(messages)
        said = self.script.pop(0) if self.script else AIMessage(content=messages[-1].content)
        return ChatResult(generations=[ChatGeneration(message=said)])


class Words(Echo):
    """A chat model that streams what it was told last, word by word."""

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        if self.on_call:
            self.on_call(messages)
        for word in messages[-1].content.split(" "):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=f"{word} "))
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


class Completes(LLM):
    """A completion model that repeats its prompt."""

    on_call: Any = None

    @property
    def _llm_type(self) -> str:
        return "completes"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        if self.on_call:
            self.on_call(prompt)
        return prompt


def calls(*named: tuple[str, dict[str, Any]]) -> AIMessage:
    """Return what a model says that calls tools."""
    made = [{"name": n, "args": a, "id": f"call_{i}"} for i, (n, a) in enumerate(named)]
    return AIMessage(content="", tool_calls=made)
