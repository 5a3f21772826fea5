"""Tamed cross entropy: its limits, its equation, its slope."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import batch, mean_by_loops

from losses.tamed_cross_entropy import TamedCrossEntropyLoss


@pytest.mark.parametrize("alpha", [0.5, 0.9, 2.0])
def test_equals_its_equation(alpha):
    scores, target = batch()
    expected = mean_by_loops(scores, target, lambda p, y: ((1 - math.log(p[y])) ** (1 - alpha) - 1) / (1 - alpha))
    assert TamedCrossEntropyLoss(alpha=alpha)(scores, target).item() == pytest.approx(expected, rel=1e-12)


def test_alpha_1_is_the_limit_of_its_neighbours():
    scores, target = batch()
    value = TamedCrossEntropyLoss(alpha=1.0)(scores, target)
    near = TamedCrossEntropyLoss(alpha=1.0 + 1e-9)(scores, target)
    torch.testing.assert_close(value, near, rtol=1e-7, atol=0)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0])
def test_slope_fades_with_the_cross_entropy(alpha):
    u = torch.tensor([0.0, 1.0, 9.0], dtype=torch.float64, requires_grad=True)
    TamedCrossEntropyLoss(alpha=alpha).cost(u).sum().backward()
    torch.testing.assert_close(u.grad, (1 + u.detach()) ** -alpha)
