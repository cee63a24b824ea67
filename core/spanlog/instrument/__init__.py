"""What an integration is made of: `docs/write-an-integration.md` shows one from its first line.

An `Integration` is a table of `Target`s, functions of a library that are wrapped, and of `Hook`s,
where the library has its own. `traced` makes the wrapper; a class derived from `TracedCall`, or for
calls of models from `ModelCall`, says what is recorded of a call:

```python
class Chat(ModelCall):
    def read(self, span, reply):
        span.set_attribute("gen_ai.response.model", reply["model"])


def begin(call):
    return Chat("acme", call.kwargs["model"], call.kwargs)


integration = Integration(
    "acme", "acme", "acme-sdk", Target("acme.client:Client.chat", traced(begin))
)
autolog = integration.autolog
```

The engine calls the original exactly once, passes its result or error on untouched, sees to it that
no error of an integration's reaches the program, and takes everything away again. An integration
needs no `try`.

A package makes its integration known by an entry point of the group "spanlog.integrations", which
names the module that holds `integration` and `autolog` under the name it gets in `spanlog`.
"""

from spanlog.lazy import loads as _loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from spanlog.instrument.call import Call as Call
    from spanlog.instrument.call import TracedCall as TracedCall
    from spanlog.instrument.call import traced as traced
    from spanlog.instrument.integration import Integration as Integration
    from spanlog.instrument.model_call import ModelCall as ModelCall
    from spanlog.instrument.runs import Run as Run
    from spanlog.instrument.runs import Runs as Runs
    from spanlog.instrument.spans import begin_span as begin_span
    from spanlog.instrument.spans import fail_span as fail_span
    from spanlog.instrument.spans import keep_outputs as keep_outputs
    from spanlog.instrument.spans import read_later as read_later
    from spanlog.instrument.spans import trace_of as trace_of
    from spanlog.instrument.streams import driven as driven
    from spanlog.instrument.target import Hook as Hook
    from spanlog.instrument.target import Target as Target
    from spanlog.instrument.target import Wrapper as Wrapper
    from spanlog.model.capture import capture as capture
    from spanlog.model.capture import decode as decode
    from spanlog.model.capture import wire as wire
    from spanlog.model.span import SpanType as SpanType
    from spanlog.record.awaiting import awaited as awaited
    from spanlog.record.context import carry as carry
    from spanlog.record.context import current_span as current_span
    from spanlog.record.context import recording as recording
    from spanlog.record.redact import secrets_in as secrets_in
    from spanlog.record.span import LiveSpan as LiveSpan
    from spanlog.record.streams import Stepped as Stepped
    from spanlog.record.streams import Watch as Watch
    from spanlog.record.streams import Watched as Watched
    from spanlog.record.streams import Worked as Worked
    from spanlog.record.streams import watch_body as watch_body
    from spanlog.safety import guarded as guarded

# Every public name and where it comes from. Each is loaded when it is first used: `autolog()`
# itself is to take as good as no time where no library is imported.
_HOME = {
    "Call": "instrument.call",
    "Hook": "instrument.target",
    "Integration": "instrument.integration",
    "LiveSpan": "record.span",
    "ModelCall": "instrument.model_call",
    "Run": "instrument.runs",
    "Runs": "instrument.runs",
    "SpanType": "model.span",
    "Stepped": "record.streams",
    "Target": "instrument.target",
    "TracedCall": "instrument.call",
    "Watch": "record.streams",
    "Watched": "record.streams",
    "Worked": "record.streams",
    "Wrapper": "instrument.target",
    "awaited": "record.awaiting",
    "begin_span": "instrument.spans",
    "capture": "model.capture",
    "carry": "record.context",
    "current_span": "record.context",
    "decode": "model.capture",
    "driven": "instrument.streams",
    "fail_span": "instrument.spans",
    "guarded": "safety",
    "keep_outputs": "instrument.spans",
    "read_later": "instrument.spans",
    "recording": "record.context",
    "trace_of": "instrument.spans",
    "traced": "instrument.call",
    "watch_body": "record.streams",
    "wire": "model.capture",
}

__all__ = [
    "Call",
    "Hook",
    "Integration",
    "LiveSpan",
    "ModelCall",
    "Run",
    "Runs",
    "SpanType",
    "Stepped",
    "Target",
    "TracedCall",
    "Watch",
    "Watched",
    "Worked",
    "Wrapper",
    "awaited",
    "begin_span",
    "capture",
    "carry",
    "current_span",
    "decode",
    "driven",
    "fail_span",
    "guarded",
    "keep_outputs",
    "read_later",
    "recording",
    "trace_of",
    "traced",
    "watch_body",
    "wire",
]


__getattr__ = _loads(__name__, _HOME)


def __dir__() -> list[str]:
    return __all__
