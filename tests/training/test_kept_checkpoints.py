"""Which checkpoints a finished run keeps."""

from __future__ import annotations

import pytest

from evaluation.subject import open_subject
from training import runner
from utils.types import ConfigError

FEW = {"classes": "[0,1]"}


@pytest.mark.parametrize(
    ("keep", "left"),
    [("best", ["best.ckpt", "epoch-0.ckpt"]), ("all", ["best.ckpt", "epoch-0.ckpt", "last.ckpt", "previous.ckpt"])],
)
def test_a_finished_run_keeps_the_checkpoints_that_it_is_to(keep, left, quick):
    folder, summary = runner.train(quick(**FEW, keep_checkpoints=keep, keep_epochs="[0]"))
    assert sorted(path.name for path in folder.best.parent.iterdir()) == left
    assert runner.train(quick(**FEW, keep_checkpoints=keep, keep_epochs="[0]"))[1] == summary


def test_a_run_that_keeps_no_weights_is_finished_and_is_not_evaluated(quick):
    folder, summary = runner.train(quick(**FEW, keep_checkpoints="none"))
    assert list(folder.best.parent.iterdir()) == []
    assert runner.train(quick(**FEW, keep_checkpoints="none"))[1] == summary
    assert runner.train(quick(**FEW, keep_checkpoints="all"))[0] == folder  # the same run
    with pytest.raises(ConfigError, match=r"no checkpoint .*: it was deleted, or the run had keep_checkpoints: none"):
        open_subject(folder.path)


def test_weights_of_epochs_cannot_be_kept_and_discarded(quick):
    with pytest.raises(ConfigError, match="keep_epochs: keeps weights, keep_checkpoints: none removes them"):
        quick(keep_checkpoints="none", keep_epochs="[0]")
