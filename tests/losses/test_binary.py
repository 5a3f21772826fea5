"""Losses of one score for two classes: what their frame promises, and binary cross entropy's equation."""

from __future__ import annotations

import math

import pytest
import torch
from cases import D, make
from torch import nn
from torch.nn import functional as F

from losses.binary_cross_entropy import BinaryCrossEntropyLoss
from losses.contract import Task
from training.losses import build_loss
from utils.types import ConfigError

BINARY = ["BinaryCrossEntropyLoss", "BinaryOneSidedMarginLoss"]


@pytest.fixture(params=BINARY)
def loss(request):
    return make(request.param).double()


def one_score() -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores [B, 1] on both sides of every threshold, and labels."""
    return torch.linspace(-900, 900, 13, dtype=torch.float64)[:, None], torch.arange(13) % 2


def test_last_layer_is_a_linear_one_with_one_score(loss):
    head = loss.make_head(Task(2, 10, nn.Linear(D, 2)))
    assert (head.in_features, head.out_features) == (D, 1)


def test_scores_with_and_without_an_axis_of_one_are_the_same(loss):
    scores, target = one_score()
    assert torch.equal(loss(scores[:, 0], target), loss(scores, target))
    assert torch.equal(loss.predict(scores[:, 0]), loss.predict(scores))


def test_soft_labels_weigh_both_labels(loss):
    scores, _ = one_score()
    share = torch.linspace(0, 1, 13, dtype=torch.float64)
    first, second = (torch.stack([loss(s[None], torch.tensor([label])) for s in scores]) for label in (0, 1))
    found = loss(scores, torch.stack([1 - share, share], dim=-1))
    torch.testing.assert_close(found, ((1 - share) * first + share * second).mean())


def test_prediction_is_the_likelier_class(loss):
    scores, _ = one_score()
    log_p = loss.log_probabilities(scores)
    torch.testing.assert_close(log_p.exp().sum(dim=-1), torch.ones(13, dtype=torch.float64))
    apart = log_p[:, 0] != log_p[:, 1]
    assert apart.sum() >= 12
    assert torch.equal(loss.predict(scores)[apart], log_p.argmax(dim=-1)[apart])


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("classes", [3, 10])
def test_data_of_more_classes_are_refused_with_the_way_out(name, classes):
    with pytest.raises(ConfigError) as error:
        build_loss(name, Task(classes, 10, nn.Linear(D, classes)))
    assert str(error.value) == (
        f"loss_function: {name} tells two classes apart, the data has {classes}; choose two by `classes: [one, other]`"
    )


def test_binary_cross_entropy_is_cross_entropy_of_0_and_the_score():
    torch.manual_seed(0)
    scores, target = 3 * torch.randn(9, 1, dtype=torch.float64), torch.randint(2, (9,))
    loss, both = BinaryCrossEntropyLoss(), torch.cat([torch.zeros_like(scores), scores], dim=-1)
    p = [1 / (1 + math.exp(-s)) for s in scores.flatten().tolist()]
    equation_4 = [-math.log(each if y else 1 - each) for each, y in zip(p, target.tolist(), strict=True)]
    value = loss(scores.requires_grad_(), target)
    assert value.item() == pytest.approx(sum(equation_4) / 9, rel=1e-12)
    torch.testing.assert_close(value, F.cross_entropy(both, target))
    torch.testing.assert_close(loss.log_probabilities(scores), both.log_softmax(dim=-1))
    value.backward()
    torch.testing.assert_close(scores.grad, (scores.detach().sigmoid() - target[:, None]) / 9)
    assert loss.calibrated
    assert loss.predict(torch.tensor([[-1e-6], [0.0], [1e-6]])).tolist() == [0, 0, 1]
