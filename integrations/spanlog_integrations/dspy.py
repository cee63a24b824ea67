"""DSPy: modules, models, adapters, tools, code, retrievers, embedders, evaluation, optimizers.

Sync, async, streamed and in parallel. DSPy tells of its calls by callbacks. Ours is put in where
DSPy asks its settings for them: the settings themselves, and the callbacks of the program, stay as
they are in every thread. What callbacks are not told is taken from the functions that it passes
through: what a model's reply says beside its text, and what goes into other threads.

A reply out of DSPy's cache is marked and counts no tokens. Optimizers call the program over and
over: what happens inside `compile` is recorded only if asked for.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import FrameType
from typing import Any
from urllib.parse import urlsplit

import orjson
from spanlog import semconv, tracing
from spanlog.instrument import Call, Integration, Run, Runs, Target, TracedCall, Wrapper, traced
from spanlog.model.capture import capture, wire
from spanlog.model.span import SpanType
from spanlog.record.context import carry, current_span
from spanlog.record.span import LiveSpan
from spanlog.safety import guarded

from spanlog_integrations.seams.arguments import Arguments
from spanlog_integrations.wire import chat
from spanlog_integrations.wire.providers import provider_name
from spanlog_integrations.wire.usage import counted

Json = dict[str, Any]

# The types of DSPy's own modules and of those derived from them; others are chains.
_TYPES = {
    "Avatar": SpanType.AGENT,
    "CodeAct": SpanType.AGENT,
    "ReAct": SpanType.AGENT,
    "ReActV2": SpanType.AGENT,
    "RLM": SpanType.AGENT,
    "Retrieve": SpanType.RETRIEVER,
}
# Where a document that was found has its text and its id.
_TEXT = ("long_text", "text", "page_content", "content", "passage")
_ID = ("id", "pid", "doc_id", "doc_ids", "indices")
# Where a prediction has the texts of several.
_TEXTS = ("passages", "docs")
_MAX_DEPTH = 50


@dataclass
class _Options:
    compiling: bool = False
    evaluating: bool = True


_options = _Options()


class _Span(LiveSpan):
    """A span of DSPy's.

    Attributes:
        about: What is done, and the object that does it; a method may call the one it overrides.
        told: Whether it is known what a model's reply says beside its text.
    """

    __slots__ = ("about", "told")

    about: tuple[str, Any]
    told: bool


class _Called(Run):
    """A call that is recorded.

    Args:
        name: The span's name.
        span_type: From `spanlog.entities.SpanType`.
        inputs: What went in.
        about: What is done, and the object that does it.
        attributes: Facts of the request.
    """

    span: _Span

    def __init__(
        self,
        name: str,
        span_type: str,
        inputs: Any,
        about: tuple[str, Any],
        attributes: Json | None = None,
    ) -> None:
        given = capture(_plain(inputs))
        span = _Span(name, span_type, current_span(), given, attributes)
        span.about, span.told = about, True
        super().__init__(span)

    def on_response(self, result: Any) -> Any:
        self.span._finish(capture(self.outputs(result)))
        return result

    def outputs(self, result: Any) -> Any:
        """Return what came out, as plain data."""
        return _plain(result)

    def on_error(self, error: BaseException) -> None:
        self.span.set_attribute(semconv.ERROR_TYPE, type(error).__name__)
        self.span.record_exception(error)
        self.span.end()


def _plain(value: Any, above: tuple[int, ...] = ()) -> Any:
    """Return a value with examples, predictions and signatures as what they hold.

    Args:
        value: Any value.
        above: The ids of the values that it is in: a cycle is left for `capture` to cut.
    """
    if isinstance(value, type):
        return _signature(value) or value
    if id(value) in above or len(above) > _MAX_DEPTH:
        return value
    above = (*above, id(value))
    if isinstance(value, dict):
        return {key: _plain(item, above) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, above) for item in value]
    to_dict = getattr(type(value), "toDict", None)
    return value if to_dict is None else _plain(to_dict(value), above)


def _named(function: Any, args: Sequence[Any]) -> Json:
    """Return arguments that were given without names by their names."""
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(function).parameters.values() if callable(function) else ()
    names = [parameter.name for parameter in parameters if parameter.kind in positional][1:]
    return dict(zip(names, args, strict=False)) if len(args) <= len(names) else {"args": args}


def _module(module: Any, inputs: Mapping[str, Any]) -> _Called:
    kinds = (c.__name__ for c in type(module).__mro__ if c.__module__.partition(".")[0] == "dspy")
    span_type = next((_TYPES[kind] for kind in kinds if kind in _TYPES), SpanType.CHAIN)
    args, kwargs = inputs.get("args", ()), inputs.get("kwargs", {})
    others = {name: value for name, value in inputs.items() if name not in ("args", "kwargs")}
    forward = getattr(type(module), "forward", None)
    given = {**others, **(_named(forward, args) if args else {}), **kwargs}
    kind = _Retrieval if span_type == SpanType.RETRIEVER else _Called
    signature = _signature(module)
    attributes = {"dspy.signature": signature} if isinstance(signature, str) else None
    return kind(type(module).__name__, span_type, given, ("call", module), attributes)


def _signature(held: Any) -> Any:
    """Return "question -> answer" of a signature, or of a module that has one."""
    signature = getattr(held, "signature", None)
    return signature if isinstance(signature, str) else getattr(signature, "signature", None)


class _Retrieval(_Called):
    """A call of a retriever."""

    def outputs(self, result: Any) -> Any:
        return _documents(_plain(result))


def _documents(found: Any) -> list[Json]:
    """Return what a retriever found: a list, or a prediction that holds a list and columns."""
    if isinstance(found, list):
        return [document for item in found for document in _documents(item)]
    fields = found if isinstance(found, dict) else {}
    texts = next((fields[name] for name in _TEXTS if isinstance(fields.get(name), list)), None)
    if texts is None:
        return [_document(found, {})]
    columns = {
        name: column
        for name, column in fields.items()
        if name not in _TEXTS and isinstance(column, list) and len(column) == len(texts)
    }
    return [
        _document(text, {n: c[at] for n, c in columns.items()}) for at, text in enumerate(texts)
    ]


def _document(item: Any, columns: Json) -> Json:
    facts = {**item, **columns} if isinstance(item, dict) else {"text": item, **columns}
    text, id_ = (next((n for n in names if n in facts), "") for names in (_TEXT, _ID))
    return {
        "page_content": facts.pop(text, None),
        "id": facts.pop(id_, None),
        "metadata": facts,
    }


class _ModelCall(_Called):
    """A call of a language model."""

    def __init__(self, model: Any, inputs: Mapping[str, Any]) -> None:
        name = str(getattr(model, "model", type(model).__name__))
        prefix, _, rest = name.partition("/")
        self._provider, self._model = (prefix if rest else None), rest or prefix
        texts = getattr(model, "model_type", "chat") == "text"
        self._operation = "text_completion" if texts else "chat"
        settings = {**getattr(model, "kwargs", {}), **inputs.get("kwargs", {})}
        known = {name: value for name, value in settings.items() if value is not None}
        self._asked = Arguments({"model": name, **_messages(inputs), **known})
        super().__init__(
            f"{self._operation} {self._model}",
            SpanType.LLM if texts else SpanType.CHAT_MODEL,
            self._asked.inputs,
            ("call", model),
        )
        self.span.told = False

    def on_request(self) -> None:
        facts = self.span.set_attribute
        facts(semconv.OPERATION_NAME, self._operation)
        facts(semconv.REQUEST_MODEL, self._model)
        if self._provider:
            facts(semconv.PROVIDER_NAME, provider_name(self._provider))
        address = self._asked.inputs.get("api_base") or self._asked.inputs.get("base_url")
        if isinstance(address, str) and (host := urlsplit(address).hostname):
            facts(semconv.SERVER_ADDRESS, host)
        chat.request(self.span, self._asked.inputs)

    def outputs(self, result: Any) -> Any:
        if not isinstance(result, list):
            return result
        return {"choices": [{"message": _message(output)} for output in result]}

    def on_error(self, error: BaseException) -> None:
        status = getattr(error, "status", None) or getattr(error, "status_code", None)
        facts = {
            semconv.HTTP_RESPONSE_STATUS_CODE: status,
            semconv.HTTP_RESPONSE_REQUEST_ID: getattr(error, "request_id", None),
        }
        self.span.set_attributes({name: fact for name, fact in facts.items() if fact is not None})
        super().on_error(error)


def _messages(inputs: Mapping[str, Any]) -> Json:
    """Return what is asked: messages, or a prompt, which makes one."""
    given = [inputs.get("messages"), inputs.get("request"), inputs.get("prompt")]
    first = next((value for value in (*given, *inputs.get("items", ())) if value), None)
    if isinstance(first, str):
        return {"messages": [{"role": "user", "content": first}]}
    return {"messages" if isinstance(first, list) else "request": first}


def _message(output: Any) -> Json:
    """Return one of the texts that a model answered as a message."""
    if not isinstance(output, dict):
        return {"role": "assistant", "content": output}
    rest = {name: value for name, value in output.items() if name != "text"}
    return {"role": "assistant", "content": output.get("text"), **rest}


@guarded
def _told(span: LiveSpan | None, reply: Any, *, cached: bool = False, cost: Any = None) -> None:
    """Record what the reply to a model call says beside its text.

    Args:
        span: What is current.
        reply: The reply.
        cached: Whether it comes out of a cache: then what it cost was paid before.
        cost: What it cost in dollars, by DSPy.
    """
    if not isinstance(span, _Span) or span.told:
        return
    span.told = True
    hidden = getattr(reply, "_hidden_params", None) or {}
    snapshot = wire(reply)
    cached = cached or bool(hidden.get("cache_hit"))
    cost = cost or hidden.get("response_cost")
    if cached:
        span.set_attribute("dspy.cache_hit", True)
    elif cost is not None:
        span.set_attribute("dspy.response_cost", cost)

    def read(span: LiveSpan) -> None:
        told = orjson.loads(snapshot)
        if isinstance(told, dict):
            chat.response(span, {**told, "usage": None} if cached else counted(told))

    span._read_later(read)


def _asks(wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
    """Take the reply of LiteLLM."""
    span = current_span()
    reply = wrapped(*args, **kwargs)
    _told(span, reply)
    return reply


def _looks_up(wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
    """Take the reply out of the cache, where LiteLLM was not asked."""
    span = current_span()
    reply = wrapped(*args, **kwargs)
    _told(span, reply, cached=True)
    return reply


def _processes(wrapped: Callable[..., Any], model: Any, args: Any, kwargs: Any) -> Any:
    """Take the reply before its texts are taken out of it."""
    _told_of(Call(model, args, kwargs).argument(0, "response"))
    return wrapped(*args, **kwargs)


def _finalizes_typed(wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
    """Take the reply of a model whose class speaks in DSPy's own types."""
    _told_of(Call(None, args, kwargs).argument(1, "response"))
    return wrapped(*args, **kwargs)


