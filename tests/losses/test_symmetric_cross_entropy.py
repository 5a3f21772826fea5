"""Symmetric cross entropy: its limits, its equation."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import batch, mean_by_loops
from torch.nn import functional as F

from losses.symmetric_cross_entropy import SymmetricCrossEntropyLoss


@pytest.mark.parametrize(("alpha", "beta", "log_zero"), [(0.1, 1.0, math.log(1e-4)), (6.0, 0.1, -4.0)])
def test_equals_its_equation(alpha, beta, log_zero):
    def loss_of(p, y):
        reverse = -sum(p_k * (0.0 if k == y else log_zero) for k, p_k in enumerate(p))
        return -alpha * math.log(p[y]) + beta * reverse

    scores, target = batch()
    value = SymmetricCrossEntropyLoss(alpha=alpha, beta=beta, log_zero=log_zero)(scores, target)
    assert value.item() == pytest.approx(mean_by_loops(scores, target, loss_of), rel=1e-12)


def test_the_reverse_alone_is_the_absolute_error():
    scores, target = batch()
    loss = SymmetricCrossEntropyLoss(alpha=0.0, log_zero=-2.0)
    expected = F.l1_loss(scores.softmax(dim=-1), F.one_hot(target, 4).double(), reduction="sum") / len(target)
    torch.testing.assert_close(loss(scores, target), expected)
