"""Checkpoints that are damaged are known, and a run goes on from the one before."""

from __future__ import annotations

import hashlib
import itertools
import logging
import math
import multiprocessing
import os
import random
import re
import shutil
import time
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

import evaluate
import predict
from datasets.stream.loader import ResumableLoader
from datasets.stream.sampling import EpochBatches
from evaluation.subject import open_subject
from metrics.classification import Tally
from runs import checkpoints
from runs.checkpoints import (
    DamagedCheckpoint,
    choose_checkpoint,
    keep_previous,
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
    weights_of,
)
from runs.folder import RunFolder
from tests.training.resuming import train_until
from training import finishing, runner
from training.callbacks import RunRecord
from utils import files
from utils.files import remove_leftovers
from utils.types import ConfigError, DataError, TrainingError

pytestmark = pytest.mark.usefixtures("plain_log")
TIMES = {"seconds"}
THREE = {"classes": "[0,1,2]", "valid_fraction": 0.3, "num_epochs": 3}


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


def untimed(folder: RunFolder) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in folder.read_metrics()]


@pytest.fixture
def interrupted(trained) -> RunFolder:
    """A run of three epochs that died after two."""
    return trained(died_at=2, **THREE)


@pytest.fixture
def whole(trained) -> list[dict[str, float]]:
    """The rows of the run that nothing happens to."""
    folder = trained(**THREE)
    rows = untimed(folder)
    shutil.rmtree(folder.path.parent)
    return rows


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
    assert complaint.endswith(": resuming after epoch 2, from previous.ckpt")
    damage(previous)
    path, position, complaint = choose_checkpoint(last, previous)
    assert path is position is None
    assert complaint is not None
    assert f"; {previous} is " in complaint
    assert complaint.endswith(": no other checkpoint, starting at epoch 1")


def test_a_run_with_a_damaged_last_checkpoint_goes_on_from_the_one_before(quick, whole, interrupted, caplog):
    folder = interrupted
    assert [load_checkpoint(path)["epoch"] for path in (folder.previous, folder.last)] == [0, 1]
    folder.last.write_bytes(flip(folder.last.read_bytes()))
    left = folder.path / "checkpoints" / ".last.ckpt.abc.tmp"
    left.touch()
    runner.train(quick(**THREE))
    (message,) = (record.getMessage() for record in caplog.records if record.levelno == logging.WARNING)
    assert message.startswith(str(folder.last))
    assert message.endswith(": resuming after epoch 1, from previous.ckpt")
    assert untimed(folder) == whole
    assert [load_checkpoint(path)["epoch"] for path in (folder.previous, folder.last)] == [1, 2]
    assert not left.exists()


def test_a_run_without_a_sound_checkpoint_starts_at_epoch_0_and_says_so(quick, whole, interrupted, caplog):
    folder = interrupted
    folder.last.write_bytes(b"")
    folder.previous.write_bytes(flip(folder.previous.read_bytes()))
    runner.train(quick(**THREE))
    assert "no other checkpoint, starting at epoch 1" in caplog.text
    assert untimed(folder) == whole


def test_a_damaged_last_checkpoint_never_takes_the_place_of_the_sound_one(quick, interrupted):
    folder = interrupted
    folder.last.write_bytes(b"zeros")
    train_until(quick(**THREE), save=1)
    assert [load_checkpoint(path)["epoch"] for path in (folder.previous, folder.last)] == [0, 1]


@pytest.mark.parametrize("content", [None, b"", b"not a checkpoint"])
def test_a_damaged_best_checkpoint_is_told_in_a_line_that_says_what_to_do(quick, monkeypatch, content):
    config = quick(**THREE | {"num_epochs": 1})
    original = runner.pl.Trainer.fit

    def fit(self, *args, **kwargs):
        original(self, *args, **kwargs)
        (best,) = config_folder.glob("*/checkpoints/best.ckpt")
        best.unlink() if content is None else best.write_bytes(content)

    config_folder = Path(config.output_path)
    monkeypatch.setattr(runner.pl.Trainer, "fit", fit)
    with pytest.raises(TrainingError, match=r"best\.ckpt is .*restore a copy of it .*--fresh$") as error:
        runner.train(config)
    assert "\n" not in str(error.value)


def test_weights_of_another_epoch_than_the_selected_one_are_not_tested(interrupted):
    record = RunRecord(interrupted, [], "valid/accuracy")
    record.best_epoch = 5
    with pytest.raises(TrainingError, match=r"best\.ckpt is of epoch [12], selected is epoch 6"):
        finishing._load_best(record)


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


ANGULAR = {"loss_function": "AngularSoftmaxLoss", "ema_decay": 0.9}


