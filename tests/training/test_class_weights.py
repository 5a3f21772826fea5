"""Weights of classes in a configuration, and what a run says to its loss about itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import losses
from losses.base import ClassificationLoss, parts_of
from losses.contract import Task
from training import building, runner
from utils.lookup import Entry
from utils.types import ConfigError

pytestmark = pytest.mark.usefixtures("plain_log")


class Noting(ClassificationLoss):
    """Scales cross entropy by the epoch and by how sure validation was; notes what it is called with."""

    sureness: Tensor
    calls: list[tuple[str, int]] = []

    def __init__(self, task: Task | None = None) -> None:
        super().__init__(task)
        self.register_buffer("sureness", torch.zeros(()))

    def sample_losses(self, scores: Tensor, target: Any) -> Tensor:
        return (1 + self.epoch + self.sureness) * F.cross_entropy(scores, target, reduction="none")

    def begin_epoch(self, epoch: int) -> None:
        super().begin_epoch(epoch)
        self.calls.append(("begin", epoch))

    def end_validation(self, scores: Tensor, target: Any) -> None:
        assert not self.training
        self.calls.append(("validated", len(target)))
        self.sureness.copy_(scores.softmax(dim=-1).amax(dim=-1).mean())


@pytest.fixture
def noting(monkeypatch) -> list[tuple[str, int]]:
    monkeypatch.setitem(losses.LOSSES, "Noting", Entry(f"{__name__}:Noting", "of a test"))
    monkeypatch.setattr(Noting, "calls", [])
    return Noting.calls


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{0: 2.0, 7: 0}", [2.0, *[1.0] * 6, 0.0, 1.0, 1.0]),
        ([0.5, *[1.0] * 9], [0.5, *[1.0] * 9]),
        ("null", None),
    ],
)
def test_weights_by_name_or_in_order(quick, value, expected):
    prepared = building.prepare(quick(class_weights=value, loss_function="CenterLoss"))
    for loss in parts_of(prepared.classifier.loss):
        weights: Any = loss.class_weights
        assert (None if weights is None else weights.tolist()) == expected


def test_balanced_weights_come_from_what_is_trained_on(quick):
    prepared = building.prepare(quick(class_weights="balanced", label_noise=0.2))
    data, task = prepared.data, prepared.task
    counts = torch.bincount(torch.as_tensor(data.train_table.labels[data.train_rows]), minlength=10)
    assert list(task.class_counts or ()) == counts.tolist()
    assert (task.num_epochs, task.steps_per_epoch) == (2, len(data.epoch_batches()))
    weights: Any = prepared.classifier.loss.class_weights
    torch.testing.assert_close(weights, len(data.train_rows) / (10 * counts.float()))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_weights": "{7: 1.0, 11: 2.0}"}, r"command line: class_weights\.11: unknown class"),
        ({"class_weights": "[1.0, 2.0]"}, r"command line: class_weights: must be a number for each of 10 classes"),
        ({"class_weights": "even"}, r"command line: class_weights: must be 'balanced'"),
        ({"class_weights": "[-1.0]"}, r"class_weights: must be 'balanced', .* a list of numbers >= 0 or null"),
    ],
)
def test_weights_that_do_not_fit_are_refused_with_their_place(quick, changes, message):
    with pytest.raises(ConfigError, match=message):
        building.prepare(quick(**changes))


def test_a_run_says_where_training_stands(quick, noting):
    folder, _ = runner.train(quick(loss_function="Noting"))
    validated = [size for call, size in noting if call == "validated"]
    assert [epoch for call, epoch in noting if call == "begin"][-3:] == [0, 0, 1]  # at the start of training, too
    assert len(validated) == 2
    assert len({*validated}) == 1
    assert folder.is_finished
