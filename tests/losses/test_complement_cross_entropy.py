"""Complement cross entropy: its limit, its equation, which way it turns the wrong classes."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import batch, mean_by_loops
from torch.nn import functional as F

from losses import build_loss
from losses.complement_cross_entropy import ComplementCrossEntropyLoss, complement_entropies, complement_entropy
from utils.types import ConfigError


@pytest.mark.parametrize("gamma", [-1.0, 2.0])
def test_equals_its_equation(gamma):
    def loss_of(p, y):
        ratios = [p_j / (1 - p[y]) for j, p_j in enumerate(p) if j != y]
        return -math.log(p[y]) - gamma / (len(p) - 1) * sum(r * math.log(r) for r in ratios)

    scores, target = batch()
    value = ComplementCrossEntropyLoss(gamma=gamma)(scores, target)
    assert value.item() == pytest.approx(mean_by_loops(scores, target, loss_of), rel=1e-12)


def test_two_classes_are_cross_entropy():
    scores, target = batch(classes=2)
    torch.testing.assert_close(ComplementCrossEntropyLoss()(scores, target), F.cross_entropy(scores, target))


def test_even_wrong_classes_cost_less():
    even, uneven = torch.tensor([[0.4, 0.3, 0.3]]).log(), torch.tensor([[0.4, 0.5, 0.1]]).log()
    loss, label = ComplementCrossEntropyLoss(), torch.tensor([0])
    assert loss(even, label) < loss(uneven, label)
    floor = loss(torch.tensor([[100.0, 0.0, 0.0]]), label)
    assert floor.item() == pytest.approx(-math.log(2) / 2, rel=1e-6)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_entropies_of_all_labels_are_those_of_each(scale):
    scores, _ = batch()
    labels = [complement_entropy(scale * scores, torch.full((7,), k)) for k in range(4)]
    torch.testing.assert_close(complement_entropies(scale * scores), torch.stack(labels, dim=1))


def test_a_gamma_that_is_no_number_is_named():
    with pytest.raises(ConfigError, match="gamma must be finite and a number, got nan"):
        build_loss("ComplementCrossEntropyLoss", None, gamma=float("nan"))
