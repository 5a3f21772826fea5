"""A run whose disk is full at any operation, or that is killed in it, loses nothing and ends as if nothing had been."""

from __future__ import annotations

from collections import Counter

import pytest

from runs.folder import RunFolder
from tests.conftest import read_quick
from tests.training.faults import FOLDER, Operations
from tests.training.killing import Kill, killed
from tests.training.resuming import SMALL, differences
from training import runner
from utils.types import TrainingError

pytestmark = pytest.mark.usefixtures("plain_log")

CHANGES = SMALL | {"num_epochs": "2", "checkpoint_every_steps": "4"}
EVERY = range(1, 201)
"""Operations of a run, and some more; how many there are depends on torch's version."""
SOME = range(1, 161, 16)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that nothing happens to, and the operations that it did."""
    config = read_quick(tmp_path_factory.mktemp("whole"), **CHANGES)
    with pytest.MonkeyPatch.context() as patch:
        operations = Operations(patch)
        return runner.train(config)[0], operations.names


def test_a_run_has_so_many_operations(whole):
    _, names = whole
    assert max(SOME) <= len(names) <= max(EVERY)
    assert Counter(names).keys() == {"open_beside", "write", "flush", "fsync", FOLDER, "chmod", "replace"}


each_operation = pytest.mark.parametrize(
    "number", [pytest.param(number, marks=[] if number in SOME else [pytest.mark.torture]) for number in EVERY]
)
"""Most of them in the long tests only."""


@each_operation
def test_a_full_disk_is_told_in_a_line_and_leaves_what_was_there(quick, whole, monkeypatch, number):
    skip_beyond(whole, number)
    with monkeypatch.context() as patch:
        Operations(patch, fail_at=number)
        if whole[1][number - 1] == FOLDER:
            runner.train(quick(**CHANGES))
        else:
            message = r"cannot be written: No space left on device; free .*; then the same command"
            with pytest.raises(TrainingError, match=message):
                runner.train(quick(**CHANGES))
    folder, _ = runner.train(quick(**CHANGES))
    check(whole[0], folder)


@each_operation
def test_a_kill_in_an_operation_loses_nothing(whole, tmp_path, number):
    skip_beyond(whole, number)
    folder, died = killed(iter([Kill("operation", number)]), lambda start: CHANGES, tmp_path, mlflow=False)
    assert len(died) == 1
    check(whole[0], folder)


def skip_beyond(whole, number: int) -> None:
    if number > len(whole[1]):
        pytest.skip(f"a run has {len(whole[1])} operations")


def check(whole: RunFolder, folder: RunFolder) -> None:
    assert differences(whole, folder) == []
    assert not list(folder.path.rglob(".*.tmp"))
