"""What happens while a program runs: spans are opened and ended, queued and handed to a sink.

With `model` and `instrument` it is the tracing core, which needs nothing of the rest:

```python
from spanlog.record import default_recorder, start_span

default_recorder().sink = mine  # any object with the method `write` of `Sink`
```
"""

from spanlog.lazy import loads as _loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from spanlog.record.decorator import trace as trace
    from spanlog.record.manual import start_span as start_span
    from spanlog.record.recorder import Recorder as Recorder
    from spanlog.record.recorder import default_recorder as default_recorder
    from spanlog.record.sink import Sink as Sink
    from spanlog.record.span import LiveSpan as LiveSpan

# Each is loaded when it is first used: `autolog()` needs some modules of these, and is to be quick.
_HOME = {
    "LiveSpan": "record.span",
    "Recorder": "record.recorder",
    "Sink": "record.sink",
    "default_recorder": "record.recorder",
    "start_span": "record.manual",
    "trace": "record.decorator",
}

__getattr__ = _loads(__name__, _HOME)
