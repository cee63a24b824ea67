"""One tracing library in a process of its own: runs the rounds that it is asked for.

It reads the name of a measure from standard input and answers with a line of JSON: what it found
without and with tracing, or null for what the library does not offer.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path

from tests.benchmarks.measures import MEASURES
from tests.benchmarks.tracers import TRACERS


def main(name: str, server: str) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a library prints is no answer
    logging.disable(logging.CRITICAL)
    tracer = TRACERS[name](Path.cwd())
    tracer.trace(len)([])
    tracer.flush()
    print("ready", file=answers)
    for line in sys.stdin:
        try:
            found = MEASURES[line.strip()].run(tracer, server)
        except NotImplementedError:
            found = None
        tracer.flush()
        print(json.dumps(found), file=answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
