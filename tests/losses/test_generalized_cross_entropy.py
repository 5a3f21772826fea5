"""Generalised cross entropy: its limits, its equation."""

from __future__ import annotations

import pytest
import torch
from by_loops import batch, mean_by_loops
from torch.nn import functional as F

from losses.generalized_cross_entropy import GeneralizedCrossEntropyLoss


@pytest.mark.parametrize("q", [0.7, 0.1, 1.0])
def test_equals_its_equation(q):
    scores, target = batch()
    expected = mean_by_loops(scores, target, lambda p, y: (1 - p[y] ** q) / q)
    assert GeneralizedCrossEntropyLoss(q=q)(scores, target).item() == pytest.approx(expected, rel=1e-12)


def test_small_q_is_cross_entropy():
    scores, target = batch()
    value = GeneralizedCrossEntropyLoss(q=1e-9)(scores, target)
    torch.testing.assert_close(value, F.cross_entropy(scores, target), rtol=1e-7, atol=0)


def test_q_1_is_half_the_absolute_error():
    scores, target = batch()
    error = F.l1_loss(scores.softmax(dim=-1), F.one_hot(target, 4).double(), reduction="sum") / len(target)
    torch.testing.assert_close(GeneralizedCrossEntropyLoss(q=1.0)(scores, target), error / 2)
