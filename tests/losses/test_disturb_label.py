"""DisturbLabel: how labels are redrawn in training, and that judging sees none of it."""

from __future__ import annotations

import pytest
import torch
from by_loops import batch
from cases import trained
from torch.nn import functional as F

from losses.disturb_label import DisturbLabelLoss, disturb
from losses.label_smoothing import LabelSmoothingCrossEntropy


def test_judging_is_cross_entropy_and_draws_nothing():
    scores, target = batch()
    before = torch.get_rng_state()
    assert torch.equal(DisturbLabelLoss(alpha=1.0).eval()(scores, target), F.cross_entropy(scores, target))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("alpha", "classes"), [(0.1, 10), (0.5, 4), (1.0, 3)])
@pytest.mark.parametrize("soft", [False, True])
def test_labels_are_redrawn_by_the_papers_law(alpha, classes, soft):
    torch.manual_seed(0)
    target = torch.zeros(100_000, dtype=torch.int64)
    if soft:
        share = disturb(F.one_hot(target, classes).double(), classes, alpha).mean(dim=0)
    else:
        share = torch.bincount(disturb(target, classes, alpha), minlength=classes) / len(target)
    expected = torch.full((classes,), alpha / classes)
    expected[0] = 1 - alpha * (classes - 1) / classes
    torch.testing.assert_close(share.float(), expected, atol=0.006, rtol=0)


def test_the_same_seed_draws_the_same_labels():
    scores, target = batch(64)
    values = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        values.append(trained(DisturbLabelLoss(alpha=0.5), scores, target))
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


def test_on_average_it_is_label_smoothing():
    scores, target = batch()
    torch.manual_seed(0)
    many = scores.repeat(20_000, 1), target.repeat(20_000)
    expected = LabelSmoothingCrossEntropy(epsilon=0.3)(scores, target)
    torch.testing.assert_close(trained(DisturbLabelLoss(alpha=0.3), *many), expected, rtol=0.02, atol=0)


def test_labels_stay_as_they_were():
    _, target = batch()
    before = target.clone()
    disturb(target, 4, 1.0)
    assert torch.equal(target, before)
