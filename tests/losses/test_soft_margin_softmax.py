"""Soft-margin softmax: a margin in training, none in judging."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import batch
from cases import trained
from torch.nn import functional as F

from losses.soft_margin_softmax import SoftMarginSoftmaxLoss


@pytest.mark.parametrize("margin", [0.5, 3.0])
def test_training_equals_its_equation(margin):
    scores, target = batch()
    total = 0.0
    for row, y in zip(scores.tolist(), target.tolist(), strict=True):
        own = math.exp(row[y] - margin)
        total -= math.log(own / (own + sum(math.exp(s) for j, s in enumerate(row) if j != y)))
    value = trained(SoftMarginSoftmaxLoss(margin=margin), scores, target)
    assert value.item() == pytest.approx(total / len(target), rel=1e-12)


@pytest.mark.parametrize("margin", [0.5, 100.0])
def test_soft_labels_weigh_the_labels_losses_in_training(margin):
    scores, _ = batch()
    loss, q = SoftMarginSoftmaxLoss(margin=margin), torch.rand(7, 4, dtype=torch.float64).softmax(dim=-1)
    labels = [[trained(loss, scores[i : i + 1], torch.tensor([k])) for k in range(4)] for i in range(7)]
    expected = (q * torch.tensor(labels, dtype=torch.float64)).sum(dim=-1).mean()
    torch.testing.assert_close(trained(loss, scores, q), expected)


def test_judging_knows_no_margin():
    scores, target = batch()
    assert torch.equal(SoftMarginSoftmaxLoss(margin=9.0).eval()(scores, target), F.cross_entropy(scores, target))


def test_training_exceeds_judging_by_at_most_the_margin():
    scores, target = batch()
    loss = SoftMarginSoftmaxLoss()
    assert 0 < trained(loss, scores, target) - loss.eval()(scores, target) < 0.5


def test_scores_stay_as_they_were():
    scores, target = batch()
    before = scores.clone()
    trained(SoftMarginSoftmaxLoss(), scores, target)
    assert torch.equal(scores, before)
