"""Label smoothing: its limit, its closed form, its floor."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from losses import build_loss
from losses.label_smoothing import LabelSmoothingCrossEntropy
from utils.types import ConfigError


def test_without_smoothing_it_is_cross_entropy():
    scores, target = torch.randn(7, 4), torch.arange(7) % 4
    value = LabelSmoothingCrossEntropy(epsilon=0.0)(scores, target)
    torch.testing.assert_close(value, F.cross_entropy(scores, target))


def test_equals_the_sum_over_the_softened_label():
    torch.manual_seed(0)
    scores, target = torch.randn(5, 4, dtype=torch.float64), [0, 3, 3, 1, 2]
    total = 0.0
    for row, label in zip(scores.tolist(), target, strict=True):
        log_sum = math.log(sum(math.exp(s) for s in row))
        for k, s in enumerate(row):
            total -= (0.9 * (k == label) + 0.1 / 4) * (s - log_sum)
    assert LabelSmoothingCrossEntropy()(scores, torch.tensor(target)).item() == pytest.approx(total / 5, rel=1e-12)


@pytest.mark.parametrize(("classes", "floor"), [(10, 0.500), (100, 0.778), (196, 0.849)])
def test_floor_is_the_entropy_of_the_softened_label(classes, floor):
    q = torch.full((1, classes), 0.1 / classes, dtype=torch.float64)
    q[0, 0] += 0.9
    assert LabelSmoothingCrossEntropy()(q.log(), torch.tensor([0])).item() == pytest.approx(floor, abs=5e-4)


@pytest.mark.parametrize("epsilon", [-0.1, 1.1])
def test_epsilon_outside_its_range_is_named(epsilon):
    with pytest.raises(ConfigError, match=f"epsilon must be 0 to 1, got {epsilon}"):
        build_loss("LabelSmoothingCrossEntropy", None, epsilon=epsilon)
