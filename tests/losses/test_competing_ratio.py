"""Competing ratio loss: its limits, its equation, its gradient."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import batch, mean_by_loops
from torch.nn import functional as F

from losses.competing_ratio import CompetingRatioLoss
from losses.negative_log_likelihood_ratio import NegativeLogLikelihoodRatioLoss

SETTINGS = [(1.5, 1.0), (2.0, 0.25), (0.1, 3.0), (0.05, 1.0), (1e-9, 0.5), (0.0, 1.0), (0.0, 0.4)]


@pytest.mark.parametrize(("alpha", "beta"), SETTINGS)
def test_equals_equation_11(alpha, beta):
    scores, target = batch()
    expected = mean_by_loops(scores, target, lambda p, y: beta * math.log(alpha + 1 - p[y]) - math.log(p[y]))
    assert CompetingRatioLoss(alpha=alpha, beta=beta)(scores, target).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 0.05, 1.5])
def test_without_the_ratio_it_is_cross_entropy(alpha):
    scores, target = batch()
    loss = CompetingRatioLoss(alpha=alpha, beta=0.0)
    torch.testing.assert_close(loss(scores, target), F.cross_entropy(scores, target))
    assert loss.calibrated


def test_without_the_offset_it_is_the_likelihood_ratio():
    scores, target = batch()
    expected = NegativeLogLikelihoodRatioLoss()(scores, target)
    torch.testing.assert_close(CompetingRatioLoss(alpha=0.0)(scores, target), expected)


@pytest.mark.parametrize(("alpha", "beta"), SETTINGS)
def test_gradient_is_that_of_equation_11_not_the_printed_one(alpha, beta):
    scores, target = batch()
    scores.requires_grad_()
    CompetingRatioLoss(alpha=alpha, beta=beta)(scores, target).backward()
    p = scores.detach().softmax(dim=-1)
    own = p.gather(1, target[:, None])
    expected = (1 + beta * own / (alpha + 1 - own)) * (p - F.one_hot(target, 4)) / len(target)
    torch.testing.assert_close(scores.grad, expected)


@pytest.mark.parametrize("alpha", [0.0, 1e-9, 0.05, 1.5])
@pytest.mark.parametrize("margin", [-110.0, 20.0, 110.0])
def test_saturated_samples_are_exact_in_float32(alpha, margin):
    scores = torch.tensor([[margin, 0.0, 0.0]], requires_grad=True)
    value = CompetingRatioLoss(alpha=alpha)(scores, torch.tensor([0]))
    value.backward()
    log_rest = math.log(2) - margin - math.log1p(2 * math.exp(-margin)) if margin > 0 else 0.0
    entropy = math.log1p(2 * math.exp(-margin))
    ratio = log_rest if alpha == 0 else math.log(alpha + math.exp(log_rest))
    assert value.item() == pytest.approx(ratio + entropy, rel=1e-4)
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
