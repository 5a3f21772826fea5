"""Binary one-sided margin loss: its equation, its threshold and its second one."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import mean
from torch import nn

from losses.binary_one_sided_margin import BinaryOneSidedMarginLoss
from losses.contract import Task

SETTINGS = [
    {},
    {"soft": False},
    {"alpha": 0.5, "lambda_": 2.0, "lambda_max": 9.0, "lambda_min": 3.0},
    {"alpha": 0.05, "lambda_": 0.1, "soft": False},
]


def threshold(lambda_: float = 1.0, lambda_max: float = 600.0, lambda_min: float = 100.0, **other) -> float:
    return (lambda_min + lambda_ * lambda_max) / (1 + lambda_)


def by_loops(scores, target, alpha=0.1, lambda_=1.0, lambda_max=600.0, lambda_min=100.0, soft=True) -> float:
    """Equation 1 as printed, y = 1 for the second class; softplus for max(., 0) as in equation 2."""

    def hinge(x: float) -> float:
        return max(x, 0.0) + math.log1p(math.exp(-abs(x))) if soft else max(x, 0.0)

    return mean(
        [
            y * hinge(s - lambda_min) + alpha * y * hinge(-s) + lambda_ * (1 - y) * hinge(lambda_max - s)
            for (s,), y in zip(scores.tolist(), target.tolist(), strict=True)
        ]
    )


@pytest.mark.parametrize("params", SETTINGS)
def test_equals_equation_1(params):
    torch.manual_seed(3)
    scores, target = torch.randn(40, 1, dtype=torch.float64) * 400 + 200, torch.randint(2, (40,))
    expected = by_loops(scores, target, **params)
    assert BinaryOneSidedMarginLoss(**params)(scores, target).item() == pytest.approx(expected, rel=1e-12)


def test_default_threshold_is_350():
    assert threshold() == 350
    scores = torch.tensor([[-1e4], [0.0], [100.0], [349.9], [350.1], [600.0], [1e4]])
    assert BinaryOneSidedMarginLoss().predict(scores).tolist() == [1, 1, 1, 1, 0, 0, 0]


@pytest.mark.parametrize("params", [*SETTINGS, {"lambda_max": 500.0, "lambda_min": 0.0}])
def test_threshold_lies_where_both_classes_cost_the_same(params):
    loss, edge = BinaryOneSidedMarginLoss(**params), threshold(**params)
    scores = torch.tensor([[edge - 0.5], [edge + 0.5]], dtype=torch.float64)
    assert loss.predict(scores).tolist() == [1, 0]
    first, second = (torch.stack([loss(s[None], torch.tensor([label])) for s in scores]) for label in (0, 1))
    assert (second < first).tolist() == [True, False]


def test_a_tie_belongs_to_the_first_class():
    loss, score = BinaryOneSidedMarginLoss(), torch.tensor([[350.0]])
    torch.testing.assert_close(loss.log_probabilities(score).exp(), torch.tensor([[0.5, 0.5]]))
    assert loss.predict(score).tolist() == [0]


def test_probabilities_are_those_of_the_costs():
    scores = torch.linspace(340, 360, 9, dtype=torch.float64)[:, None]
    loss = BinaryOneSidedMarginLoss()
    costs = torch.stack([torch.stack([loss(s[None], torch.tensor([k])) for k in (0, 1)]) for s in scores])
    torch.testing.assert_close(loss.log_probabilities(scores), (-costs).log_softmax(dim=-1))
    assert not loss.calibrated


@pytest.mark.parametrize(("label", "slope"), [(1, -0.05), (0, -1.0)])
def test_gradient_at_0(label, slope):
    score = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    BinaryOneSidedMarginLoss()(score, torch.tensor([label])).backward()
    assert score.grad is not None
    assert score.grad.item() == pytest.approx(slope)


def test_warns_where_very_negative_scores_are_the_first_class_again():
    with pytest.warns(UserWarning, match=r"BinaryOneSidedMarginLoss: alpha = 5.0 >= lambda_ = 1.0"):
        loss = BinaryOneSidedMarginLoss(alpha=5.0)
    assert loss.predict(torch.tensor([[-151.0], [-149.0], [349.0], [351.0]])).tolist() == [0, 1, 1, 0]


def test_warns_that_one_wrong_class_needs_no_normalization():
    with pytest.warns(UserWarning, match=r"loss_params\.normalize_negatives: has no effect"):
        loss = BinaryOneSidedMarginLoss(normalize_negatives=True)
    scores = torch.tensor([[10.0], [700.0]])
    assert torch.equal(loss(scores, torch.tensor([0, 1])), BinaryOneSidedMarginLoss()(scores, torch.tensor([0, 1])))


def test_scores_start_where_neither_class_is_favoured():
    loss = BinaryOneSidedMarginLoss(lambda_=0.5)
    head = loss.make_head(Task(2, 10, nn.Linear(4, 2)))
    loss.start_head(head)
    score = head(torch.zeros(1, 4))
    assert score.item() == pytest.approx((100 + 0.5 * 600) / 1.5)
    log_p = loss.log_probabilities(score)
    torch.testing.assert_close(log_p.exp(), torch.full((1, 2), 0.5), atol=1e-4, rtol=0)
