"""What a resume would lose is found before training: the rehearsal of every loss, and of losses that lose something."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import losses
from losses import LOSSES, TORCH_LOSSES
from losses.base import ClassificationLoss
from losses.contract import Batch, Outputs, Task
from training import building
from training.rehearsal import rehearse
from utils.lookup import Entry, load_entry
from utils.types import ConfigError

pytestmark = pytest.mark.usefixtures("plain_log")


@pytest.fixture
def prepare(quick):
    def build(name: str, **changes: Any) -> building.Preparation:
        return building.prepare(quick(**(fitting(name) | {"loss_function": name} | changes)))

    return build


def fitting(name: str) -> dict[str, Any]:
    """Return the data and the network that a loss can be rehearsed with."""
    loss = load_entry(LOSSES[name]) if name in LOSSES else ClassificationLoss
    if loss.kind == "sequence":
        texts = {"dataset": "made_up", "data_params": "{like: plates, num_classes: 3}"}
        return texts | {"architecture": "lprnet_small", "convert_to_grayscale": "false", "batch_size": 8}
    return {} if loss.num_classes is None else {"classes": "[3, 8]"}


class Holder(ClassificationLoss):
    """Cross entropy times a state, which a subclass keeps wrongly."""

    def __init__(self, task: Task | None = None) -> None:
        super().__init__(task)
        self.begin()

    def begin(self) -> None:
        raise NotImplementedError

    def forward(self, scores: Tensor, target: Any) -> Tensor:
        return nn.functional.cross_entropy(scores, target)


class WeightOfAnEpoch(Holder):
    def begin(self) -> None:
        self.weight = torch.ones(10)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"main": self.weight.mean() * self(outputs.scores, batch.target)}

    def on_epoch_end(self) -> None:
        self.weight = self.weight * 2


class SumOfSteps(Holder):
    """Its state has no effect before the end of the next epoch."""

    weight: Tensor

    def begin(self) -> None:
        self.register_buffer("weight", torch.ones(()))
        self.sums: list[float] = []

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        self.sums.append(float(outputs.scores.detach().mean()))
        return {"main": self.weight * self(outputs.scores, batch.target)}

    def on_epoch_end(self) -> None:
        self.weight.fill_(sum(self.sums))
        self.sums.clear()


class Counter(Holder):
    def begin(self) -> None:
        self.steps = 0

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        self.steps += 1
        return {"main": self(outputs.scores, batch.target) / self.steps}


class NotPersistent(Counter):
    def begin(self) -> None:
        self.register_buffer("steps", torch.zeros(()), persistent=False)


class OwnGenerator(Holder):
    def begin(self) -> None:
        self.generator = torch.Generator().manual_seed(0)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"main": torch.rand((), generator=self.generator) * self(outputs.scores, batch.target)}


class KeptGraph(Holder):
    def begin(self) -> None:
        self.register_buffer("mean", torch.zeros(()))

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        self.mean = 0.9 * self.mean + outputs.scores.square().mean()
        return {"main": self(outputs.scores, batch.target) + self.mean}


class LateBuffer(Counter):
    def begin(self) -> None:
        pass

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        if not hasattr(self, "steps"):
            self.register_buffer("steps", torch.zeros(()))
        return super().terms(outputs, batch)


class Unreduced(Holder):
    def begin(self) -> None:
        pass

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"main": nn.functional.cross_entropy(outputs.scores, batch.target, reduction="none")}  # type: ignore


class Cache(Holder):
    """What is made anew in every step is no state."""

    def begin(self) -> None:
        self.last: Tensor | None = None

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        self.last = last = self(outputs.scores, batch.target)
        return {"main": last}


def numpy_state() -> Any:
    state: Any = np.random.get_state()
    return state[1]


@pytest.fixture
def of_the_table(monkeypatch):
    """Return a function that puts a loss of this file into the table and returns its name."""

    def add(loss: type[nn.Module]) -> str:
        monkeypatch.setitem(losses.LOSSES, loss.__name__, Entry(f"{__name__}:{loss.__name__}", "of a test"))
        return loss.__name__

    return add


@pytest.mark.parametrize("name", [*LOSSES, *TORCH_LOSSES])
def test_every_loss_resumes_as_it_was_and_leaves_the_run_alone(prepare, name):
    prepared = prepare(name)
    state = {key: value.clone() for key, value in prepared.classifier.state_dict().items()}
    head = {key: value.clone() for key, value in prepared.task.classifier.state_dict().items()}
    states = torch.get_rng_state(), random.getstate(), numpy_state()
    rehearse(prepared)
    after = prepared.classifier.state_dict()
    assert after.keys() == state.keys()
    assert all(torch.equal(after[key], state[key]) for key in state)
    assert all(torch.equal(value, head[key]) for key, value in prepared.task.classifier.state_dict().items())
    assert all(parameter.grad is None for parameter in prepared.classifier.parameters())
    assert prepared.classifier.training
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.array_equal(numpy_state(), states[2])


@pytest.mark.parametrize(
    "changes",
    [
        {"loss_params": "{base: AngularSoftmaxLoss}"},
        {"loss_params": "{base: OnlineLabelSmoothingLoss}"},
        {"loss_params": "{base: CenterLoss}", "loss_function": "TripletLoss"},
        {"loss_params": "{repeated_sampling: true}"},
        {"mixing": "MixUp"},
        {"mixing": "MixUp", "loss_function": "OnlineLabelSmoothingLoss"},
        {"loss_function": "OnlineLabelSmoothingLoss", "loss_params": "{update_every: 2, freeze_above: 0.5}"},
    ],
)
def test_losses_around_others_and_soft_labels_are_rehearsed(prepare, changes):
    changes = {"loss_function": "LossTransform"} | changes
    prepared = prepare(changes.pop("loss_function"), **changes)
    rehearse(prepared)
    assert all(parameter.grad is None for parameter in prepared.classifier.parameters())


HERE = rf"loss_function: tests/training/{__name__.rpartition('.')[2]}\.py:\d+: "


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (WeightOfAnEpoch, r'WeightOfAnEpoch: a resume would lose weight, .* self.register_buffer\("weight", '),
        (SumOfSteps, r"SumOfSteps: a resume would lose sums, "),
        (Counter, r"Counter: a resume would lose steps, "),
        (NotPersistent, r"NotPersistent: a resume would lose steps, "),
        (OwnGenerator, r"OwnGenerator: the third step gives [\d.]+ after a save and a resume, [\d.]+ without: "),
        (KeptGraph, r"KeptGraph: it keeps the graph of an earlier step in its state: keep what .detach\(\) gives"),
        (LateBuffer, r"LateBuffer: the state of two steps does not fit a fresh one, .*\"steps\""),
        (Unreduced, r"Unreduced: each of its terms must be one number, .* got shapes {'main': \[4\]}"),
    ],
)
def test_what_a_resume_would_lose_is_named_with_its_place(prepare, of_the_table, loss, message):
    with pytest.raises(ConfigError, match=f"^command line: {HERE}{message}"):
        rehearse(prepare(of_the_table(loss)))


def test_what_a_wrapped_loss_would_lose_is_named_as_its(prepare, of_the_table):
    name = of_the_table(Counter)
    with pytest.raises(ConfigError, match=rf"{HERE}Counter: a resume would lose base.steps, .*buffer\(\"steps\""):
        rehearse(prepare("LossTransform", loss_params=f"{{base: {name}}}"))


def test_what_each_step_makes_anew_is_no_state(prepare, of_the_table):
    prepared = prepare(of_the_table(Cache))
    rehearse(prepared)
    assert prepared.classifier.loss.last is None


def test_the_error_of_a_bug_is_left_as_it_is(prepare, of_the_table, monkeypatch):
    monkeypatch.setattr(Cache, "terms", lambda self, outputs, batch: {"main": self.gama})
    with pytest.raises(AttributeError, match="'Cache' object has no attribute 'gama'"):
        rehearse(prepare(of_the_table(Cache)))
