"""A run is trained by one process at a time."""

from __future__ import annotations

import pytest

from utils import building, run_lock, runner
from utils.run_lock import Busy
from utils.runs import RunFolder, run_folder

pytestmark = pytest.mark.usefixtures("plain_log")


def test_a_second_process_leaves_a_run_that_is_being_trained(quick):
    config = quick(num_epochs=1)
    prepared = building.prepare(config)
    taken = run_lock.lock(run_folder(config, prepared.data.fingerprint))
    with pytest.raises(Busy, match="another process trains this run"):
        runner.train(config)
    taken.release()
    assert runner.train(config)[1]["epochs_run"] == 1


def test_a_check_beside_a_process_that_trains_the_run_says_so(quick):
    config = quick()
    folder = run_folder(config, building.prepare(config).data.fingerprint)
    assert runner.check(config).endswith("(new)")
    taken = run_lock.lock(folder)
    assert runner.check(config).endswith("(another process trains it)")
    taken.release()
    assert runner.check(config).endswith("(new)")


def test_to_ask_for_a_lock_leaves_nothing(tmp_path):
    assert not run_lock.is_locked(RunFolder(tmp_path))
    assert list(tmp_path.iterdir()) == []
