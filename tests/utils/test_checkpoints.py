"""Checkpoints that are damaged are known, and a run goes on from the one before."""

from __future__ import annotations

import logging
import os
import zipfile
from pathlib import Path

import pytest
import torch

from datasets.sampling import EpochBatches, ResumableLoader
from utils import checkpoints, files
from utils.checkpoints import (
    DamagedCheckpoint,
    choose_checkpoint,
    keep_previous,
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from utils.runs import RunFolder
from utils.training import finishing, runner
from utils.training.callbacks import RunRecord
from utils.types import DataError, TrainingError

pytestmark = pytest.mark.usefixtures("plain_log")
TIMES = {"seconds"}


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


DAMAGES = {
    "truncated": lambda content: content[: len(content) // 2],
    "one bit flipped": flip,
    "checksum flipped": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "zeros": lambda content: bytes(len(content)),
    "empty": lambda content: b"",
    "text": lambda content: b"not a checkpoint",
}


@pytest.fixture(params=DAMAGES)
def damage(request):
    """Return a function that damages a file in one of the ways."""
    return lambda path: path.write_bytes(DAMAGES[request.param](path.read_bytes()))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "small.ckpt"
    save_checkpoint({"state_dict": {"a": torch.arange(3.0)}, "epoch": 4}, path)
    return path


def test_a_checkpoint_is_read_by_torch_and_by_zip_tools_too(small):
    for mmap in (False, True):
        found = torch.load(small, weights_only=True, mmap=mmap)
        assert (found["epoch"], found["state_dict"]["a"].tolist()) == (4, [0, 1, 2])
    assert zipfile.ZipFile(small).testzip() is None
    assert load_checkpoint(small)["epoch"] == 4


def test_every_flipped_byte_and_every_cut_is_found(small, tmp_path):
    whole, path = small.read_bytes(), tmp_path / "damaged.ckpt"
    damaged = [whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :] for at in range(len(whole))]
    damaged += [whole[:at] for at in range(0, len(whole), 16)] + [whole + b"x"]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(DamagedCheckpoint, match=r"damaged\.ckpt is (damaged|cut off or no checkpoint)"):
            verify_checkpoint(path)
    path.write_bytes(whole)
    verify_checkpoint(path)


def test_a_kill_between_any_two_operations_leaves_a_whole_checkpoint(tmp_path, monkeypatch):
    """Each of the operations of three savings dies once; what is found then is the epoch before or the new one."""

    class Dead(BaseException):
        pass

    def run(last, previous, die_at):
        calls = 0

        def dying(original):
            def call(*args, **kwargs):
                nonlocal calls
                calls += 1
                if calls == die_at:
                    raise Dead
                return original(*args, **kwargs)

            return call

        with monkeypatch.context() as patch:
            for module, name in ((os, "replace"), (os, "fsync"), (torch, "save"), (checkpoints, "write_atomically")):
                patch.setattr(module, name, dying(getattr(module, name)))
            for epoch in range(3):
                keep_previous(last, previous)
                save_checkpoint({"position": [epoch, 0]}, last)
                yield epoch

    reached = []
    for die_at in range(1, 30):
        last, previous = tmp_path / str(die_at) / "last.ckpt", tmp_path / str(die_at) / "previous.ckpt"
        done = -1
        try:
            for epoch in run(last, previous, die_at):
                done = epoch
        except Dead:
            _, position, complaint = choose_checkpoint(last, previous)
            assert complaint is None
            assert (-1 if position is None else position.epoch) in (done, done + 1)
            reached.append(done)
    assert set(reached) == {-1, 0, 1}


class Killed(Exception):
    """Stands for a run that dies."""


def train_and_die(config, monkeypatch, in_epoch: int) -> RunFolder:
    """Let a run die after the training steps of an epoch; return its folder."""
    folders = []

    def die(self, trainer, pl_module):
        folders.append(self.folder)
        if trainer.current_epoch == in_epoch:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunRecord, "on_validation_start", die)
        with pytest.raises(Killed):
            runner.train(config)
    return folders[0]


