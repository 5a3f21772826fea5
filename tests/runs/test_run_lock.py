"""A run is trained by one process at a time."""

from __future__ import annotations

import pytest

from datasets.data_module import DataModule
from runs import lock as run_lock
from runs.folder import RunFolder, run_folder
from runs.lock import Busy
from training import building, runner

pytestmark = pytest.mark.usefixtures("plain_log")


def test_a_second_process_leaves_a_run_that_is_being_trained(quick):
    config = quick(num_epochs=1)
    prepared = building.prepare(config)
    taken = run_lock.lock(run_folder(config, prepared.data.fingerprint))
    with pytest.raises(Busy, match="another process trains this run"):
        runner.train(config)
    taken.release()
    assert runner.train(config)[1]["epochs_run"] == 1


def test_one_that_is_refused_reads_no_images_first(quick, monkeypatch):
    config = quick()
    taken = run_lock.lock(run_folder(config, building.prepare(config).data.fingerprint))
    monkeypatch.setattr(DataModule, "keep_images", lambda self: pytest.fail("images are read"))
    with pytest.raises(Busy):
        runner.train(config)
    taken.release()


def test_two_that_are_trained_anew_at_once_have_folders_of_their_own(quick, monkeypatch):
    config = quick(num_epochs=1)
    first, _ = runner.train(config)
    other = []

    def meanwhile(self):
        """Let another process begin while this one reads its images."""
        other.append(run_lock.lock(run_folder(config, self.fingerprint, fresh=True)))

    monkeypatch.setattr(DataModule, "keep_images", meanwhile)
    folder, _ = runner.train(config, fresh=True)
    assert folder.path.name == f"{first.path.name}-3"
    assert other[0].lock_file == str(first.path.with_name(f"{first.path.name}-2") / ".lock")
    other[0].release()


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
