"""Hinge losses: their equations, torch's version, their parameters."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from by_loops import batch
from torch.nn import functional as F

from losses import build_loss
from losses.hinge import HingeLoss
from utils.types import ConfigError


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
def test_weston_watkins_is_k_times_torchs(power):
    scores, target = batch()
    value = HingeLoss(variant="weston_watkins", power=power)(scores, target)
    torch.testing.assert_close(value, 4 * F.multi_margin_loss(scores, target, p=power))


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


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"margin": 0.0}, "margin must be finite and > 0, got 0.0"),
        ({"variant": "svm"}, "variant: must be 'crammer_singer' or 'weston_watkins', got 'svm'"),
        ({"power": 3}, "power: must be 1 or 2, got 3"),
    ],
)
def test_bad_parameters_are_named(params: dict[str, Any], message):
    with pytest.raises(ConfigError, match=message):
        build_loss("HingeLoss", None, **params)
