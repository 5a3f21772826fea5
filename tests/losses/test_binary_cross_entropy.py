"""Binary cross entropy: its equation, and cross entropy of two scores."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import mean
from torch.nn import functional as F

from losses.binary_cross_entropy import BinaryCrossEntropyLoss


def one_score() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return 3 * torch.randn(9, 1, dtype=torch.float64), torch.randint(2, (9,))


def two_scores(scores: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.zeros_like(scores), scores], dim=-1)


def test_equals_equation_4():
    scores, target = one_score()
    values = []
    for (s,), y in zip(scores.tolist(), target.tolist(), strict=True):
        p = 1 / (1 + math.exp(-s))
        values.append(-(y * math.log(p) + (1 - y) * math.log(1 - p)))
    assert BinaryCrossEntropyLoss()(scores, target).item() == pytest.approx(mean(values), rel=1e-12)


def test_is_cross_entropy_with_scores_0_and_s():
    scores, target = one_score()
    loss = BinaryCrossEntropyLoss()
    torch.testing.assert_close(loss(scores, target), F.cross_entropy(two_scores(scores), target))
    torch.testing.assert_close(loss.log_probabilities(scores), two_scores(scores).log_softmax(dim=-1))
    assert loss.calibrated


def test_gradient_is_probability_minus_label():
    scores, target = one_score()
    scores.requires_grad_()
    BinaryCrossEntropyLoss()(scores, target).backward()
    torch.testing.assert_close(scores.grad, (scores.detach().sigmoid() - target[:, None]) / len(target))


def test_threshold_is_0_and_belongs_to_the_first_class():
    assert BinaryCrossEntropyLoss().predict(torch.tensor([[-1e-6], [0.0], [1e-6]])).tolist() == [0, 0, 1]
