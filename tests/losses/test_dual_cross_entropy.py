"""Dual cross entropy: its limits, its equation."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import batch, mean_by_loops
from torch.nn import functional as F

from losses import build_loss
from losses.competing_ratio import CompetingRatioLoss
from losses.dual_cross_entropy import DualCrossEntropyLoss
from utils.types import ConfigError


@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 1.0), (0.3, 2.0), (1e-6, 0.5)])
def test_equals_its_equation(alpha, beta):
    scores, target = batch()
    expected = mean_by_loops(
        scores,
        target,
        lambda p, y: -math.log(p[y]) + beta * sum(math.log(alpha + p_j) for j, p_j in enumerate(p) if j != y),
    )
    assert DualCrossEntropyLoss(alpha=alpha, beta=beta)(scores, target).item() == pytest.approx(expected, rel=1e-12)


def test_without_the_penalty_it_is_cross_entropy():
    scores, target = batch()
    assert torch.equal(DualCrossEntropyLoss(beta=0.0)(scores, target), F.cross_entropy(scores, target))


def test_two_classes_are_the_competing_ratio():
    scores, target = batch(classes=2)
    expected = CompetingRatioLoss(alpha=1.5, beta=0.7)(scores, target)
    torch.testing.assert_close(DualCrossEntropyLoss(alpha=1.5, beta=0.7)(scores, target), expected)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"alpha": 0.0}, "alpha must be finite and > 0, got 0.0"),
        ({"beta": -1.0}, "beta must be finite and >= 0, got -1.0"),
    ],
)
def test_bad_parameters_are_named(params, message):
    with pytest.raises(ConfigError, match=message):
        build_loss("DualCrossEntropyLoss", None, **params)
