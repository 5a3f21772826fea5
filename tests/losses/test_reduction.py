"""Reductions, weights and ignored labels of every loss, against explicit loops."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from cases import D, K, N, classes_of, make, pick, samples, terms_of
from torch import nn
from torch.nn import functional as F

from losses import LOSSES, TORCH_LOSSES, build_loss, loss_class
from losses.base import ClassificationLoss, parts_of
from losses.contract import ParameterError, Task

NAMES = [*LOSSES, *TORCH_LOSSES]
OF_IMAGES = [*(name for name in LOSSES if loss_class(name).kind == "image"), *TORCH_LOSSES]
WEIGHTS = [0.5, 2.0, 0.0, 1.0, 3.0]


def one_by_one(name: str) -> tuple[ClassificationLoss, torch.Tensor, Any, list[float]]:
    """Return a loss that judges, a batch, and what each sample costs alone."""
    loss, (scores, target) = make(name).eval(), samples(name, dtype=torch.float64)
    rows = [slice(i, i + 1) for i in range(N)]
    return loss.double(), scores, target, [loss(scores[row], pick(target, row)).item() for row in rows]


@pytest.mark.parametrize("name", NAMES)
def test_reductions_agree(name):
    loss, scores, target, costs = one_by_one(name)
    assert loss(scores, target, "none").tolist() == pytest.approx(costs, rel=1e-9)
    assert loss(scores, target, reduction="sum").item() == pytest.approx(sum(costs), rel=1e-9)
    assert loss(scores, target, reduction="mean").item() == pytest.approx(sum(costs) / N, rel=1e-9)
    with pytest.raises(ValueError, match="reduction must be one of mean, sum, none, got 'average'"):
        loss(scores, target, "average")


@pytest.mark.parametrize("name", OF_IMAGES)
def test_weights_equal_loops(name):
    loss, scores, target, costs = one_by_one(name)
    of_class, of_sample = WEIGHTS[: classes_of(name)], torch.linspace(0.0, 2.0, N).double()
    loss.with_options(class_weights=of_class)
    both = [of_class[y] * w for y, w in zip(target.tolist(), of_sample.tolist(), strict=True)]
    for weights, options in (
        ([of_class[y] for y in target.tolist()], {}),
        (both, {"sample_weight": of_sample}),
    ):
        weighted = [w * cost for w, cost in zip(weights, costs, strict=True)]
        assert loss(scores, target, "none", **options).tolist() == pytest.approx(weighted, rel=1e-6)
        assert loss(scores, target, **options).item() == pytest.approx(sum(weighted) / sum(weights), rel=1e-6)
    assert loss(scores, target, sample_weight=0 * of_sample).item() == 0
    assert loss.with_options()(scores, target).item() == pytest.approx(sum(costs) / N, rel=1e-9)


@pytest.mark.parametrize("name", OF_IMAGES)
def test_ignored_rows_are_as_if_they_were_not_there(name):
    loss, scores, target, costs = one_by_one(name)
    loss.with_options(ignore_index=255)
    target[1::2], scores[1::2] = 255, math.nan
    kept = costs[::2]
    scores.requires_grad_()
    value = loss(scores, target)
    value.backward()
    assert value.item() == pytest.approx(sum(kept) / len(kept), rel=1e-9)
    assert scores.grad is not None
    assert scores.grad[::2].isfinite().all()
    assert (scores.grad[1::2] == 0).all()
    none = loss(scores, target, "none")
    assert none[::2].tolist() == pytest.approx(kept, rel=1e-9)
    assert none[1::2].tolist() == [0.0] * (N // 2)
    with pytest.raises(ValueError, match="no row counts: all 6 have the label to be ignored"):
        loss(scores, torch.full_like(target, 255))


@pytest.mark.parametrize("name", OF_IMAGES)
def test_labels_that_do_not_fit_are_refused(name):
    loss, scores, target, _ = one_by_one(name)
    high = classes_of(name)
    for wrong in (-1, high):
        with pytest.raises(ValueError, match=f"labels must be 0 to {high - 1}, got"):
            loss(scores, target.clamp_min(0).index_fill(0, torch.tensor([2]), wrong))
    with pytest.raises(ValueError, match=r"target must be \[N\] or \[N, K\] for scores"):
        loss(scores, target[1:])
    with pytest.raises(ValueError, match="no row counts"):
        loss(scores[:0], target[:0])
    assert loss(scores, target).isfinite()


@pytest.mark.parametrize("name", [name for name in LOSSES if loss_class(name).kind == "image"])
def test_class_weights_reach_training(name):
    """A class of weight 0 has no part in what is minimised beside a penalty that a loss adds for all."""
    torch.manual_seed(2)
    loss, (scores, target) = make(name), samples(name)
    loss.with_options(class_weights=[1.0, *[0.0] * (classes_of(name) - 1)])
    assert {part.class_weights is not None for part in parts_of(loss)} == {True}
    gradients = []
    for labels in (target, torch.where(target == 0, 0, 1)):  # among the classes of weight 0 labels do not matter
        part = scores.clone().requires_grad_()
        torch.manual_seed(3)
        loss.eval()(part, labels).backward()
        gradients.append(part.grad)
    assert torch.equal(*gradients)
    terms = terms_of(loss.train(), scores, target)
    assert all(term.isfinite() for term in terms.values())


def test_cross_entropy_with_weights_is_torchs():
    scores, target = samples("CrossEntropyLoss")
    loss = build_loss("CrossEntropyLoss").with_options(class_weights=WEIGHTS, ignore_index=3)
    expected = F.cross_entropy(scores, target, torch.tensor(WEIGHTS), ignore_index=3)
    torch.testing.assert_close(loss(scores, target), expected)
    q = scores.roll(1, 0).softmax(dim=-1)
    each = F.cross_entropy(scores, q, reduction="none")
    weights = q @ torch.tensor(WEIGHTS)
    torch.testing.assert_close(loss(scores, q), (weights * each).sum() / weights.sum())


def test_balanced_weights_count_each_class_alike():
    task = Task(3, 100, nn.Linear(D, 3), class_counts=(50, 40, 10))
    loss = build_loss("FocalLoss", task).with_options(class_weights="balanced")
    assert loss.class_weights is not None
    assert loss.class_weights.tolist() == pytest.approx([100 / 150, 100 / 120, 100 / 30])
    assert sum(n * w for n, w in zip((50, 40, 10), loss.class_weights.tolist(), strict=True)) == pytest.approx(100)
    assert loss.state_dict() == {}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 2.0], r"^class_weights: must be a number for each of 3 classes, got \[1.0, 2.0\]$"),
        ([1.0, -2.0, 1.0], r"^class_weights: must be >= 0 and not all 0, got \[1.0, -2.0, 1.0\]$"),
        ([0.0, 0.0, 0.0], "must be >= 0 and not all 0"),
        ([1.0, math.nan, 1.0], "must be >= 0 and not all 0"),
        ("even", "must be a number for each class or 'balanced', got 'even'"),
        ("balanced", "balanced needs a sample of each class; class 1 has none"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, message):
    loss = build_loss("CenterLoss", Task(3, 100, nn.Linear(D, 3), class_counts=(60, 0, 40)))
    with pytest.raises(ParameterError, match=message):
        loss.with_options(class_weights=weights)


def test_weights_that_a_loss_cannot_apply_are_refused():
    class Own(ClassificationLoss):
        def forward(self, scores, target) -> Any:
            return F.cross_entropy(scores, target)

    with pytest.raises(ParameterError, match="Own overrides forward; it must override sample_losses to be weighted"):
        Own().with_options(class_weights=[1.0] * K)
    with pytest.raises(ParameterError, match="balanced needs a task with class_counts"):
        build_loss("HingeLoss").with_options(class_weights="balanced")
    with pytest.raises(ParameterError, match="judges sequences, which have no one class"):
        build_loss("ConnectionistTemporalLoss").with_options(class_weights=[1.0] * K)
