"""A plugin of pytest: turns tracing on before anything is collected, and tells of our errors."""

from __future__ import annotations

import logging
import os

import spanlog
from spanlog_outcomes import write


class _Telling(logging.Handler):
    """Writes what spanlog warns of to the file of outcomes, with the stack of what it caught."""

    def emit(self, record: logging.LogRecord) -> None:
        write(warning=self.format(record))


logging.getLogger("spanlog").addHandler(_Telling(logging.WARNING))
# Said by name, since tests may change the environment.
spanlog.set_tracking_uri(os.environ["SPANLOG_TRACKING_URI"])
spanlog.autolog()
