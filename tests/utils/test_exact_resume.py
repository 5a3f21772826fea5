"""A run that died ends, wherever that was, with the result of one that nothing happened to: to the last bit."""

from __future__ import annotations

import pytest
import torch

from datasets.sampling import ResumableLoader
from tests.utils.resuming import SETUPS, SMALL, copies_of_all_save_points, deaths, differences, hurry
from utils import runner
from utils.callbacks import StepSeed
from utils.save_points import SavePoints

pytestmark = pytest.mark.usefixtures("plain_log")


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    hurry(monkeypatch)


@pytest.fixture
def read(quick, tmp_path):
    """Return a function that reads a configuration whose runs lie in a folder of their own."""
    return lambda place, **changes: quick(output_path=tmp_path / place, **SMALL | changes)


def dying(read, **changes) -> tuple[list[str], int]:
    """Return what differs after a run died at each of its save points, and how often it did."""
    whole, _ = runner.train(read("whole", **changes))
    *died, end = deaths(lambda **changes: read("dying", **changes), **changes)
    return differences(whole, end), len(died)


@pytest.mark.parametrize("setup", SETUPS)
def test_a_run_that_dies_after_each_save_ends_as_if_it_had_not(read, setup):
    found, died = dying(read, **SETUPS[setup])
    assert found == []
    assert died >= 6
