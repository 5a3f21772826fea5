"""Files of a run that are records only: whatever becomes of them, the result is the same."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
from pathlib import Path

import pytest

from runs.folder import RunFolder
from tests.training.resuming import Died, after_each_save, hurry
from tracking.base import IDS_FILE
from training import runner
from utils.files import CannotWrite
from utils.signals import Interrupted
from utils.types import ConfigError, TrainingError

pytestmark = pytest.mark.usefixtures("plain_log")

EPOCHS = {"num_epochs": "3"}
DAMAGES = {
    "emptied": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "not text": lambda path: path.write_bytes(b"\xc8" + path.read_bytes()),
    "of something else": lambda path: path.write_text("{}"),
    "deleted": lambda path: path.unlink(),
}


def interrupt(quick, monkeypatch) -> RunFolder:
    """Let a run die when its second epoch is saved."""
    saved = []

    def die(points):
        saved.append(points.folder)
        if len(saved) == 2:
            raise Died

    with monkeypatch.context() as patch:
        hurry(patch)
        after_each_save(patch, die)
        with pytest.raises(Died):
            runner.train(quick(**EPOCHS))
    return saved[-1]


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["metrics", "environment", "config"])
def test_a_run_goes_on_whatever_became_of_its_records(quick, monkeypatch, caplog, name, damage):
    hurry(monkeypatch)
    folder = interrupt(quick, monkeypatch)
    path: Path = getattr(folder, name)
    whole = path.read_bytes()
    damage(path)
    caplog.clear()
    _, summary = runner.train(quick(**EPOCHS))
    assert summary["epochs_run"] == 3
    assert [row["epoch"] for row in folder.read_metrics()] == [0, 1, 2]
    if name == "metrics":
        assert path.read_bytes().startswith(whole)
    if name == "config":
        assert path.read_bytes() == whole
    told = [each for each in warnings(caplog) if "environment.json is damaged" in each]
    assert len(told) == (name == "environment" and path.is_file() and damage not in (DAMAGES["deleted"],))
    assert json.loads(folder.environment.read_text())["started"]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_summary_is_made_again_by_the_test_alone(quick, monkeypatch, caplog, damage):
    hurry(monkeypatch)
    folder, summary = runner.train(quick(num_epochs="1"))
    trained = folder.best.stat().st_mtime_ns
    damage(folder.summary)
    caplog.clear()
    again, repeated = runner.train(quick(num_epochs="1"))
    assert again == folder
    assert repeated["test/accuracy"] == summary["test/accuracy"]
    assert folder.read_summary() == repeated
    assert folder.best.stat().st_mtime_ns == trained
    assert [each for each in warnings(caplog) if "summary.json is damaged" in each] == (
        [] if damage is DAMAGES["deleted"] else [f"{folder.summary} is damaged: the selected weights are tested again"]
    )


def test_a_checkpoint_of_another_kind_in_the_place_of_the_last_is_passed_over(quick, monkeypatch, caplog):
    hurry(monkeypatch)
    folder = interrupt(quick, monkeypatch)
    folder.last.write_bytes(folder.best.read_bytes())
    caplog.clear()
    _, summary = runner.train(quick(**EPOCHS))
    assert summary["epochs_run"] == 3
    (told,) = [each for each in warnings(caplog) if str(folder.last) in each]
    assert "is a checkpoint of another kind (it holds no position, optimizer_states, " in told
    assert told.endswith(": resuming after epoch 1, from previous.ckpt")


@pytest.mark.parametrize("content", ["", '{"mlf', "[]", "{}", '{"mlflow": 7}'])
def test_where_the_names_that_trackers_gave_are_lost_they_show_a_new_run(quick, monkeypatch, caplog, content):
    hurry(monkeypatch)
    config = quick(num_epochs="1", trackers="[mlflow]")
    folder, _ = runner.train(config)
    (folder.path / IDS_FILE).write_text(content)
    folder.unreported.touch()
    with contextlib.nullcontext() if content == "{}" else pytest.warns(UserWarning, match=f"{IDS_FILE} is damaged"):
        runner.train(config)
    assert not folder.unreported.exists()
    assert json.loads((folder.path / IDS_FILE).read_text()).keys() == {"mlflow"}


def test_predictions_that_are_gone_are_made_again_by_the_test_alone(quick, monkeypatch, caplog):
    hurry(monkeypatch)
    folder, summary = runner.train(quick(num_epochs="1"))
    trained, predictions = folder.best.stat().st_mtime_ns, folder.predictions.read_bytes()
    folder.predictions.unlink()
    caplog.clear()
    runner.train(quick(num_epochs="1"))
    assert folder.predictions.read_bytes() == predictions
    assert folder.best.stat().st_mtime_ns == trained
    assert warnings(caplog) == [f"{folder.predictions} is missing: the selected weights are tested again"]
    folder.predictions.unlink()
    folder.best.unlink()  # to save room
    assert runner.train(quick(num_epochs="1"))[1]["test/accuracy"] == summary["test/accuracy"]
    assert not folder.predictions.exists()


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_selected_weights_are_told_at_the_start(quick, monkeypatch, caplog, damage):
    hurry(monkeypatch)
    folder = interrupt(quick, monkeypatch)
    damage(folder.best)
    caplog.clear()
    with contextlib.suppress(TrainingError):  # unless a later epoch is better
        runner.train(quick(**EPOCHS))
    (told,) = [each for each in warnings(caplog) if str(folder.best) in each]
    assert "it holds the weights to test unless a later epoch is better: restore a copy of it" in told


def test_a_finished_run_asks_for_no_place_to_write(quick, monkeypatch):
    hurry(monkeypatch)
    folder, summary = runner.train(quick(num_epochs="1"))

    def refuse(config):
        raise ConfigError("cannot write")

    monkeypatch.setattr(runner, "check_writable", refuse)
    assert runner.train(quick(num_epochs="1")) == (folder, summary)
    assert "(finished)" in runner.check(quick(num_epochs="1"))
    for action in (runner.train, runner.check):
        with pytest.raises(ConfigError, match="cannot write"):
            action(quick(num_epochs="2"))


# ------------------------------------------------------------------------------------------------------ trained anew


def test_an_interrupted_fresh_run_is_gone_on_with_by_the_command_that_it_names(quick, monkeypatch):
    hurry(monkeypatch)
    first, _ = runner.train(quick(num_epochs="1"))

    def interrupted(points):
        raise Interrupted("SIGTERM")

    with monkeypatch.context() as patch:
        after_each_save(patch, interrupted)
        with pytest.raises(Interrupted, match="the same command without --fresh resumes after epoch 1"):
            runner.train(quick(num_epochs="1"), fresh=True)
    second, _ = runner.train(quick(num_epochs="1"))
    assert second.path.name == f"{first.path.name}-2"
    assert second.is_finished
    assert runner.train(quick(num_epochs="1"))[0] == second
    assert runner.train(quick(num_epochs="1"), fresh=True)[0].path.name == f"{first.path.name}-3"


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free some space there"),
        (errno.EFBIG, "ulimit -f"),
        (errno.EISDIR, "move the folder"),
        (errno.EACCES, "make that folder writable"),
    ],
)
def test_what_cannot_be_written_in_a_fresh_run_is_told_with_its_remedy(quick, monkeypatch, number, remedy):
    hurry(monkeypatch)

    def full(points):
        raise CannotWrite(number, os.strerror(number), str(points.folder.last))

    with monkeypatch.context() as patch:
        after_each_save(patch, full)
        with pytest.raises(TrainingError, match=f"{remedy}.*; then the same command without --fresh resumes"):
            runner.train(quick(num_epochs="1"), fresh=True)
