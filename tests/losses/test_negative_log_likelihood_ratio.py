"""Negative log likelihood ratio: its equation, its constant pull, its lack of a floor."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import batch, mean_by_loops
from torch.nn import functional as F

from losses.negative_log_likelihood_ratio import NegativeLogLikelihoodRatioLoss


def test_equals_its_equation():
    scores, target = batch()
    expected = mean_by_loops(
        scores, target, lambda p, y: -math.log(p[y] / sum(p_j for j, p_j in enumerate(p) if j != y))
    )
    assert NegativeLogLikelihoodRatioLoss()(scores, target).item() == pytest.approx(expected, rel=1e-12)


def test_two_classes_are_their_difference():
    scores, target = batch(classes=2)
    difference = scores.gather(1, 1 - target[:, None]) - scores.gather(1, target[:, None])
    torch.testing.assert_close(NegativeLogLikelihoodRatioLoss()(scores, target), difference.mean())


def test_the_right_score_is_always_pulled_by_one():
    scores, target = batch()
    scores.requires_grad_()
    (NegativeLogLikelihoodRatioLoss()(scores, target) * len(target)).backward()
    own = F.one_hot(target, 4).bool()
    others = scores.detach().masked_fill(own, -math.inf).softmax(dim=-1)
    torch.testing.assert_close(scores.grad, torch.where(own, -1.0, others))


@pytest.mark.parametrize("soft", [False, True])
def test_saturated_samples_are_exact_in_float32(soft):
    scores = torch.tensor([[20.0, 0.0, 0.0]], requires_grad=True)
    target = torch.tensor([[1.0, 0.0, 0.0]]) if soft else torch.tensor([0])
    value = NegativeLogLikelihoodRatioLoss()(scores, target)
    value.backward()
    assert value.item() == pytest.approx(math.log(2) - 20, rel=1e-6)
    torch.testing.assert_close(scores.grad, torch.tensor([[-1.0, 0.5, 0.5]]))
