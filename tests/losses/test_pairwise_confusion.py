"""Pairwise confusion: its pairs against loops, and from when they count."""

from __future__ import annotations

import pytest
import torch
from by_loops import softmax, squared_distance
from cases import K, feature_batch, make, terms_of
from torch.nn import functional as F

from training.losses import build_loss


def by_loops(p: list[list[float]], labels: list[int], weight: float) -> float:
    half = len(p) // 2
    return (
        weight / len(p) * sum(squared_distance(p[i], p[i + half]) for i in range(half) if labels[i] != labels[i + half])
    )


@pytest.mark.parametrize("size", [2, 8, 9])
def test_equals_loops_over_pairs(size):
    scores, _, target = feature_batch(size)
    found = terms_of(make("PairwiseConfusionLoss", weight=3.0), scores, target)["confusion"]
    expected = by_loops([softmax(row) for row in scores.tolist()], target.tolist(), 3.0)
    assert found.item() == pytest.approx(expected, rel=1e-9)


def test_an_odd_last_image_belongs_to_no_pair():
    scores, *_ = feature_batch(7)
    scores.requires_grad_()
    terms_of(make("PairwiseConfusionLoss"), scores, torch.tensor([0, 1, 2, 3, 2, 1, 0]))["confusion"].backward()
    assert scores.grad is not None
    assert (scores.grad[-1] == 0).all()
    assert (scores.grad[[0, 2, 3, 5]] != 0).any(dim=-1).all()


def test_pairs_of_one_class_do_not_count():
    scores, _, _ = feature_batch(6)
    scores.requires_grad_()
    terms_of(make("PairwiseConfusionLoss"), scores, torch.tensor([0, 1, 2, 0, 1, 0]))["confusion"].backward()
    assert scores.grad is not None
    assert (scores.grad != 0).any(dim=-1).tolist() == [False, False, True, False, False, True]


@pytest.mark.parametrize("size", [1, 6])
def test_a_batch_without_pairs_gives_0(size):
    scores, *_ = feature_batch(size)
    found = terms_of(make("PairwiseConfusionLoss"), scores, torch.zeros(size, dtype=torch.int64))
    assert found["confusion"].item() == 0


def test_soft_labels_count_as_their_likeliest_class():
    scores, _, target = feature_batch()
    soft = 0.8 * F.one_hot(target, K).double() + 0.2 / K
    found = [terms_of(make("PairwiseConfusionLoss"), scores, label)["confusion"] for label in (target, soft)]
    assert torch.equal(*found)


def test_probabilities_are_the_base_s():
    scores, _, target = feature_batch()
    margins = {"lambda_max": 2.0, "lambda_min": 1.0}
    found = terms_of(make("PairwiseConfusionLoss", base="OneSidedMarginLoss", base_params=margins), scores, target)
    p = build_loss("OneSidedMarginLoss", None, **margins).log_probabilities(scores).exp()
    assert found["confusion"].item() == pytest.approx(by_loops(p.tolist(), target.tolist(), 10.0), rel=1e-9)


def test_pairs_count_from_the_given_epoch_even_after_resume():
    scores, _, target = feature_batch()
    loss = make("PairwiseConfusionLoss", start_epoch=2)
    values = []
    for _ in range(4):
        values.append(float(terms_of(loss, scores, target)["confusion"]))
        terms_of(loss, scores, target)  # steps do not count
        loss.on_epoch_end()
        resumed = make("PairwiseConfusionLoss", start_epoch=2)
        resumed.load_state_dict(loss.state_dict())
        loss = resumed
    assert values[:2] == [0, 0]
    assert values[2] == values[3] > 0
