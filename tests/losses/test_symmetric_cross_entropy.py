"""Symmetric cross entropy: its limits, its equation."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import batch, mean_by_loops
from torch.nn import functional as F

from losses import build_loss
from losses.symmetric_cross_entropy import SymmetricCrossEntropyLoss
from utils.types import ConfigError


@pytest.mark.parametrize(("alpha", "beta", "log_zero"), [(0.1, 1.0, math.log(1e-4)), (6.0, 0.1, -4.0)])
def test_equals_its_equation(alpha, beta, log_zero):
    def loss_of(p, y):
        reverse = -sum(p_k * (0.0 if k == y else log_zero) for k, p_k in enumerate(p))
        return -alpha * math.log(p[y]) + beta * reverse

    scores, target = batch()
    value = SymmetricCrossEntropyLoss(alpha=alpha, beta=beta, log_zero=log_zero)(scores, target)
    assert value.item() == pytest.approx(mean_by_loops(scores, target, loss_of), rel=1e-12)


def test_without_the_reverse_it_is_cross_entropy():
    scores, target = batch()
    loss = SymmetricCrossEntropyLoss(alpha=1.0, beta=0.0)
    torch.testing.assert_close(loss(scores, target), F.cross_entropy(scores, target))


def test_the_reverse_alone_is_the_absolute_error():
    scores, target = batch()
    loss = SymmetricCrossEntropyLoss(alpha=0.0, log_zero=-2.0)
    expected = F.l1_loss(scores.softmax(dim=-1), F.one_hot(target, 4).double(), reduction="sum") / len(target)
    torch.testing.assert_close(loss(scores, target), expected)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alpha": -0.1}, "alpha must be finite and >= 0, got -0.1"),
        ({"alpha": 0.0, "beta": 0.0}, "beta must be finite and >= 0, and > 0 where alpha is 0, got 0.0"),
        ({"log_zero": 0.0}, "log_zero must be finite and < 0, got 0.0"),
    ],
)
def test_bad_parameters_are_named(params, message):
    with pytest.raises(ConfigError, match=message):
        build_loss("SymmetricCrossEntropyLoss", None, **params)
