"""Hinge losses: their equations, torch's version, their parameters."""

from __future__ import annotations

import pytest
import torch
from by_loops import batch

from losses.hinge import HingeLoss


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("margin", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("variant", ["crammer_singer", "weston_watkins"])
def test_equals_its_equation(variant, margin, power):
    scores, target = batch()
    total = 0.0
    for row, y in zip(scores.tolist(), target.tolist(), strict=True):
        hinges = [max(0.0, margin + s - row[y]) ** power for j, s in enumerate(row) if j != y]
        total += max(hinges) if variant == "crammer_singer" else sum(hinges)
    value = HingeLoss(margin=margin, variant=variant, power=power)(scores, target)
    assert value.item() == pytest.approx(total / len(target), rel=1e-12)


@pytest.mark.parametrize("power", [1, 2])
def test_two_classes_make_the_variants_equal(power):
    scores, target = batch(classes=2)
    one, other = HingeLoss(power=power), HingeLoss(power=power, variant="weston_watkins")
    torch.testing.assert_close(one(scores, target), other(scores, target))


@pytest.mark.parametrize("variant", ["crammer_singer", "weston_watkins"])
def test_samples_beyond_the_margin_ask_nothing(variant):
    scores = torch.tensor([[3.0, 1.5, 1.0]], requires_grad=True)
    value = HingeLoss(variant=variant)(scores, torch.tensor([0]))
    value.backward()
    assert value.item() == 0
    torch.testing.assert_close(scores.grad, torch.zeros(1, 3))


@pytest.mark.parametrize("variant", ["crammer_singer", "weston_watkins"])
@pytest.mark.parametrize("power", [1, 2])
def test_large_scores_stay_finite(variant, power):
    scores, target = batch()
    scores = (1e4 * scores).float().requires_grad_()
    HingeLoss(variant=variant, power=power)(scores, target).backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert scores.grad.sum().abs() < 1e-2 * scores.grad.abs().max()
