"""A run that died ends, wherever that was, with the result of one that nothing happened to: to the last bit."""

from __future__ import annotations

import shutil

import pytest
from torch.utils.data import DataLoader

from datasets.stream.loader import ResumableLoader
from models.classifier import Classifier
from tests.training.resuming import SETUPS, SMALL, copies_of_all_save_points, deaths, differences
from training import runner
from training.averaging import WeightAverage
from training.callbacks import StepSeed
from training.save_points import SavePoints

pytestmark = pytest.mark.usefixtures("plain_log")


@pytest.fixture
def read(quick, tmp_path):
    """Return a function that reads a configuration whose runs lie in a folder of their own."""
    return lambda place, **changes: quick(output_path=tmp_path / place, **SMALL | changes)


OFTEN = ("plain", "schedules in turn", "together")
"""The set-ups of every test run; all others take their turn in the long one."""


@pytest.mark.parametrize(
    "setup", [pytest.param(name, marks=[] if name in OFTEN else pytest.mark.torture) for name in SETUPS]
)
def test_a_run_that_dies_after_each_save_ends_as_if_it_had_not(read, setup):
    """Each save point is gone on from, in a process line as long as there are save points."""
    whole, _ = runner.train(read("whole", **SETUPS[setup]))
    *died, end = deaths(lambda **changes: read("dying", **changes), **SETUPS[setup])
    assert differences(whole, end) == []
    assert len(died) >= 6


@pytest.mark.torture
@pytest.mark.parametrize("setup", SETUPS)
def test_every_save_point_leads_to_the_same_end(read, tmp_path, setup):
    changes = SETUPS[setup]
    whole, copies = copies_of_all_save_points(lambda **changes: read("whole", **changes), tmp_path, **changes)
    assert len(copies) >= 6
    for copy in copies:
        end, _ = runner.train(read(copy.parent, **changes))
        assert end.path == copy
        assert differences(whole, end) == []


def validate_every_two_steps(monkeypatch):
    original = runner.build_trainer

    def build(*args):
        trainer, *others = original(*args)
        trainer.val_check_interval = 2
        return trainer, *others

    monkeypatch.setattr(runner, "build_trainer", build)


def test_a_run_that_validates_within_epochs_is_not_saved_where_a_validation_is_due(read, monkeypatch):
    validate_every_two_steps(monkeypatch)
    whole, _ = runner.train(read("whole", num_epochs="2"))
    *died, end = deaths(lambda **changes: read("dying", **changes), num_epochs="2")
    assert differences(whole, end) == []
    assert len(died) == 2 * 3  # steps 1 and 3 of 5, and the epoch's end


def epoch_from_its_start(monkeypatch):
    monkeypatch.setattr(ResumableLoader, "__iter__", DataLoader.__iter__)


def random_numbers_of_the_process(monkeypatch):
    monkeypatch.setattr(StepSeed, "on_train_batch_start", lambda *args: None)


def forgotten_average(monkeypatch):
    original = WeightAverage.load_state_dict
    monkeypatch.setattr(WeightAverage, "load_state_dict", lambda self, state: original(self, state | {"average": {}}))


def forgotten_plateau(monkeypatch):
    monkeypatch.setattr(Classifier, "on_load_checkpoint", lambda *args: None)


def forgotten_stop(monkeypatch):
    monkeypatch.setattr(SavePoints, "on_load_checkpoint", lambda *args: None)


@pytest.mark.parametrize(
    ("harm", "setup", "death"),
    [
        (epoch_from_its_start, "plain", 7),
        (random_numbers_of_the_process, "plain", 7),
        (forgotten_average, "average of weights", 7),
        (forgotten_plateau, "plateau", 11),
        (forgotten_stop, "early stopping", -1),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_resume_that_forgets_something_is_found(read, monkeypatch, tmp_path, harm, setup, death):
    """The comparison can fail: a run that died once ends as the whole one, and elsewhere without these."""
    changes = SETUPS[setup]
    whole, copies = copies_of_all_save_points(lambda **changes: read("whole", **changes), tmp_path, **changes)
    died = shutil.copytree(copies[death].parent, tmp_path / "again")
    end, _ = runner.train(read(copies[death].parent, **changes))
    assert differences(whole, end) == []
    harm(monkeypatch)
    end, _ = runner.train(read(died, **changes))
    assert differences(whole, end) != []