def as_format_1(path: Path) -> None:
    """Write a margin loss's checkpoint as it was when its head had two names, of which the average knew the first."""
    content = load_checkpoint(path)
    head = content["state_dict"]["own_head.weight"]
    if "callbacks" in content:
        average = content["callbacks"]["WeightAverage"]["average"]
        average["loss.head.weight"] = average.pop("own_head.weight")
        content["state_dict"]["loss.head.weight"] = head
    else:
        content["state_dict"] |= {"loss.head.weight": head, "own_head.weight": head + 1}
    save_checkpoint(content | {"format": 1}, path)


def test_a_run_of_format_1_resumes_to_the_same_end_and_tests_what_was_validated(quick, trained, tmp_path):
    whole, expected = runner.train(quick(output_path=tmp_path / "whole", **THREE, **ANGULAR))
    folder = trained(died_at=2, **THREE, **ANGULAR)
    for path in (folder.last, folder.previous, folder.best):
        as_format_1(path)
    _, summary = runner.train(quick(**THREE, **ANGULAR))
    assert {name for name in summary if summary[name] != expected[name]} <= {
        *("seconds", "training_seconds", "images_per_second", "waiting_share", "started"),
    }
    theirs, ours = (load_checkpoint(each.last) for each in (whole, folder))
    for state in (lambda each: each["state_dict"], lambda each: each["callbacks"]["WeightAverage"]["average"]):
        assert state(theirs).keys() == state(ours).keys()
        assert all(torch.equal(tensor, state(ours)[name]) for name, tensor in state(theirs).items())


@pytest.mark.parametrize("prefix", ["loss.", "loss.base.", "loss.base.base."])
def test_of_a_head_with_two_names_the_validated_one_is_kept(tmp_path, caplog, prefix):
    path = tmp_path / "best.ckpt"
    state = {"network.head.weight": 0, "loss.steps": 1, f"{prefix}head.weight": 2, "own_head.weight": 3}
    tensors = {name: torch.tensor(float(value)) for name, value in state.items()}
    save_checkpoint({"format": 1, "state_dict": tensors}, path)
    renamed = {name: tensor.item() for name, tensor in load_checkpoint(path)["state_dict"].items()}
    assert renamed == {"network.head.weight": 0, "loss.steps": 1, "own_head.weight": 2}
    assert f"its average of {prefix}head.weight is used" in caplog.text
    save_checkpoint({"state_dict": tensors}, path)
    assert load_checkpoint(path)["state_dict"].keys() == tensors.keys()


@pytest.mark.parametrize(
    "content",
    [
        {"state_dict": [torch.ones(1)]},
        {"state_dict": {1: torch.ones(1)}},
        {"state_dict": {"a": 1.0}},
        {"epoch": "x"},
        {"epoch": -1},
        {"position": ["x", 0]},
        {"callbacks": {"WeightAverage": []}},
        {"format": "new"},
    ],
    ids=str,
)
def test_content_of_another_type_is_a_line_that_names_it(tmp_path, content):
    path = tmp_path / "odd.ckpt"
    whole = {"state_dict": {}, "epoch": 0, "position": [0, 0]}
    save_checkpoint(whole | content, path)
    (name,) = content
    with pytest.raises(DamagedCheckpoint, match=rf"odd\.ckpt is no checkpoint of ours \(wrong content: {name}\)$"):
        load_checkpoint(path, *whole)


