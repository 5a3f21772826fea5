"""Tools that the tests of whole runs share."""

from __future__ import annotations

import logging

import pytest

from utils import logs


@pytest.fixture
def plain_log():
    """Let pytest see the project's log; Lightning's advice is not the test's matter."""
    log = logging.getLogger("lossbench")
    log.propagate, level = True, log.level
    log.setLevel(logging.INFO)
    logs.ignore_expected()
    yield
    log.setLevel(level)