def untimed(folder: RunFolder) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in folder.read_metrics()]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The rows of the run that nothing happens to."""
    from tests.conftest import QUICK
    from utils.configuration.reading import read_configuration

    values = QUICK | {"num_epochs": "3"}
    folders = [f"{key}={tmp_path_factory.mktemp('whole')}" for key in ("output_path", "logging_dir")]
    folder, _ = runner.train(read_configuration(None, [*(f"{key}={value}" for key, value in values.items()), *folders]))
    return untimed(folder)


def test_of_two_checkpoints_the_newest_sound_one_is_chosen(damage, tmp_path):
    last, previous = tmp_path / "last.ckpt", tmp_path / "previous.ckpt"
    assert choose_checkpoint(last, previous) == (None, None, None)
    save_checkpoint({"position": [2, 0]}, previous)
    assert choose_checkpoint(last, previous) == (previous, (2, 0), None)
    save_checkpoint({"position": [2, 5]}, last)
    assert choose_checkpoint(last, previous) == (last, (2, 5), None)
    damage(last)
    path, position, complaint = choose_checkpoint(last, previous)
    assert (path, position) == (previous, (2, 0))
    assert complaint is not None
    assert complaint.startswith(f"{last} is ")
    assert complaint.endswith(": going on after epoch 1, from previous.ckpt")
    damage(previous)
    path, position, complaint = choose_checkpoint(last, previous)
    assert path is position is None
    assert complaint is not None
    assert f"; {previous} is " in complaint
    assert complaint.endswith(": no other checkpoint, starting at epoch 0")


def test_a_run_with_a_damaged_last_checkpoint_goes_on_from_the_one_before(quick, whole, monkeypatch, caplog):
    folder = train_and_die(quick(num_epochs=3), monkeypatch, in_epoch=2)
    assert [load_checkpoint(path)["epoch"] for path in (folder.previous, folder.last)] == [0, 1]
    folder.last.write_bytes(flip(folder.last.read_bytes()))
    left = folder.path / "checkpoints" / ".last.ckpt.abc.tmp"
    left.touch()
    runner.train(quick(num_epochs=3))
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(told) == 1
    assert told[0].startswith(str(folder.last))
    assert told[0].endswith(": going on after epoch 0, from previous.ckpt")
    assert untimed(folder) == whole
    assert [load_checkpoint(path)["epoch"] for path in (folder.previous, folder.last)] == [1, 2]
    assert not left.exists()


def test_a_run_without_a_sound_checkpoint_starts_at_epoch_0_and_says_so(quick, whole, monkeypatch, caplog):
    folder = train_and_die(quick(num_epochs=3), monkeypatch, in_epoch=2)
    folder.last.write_bytes(b"")
    folder.previous.write_bytes(flip(folder.previous.read_bytes()))
    runner.train(quick(num_epochs=3))
    assert "no other checkpoint, starting at epoch 0" in caplog.text
    assert untimed(folder) == whole


def test_a_damaged_last_checkpoint_never_takes_the_place_of_the_sound_one(quick, monkeypatch):
    folder = train_and_die(quick(num_epochs=3), monkeypatch, in_epoch=2)
    folder.last.write_bytes(b"zeros")
    train_and_die(quick(num_epochs=3), monkeypatch, in_epoch=2)
    assert [load_checkpoint(path)["epoch"] for path in (folder.previous, folder.last)] == [0, 1]


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
def test_a_damaged_best_checkpoint_is_told_in_a_line_that_says_what_to_do(quick, monkeypatch, content):
    config = quick(num_epochs=1)
    original = runner.pl.Trainer.fit

    def fit(self, *args, **kwargs):
        original(self, *args, **kwargs)
        (best,) = config_folder.glob("*/checkpoints/best.ckpt")
        best.unlink() if content is None else best.write_bytes(content)

    config_folder = Path(config.output_path)
    monkeypatch.setattr(runner.pl.Trainer, "fit", fit)
    with pytest.raises(TrainingError, match=r"best\.ckpt is .*put a copy of it back .*--fresh$") as error:
        runner.train(config)
    assert "\n" not in str(error.value)


def test_weights_of_another_epoch_than_the_selected_one_are_not_tested(quick, monkeypatch):
    folder = train_and_die(quick(), monkeypatch, in_epoch=1)
    record = RunRecord(folder, [], "valid/accuracy")
    record.best_epoch = 5
    with pytest.raises(TrainingError, match=r"best\.ckpt is of epoch 0, selected is epoch 5"):
        finishing._load_best(record)


class Hostile:
    """Runs something when it is unpickled by a reader that lets it."""

    def __reduce__(self):
        return os.mkdir, ("never-made",)


def test_a_hostile_checkpoint_with_a_sound_checksum_is_told_like_a_damaged_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_checkpoint({"position": Hostile()}, tmp_path / "last.ckpt")
    found = choose_checkpoint(tmp_path / "last.ckpt", tmp_path / "previous.ckpt")
    assert found.path is None
    assert found.complaint is not None
    assert "last.ckpt is not a checkpoint of ours (Weights only load failed)" in found.complaint
    assert found.complaint.endswith(": no other checkpoint, starting at epoch 0")
    assert not (tmp_path / "never-made").exists()


def test_a_loader_of_other_batches_refuses_the_checkpoint():
    one, other = (
        ResumableLoader(range(10), EpochBatches(number, 4, seed=0), lambda: (0, 0))  # type: ignore[arg-type]
        for number in (10, 12)
    )
    one.load_state_dict(one.state_dict())
    with pytest.raises(DataError, match=r"made with other data: .*10.*, now .*12"):
        other.load_state_dict(one.state_dict())


def test_the_folder_s_entry_is_brought_to_the_disk_too(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")))
    files.write_atomically(tmp_path / "a.txt", "text")
    assert synced[-1] == str(tmp_path)
    assert len(synced) == 2
