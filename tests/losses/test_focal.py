"""Focal loss: its limit, its equation, its slope where samples are certain."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import batch, mean_by_loops

from losses.focal import FocalLoss


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, 1.0), (0.5, 0.25), (5.0, 1.0)])
def test_equals_its_equation(gamma, alpha):
    scores, target = batch()
    expected = mean_by_loops(scores, target, lambda p, y: -alpha * (1 - p[y]) ** gamma * math.log(p[y]))
    assert FocalLoss(gamma=gamma, alpha=alpha)(scores, target).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("soft", [False, True])
def test_gradient_is_finite_and_vanishes_where_the_label_is_certain(gamma, soft):
    scores = torch.tensor([[200.0, 0.0]], requires_grad=True)
    target = torch.tensor([[1.0, 0.0]]) if soft else torch.tensor([0])
    FocalLoss(gamma=gamma)(scores, target).backward()
    torch.testing.assert_close(scores.grad, torch.zeros(1, 2))
