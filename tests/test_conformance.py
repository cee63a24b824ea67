"""The conformance suite, for each library of `conformance.py` that is installed here."""

import pytest
from conformance import LIBRARIES
from spanlog.testing import libraries
from spanlog.testing.suite import *  # noqa: F403 - all tests and what they are given

library = libraries(*LIBRARIES)


@pytest.fixture(autouse=True)
def quickly(no_certificates: None) -> None:
    """Have clients made in little time."""
