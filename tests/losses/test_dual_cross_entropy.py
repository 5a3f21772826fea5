"""Dual cross entropy: its limits, its equation."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import batch, mean_by_loops

from losses.competing_ratio import CompetingRatioLoss
from losses.dual_cross_entropy import DualCrossEntropyLoss


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.3, 2.0), (1e-6, 0.5)])
def test_equals_its_equation(alpha, beta):
    scores, target = batch()
    expected = mean_by_loops(
        scores,
        target,
        lambda p, y: -math.log(p[y]) + beta * sum(math.log(alpha + p_j) for j, p_j in enumerate(p) if j != y),
    )
    assert DualCrossEntropyLoss(alpha=alpha, beta=beta)(scores, target).item() == pytest.approx(expected, rel=1e-12)


def test_two_classes_are_the_competing_ratio():
    scores, target = batch(classes=2)
    expected = CompetingRatioLoss(alpha=1.5, beta=0.7)(scores, target)
    torch.testing.assert_close(DualCrossEntropyLoss(alpha=1.5, beta=0.7)(scores, target), expected)
