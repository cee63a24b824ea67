"""Turns recording on in a program that `spanlog run` started, before its first line."""

import importlib.util
import sys
from contextlib import suppress
from pathlib import Path

_HERE = str(Path(__file__).parent)

sys.path[:] = [path for path in sys.path if path != _HERE]
# The program's own module of this name, which this one has hidden.
_this = sys.modules.pop(__name__)
with suppress(ModuleNotFoundError):
    importlib.import_module(__name__)
sys.modules.setdefault(__name__, _this)

# A program that is started by the program may be of an environment without spanlog.
if importlib.util.find_spec("spanlog"):
    import spanlog

    spanlog.autolog()