@guarded
def _told_of(reply: Any) -> None:
    """Record what a reply of DSPy's own says beside its text."""
    emptied = getattr(reply, "usage", None) == {}  # all that the cache did before 3.0.4
    cached = emptied or getattr(reply, "cache_hit", False)
    _told(current_span(), reply, cached=cached, cost=getattr(reply, "cost", None))


def _finalizes(wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
    """Take the result that DSPy has made of one or several replies."""
    _result(Call(None, args, kwargs).argument(2, "result"))
    return wrapped(*args, **kwargs)


@guarded
def _result(result: Any) -> None:
    replies = result.responses or [result.raw]
    reply = {
        "id": getattr(replies[0], "id", None),
        "choices": [{"finish_reason": reason} for reply in replies for reason in _reasons(reply)],
        "model": result.response_model,
        "usage": result.usage,
    }
    _told(current_span(), reply, cached=result.cache_hit, cost=result.cost)


def _reasons(reply: Any) -> Iterator[Any]:
    """Yield the finish reasons of a reply: of its own, or of its choices."""
    for held in (reply, *(getattr(reply, "choices", None) or ())):
        if (reason := getattr(held, "finish_reason", None)) is not None:
            yield reason


def _format(adapter: Any, inputs: Mapping[str, Any]) -> _Called | None:
    return _adapter(adapter, "format", SpanType.CHAIN, inputs)


def _parse(adapter: Any, inputs: Mapping[str, Any]) -> _Called | None:
    return _adapter(adapter, "parse", SpanType.PARSER, inputs)


def _adapter(adapter: Any, what: str, span_type: str, inputs: Mapping[str, Any]) -> _Called | None:
    """Record an adapter's work; a method that calls the one it overrides works once."""
    about = what, adapter
    if _is_about(about):
        return None
    given = {**inputs, "signature": _signature(inputs.get("signature"))}
    return _Called(f"{type(adapter).__name__}.{what}", span_type, given, about)


def _is_about(about: tuple[str, Any]) -> bool:
    """Say whether what is current is the same work of the same object."""
    above = current_span()
    return isinstance(above, _Span) and above.about[0] == about[0] and above.about[1] is about[1]


def _tool(tool: Any, inputs: Mapping[str, Any]) -> _Called:
    facts = {semconv.OPERATION_NAME: "execute_tool", semconv.TOOL_NAME: tool.name}
    given = inputs.get("kwargs", inputs)
    return _Called(tool.name, SpanType.TOOL, given, ("call", tool), facts)


def _code(interpreter: Any, inputs: Mapping[str, Any]) -> _Called:
    name = f"{type(interpreter).__name__}.execute"
    return _Called(name, SpanType.TOOL, inputs, ("execute", interpreter))


_Begins = Callable[[Any, Mapping[str, Any]], "_Called | None"]
# The events that are recorded: what DSPy calls them, and how the span of such a call is opened.
# It tells of evaluation and optimizers too, but only newer versions do.
_EVENTS: dict[str, _Begins] = {
    "module": _module,
    "lm": _ModelCall,
    "adapter_format": _format,
    "adapter_parse": _parse,
    "tool": _tool,
    "interpreter_execute": _code,
}


class _Callback:
    """What DSPy calls: `on_<event>_start` and `on_<event>_end`, for each of its events."""

    def __init__(self) -> None:
        self._runs: Runs[_Called] = Runs()

    def __reduce__(self) -> str:
        """Have a copy be this one, and that of another process the one there."""
        return "_callback"

    def __getattr__(self, name: str) -> Callable[..., None]:
        if not name.startswith("on_"):
            raise AttributeError(name)
        event, _, moment = name.removeprefix("on_").rpartition("_")
        begin = _EVENTS.get(event)
        if begin is None:
            return _pass_over
        return partial(self._start, begin) if moment == "start" else self._end

    def _start(
        self, begin: _Begins, call_id: str, instance: Any, inputs: Mapping[str, Any]
    ) -> None:
        self._runs.begin(call_id, lambda _above: begin(instance, inputs))

    def _end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        error = exception or self._runs.raised(call_id)  # of a cancellation not all versions tell
        if error is None:
            self._runs.end(call_id, outputs)
        else:
            self._runs.fail(call_id, error)


def _pass_over(**_: Any) -> None:
    """Take an event that is not recorded."""


_callback = _Callback()


def _get(wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
    """Return a setting; where it is the callbacks, ours is among them."""
    found = wrapped(*args, **kwargs)
    asked = Call(None, args, kwargs).argument(0, "key")
    if asked != "callbacks" or _is_decorated_twice():
        return found
    return [*(found or ()), _callback]


def _is_decorated_twice() -> bool:
    """Say whether what DSPy calls with callbacks will itself call something with callbacks.

    DSPy decorates a method of an adapter anew for each class that inherits it. Before 2.6.17 the
    outer decorator fails where there are callbacks, so ours is only for the inner.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and "fn" not in frame.f_code.co_freevars:
        frame = frame.f_back
    function = frame and frame.f_locals.get("fn")
    return frame is not None and getattr(function, "__code__", None) is frame.f_code


def _getattr(wrapped: Callable[..., Any], settings: Any, args: Any, kwargs: Any) -> Any:
    """Return an attribute of the settings, which in old versions `get` is too."""
    found = wrapped(*args, **kwargs)
    if args != ("get",):
        return found
    return lambda *args, **kwargs: _get(found, settings, args, kwargs)


def _carries(wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
    """Take the function that is called in other threads under what is current here."""
    if not args:
        return wrapped(*args, **kwargs)
    function, *rest = args
    return wrapped(carry(function), *rest, **kwargs)


def _unless_off(option: str, begin: Callable[[Call], TracedCall | None]) -> Wrapper:
    """Return the wrapper that records calls, or with an option off nothing that happens in them."""
    recorded = traced(begin)

    def wrapper(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
        if getattr(_options, option):
            return recorded(wrapped, instance, args, kwargs)
        with tracing.context(enabled=False):
            return wrapped(*args, **kwargs)

    return wrapper


def _evaluation(call: Call) -> TracedCall:
    devset = call.argument(2, "devset") or call.instance.devset
    metric = call.argument(1, "metric") or call.instance.metric
    inputs = {
        "program": type(call.argument(0, "program")).__name__,
        "metric": getattr(metric, "__name__", type(metric).__name__),
        "examples": len(devset),
    }
    return _Called("Evaluate", SpanType.EVALUATOR, inputs, ("call", call.instance))


def _compilation(call: Call) -> TracedCall | None:
    about = "compile", call.instance
    if _is_about(about):
        return None
    name = f"{type(call.instance).__name__}.compile"
    student = call.argument(0, "student")
    sets = {name: len(call.kwargs[name]) for name in ("trainset", "valset") if name in call.kwargs}
    return _Called(name, SpanType.CHAIN, {"student": type(student).__name__, **sets}, about)


def _embedding(call: Call) -> TracedCall:
    given = call.instance.model
    model = given if isinstance(given, str) else getattr(given, "__name__", type(given).__name__)
    prefix, _, rest = model.partition("/")
    name = rest or prefix
    facts = {semconv.OPERATION_NAME: "embeddings", semconv.REQUEST_MODEL: name}
    if rest:
        facts[semconv.PROVIDER_NAME] = provider_name(prefix)
    inputs = {"model": model, "input": call.argument(0, "inputs")}
    about = "call", call.instance
    return _Called(f"embeddings {name}", SpanType.EMBEDDING, inputs, about, facts)


def _retrieval(call: Call) -> TracedCall:
    inputs = {**_named(type(call.instance).__call__, call.args), **call.kwargs}
    about = "call", call.instance
    return _Retrieval(type(call.instance).__name__, SpanType.RETRIEVER, inputs, about)


integration = Integration(
    "dspy",
    "dspy",
    "dspy",
    Target("dsp.utils.settings:Settings.__getattr__", _getattr),
    Target("dsp.utils.settings:Settings.get", _get),
    Target("dspy.dsp.utils.settings:Settings.get", _get),
    Target("dspy.clients.lm:litellm_completion", _asks),
    Target("dspy.clients.lm:litellm_text_completion", _asks),
    Target("dspy.clients.lm:cached_litellm_completion", _looks_up),
    Target("dspy.clients.lm:cached_litellm_text_completion", _looks_up),
    Target("dspy.clients.lm:BaseLM._process_lm_response", _processes),
    Target("dspy.clients.lm:BaseLM._finalize_lm_response", _finalizes_typed),
    Target("dspy.clients.execution:finalize", _finalizes),
    Target("dspy.clients.embedding:Embedder.__call__", traced(_embedding)),
    Target("dspy.clients.embedding:Embedder.acall", traced(_embedding)),
    Target("dspy.clients.embedding:Embedding.__call__", traced(_embedding)),
    Target("dspy.retrievers.embeddings:Embeddings.__call__", traced(_retrieval)),
    Target("dspy.dsp.colbertv2:ColBERTv2.__call__", traced(_retrieval)),
    Target("dsp.modules.colbertv2:ColBERTv2.__call__", traced(_retrieval)),
    Target("dspy.utils.parallelizer:ParallelExecutor.execute", _carries),
    Target("dspy.evaluate.evaluate:Evaluate._execute_multi_thread", _carries),
    Target("dspy.evaluate.evaluate:Evaluate.__call__", _unless_off("evaluating", _evaluation)),
    Target(
        "dspy.teleprompt.teleprompt:Teleprompter.compile",
        _unless_off("compiling", _compilation),
        derived=True,
    ),
    tested=("2.5.17", "3.4.1"),
)


def autolog(
    log_traces: bool = True,
    disable: bool = False,
    silent: bool = False,
    log_traces_from_compile: bool = False,
    log_traces_from_eval: bool = True,
) -> None:
    """Trace the calls made with DSPy.

    Args:
        log_traces: False turns tracing off and puts DSPy's own functions back.
        disable: True does the same; both are there because MLflow has both.
        silent: True keeps warnings about DSPy to itself.
        log_traces_from_compile: True records what optimizers do, which is much: they call the
            program over and over.
        log_traces_from_eval: False records nothing of what happens in `dspy.Evaluate`.

    Raises:
        ImportError: DSPy is not installed.
    """
    _options.compiling, _options.evaluating = log_traces_from_compile, log_traces_from_eval
    integration.autolog(log_traces, disable, silent)
