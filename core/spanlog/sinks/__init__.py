"""What receives spans beside the store: the protocol, for whoever writes a sink."""

from spanlog.errors import Unavailable as Unavailable
from spanlog.model.header import TraceHeader as TraceHeader
from spanlog.model.span import Span as Span
from spanlog.record.sink import Sink as Sink
