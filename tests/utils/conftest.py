"""Tools that the tests of whole runs share."""

from __future__ import annotations

import logging
import warnings

import pytest

from utils import logs


@pytest.fixture
def plain_log():
    """Let pytest see the project's log; Lightning's advice is not the test's matter."""
    log = logging.getLogger("lossbench")
    log.propagate, level = True, log.level
    log.setLevel(logging.INFO)
    for text in logs.EXPECTED:
        warnings.filterwarnings("ignore", message=text)
    yield
    log.setLevel(level)
