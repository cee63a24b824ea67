"""The conformance suite: what an integration with a provider's SDK must do, as tests.

A package that has an integration describes its library and runs the suite for it:

```python
# conftest.py or pyproject.toml: asyncio_mode = "auto" of pytest-asyncio
from spanlog.testing import Library, libraries
from spanlog.testing.suite import *


class Acme(Library): ...


library = libraries(Acme())
```

The library is real, and calls a server on the loopback interface (`Loopback`), whose router answers
the scenarios that the suite asks for (`scenarios`).
"""

import pytest

pytest.register_assert_rewrite("spanlog.testing.suite", "spanlog.testing.library")

from spanlog.testing.fixtures import libraries as libraries  # noqa: E402 - rewritten from here on
from spanlog.testing.library import Calls as Calls  # noqa: E402
from spanlog.testing.library import Library as Library  # noqa: E402
from spanlog.testing.loopback import Loopback as Loopback  # noqa: E402
from spanlog.testing.loopback import Reply as Reply  # noqa: E402
from spanlog.testing.loopback import Request as Request  # noqa: E402
from spanlog.testing.loopback import Router as Router  # noqa: E402
