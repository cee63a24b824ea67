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
    from spanlog.api.datasets import create_dataset as create_dataset
    from spanlog.api.datasets import delete_dataset as delete_dataset
    from spanlog.api.datasets import get_dataset as get_dataset
    from spanlog.api.datasets import search_datasets as search_datasets
    from spanlog.api.feedback import delete_assessment as delete_assessment
    from spanlog.api.feedback import get_assessment as get_assessment
    from spanlog.api.feedback import log_assessment as log_assessment
    from spanlog.api.feedback import log_expectation as log_expectation
    from spanlog.api.feedback import log_feedback as log_feedback
    from spanlog.api.feedback import override_feedback as override_feedback
    from spanlog.api.feedback import update_assessment as update_assessment
    from spanlog.api.search import delete_trace_tag as delete_trace_tag
    from spanlog.api.search import delete_traces as delete_traces
    from spanlog.api.search import get_attachment as get_attachment
    from spanlog.api.search import get_trace as get_trace
    from spanlog.api.search import search_sessions as search_sessions
    from spanlog.api.search import search_spans as search_spans
    from spanlog.api.search import search_traces as search_traces
    from spanlog.api.search import set_trace_tag as set_trace_tag
    from spanlog.api.setup import flush as flush
    from spanlog.api.setup import flush_trace_async_logging as flush_trace_async_logging
    from spanlog.api.setup import get_tracking_uri as get_tracking_uri
    from spanlog.api.setup import set_experiment as set_experiment
    from spanlog.api.setup import set_tracking_uri as set_tracking_uri
    from spanlog.client import MlflowClient as MlflowClient
    from spanlog.client import TracingClient as TracingClient
    from spanlog.instrument.registry import autolog as autolog
    from spanlog.record.decorator import trace as trace
    from spanlog.record.manual import get_active_trace_id as get_active_trace_id
    from spanlog.record.manual import get_current_active_span as get_current_active_span
    from spanlog.record.manual import get_last_active_trace_id as get_last_active_trace_id
    from spanlog.record.manual import start_span as start_span
    from spanlog.record.manual import start_span_no_context as start_span_no_context
    from spanlog.record.manual import update_current_trace as update_current_trace
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
    "autolog": "instrument.registry",
    "create_dataset": "api.datasets",
    "delete_assessment": "api.feedback",
    "delete_dataset": "api.datasets",
    "delete_trace_tag": "api.search",
    "delete_traces": "api.search",
    "export_traces": "transfer",
    "flush": "api.setup",
    "flush_trace_async_logging": "api.setup",
    "get_active_trace_id": "record.manual",
    "get_assessment": "api.feedback",
    "get_attachment": "api.search",
    "get_current_active_span": "record.manual",
    "get_dataset": "api.datasets",
    "get_last_active_trace_id": "record.manual",
    "get_trace": "api.search",
    "get_tracking_uri": "api.setup",
    "import_traces": "transfer",
    "log_assessment": "api.feedback",
    "log_expectation": "api.feedback",
    "log_feedback": "api.feedback",
    "override_feedback": "api.feedback",
    "search_datasets": "api.datasets",
    "search_sessions": "api.search",
    "search_spans": "api.search",
    "search_traces": "api.search",
    "set_experiment": "api.setup",
    "set_trace_tag": "api.search",
    "set_tracking_uri": "api.setup",
    "start_span": "record.manual",
    "start_span_no_context": "record.manual",
    "trace": "record.decorator",
    "update_assessment": "api.feedback",
    "update_current_trace": "record.manual",
}
_MODULES = ("client", "entities", "tracing")

__version__ = "0.1.0"
__all__ = sorted([*_HOME, *_MODULES, *INTEGRATIONS, *_ALIASES])


def __getattr__(name: str) -> object:
    if name != "autolog" and (name in _HOME or name in _MODULES):
        _keep()
    if name in _HOME:
        value = getattr(_import_module(f"spanlog.{_HOME[name]}"), name)
    elif name in _MODULES:
        value = _import_module(f"spanlog.{name}")
    else:
        value = _integration(_ALIASES.get(name, name))
    globals()[name] = value
    return value


def _keep() -> None:
    """Have what is recorded kept in the store, and shown in a notebook.

    An integration does so once its library is imported: `autolog()` itself is to take no time.
    """
    _import_module("spanlog.display.notebook").watch()  # and what it stands on: the store


def _integration(name: str) -> object:
    if not name.startswith("_"):
        registry = _import_module("spanlog.instrument.registry")
        if name in registry.entries():
            return registry.find(name)
    raise AttributeError(f"module 'spanlog' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
