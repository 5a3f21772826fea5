"""One-vs-rest cross entropy of a softmax: its equation, its limits, its numerics."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import batch, mean_by_loops
from torch.nn import functional as F

from losses.label_probability import log_complements
from losses.one_vs_rest import OneVsRestCrossEntropyLoss


def test_equals_equation_5_with_its_bar_restored():
    scores, target = batch()
    expected = mean_by_loops(
        scores,
        target,
        lambda p, y: -math.log(p[y]) - sum(math.log(1 - p_j) for j, p_j in enumerate(p) if j != y),
    )
    assert OneVsRestCrossEntropyLoss()(scores, target).item() == pytest.approx(expected, rel=1e-12)


def test_equals_torchs_binary_cross_entropy_of_the_softmax():
    scores, target = batch()
    expected = F.binary_cross_entropy(scores.softmax(dim=-1), F.one_hot(target, 4).double(), reduction="sum")
    torch.testing.assert_close(OneVsRestCrossEntropyLoss()(scores, target), expected / len(target))


def test_two_classes_are_twice_cross_entropy():
    scores, target = batch(classes=2)
    torch.testing.assert_close(OneVsRestCrossEntropyLoss()(scores, target), 2 * F.cross_entropy(scores, target))


@pytest.mark.parametrize("soft", [False, True])
def test_a_saturated_wrong_class_is_exact_in_float32(soft):
    scores = torch.tensor([[30.0, 0.0, 0.0]], requires_grad=True)
    target = torch.tensor([[0.0, 1.0, 0.0]]) if soft else torch.tensor([1])
    value = OneVsRestCrossEntropyLoss()(scores, target)
    value.backward()
    assert value.item() == pytest.approx(60 - math.log(2), rel=1e-6)
    torch.testing.assert_close(scores.grad, torch.tensor([[2.0, -1.5, -0.5]]))


@pytest.mark.parametrize("margin", [0.0, 1.0, 40.0])
def test_complements_are_exact_at_every_margin(margin):
    scores = torch.tensor([[margin, 0.0, 0.0]], dtype=torch.float64)
    log_sum = math.log(math.exp(margin) + 2)
    expected = torch.tensor([[math.log(2) - log_sum, *[math.log(math.exp(margin) + 1) - log_sum] * 2]]).double()
    torch.testing.assert_close(log_complements(scores.log_softmax(dim=-1)), expected, check_dtype=False)
