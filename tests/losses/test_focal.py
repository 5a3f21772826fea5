"""Focal loss: its limit, its equation, its slope where samples are certain."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import batch, mean_by_loops
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

from losses import build_loss
from losses.focal import FocalLoss
from utils.types import ConfigError


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 1.0), (0.5, 0.25), (5.0, 1.0)])
def test_equals_its_equation(gamma, alpha):
    scores, target = batch()
    expected = mean_by_loops(scores, target, lambda p, y: -alpha * (1 - p[y]) ** gamma * math.log(p[y]))
    assert FocalLoss(gamma=gamma, alpha=alpha)(scores, target).item() == pytest.approx(expected, rel=1e-12)


def test_without_focus_it_is_cross_entropy():
    scores, target = batch()
    torch.testing.assert_close(FocalLoss(gamma=0.0)(scores, target), F.cross_entropy(scores, target))


def test_two_classes_are_torchvisions_sigmoid_of_the_difference():
    scores, target = batch(classes=2)
    expected = sigmoid_focal_loss(scores[:, 1] - scores[:, 0], target.double(), alpha=-1, gamma=2, reduction="mean")
    torch.testing.assert_close(FocalLoss()(scores, target), expected)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("soft", [False, True])
def test_gradient_is_finite_and_vanishes_where_the_label_is_certain(gamma, soft):
    scores = torch.tensor([[200.0, 0.0]], requires_grad=True)
    target = torch.tensor([[1.0, 0.0]]) if soft else torch.tensor([0])
    FocalLoss(gamma=gamma)(scores, target).backward()
    torch.testing.assert_close(scores.grad, torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"gamma": -1.0}, "gamma must be finite and >= 0, got -1.0"),
        ({"alpha": 0.0}, "alpha must be finite and > 0, got 0.0"),
    ],
)
def test_bad_parameters_are_named(params, message):
    with pytest.raises(ConfigError, match=message):
        build_loss("FocalLoss", None, **params)
