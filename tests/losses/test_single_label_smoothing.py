"""Label smoothing by one image: its equation over several steps, which image it remembers, its limits."""

from __future__ import annotations

import pytest
import torch
from by_loops import cross_entropy, mean, softmax
from cases import K, make, terms_of
from torch import Tensor
from torch.nn import functional as F

from losses.single_label_smoothing import SingleLabelSmoothingLoss

UNIFORM = [1 / K] * K


def single(**params) -> SingleLabelSmoothingLoss:
    loss = make("SingleLabelSmoothingLoss", **params).double()
    assert isinstance(loss, SingleLabelSmoothingLoss)
    return loss


def batches(steps: int = 4) -> list[tuple[Tensor, Tensor]]:
    """Return batches in which classes repeat, some images are predicted right, those of the last class never."""
    torch.manual_seed(0)
    made = []
    for _ in range(steps):
        scores, target = torch.randn(12, K).double(), torch.randint(K, (12,))
        scores += F.one_hot(target, K)
        scores[:, K - 1] = -3
        made.append((scores, target))
    return made


def remember(soft: list[list[float]], scores: Tensor, target: Tensor) -> list[list[float]]:
    """Return the soft labels after a batch: image by image, a later one in place of an earlier one."""
    soft = list(soft)
    for row, y in zip(scores.tolist(), target.tolist(), strict=True):
        if row.index(max(row)) == y:
            soft[y] = softmax(row)
    return soft


def test_several_steps_and_epochs_equal_the_equation():
    loss, soft = single(alpha=0.3), [UNIFORM] * K
    for number, (scores, target) in enumerate(batches()):
        expected = mean(
            [
                0.3 * cross_entropy(row, y) + 0.7 * cross_entropy(row, soft[y])
                for row, y in zip(scores.tolist(), target.tolist(), strict=True)
            ]
        )
        assert terms_of(loss, scores, target)["main"].item() == pytest.approx(expected, rel=1e-6)
        soft = remember(soft, scores, target)
        torch.testing.assert_close(loss.soft, torch.tensor(soft, dtype=torch.float64))
        if number % 2:
            loss.on_epoch_end()
    assert soft[K - 1] == UNIFORM
    assert UNIFORM not in soft[: K - 1]


def test_the_first_step_is_label_smoothing_by_one_minus_alpha():
    (scores, target), *_ = batches()
    found = terms_of(single(alpha=0.4), scores, target)["main"]
    torch.testing.assert_close(found, F.cross_entropy(scores, target, label_smoothing=0.6))


def test_no_image_is_its_own_soft_label():
    scores, target = 3 * F.one_hot(torch.arange(K), K).double(), torch.arange(K)
    loss = single(alpha=0.0)
    before = terms_of(loss, scores, target)["main"]
    torch.testing.assert_close(before, F.cross_entropy(scores, target, label_smoothing=1.0))
    torch.testing.assert_close(loss.soft, scores.softmax(dim=-1))


def test_wrong_predictions_are_not_remembered():
    loss = single()
    target = torch.arange(K)
    terms_of(loss, F.one_hot((target + 1) % K, K).double(), target)
    torch.testing.assert_close(loss.soft, torch.tensor([UNIFORM] * K, dtype=torch.float64))


def test_soft_targets_mix_soft_labels_and_are_not_remembered():
    loss = single(alpha=0.3)
    first, (scores, target), *_ = batches()
    terms_of(loss, *first)
    kept = loss.soft.clone()
    q = (0.6 * F.one_hot(target, K) + 0.4 * F.one_hot(target.flip(0), K)).double()
    expected = 0.3 * F.cross_entropy(scores, q) + 0.7 * F.cross_entropy(scores, q @ kept)
    torch.testing.assert_close(terms_of(loss, scores, q)["main"], expected)
    assert torch.equal(loss.soft, kept)


def test_judging_is_cross_entropy_and_remembers_nothing():
    loss = single().eval()
    for scores, target in batches():
        torch.testing.assert_close(loss(scores, target), F.cross_entropy(scores, target))
    torch.testing.assert_close(loss.soft, torch.tensor([UNIFORM] * K, dtype=torch.float64))


def test_large_scores_stay_finite_and_cost_what_they_should():
    loss = single(alpha=0.5)
    scores = torch.tensor([[1e4, 0.0, 0.0, 0.0, 0.0]]).double()
    found = terms_of(loss, scores, torch.tensor([0]))["main"]
    assert found.item() == pytest.approx(0.5 * 1e4 * (K - 1) / K, rel=1e-6)
    assert terms_of(loss, scores, torch.tensor([0]))["main"].item() == 0
    assert loss.soft[0].tolist() == [1, 0, 0, 0, 0]
