"""Online label smoothing: its equations over two epochs, the rules around them, its limits."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import cross_entropy, mean, softmax
from cases import K, make, terms_of
from torch import Tensor
from torch.nn import functional as F

from losses.online_label_smoothing import OnlineLabelSmoothingLoss


def online(**params) -> OnlineLabelSmoothingLoss:
    loss = make("OnlineLabelSmoothingLoss", **params).double()
    assert isinstance(loss, OnlineLabelSmoothingLoss)
    return loss


def epoch(seed: int, steps: int = 3) -> list[tuple[Tensor, Tensor]]:
    """Return batches in which some images are predicted right and those of the last class never are."""
    torch.manual_seed(seed)
    batches = []
    for _ in range(steps):
        scores, target = torch.randn(12, K).double(), torch.randint(K, (12,))
        scores += F.one_hot(target, K)
        scores[:, K - 1] = -3
        batches.append((scores, target))
    return batches


def soft_labels(batches: list[tuple[Tensor, Tensor]]) -> list[list[float]]:
    """Equations 5 to 7, and the uniform label for a class without a right prediction."""
    sums, counts = [[0.0] * K for _ in range(K)], [0] * K
    for scores, target in batches:
        for row, y in zip(scores.tolist(), target.tolist(), strict=True):
            if row.index(max(row)) == y:
                sums[y] = [total + p for total, p in zip(sums[y], softmax(row), strict=True)]
                counts[y] += 1
    return [[total / count for total in row] if count else [1 / K] * K for row, count in zip(sums, counts, strict=True)]


def loss_by_loops(scores: Tensor, target: Tensor, soft: list[list[float]], alpha: float) -> float:
    """Equations 1, 3 and 4."""
    return mean(
        [
            alpha * cross_entropy(row, y) + (1 - alpha) * cross_entropy(row, soft[y])
            for row, y in zip(scores.tolist(), target.tolist(), strict=True)
        ]
    )


def test_two_epochs_equal_the_equations():
    loss, soft = online(alpha=0.3), [[1 / K] * K for _ in range(K)]
    for number in range(3):
        batches = epoch(number)
        for scores, target in batches:
            found = terms_of(loss, scores, target)["main"].item()
            assert found == pytest.approx(loss_by_loops(scores, target, soft, 0.3), rel=1e-6)
        loss.on_epoch_end()
        soft = soft_labels(batches)
        torch.testing.assert_close(loss.soft, torch.tensor(soft, dtype=torch.float64))


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9])
def test_first_epoch_is_label_smoothing_by_one_minus_alpha(alpha):
    for scores, target in epoch(0):
        found = terms_of(online(alpha=alpha), scores, target)["main"]
        torch.testing.assert_close(found, F.cross_entropy(scores, target, label_smoothing=1 - alpha))


def test_first_epoch_of_zeros_is_alpha_times_cross_entropy():
    (scores, target), *_ = epoch(0)
    found = terms_of(online(alpha=0.3, first_epoch="zeros"), scores, target)["main"]
    torch.testing.assert_close(found, 0.3 * F.cross_entropy(scores, target))


def test_alpha_1_is_cross_entropy_in_every_epoch():
    loss = online(alpha=1.0)
    for number in range(2):
        for scores, target in epoch(number):
            torch.testing.assert_close(terms_of(loss, scores, target)["main"], F.cross_entropy(scores, target))
        loss.on_epoch_end()


def test_updates_every_few_steps_instead_of_epochs():
    loss = online(update_every=2)
    batches = epoch(0, steps=5)
    for number, (scores, target) in enumerate(batches, start=1):
        before = loss.soft.clone()
        terms_of(loss, scores, target)
        assert torch.equal(loss.soft, before) == (number % 2 == 1)
    torch.testing.assert_close(loss.soft, torch.tensor(soft_labels(batches[2:4]), dtype=torch.float64))
    loss.on_epoch_end()
    torch.testing.assert_close(loss.soft, torch.tensor(soft_labels(batches[2:4]), dtype=torch.float64))


def test_a_sure_class_is_frozen_and_the_others_go_on():
    first, second = (soft_labels(epoch(number)) for number in range(2))
    tops = sorted(max(row) for row in first)
    limit = (tops[-2] + tops[-1]) / 2  # one class is surer
    loss = online(freeze_above=limit)
    for number in range(2):
        for scores, target in epoch(number):
            terms_of(loss, scores, target)
        loss.on_epoch_end()
    expected = [old if max(old) >= limit else new for old, new in zip(first, second, strict=True)]
    assert expected != second
    torch.testing.assert_close(loss.soft, torch.tensor(expected, dtype=torch.float64))


def test_mixed_labels_mix_soft_labels_and_are_left_out_of_the_update():
    loss = online(alpha=0.3)
    for scores, target in epoch(0):
        terms_of(loss, scores, target)
    loss.on_epoch_end()
    (scores, target), *_ = epoch(1)
    q = (0.6 * F.one_hot(target, K) + 0.4 * F.one_hot(target.flip(0), K)).double()
    soft = [
        [sum(w * row[k] for w, row in zip(weights, loss.soft.tolist(), strict=True)) for k in range(K)]
        for weights in q.tolist()
    ]
    expected = mean(
        [
            0.3 * cross_entropy(row, weights) + 0.7 * cross_entropy(row, label)
            for row, weights, label in zip(scores.tolist(), q.tolist(), soft, strict=True)
        ]
    )
    assert terms_of(loss, scores, q)["main"].item() == pytest.approx(expected, rel=1e-9)
    assert (loss.counts == 0).all()
    assert (loss.sums == 0).all()


def test_judging_is_cross_entropy_and_gathers_nothing():
    loss = online().eval()
    for scores, target in epoch(0):
        torch.testing.assert_close(loss(scores, target), F.cross_entropy(scores, target))
    assert (loss.counts == 0).all()


def test_saturated_scores_cost_what_they_should():
    loss = online(alpha=0.5)
    found = terms_of(loss, torch.tensor([[1e4, 0.0, 0.0, 0.0, 0.0]]).double(), torch.tensor([0]))["main"]
    assert found.item() == pytest.approx(0.5 * 1e4 * (K - 1) / K, rel=1e-6)
    assert math.isfinite(found.item())
