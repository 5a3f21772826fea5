"""A step that calls only what somebody has written leaves what Lightning's own leaves, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytorch_lightning.callbacks import Callback

from datasets.data_module import DataModule
from models.classifier import Classifier
from runs.folder import RunFolder
from tests.training.resuming import SETUPS, SMALL, differences, hurry
from training import runner, step_loop
from training.step_loop import PASSED_OVER, StepLoop

pytestmark = pytest.mark.usefixtures("plain_log")

FURTHER = {
    "several passes a step": {"optimizer": "LBFGS", "optimizer_params": "{lr: 0.1, max_iter: 3}"},
    "clipped sums": {"accumulate_batches": "3", "gradient_clip_norm": "0.1"},
    "schedule of steps of several batches": {
        "accumulate_batches": "2",
        "lr_scheduler": "OneCycleLR",
        "lr_scheduler_params": "{max_lr: 0.01}",
    },
}
FIVE_STEPS = {"checkpoint_every_steps": "null", "num_epochs": "2"}
OFTEN = ("plain", "accumulation", "bfloat16", "together", *FURTHER)


@pytest.fixture(autouse=True)
def in_a_hurry(monkeypatch):
    hurry(monkeypatch)


@pytest.fixture
def plain_steps(monkeypatch) -> list[int]:
    """Return a list that grows by the number of each plain step."""
    seen: list[int] = []
    original = StepLoop._advance

    def advance(self: StepLoop, loaded: Any) -> None:
        seen.append(self.batch_progress.current.ready)
        original(self, loaded)

    monkeypatch.setattr(StepLoop, "_advance", advance)
    return seen


@pytest.fixture
def train(quick, tmp_path) -> Callable[..., RunFolder]:
    return lambda place, **changes: runner.train(quick(output_path=tmp_path / place, **SMALL | FIVE_STEPS | changes))[0]


@pytest.mark.parametrize(
    "setup",
    [pytest.param(name, marks=[] if name in OFTEN else pytest.mark.torture) for name in (*SETUPS, *FURTHER)],
)
def test_plain_steps_leave_what_lightnings_leave(train, setup, plain_steps, monkeypatch):
    changes = (SETUPS | FURTHER)[setup]
    straight = train("straight", **changes)
    taken = list(plain_steps)
    monkeypatch.setattr(step_loop, "_is_plain", lambda trainer: False)
    assert differences(straight, train("asked", **changes)) == []
    assert plain_steps == taken
    assert set(taken) == {*range(max(taken) + 1)}  # all but the last of an epoch
    assert len(taken) == (max(taken) + 1) * len(straight.read_metrics())


def test_saving_at_any_step_leaves_what_lightnings_loop_leaves(train, plain_steps, monkeypatch):
    changes = {"checkpoint_every_steps": "2", "accumulate_batches": "2"}
    straight = train("straight", **changes)
    assert plain_steps == [0, 1, 2, 3] * 2
    monkeypatch.setattr(step_loop, "_is_plain", lambda trainer: False)
    assert differences(straight, train("asked", **changes)) == []


@pytest.mark.filterwarnings("ignore:You have overridden")  # Lightning's, of modules that do what data modules may
@pytest.mark.parametrize(("base", "hook"), [(base, hook) for base, hooks in PASSED_OVER.items() for hook in hooks])
def test_where_a_hook_that_plain_steps_pass_over_is_written_none_is_plain(train, plain_steps, monkeypatch, base, hook):
    seen = []

    def heard(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(hook)
        return getattr(base, hook)(self, *args, **kwargs)

    if base is Callback:
        callback = type("Listener", (Callback,), {hook: heard})()
        original = runner.build_trainer
        monkeypatch.setattr(
            runner,
            "build_trainer",
            lambda config, folder, trackers, others: original(config, folder, trackers, [callback]),
        )
    else:
        written = Classifier if base.__name__ == "LightningModule" else DataModule
        monkeypatch.setattr(written, hook, heard, raising=False)
    train("listened")
    assert plain_steps == []
    assert len(seen) >= 10


def test_a_run_that_validates_within_an_epoch_leaves_those_steps_to_lightning(train, plain_steps, monkeypatch):
    original = runner.build_trainer

    def build(*args: Any) -> Any:
        trainer, *others = original(*args)
        trainer.val_check_interval = 2
        return trainer, *others

    monkeypatch.setattr(runner, "build_trainer", build)
    straight = train("straight")
    assert plain_steps == [0, 2] * 2
    monkeypatch.setattr(step_loop, "_is_plain", lambda trainer: False)
    assert differences(straight, train("asked")) == []
