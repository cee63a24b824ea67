"""Record what a GenAI program did: every model, tool and agent call, in a file on your machine.

```python
import spanlog

spanlog.autolog()
```
"""

from importlib import import_module as _import_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from spanlog_integrations import anthropic as anthropic
    from spanlog_integrations import bedrock as bedrock
    from spanlog_integrations import dspy as dspy
    from spanlog_integrations import gemini as gemini
    from spanlog_integrations import groq as groq
    from spanlog_integrations import langchain as langchain
    from spanlog_integrations import litellm as litellm
    from spanlog_integrations import llama_index as llama_index
    from spanlog_integrations import mistral as mistral
    from spanlog_integrations import openai as openai
    from spanlog_integrations import threads as threads

    from spanlog import client as client
    from spanlog import entities as entities
    from spanlog import tracing as tracing
    from spanlog.client import MlflowClient as MlflowClient
    from spanlog.client import TracingClient as TracingClient
    from spanlog.datasets import create_dataset as create_dataset
    from spanlog.datasets import delete_dataset as delete_dataset
    from spanlog.datasets import get_dataset as get_dataset
    from spanlog.datasets import search_datasets as search_datasets
    from spanlog.decorator import trace as trace
    from spanlog.feedback import delete_assessment as delete_assessment
    from spanlog.feedback import get_assessment as get_assessment
    from spanlog.feedback import log_assessment as log_assessment
    from spanlog.feedback import log_expectation as log_expectation
    from spanlog.feedback import log_feedback as log_feedback
    from spanlog.feedback import override_feedback as override_feedback
    from spanlog.feedback import update_assessment as update_assessment
    from spanlog.fluent import flush as flush
    from spanlog.fluent import flush_trace_async_logging as flush_trace_async_logging
    from spanlog.fluent import get_active_trace_id as get_active_trace_id
    from spanlog.fluent import get_current_active_span as get_current_active_span
    from spanlog.fluent import get_last_active_trace_id as get_last_active_trace_id
    from spanlog.fluent import get_tracking_uri as get_tracking_uri
    from spanlog.fluent import set_experiment as set_experiment
    from spanlog.fluent import set_tracking_uri as set_tracking_uri
    from spanlog.fluent import start_span as start_span
    from spanlog.fluent import start_span_no_context as start_span_no_context
    from spanlog.fluent import update_current_trace as update_current_trace
    from spanlog.patching import autolog as autolog
    from spanlog.search import delete_trace_tag as delete_trace_tag
    from spanlog.search import delete_traces as delete_traces
    from spanlog.search import get_attachment as get_attachment
    from spanlog.search import get_trace as get_trace
    from spanlog.search import search_sessions as search_sessions
    from spanlog.search import search_spans as search_spans
    from spanlog.search import search_traces as search_traces
    from spanlog.search import set_trace_tag as set_trace_tag
    from spanlog.transfer import export_traces as export_traces
    from spanlog.transfer import import_traces as import_traces

    genai = gemini
    langgraph = langchain

# The modules of `spanlog_integrations`, each named like the library it traces.
INTEGRATIONS = (
    "anthropic",
    "bedrock",
    "dspy",
    "gemini",
    "groq",
    "langchain",
    "litellm",
    "llama_index",
    "mistral",
    "openai",
    "threads",
)
# Integrations by the names that others know them by.
_ALIASES = {"genai": "gemini", "langgraph": "langchain"}

# Every public name and where it comes from. Each is loaded when it is first used.
_HOME = {
    "MlflowClient": "client",
    "TracingClient": "client",
    "autolog": "patching",
    "create_dataset": "datasets",
    "delete_assessment": "feedback",
    "delete_dataset": "datasets",
    "delete_trace_tag": "search",
    "delete_traces": "search",
    "export_traces": "transfer",
    "flush": "fluent",
    "flush_trace_async_logging": "fluent",
    "get_active_trace_id": "fluent",
    "get_assessment": "feedback",
    "get_attachment": "search",
    "get_current_active_span": "fluent",
    "get_dataset": "datasets",
    "get_last_active_trace_id": "fluent",
    "get_trace": "search",
    "get_tracking_uri": "fluent",
    "import_traces": "transfer",
    "log_assessment": "feedback",
    "log_expectation": "feedback",
    "log_feedback": "feedback",
    "override_feedback": "feedback",
    "search_datasets": "datasets",
    "search_sessions": "search",
    "search_spans": "search",
    "search_traces": "search",
    "set_experiment": "fluent",
    "set_trace_tag": "search",
    "set_tracking_uri": "fluent",
    "start_span": "fluent",
    "start_span_no_context": "fluent",
    "trace": "decorator",
    "update_assessment": "feedback",
    "update_current_trace": "fluent",
}
_MODULES = ("client", "entities", "tracing")

__version__ = "0.1.0"
__all__ = sorted([*_HOME, *_MODULES, *INTEGRATIONS, *_ALIASES])


def __getattr__(name: str) -> object:
    if name in _HOME:
        value = getattr(_import_module(f"spanlog.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = _import_module(f"spanlog.{name}")
    elif name in INTEGRATIONS or name in _ALIASES:
        value = _import_module(f"spanlog_integrations.{_ALIASES.get(name, name)}")
    else:
        raise AttributeError(f"module 'spanlog' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
