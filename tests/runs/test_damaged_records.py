"""Files of a run that are records only: whatever becomes of them, the result is the same."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os

import pytest

from runs.folder import RunFolder
from tests.training.resuming import after_each_save
from tracking.base import IDS_FILE
from training import runner
from utils.files import CannotWrite
from utils.signals import Interrupted
from utils.types import ConfigError, TrainingError

pytestmark = pytest.mark.usefixtures("plain_log")

ONE = {"classes": "[0,1,2]", "valid_fraction": "0.3", "num_epochs": "1"}
EPOCHS = ONE | {"num_epochs": "3"}
DAMAGES = {
    "emptied": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "not text": lambda path: path.write_bytes(b"\xc8" + path.read_bytes()),
    "of something else": lambda path: path.write_text("{}"),
    "deleted": lambda path: path.unlink(),
}


@pytest.fixture
def interrupted(trained) -> RunFolder:
    """A run of three epochs that died when its second was saved."""
    return trained(died_at=2, **EPOCHS)


@pytest.fixture
def finished(trained) -> RunFolder:
    return trained(**ONE)


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_run_goes_on_whatever_became_of_its_records(quick, interrupted, caplog, damage):
    folder = interrupted
    metrics = folder.metrics.read_bytes()
    for path in (folder.metrics, folder.environment, folder.config):
        damage(path)
    _, summary = runner.train(quick(**EPOCHS))
    assert summary["epochs_run"] == 3
    assert [row["epoch"] for row in folder.read_metrics()] == [0, 1, 2]
    assert folder.metrics.read_bytes().startswith(metrics)
    assert folder.config.read_text() == quick(**EPOCHS).to_yaml()
    reported = [each for each in warnings(caplog) if "environment.json is damaged" in each]
    assert len(reported) == (damage is not DAMAGES["deleted"])
    assert json.loads(folder.environment.read_text())["started"]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_summary_is_made_again_by_the_test_alone(quick, finished, caplog, damage):
    folder, accuracy = finished, finished.read_summary()["test/accuracy"]
    weights = folder.best.stat().st_mtime_ns
    damage(folder.summary)
    again, repeated = runner.train(quick(**ONE))
    assert again == folder
    assert repeated["test/accuracy"] == accuracy
    assert folder.read_summary() == repeated
    assert folder.best.stat().st_mtime_ns == weights
    assert [each for each in warnings(caplog) if "summary.json is damaged" in each] == (
        [] if damage is DAMAGES["deleted"] else [f"{folder.summary} is damaged: the selected weights are tested again"]
    )


def test_a_checkpoint_of_another_kind_in_the_place_of_the_last_is_passed_over(quick, interrupted, caplog):
    folder = interrupted
    folder.last.write_bytes(folder.best.read_bytes())
    _, summary = runner.train(quick(**EPOCHS))
    assert summary["epochs_run"] == 3
    (reported,) = [each for each in warnings(caplog) if str(folder.last) in each]
    assert "is a checkpoint of another kind (it holds no position, optimizer_states, " in reported
    assert reported.endswith(": resuming after epoch 1, from previous.ckpt")


@pytest.mark.parametrize("content", ["", '{"mlf', "[]", "{}", '{"mlflow": 7}'])
def test_where_the_names_that_trackers_gave_are_lost_they_show_a_new_run(quick, trained, content):
    config, folder = quick(**ONE, trackers="[mlflow]"), trained(**ONE, trackers="[mlflow]")
    (folder.path / IDS_FILE).write_text(content)
    folder.unreported.touch()
    with contextlib.nullcontext() if content == "{}" else pytest.warns(UserWarning, match=f"{IDS_FILE} is damaged"):
        runner.train(config)
    assert not folder.unreported.exists()
    assert json.loads((folder.path / IDS_FILE).read_text()).keys() == {"mlflow"}


def test_predictions_that_are_gone_are_made_again_by_the_test_alone(quick, finished, caplog):
    folder, summary = finished, finished.read_summary()
    weights, predictions = folder.best.stat().st_mtime_ns, folder.predictions.read_bytes()
    folder.predictions.unlink()
    runner.train(quick(**ONE))
    assert folder.predictions.read_bytes() == predictions
    assert folder.best.stat().st_mtime_ns == weights
    assert warnings(caplog) == [f"{folder.predictions} is missing: the selected weights are tested again"]
    folder.predictions.unlink()
    folder.best.unlink()  # to save room
    assert runner.train(quick(**ONE))[1]["test/accuracy"] == summary["test/accuracy"]
    assert not folder.predictions.exists()


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_selected_weights_are_told_at_the_start(quick, interrupted, caplog, damage):
    folder = interrupted
    damage(folder.best)
    with contextlib.suppress(TrainingError):  # unless a later epoch is better
        runner.train(quick(**EPOCHS))
    (reported,) = [each for each in warnings(caplog) if str(folder.best) in each]
    assert "it holds the weights to test unless a later epoch is better: restore a copy of it" in reported


def test_a_finished_run_asks_for_no_place_to_write(quick, finished, monkeypatch):
    def refuse(config):
        raise ConfigError("cannot write")

    monkeypatch.setattr(runner, "check_writable", refuse)
    assert runner.train(quick(**ONE)) == (finished, finished.read_summary())
    assert "(finished)" in runner.check(quick(**ONE))
    for action in (runner.train, runner.check):
        with pytest.raises(ConfigError, match="cannot write"):
            action(quick(**ONE | {"num_epochs": "2"}))


# ------------------------------------------------------------------------------------------------------ trained anew


def test_an_interrupted_fresh_run_is_gone_on_with_by_the_command_that_it_names(quick, finished, monkeypatch):
    def stop(points):
        raise Interrupted("SIGTERM")

    with monkeypatch.context() as patch:
        after_each_save(patch, stop)
        with pytest.raises(Interrupted, match="the same command without --fresh resumes after epoch 1"):
            runner.train(quick(**ONE), fresh=True)
    second, _ = runner.train(quick(**ONE))
    assert second.path.name == f"{finished.path.name}-2"
    assert second.is_finished
    assert runner.train(quick(**ONE))[0] == second
    assert runner.train(quick(**ONE), fresh=True)[0].path.name == f"{finished.path.name}-3"


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
    def full(points):
        raise CannotWrite(number, os.strerror(number), str(points.folder.last))

    with monkeypatch.context() as patch:
        after_each_save(patch, full)
        with pytest.raises(TrainingError, match=f"{remedy}.*; then the same command without --fresh resumes"):
            runner.train(quick(**ONE), fresh=True)
