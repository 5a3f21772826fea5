"""Ordinary losses of scores: their equations by loops, and the settings in which they are known losses."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from by_loops import batch, mean, softmax
from timm.loss.binary_cross_entropy import BinaryCrossEntropy
from torch.nn import functional as F

from losses.active_passive import ActivePassiveLoss
from losses.asymmetric import AsymmetricLoss
from losses.base import ClassificationLoss
from losses.bi_tempered import BiTemperedLoss
from losses.confidence_penalty import ConfidencePenaltyLoss
from losses.contract import Task
from losses.dual_focal import DualFocalLoss
from losses.fenchel_young import FenchelYoungLoss
from losses.focal import FocalLoss
from losses.generalized_cross_entropy import GeneralizedCrossEntropyLoss
from losses.label_smoothing import LabelSmoothingCrossEntropy
from losses.logit_norm import LogitNormLoss
from losses.margin_label_smoothing import MarginLabelSmoothingLoss
from losses.max_sup import MaxSupLoss
from losses.poly import PolyLoss
from losses.rescaled_square import RescaledSquareLoss
from losses.sigmoid_cross_entropy import SigmoidCrossEntropyLoss
from losses.squentropy import SquentropyLoss
from losses.symmetric_cross_entropy import SymmetricCrossEntropyLoss
from losses.tempered import exp_t, log_t, normalized

log, exp = math.log, math.exp
Row = list[float]


def cross_entropy(s: Row, y: int) -> float:
    return -log(softmax(s)[y])


def active_passive(s: Row, y: int, gamma: float = 0.5, alpha: float = 1.0, beta: float = 1.0) -> float:
    costs = [-((1 - p) ** gamma) * log(p) for p in softmax(s)]
    return alpha * costs[y] / sum(costs) - beta * log(1e-4) * (1 - softmax(s)[y])


def asymmetric(s: Row, y: int, pos: float = 0.0, neg: float = 4.0, smoothing: float = 0.1) -> float:
    total = 0.0
    for k, p in enumerate(softmax(s)):
        share = smoothing / len(s) + (1 - smoothing) * (k == y)
        total -= share * ((1 - p) ** pos if k == y else p**neg) * log(p)
    return total


def bi_tempered(s: Row, y: int, t1: float = 0.8, t2: float = 1.2) -> float:
    low, high = max(s), max(s) + 1e6
    for _ in range(200):
        middle = (low + high) / 2
        p = [(1 + (1 - t2) * (each - middle)) ** (1 / (1 - t2)) for each in s]
        low, high = (middle, high) if sum(p) > 1 else (low, middle)
    of_label = (p[y] ** (1 - t1) - 1) / (1 - t1)
    return -of_label - 1 / (2 - t1) + sum(each ** (2 - t1) for each in p) / (2 - t1)


def confidence_penalty(s: Row, y: int, beta: float = 0.1) -> float:
    return cross_entropy(s, y) + beta * sum(p * log(p) for p in softmax(s))


def dual_focal(s: Row, y: int, gamma: float = 5.0) -> float:
    p = softmax(s)
    return -((1 - p[y] + max([each for each in p if each < p[y]], default=0)) ** gamma) * log(p[y])


def fenchel_young(s: Row, y: int, alpha: float = 1.5) -> float:
    low, high = max(s) - 1e3, max(s) + 1e3
    for _ in range(200):
        middle = (low + high) / 2
        p = [max(0.0, 1 + (alpha - 1) * (each - middle)) ** (1 / (alpha - 1)) for each in s]
        low, high = (middle, high) if sum(p) > 1 else (low, middle)
    conjugate = sum(a * b for a, b in zip(p, s, strict=True)) - sum(a**alpha - a for a in p) / (alpha * (alpha - 1))
    return conjugate - s[y]


def logit_norm(s: Row, y: int, tau: float = 0.04) -> float:
    return cross_entropy([each / (tau * math.hypot(*s)) for each in s], y)


def margin_label_smoothing(s: Row, y: int, margin: float = 10.0, alpha: float = 0.1) -> float:
    return cross_entropy(s, y) + alpha * mean([max(0.0, max(s) - each - margin) for each in s])


def max_sup(s: Row, y: int, alpha: float = 0.1) -> float:
    return cross_entropy(s, y) + alpha * (max(s) - mean(s))


def poly(s: Row, y: int, epsilon: float = 2.0) -> float:
    return cross_entropy(s, y) + epsilon * (1 - softmax(s)[y])


def rescaled_square(s: Row, y: int, k: float = 1.0, M: float = 1.0) -> float:
    return mean([k * (each - M) ** 2 if j == y else each**2 for j, each in enumerate(s)])


def sigmoid_cross_entropy(s: Row, y: int, smoothing: float = 0.1) -> float:
    targets = [smoothing / len(s) + (1 - smoothing) * (j == y) for j in range(len(s))]
    return mean([t * log(1 + exp(-each)) + (1 - t) * log(1 + exp(each)) for t, each in zip(targets, s, strict=True)])


def squentropy(s: Row, y: int) -> float:
    return cross_entropy(s, y) + mean([each**2 for j, each in enumerate(s) if j != y])


EQUATIONS: list[tuple[type[ClassificationLoss], Callable[..., float], list[dict]]] = [
    (AsymmetricLoss, lambda s, y: asymmetric(s, y), [{}]),
    (BiTemperedLoss, bi_tempered, [{}, {"t1": 0.0, "t2": 4.0}, {"t1": 0.9, "t2": 1.05}]),
    (ConfidencePenaltyLoss, confidence_penalty, [{}, {"beta": 2.0}]),
    (DualFocalLoss, dual_focal, [{}, {"gamma": 0.5}, {"gamma": 1.0}]),
    (FenchelYoungLoss, fenchel_young, [{}, {"alpha": 1.1}, {"alpha": 2.0}]),
    (LogitNormLoss, logit_norm, [{}, {"tau": 1.0}]),
    (MarginLabelSmoothingLoss, margin_label_smoothing, [{}, {"margin": 0.0, "alpha": 2.0}, {"margin": 2.0}]),
    (MaxSupLoss, max_sup, [{}, {"alpha": 3.0}]),
    (PolyLoss, poly, [{}, {"epsilon": -1.0}]),
    (RescaledSquareLoss, rescaled_square, [{}, {"k": 15.0, "M": 30.0}]),
    (SigmoidCrossEntropyLoss, sigmoid_cross_entropy, [{}, {"smoothing": 0.0}]),
    (SquentropyLoss, squentropy, [{}]),
]


@pytest.mark.parametrize(
    ("loss", "equation", "params"),
    [(loss, equation, each) for loss, equation, several in EQUATIONS for each in several],
)
def test_equals_its_equation(loss, equation, params):
    scores, target = batch()
    expected = [equation(s, y, **params) for s, y in zip(scores.tolist(), target.tolist(), strict=True)]
    found = loss(**params)(scores, target)
    assert found.item() == pytest.approx(mean(expected), rel=1e-9)


def test_asymmetric_powers_and_active_focal_losses_equal_their_equations():
    scores, target = batch()
    rows = list(zip(scores.tolist(), target.tolist(), strict=True))
    found = AsymmetricLoss(gamma_pos=0.5, gamma_neg=2.0, smoothing=0.4)(scores, target)
    assert found.item() == pytest.approx(mean([asymmetric(s, y, 0.5, 2.0, 0.4) for s, y in rows]), rel=1e-9)
    found = ActivePassiveLoss(active="focal", alpha=3.0, beta=0.5)(scores, target)
    assert found.item() == pytest.approx(mean([active_passive(s, y, 0.5, 3.0, 0.5) for s, y in rows]), rel=1e-9)
    found = ActivePassiveLoss()(scores, target)
    assert found.item() == pytest.approx(mean([active_passive(s, y, 0.0) for s, y in rows]), rel=1e-9)


def one_hot_square(scores, target):
    return F.mse_loss(scores, F.one_hot(target, scores.shape[1]).double())


def sparsemax(scores, target):
    """The sparsemax loss, from the projection onto the simplex by sorting."""
    ordered = scores.sort(descending=True).values
    size = (1 + torch.arange(1, scores.shape[1] + 1) * ordered > ordered.cumsum(-1)).sum(-1, keepdim=True)
    threshold = (ordered.cumsum(-1).gather(1, size - 1) - 1) / size
    inside = scores > threshold
    value = torch.where(inside, scores**2 - threshold**2, 0).sum(-1) / 2 + 0.5 - scores.gather(1, target[:, None])[:, 0]
    return value.mean()


@pytest.mark.parametrize(
    ("loss", "limit", "rel"),
    [
        (ActivePassiveLoss(alpha=0.0), SymmetricCrossEntropyLoss(alpha=0.0), 1e-9),
        (ActivePassiveLoss(active="focal", gamma=0.0), ActivePassiveLoss(), 1e-9),
        (ActivePassiveLoss(alpha=0.0, passive="absolute_error"), GeneralizedCrossEntropyLoss(q=1.0), 1e-9),
        (AsymmetricLoss(gamma_pos=2.0, smoothing=0.0), FocalLoss(), 1e-9),
        (AsymmetricLoss(gamma_pos=0.0, gamma_neg=0.0), LabelSmoothingCrossEntropy(), 1e-9),
        (BiTemperedLoss(t1=1.0, t2=1.0), F.cross_entropy, 1e-9),
        (BiTemperedLoss(t1=1 - 1e-7, t2=1 + 1e-7), F.cross_entropy, 1e-5),
        (ConfidencePenaltyLoss(beta=0.0), F.cross_entropy, 1e-9),
        (DualFocalLoss(gamma=0.0), F.cross_entropy, 1e-9),
        (FenchelYoungLoss(alpha=1 + 1e-7), F.cross_entropy, 1e-5),
        (FenchelYoungLoss(alpha=2.0), sparsemax, 1e-9),
        (MarginLabelSmoothingLoss(alpha=0.0), F.cross_entropy, 1e-9),
        (MarginLabelSmoothingLoss(margin=0.0, alpha=0.3), MaxSupLoss(alpha=0.3), 1e-9),
        (MaxSupLoss(alpha=0.0), F.cross_entropy, 1e-9),
        (PolyLoss(epsilon=0.0), F.cross_entropy, 1e-9),
        (RescaledSquareLoss(), one_hot_square, 1e-9),
        (SigmoidCrossEntropyLoss(), BinaryCrossEntropy(), 1e-9),
        (SigmoidCrossEntropyLoss(target_threshold=0.5), BinaryCrossEntropy(target_threshold=0.5), 1e-9),
        (SigmoidCrossEntropyLoss(smoothing=0.0, sum_classes=True), BinaryCrossEntropy(0.0, sum_classes=True), 1e-9),
    ],
)
def test_has_its_limits(loss, limit, rel):
    scores, target = batch()
    torch.testing.assert_close(loss(scores, target), limit(scores, target), rtol=rel, atol=0)


def test_both_images_of_a_mixture_are_shown_above_the_threshold():
    scores, _ = batch(size=2)
    mixed = torch.tensor([[0.7, 0.3, 0.0, 0.0], [0.1, 0.9, 0.0, 0.0]]).double()
    shown = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]).double()
    loss = SigmoidCrossEntropyLoss(smoothing=0.0, target_threshold=0.2)
    torch.testing.assert_close(loss(scores, mixed), F.binary_cross_entropy_with_logits(scores, shown))


@pytest.mark.parametrize("t", [0.0, 0.2, 0.5, 0.9, 1.0, 1.2, 2.0, 4.0])
@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0, 1e4])
def test_tempered_probabilities_sum_to_one(t, scale):
    torch.manual_seed(0)
    scores = scale * torch.randn(3, 2000, dtype=torch.float64)
    u = normalized(scores, t)
    torch.testing.assert_close(exp_t(u, t).sum(dim=-1), torch.ones(3).double(), rtol=0, atol=1e-9)
    assert torch.equal(u.argmax(dim=-1), scores.argmax(dim=-1))
    x = torch.linspace(0.1, 3, 9, dtype=torch.float64)
    torch.testing.assert_close(exp_t(log_t(x, t), t), x)


def test_a_label_that_leads_by_the_margin_costs_nothing_and_the_rest_is_impossible():
    scores, label = torch.tensor([[2.0, 0.0, -1.0]]).double(), torch.tensor([0])
    loss = FenchelYoungLoss()
    assert loss(scores, label).item() == pytest.approx(0, abs=1e-12)
    assert loss(scores - torch.tensor([0.1, 0.0, 0.0]), label).item() > 1e-5
    torch.testing.assert_close(loss.probabilities(scores), torch.tensor([[1.0, 0.0, 0.0]]).double(), atol=1e-9, rtol=0)
    assert loss.log_probabilities(scores).isfinite().all()


@pytest.mark.parametrize("margin", [30.0, -30.0])
def test_bi_tempered_losses_are_bounded_by_the_first_temperature(margin):
    value = BiTemperedLoss(t1=0.5, t2=1.0)(torch.tensor([[margin, 0.0, 0.0]]).double(), torch.tensor([0]))
    most = 1 / (1 - 0.5) - 1 / (2 - 0.5) + 1 / (2 - 0.5) * 2 * 0.5**1.5  # two wrong classes share the rest
    assert value.item() == pytest.approx(0 if margin > 0 else most, abs=1e-5)


def test_short_scores_are_the_least_sure_whatever_their_direction():
    loss, scores = LogitNormLoss(), torch.tensor([[3.0, 1.0, 0.0]])
    torch.testing.assert_close(loss.log_probabilities(scores), loss.log_probabilities(0.1 * scores))
    assert loss.confidence(0.1 * scores) < loss.confidence(scores)


def test_soft_dual_focal_labels_rank_every_class_below_which_it_lies():
    scores, _ = batch()
    scores[0, 1] = scores[0, 2]  # a tie is not below
    each = [DualFocalLoss().sample_losses(scores, torch.full((7,), k)) for k in range(4)]
    q = torch.tensor([0.1, 0.2, 0.3, 0.4]).double().expand(7, 4)
    torch.testing.assert_close(DualFocalLoss().sample_losses(scores, q), (torch.stack(each, dim=1) * q).sum(dim=-1))


def test_a_fresh_head_starts_at_the_prior():
    head = torch.nn.Linear(3, 10)
    loss = SigmoidCrossEntropyLoss(Task(10, 5, head), start="prior")
    loss.start_head(head)
    assert head.bias.tolist() == pytest.approx([-log(10)] * 10)
