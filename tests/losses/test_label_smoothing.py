"""Label smoothing: its limit, its closed form, its floor."""

from __future__ import annotations

import math

import pytest
import torch

from losses.label_smoothing import LabelSmoothingCrossEntropy


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