def test_a_list_is_no_checkpoint(tmp_path):
    save_as_it_is([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(DamagedCheckpoint, match=r"list\.ckpt is no checkpoint of ours \(it holds a list\)"):
        load_checkpoint(tmp_path / "list.ckpt")


def save_as_it_is(content: object, path: Path) -> None:
    torch.save(content, path)
    path.write_bytes(path.read_bytes() + checkpoints.MARK + hashlib.sha256(path.read_bytes()).digest())


def test_a_later_format_is_refused_and_left_as_it_is(quick, interrupted):
    folder = interrupted
    save_checkpoint(load_checkpoint(folder.last) | {"format": 99}, folder.last)
    before = folder.last.read_bytes()
    with pytest.raises(ConfigError, match=r"last\.ckpt has format 99, this version reads 1 to \d+\. .*--fresh$"):
        runner.train(quick(**THREE))
    assert folder.last.read_bytes() == before


def without_convolutions(state: dict[str, torch.Tensor]) -> None:
    for name in [name for name in state if "conv" in name]:
        del state[name]


def with_another(state: dict[str, torch.Tensor]) -> None:
    state["network.other.weight"] = torch.ones(1)


def with_another_shape(state: dict[str, torch.Tensor]) -> None:
    state["network.fc.bias"] = torch.ones(4)


OTHERS = {
    with_another_shape: r"of another shape: 1 tensor \(network\.fc\.bias \[4\], here \[3\]\)",
    without_convolutions: r"missing: \d+ tensors \(network\.conv1\S*, \S+, \S+, \.\.\.\)",
    with_another: r"unknown: 1 tensor \(network\.other\.weight\)",
}


@pytest.mark.parametrize(("change", "message"), OTHERS.items())
def test_other_tensors_are_refused_by_name_wherever_a_checkpoint_is_read(
    quick, interrupted, monkeypatch, tmp_path, capsys, change, message
):
    picture = tmp_path / "picture.png"
    Image.new("L", (8, 8)).save(picture)
    folder = interrupted
    for path in (folder.best, folder.last):
        content = load_checkpoint(path)
        change(content["state_dict"])
        save_checkpoint(content, path)
    text = rf"{{}}\.ckpt does not fit this run's network and loss; {message}\. Another version of Lossbench.*--fresh"
    assert predict.main([str(picture), "--run", str(folder.path)]) == 2
    assert evaluate.main([str(folder.path)]) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == second
    assert re.search(text.format("best"), first)
    with pytest.raises(ConfigError, match=text.format("last")):
        runner.train(quick(**THREE))
    folder.last.unlink()
    folder.previous.unlink()
    original = RunRecord.on_train_epoch_end

    def damage_the_best(self, trainer, module):
        original(self, trainer, module)
        content = load_checkpoint(folder.best)
        change(content["state_dict"])
        save_checkpoint(content, folder.best)

    monkeypatch.setattr(RunRecord, "on_train_epoch_end", damage_the_best)
    with pytest.raises(ConfigError, match=text.format("best")):
        runner.train(quick(**THREE))


def test_weights_that_are_not_finite_are_refused_by_name(interrupted):
    folder = interrupted
    content = load_checkpoint(folder.best)
    content["state_dict"]["network.fc.bias"][0] = math.inf
    content["state_dict"]["network.bn1.running_var"][0] = math.nan
    save_checkpoint(content, folder.best)
    names = r"2 tensors \(network\.bn1\.running_var, network\.fc\.bias\): the training has diverged"
    with pytest.raises(ConfigError, match=rf"best\.ckpt: NaN or infinity in {names}"):
        open_subject(folder.path)


def test_only_tallies_are_left_out_of_the_saved_weights_whatever_modules_are_called():
    module = nn.ModuleDict({"my_tally": nn.ModuleDict({"layer": nn.Linear(1, 1)}), "judge_tally": Tally(2)})
    assert [*weights_of(module)] == ["my_tally.layer.weight", "my_tally.layer.bias"]


KILLS, FLOATS = 20, 25_000_000
"""100 MB, of which a kill at any time hits the writing more often than not."""


def save_for_ever(folder: Path) -> None:
    last, previous = folder / "last.ckpt", folder / "previous.ckpt"
    for number in itertools.count():
        keep_previous(last, previous)
        save_checkpoint({"position": [number, 0], "weights": torch.full((FLOATS,), float(number))}, last)


@pytest.mark.torture
def test_a_kill_while_a_large_checkpoint_is_written_leaves_one_that_is_whole(tmp_path, monkeypatch):
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    draw, half_written = random.Random(0), 0
    for _ in range(KILLS):
        before = choose_checkpoint(tmp_path / "last.ckpt", tmp_path / "previous.ckpt").path
        process = multiprocessing.get_context("forkserver").Process(target=save_for_ever, args=(tmp_path,))
        process.start()
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob(".*.tmp")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 1.0))
        process.kill()
        process.join()
        path, position, complaint = choose_checkpoint(tmp_path / "last.ckpt", tmp_path / "previous.ckpt")
        assert complaint is None
        assert (path is not None) or before is None
        if path is not None and position is not None:
            assert torch.equal(load_checkpoint(path)["weights"], torch.full((FLOATS,), float(position.epoch)))
        half_written += len(list(tmp_path.glob(".*.tmp")))
        remove_leftovers(tmp_path)
    assert half_written >= KILLS // 4


def test_a_checkpoint_is_written_beside_its_place_whatever_tmpdir_says(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    seen = []
    original = os.replace
    monkeypatch.setattr(
        os, "replace", lambda *paths: (seen.append([Path(path).parent for path in paths]), original(*paths))
    )
    save_checkpoint({"position": [0, 0]}, tmp_path / "run" / "last.ckpt")
    assert seen == [[tmp_path / "run"] * 2]
