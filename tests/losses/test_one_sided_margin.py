"""One-sided margin loss: closed forms, decoding and rejection."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from torch.nn import functional as F

from losses.contract import REJECTED
from losses.one_sided_margin import OneSidedMarginLoss

SETTINGS = [
    {},
    {"alpha": 0.5, "lambda_": 2.0, "lambda_max": 9.0, "lambda_min": 3.0},
    {"soft": False},
    {"normalize_negatives": True},
]


def by_loops(scores, target, alpha=0.1, lambda_=1.0, lambda_max=600.0, lambda_min=100.0, soft=True, **other) -> float:
    """Equations 3 and 4 as printed, in Python's numbers."""

    def hinge(x: float) -> float:
        return max(x, 0.0) + math.log1p(math.exp(-abs(x))) if soft else max(x, 0.0)

    weight = lambda_ / (scores.shape[1] - 1) if other.get("normalize_negatives") else lambda_
    total = 0.0
    for row, label in zip(scores.tolist(), target.tolist(), strict=True):
        for k, s in enumerate(row):
            if k == label:
                total += hinge(s - lambda_min) + alpha * hinge(-s)
            else:
                total += weight * hinge(lambda_max - s)
    return total / len(target)


def spread_scores(samples=64, classes=6):
    torch.manual_seed(3)
    return torch.randn(samples, classes, dtype=torch.float64) * 400 + 200, torch.randint(classes, (samples,))


@pytest.mark.parametrize("params", SETTINGS)
def test_equals_the_printed_sum(params):
    scores, target = spread_scores()
    assert OneSidedMarginLoss(**params)(scores, target).item() == pytest.approx(
        by_loops(scores, target, **params), rel=1e-12
    )


@pytest.mark.parametrize("params", SETTINGS)
def test_soft_labels_weigh_the_labels_losses(params):
    scores, _ = spread_scores(8)
    loss = OneSidedMarginLoss(**params)
    q = torch.rand(8, 6, dtype=torch.float64).softmax(dim=-1)
    per_label = torch.stack(
        [torch.stack([loss(scores[i : i + 1], torch.tensor([k])) for k in range(6)]) for i in range(8)]
    )
    torch.testing.assert_close(loss(scores, q), (q * per_label).sum(dim=-1).mean())


def test_soft_exceeds_hard_by_at_most_ln_2_a_term():
    scores, target = spread_scores()
    gap = OneSidedMarginLoss()(scores, target) - OneSidedMarginLoss(soft=False)(scores, target)
    assert 0 <= gap <= (2 + 5) * math.log(2)


def test_label_costs_are_the_loss_up_to_a_common_term():
    scores, _ = spread_scores(8)
    loss = OneSidedMarginLoss()
    common = F.softplus(600 - scores).sum(dim=-1)
    for k in range(6):
        each = torch.stack([loss(scores[i : i + 1], torch.tensor([k])) for i in range(8)])
        torch.testing.assert_close(common + loss.label_costs(scores)[:, k], each)


def test_prediction_is_the_lowest_score_and_never_the_highest():
    scores, _ = spread_scores()
    prediction = OneSidedMarginLoss().predict(scores)
    assert torch.equal(prediction, scores.argmin(dim=-1))
    assert (prediction != scores.argmax(dim=-1)).all()


@pytest.mark.parametrize(
    ("params", "threshold"),
    [({}, 350.0), ({"alpha": 0.01, "lambda_": 0.1}, 145.4545), ({"lambda_max": 500.0, "lambda_min": 0.0}, 250.0)],
)
def test_rejects_exactly_when_all_scores_exceed_the_threshold(params, threshold):
    loss = OneSidedMarginLoss(reject=True, **params)
    lowest = torch.tensor([threshold - 1, threshold + 1], dtype=torch.float64)
    scores = torch.stack([lowest, lowest + 50, lowest + 100], dim=-1)
    assert loss.predict(scores).tolist() == [0, REJECTED]
    assert loss.log_probabilities_with_rejection(scores).argmax(dim=-1).tolist() == [0, 3]


def test_unit_gradients_at_zero():
    scores = torch.zeros(1, 4, dtype=torch.float64, requires_grad=True)
    OneSidedMarginLoss()(scores, torch.tensor([2])).backward()
    expected = torch.tensor([[-1.0, -1.0, -0.05, -1.0]], dtype=torch.float64)
    torch.testing.assert_close(scores.grad, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_scores_do_not_overflow(dtype):
    scores = torch.zeros(2, 196, dtype=dtype)
    assert OneSidedMarginLoss()(scores, torch.tensor([0, 1])).item() == pytest.approx(195 * 600, rel=1e-3)


def test_warns_when_the_lowest_score_is_not_the_likeliest_class():
    with pytest.warns(UserWarning, match="alpha = 1.0 >= lambda_ = 1.0"):
        OneSidedMarginLoss(alpha=1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        OneSidedMarginLoss(alpha=0.99)
