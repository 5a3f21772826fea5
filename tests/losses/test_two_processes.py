"""Losses with state see the images of all processes: each one's state is that of one process alone."""

from __future__ import annotations

import pytest
import torch
from cases import feature_batch, make, terms_of
from processes import WORLD, in_two_processes
from torch import Tensor

STATEFUL = {
    "OnlineLabelSmoothingLoss": ("OnlineLabelSmoothingLoss", {}),
    "updated every 2 steps": ("OnlineLabelSmoothingLoss", {"update_every": 2}),
    "SingleLabelSmoothingLoss": ("SingleLabelSmoothingLoss", {}),
    "CenterLoss": ("CenterLoss", {"alpha": 0.7}),
    "AngularSoftmaxLoss": ("AngularSoftmaxLoss", {}),
    "LargeMarginSoftmaxLoss": ("LargeMarginSoftmaxLoss", {}),
    "PairwiseConfusionLoss": ("PairwiseConfusionLoss", {}),
    "wrapped": ("LossTransform", {"base": "CenterLoss", "base_params": {"base": "OnlineLabelSmoothingLoss"}}),
}
NAMES = pytest.mark.parametrize("name", STATEFUL)
Trained = dict[str, tuple[dict[str, Tensor], Tensor]]


def train(part: slice) -> Trained:
    """Train every loss two epochs on its part of each batch; return states and what was minimised at each step."""
    results = {}
    for case, (name, params) in STATEFUL.items():
        loss, values = make(name, **params).double(), []
        for epoch in range(2):
            for step in range(3):
                scores, features, target = feature_batch(12)
                scores = (scores * (1 + epoch + step)).roll(step, dims=1)
                terms = terms_of(loss, scores[part], target[part], features=features[part] + step)
                values.append(torch.stack(list(terms.values())).sum().detach())
            loss.on_epoch_end()
        results[case] = (dict(loss.state_dict()), torch.stack(values))
    return results


def train_a_part(rank: int) -> Trained:
    return train(slice(rank, None, WORLD))


@pytest.fixture(scope="module")
def ranks() -> list[Trained]:
    return in_two_processes(train_a_part)


@pytest.fixture(scope="module")
def alone() -> Trained:
    return train(slice(None))


@NAMES
def test_state_is_the_same_in_both(ranks, name):
    (first, _), (second, _) = (trained[name] for trained in ranks)
    assert first.keys() == second.keys()
    for key, value in first.items():
        assert torch.equal(value, second[key]), key


@NAMES
def test_state_is_that_of_one_process_with_whole_batches(ranks, alone, name):
    expected, _ = alone[name]
    for trained in ranks:
        torch.testing.assert_close(trained[name][0], expected)


@pytest.mark.parametrize(
    "name", ["OnlineLabelSmoothingLoss", "updated every 2 steps", "SingleLabelSmoothingLoss", "CenterLoss"]
)
def test_mean_loss_is_that_of_one_process_with_whole_batches(ranks, alone, name):
    mean = torch.stack([trained[name][1] for trained in ranks]).mean(dim=0)
    torch.testing.assert_close(mean, alone[name][1])


def test_what_is_compared_has_moved(alone):
    assert (alone["CenterLoss"][0]["centers"] != 0).any()
    assert alone["OnlineLabelSmoothingLoss"][0]["soft"].std() > 0.05
    assert alone["SingleLabelSmoothingLoss"][0]["soft"].std() > 0.05
    assert alone["AngularSoftmaxLoss"][0]["steps"] == 6
    assert alone["PairwiseConfusionLoss"][0]["epochs"] == 2
