"""Losses of a sample's scores and label alone: their equations by loops, their limits, their gradients."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from by_loops import batch, mean_by_loops
from torch import Tensor
from torch.nn import functional as F

from losses.base import ClassificationLoss
from losses.bootstrap import BootstrapLoss
from losses.competing_ratio import CompetingRatioLoss
from losses.complement_cross_entropy import ComplementCrossEntropyLoss, complement_entropies, complement_entropy
from losses.dual_cross_entropy import DualCrossEntropyLoss
from losses.focal import FocalLoss
from losses.generalized_cross_entropy import GeneralizedCrossEntropyLoss
from losses.hinge import HingeLoss
from losses.label_probability import log_complements
from losses.label_smoothing import LabelSmoothingCrossEntropy
from losses.negative_log_likelihood_ratio import NegativeLogLikelihoodRatioLoss
from losses.one_vs_rest import OneVsRestCrossEntropyLoss
from losses.symmetric_cross_entropy import SymmetricCrossEntropyLoss
from losses.tamed_cross_entropy import TamedCrossEntropyLoss
from training.losses import build_loss
from utils.types import ConfigError

log = math.log
Row = list[float]


def without(p: Row, y: int) -> Row:
    return [p_j for j, p_j in enumerate(p) if j != y]


def bootstrap(p: Row, y: int, mode: str = "soft", beta: float = 0.95) -> float:
    belief = p if mode == "soft" else [float(k == p.index(max(p))) for k in range(len(p))]
    return -sum((beta * (k == y) + (1 - beta) * belief[k]) * log(p_k) for k, p_k in enumerate(p))


def competing_ratio(p: Row, y: int, alpha: float = 1.5, beta: float = 1.0) -> float:
    """Equation 11."""
    return beta * log(alpha + 1 - p[y]) - log(p[y])


def complement(p: Row, y: int, gamma: float = -1.0) -> float:
    ratios = [p_j / (1 - p[y]) for p_j in without(p, y)]
    return -log(p[y]) - gamma / (len(p) - 1) * sum(r * log(r) for r in ratios)


def dual(p: Row, y: int, alpha: float = 1.0, beta: float = 1.0) -> float:
    return -log(p[y]) + beta * sum(log(alpha + p_j) for p_j in without(p, y))


def focal(p: Row, y: int, gamma: float = 2.0, alpha: float = 1.0) -> float:
    return -alpha * (1 - p[y]) ** gamma * log(p[y])


def generalized(p: Row, y: int, q: float = 0.7) -> float:
    return (1 - p[y] ** q) / q


def label_smoothing(p: Row, y: int, epsilon: float = 0.1) -> float:
    return -sum(((1 - epsilon) * (k == y) + epsilon / len(p)) * log(p_k) for k, p_k in enumerate(p))


def likelihood_ratio(p: Row, y: int) -> float:
    return -log(p[y] / sum(without(p, y)))


def one_vs_rest(p: Row, y: int) -> float:
    """Equation 5 with its bar restored."""
    return -log(p[y]) - sum(log(1 - p_j) for p_j in without(p, y))


def symmetric(p: Row, y: int, alpha: float = 0.1, beta: float = 1.0, log_zero: float = log(1e-4)) -> float:
    return -alpha * log(p[y]) - beta * sum(p_k * log_zero for p_k in without(p, y))


def tamed(p: Row, y: int, alpha: float) -> float:
    return ((1 - log(p[y])) ** (1 - alpha) - 1) / (1 - alpha)


RATIOS = [(1.5, 1.0), (2.0, 0.25), (0.1, 3.0), (0.05, 1.0), (1e-9, 0.5), (0.0, 1.0), (0.0, 0.4)]
EQUATIONS: list[tuple[type[ClassificationLoss], Callable[..., float], list[dict]]] = [
    (BootstrapLoss, bootstrap, [{}, {"beta": 0.3}, {"mode": "hard", "beta": 0.8}, {"mode": "hard", "beta": 0.0}]),
    (CompetingRatioLoss, competing_ratio, [{"alpha": alpha, "beta": beta} for alpha, beta in RATIOS]),
    (ComplementCrossEntropyLoss, complement, [{}, {"gamma": 2.0}]),
    (DualCrossEntropyLoss, dual, [{}, {"alpha": 0.3, "beta": 2.0}, {"alpha": 1e-6, "beta": 0.5}]),
    (FocalLoss, focal, [{}, {"gamma": 0.5, "alpha": 0.25}, {"gamma": 5.0}]),
    (GeneralizedCrossEntropyLoss, generalized, [{}, {"q": 0.1}, {"q": 1.0}]),
    (LabelSmoothingCrossEntropy, label_smoothing, [{}, {"epsilon": 0.4}]),
    (NegativeLogLikelihoodRatioLoss, likelihood_ratio, [{}]),
    (OneVsRestCrossEntropyLoss, one_vs_rest, [{}]),
    (SymmetricCrossEntropyLoss, symmetric, [{}, {"alpha": 6.0, "beta": 0.1, "log_zero": -4.0}]),
    (TamedCrossEntropyLoss, tamed, [{"alpha": 0.5}, {"alpha": 0.9}, {"alpha": 2.0}]),
]


@pytest.mark.parametrize(
    ("loss", "equation", "params"),
    [(loss, equation, each) for loss, equation, several in EQUATIONS for each in several],
)
def test_equals_its_equation(loss, equation, params):
    scores, target = batch()
    expected = mean_by_loops(scores, target, lambda p, y: equation(p, y, **params))
    assert loss(**params)(scores, target).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("margin", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("variant", ["crammer_singer", "weston_watkins"])
def test_hinge_equals_its_equation(variant, margin, power):
    scores, target = batch()
    total = 0.0
    for row, y in zip(scores.tolist(), target.tolist(), strict=True):
        hinges = [max(0.0, margin + s - row[y]) ** power for s in without(row, y)]
        total += max(hinges) if variant == "crammer_singer" else sum(hinges)
    value = HingeLoss(margin=margin, variant=variant, power=power)(scores, target)
    assert value.item() == pytest.approx(total / len(target), rel=1e-12)


def absolute_error(scores: Tensor, target: Tensor) -> Tensor:
    """Return the sum of |p_k - q_k| over the classes, of which each half is 1 - p_y."""
    one_hot = F.one_hot(target, scores.shape[1]).double()
    return F.l1_loss(scores.softmax(dim=-1), one_hot, reduction="sum") / len(target)


def binary_of_softmax(scores: Tensor, target: Tensor) -> Tensor:
    one_hot = F.one_hot(target, scores.shape[1]).double()
    return F.binary_cross_entropy(scores.softmax(dim=-1), one_hot, reduction="sum") / len(target)


def difference(scores: Tensor, target: Tensor) -> Tensor:
    return (scores.gather(1, 1 - target[:, None]) - scores.gather(1, target[:, None])).mean()


@pytest.mark.parametrize(
    ("loss", "classes", "limit"),
    [
        (CompetingRatioLoss(alpha=0.0), 4, NegativeLogLikelihoodRatioLoss()),
        *((CompetingRatioLoss(alpha=alpha, beta=0.0), 4, F.cross_entropy) for alpha in (0.0, 0.05, 1.5)),
        (ComplementCrossEntropyLoss(), 2, F.cross_entropy),
        (DualCrossEntropyLoss(alpha=1.5, beta=0.7), 2, CompetingRatioLoss(alpha=1.5, beta=0.7)),
        (GeneralizedCrossEntropyLoss(q=1e-9), 4, F.cross_entropy),
        (GeneralizedCrossEntropyLoss(q=1.0), 4, lambda *each: absolute_error(*each) / 2),
        *((HingeLoss(power=power), 2, HingeLoss(power=power, variant="weston_watkins")) for power in (1, 2)),
        (NegativeLogLikelihoodRatioLoss(), 2, difference),
        (OneVsRestCrossEntropyLoss(), 4, binary_of_softmax),
        (OneVsRestCrossEntropyLoss(), 2, lambda *each: 2 * F.cross_entropy(*each)),
        (SymmetricCrossEntropyLoss(alpha=0.0, log_zero=-2.0), 4, absolute_error),
        (TamedCrossEntropyLoss(alpha=1.0), 4, TamedCrossEntropyLoss(alpha=1.0 + 1e-9)),
    ],
)
def test_has_its_limits(loss, classes, limit):
    scores, target = batch(classes=classes)
    torch.testing.assert_close(loss(scores, target), limit(scores, target), rtol=1e-7, atol=0)


def bootstrap_slope(p: Tensor, own: Tensor) -> Tensor:
    """Return the slope that runs through the belief, too."""
    entropy = -(p * p.log()).sum(dim=-1, keepdim=True)
    return 0.6 * (p - own) - 0.4 * p * (p.log() + entropy)


def competing_ratio_slope(alpha: float, beta: float) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the slope of equation 11, not the printed one."""

    def slope(p: Tensor, own: Tensor) -> Tensor:
        p_y = (p * own).sum(dim=-1, keepdim=True)
        return (1 + beta * p_y / (alpha + 1 - p_y)) * (p - own)

    return slope


@pytest.mark.parametrize(
    ("loss", "slope"),
    [
        (BootstrapLoss(beta=0.6), bootstrap_slope),
        *((CompetingRatioLoss(alpha=a, beta=b), competing_ratio_slope(a, b)) for a, b in RATIOS),
        (NegativeLogLikelihoodRatioLoss(), lambda p, own: torch.where(own == 1, -1, p / (p * (1 - own)).sum(1, True))),
    ],
)
def test_has_its_gradient(loss, slope):
    scores, target = batch()
    scores.requires_grad_()
    (loss(scores, target) * len(target)).backward()
    p = scores.detach().softmax(dim=-1)
    torch.testing.assert_close(scores.grad, slope(p, F.one_hot(target, 4).double()))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(
    ("loss", "scores", "label", "value", "gradient"),
    [
        *((FocalLoss(gamma=gamma), [200.0, 0.0], 0, 0.0, [0.0, 0.0]) for gamma in (0.0, 0.1, 0.5, 1.0, 2.0)),
        (NegativeLogLikelihoodRatioLoss(), [20.0, 0.0, 0.0], 0, log(2) - 20, [-1.0, 0.5, 0.5]),
        (OneVsRestCrossEntropyLoss(), [30.0, 0.0, 0.0], 1, 60 - log(2), [2.0, -1.5, -0.5]),
        *(
            (HingeLoss(variant=each), [3.0, 1.5, 1.0], 0, 0.0, [0.0] * 3)
            for each in ("crammer_singer", "weston_watkins")
        ),
    ],
)
def test_saturated_samples_are_exact_in_float32(loss, scores, label, value, gradient, soft):
    row = torch.tensor([scores], requires_grad=True)
    target = torch.tensor([label])
    soft = soft and loss.soft_targets
    found = loss(row, F.one_hot(target, len(scores)).float() if soft else target)
    found.backward()
    assert found.item() == pytest.approx(value, rel=1e-6)
    torch.testing.assert_close(row.grad, torch.tensor([gradient]))


@pytest.mark.parametrize("alpha", [0.0, 1e-9, 0.05, 1.5])
@pytest.mark.parametrize("margin", [-110.0, 20.0, 110.0])
def test_saturated_competing_ratios_are_exact_in_float32(alpha, margin):
    scores = torch.tensor([[margin, 0.0, 0.0]], requires_grad=True)
    value = CompetingRatioLoss(alpha=alpha)(scores, torch.tensor([0]))
    value.backward()
    log_rest = log(2) - margin - math.log1p(2 * math.exp(-margin)) if margin > 0 else 0.0
    ratio = log_rest if alpha == 0 else log(alpha + math.exp(log_rest))
    assert value.item() == pytest.approx(ratio + math.log1p(2 * math.exp(-margin)), rel=1e-4)
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("variant", ["crammer_singer", "weston_watkins"])
@pytest.mark.parametrize("power", [1, 2])
def test_large_scores_stay_finite_under_a_hinge(variant, power):
    scores, target = batch()
    scores = (1e4 * scores).float().requires_grad_()
    HingeLoss(variant=variant, power=power)(scores, target).backward()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert scores.grad.sum().abs() < 1e-2 * scores.grad.abs().max()


@pytest.mark.parametrize(("mode", "beta"), [("soft", 0.95), ("hard", 0.8)])
def test_default_beta_of_bootstrapping_is_the_papers_for_the_mode(mode, beta):
    assert BootstrapLoss(mode=mode).beta == beta


def test_even_wrong_classes_cost_the_complement_entropy_less():
    even, uneven = torch.tensor([[0.4, 0.3, 0.3]]).log(), torch.tensor([[0.4, 0.5, 0.1]]).log()
    loss, label = ComplementCrossEntropyLoss(), torch.tensor([0])
    assert loss(even, label) < loss(uneven, label)
    assert loss(torch.tensor([[100.0, 0.0, 0.0]]), label).item() == pytest.approx(-log(2) / 2, rel=1e-6)
    with pytest.raises(ConfigError, match="gamma must be finite and a number, got nan"):
        build_loss("ComplementCrossEntropyLoss", None, gamma=float("nan"))


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_complement_entropies_of_all_labels_are_those_of_each(scale):
    scores, _ = batch()
    labels = [complement_entropy(scale * scores, torch.full((7,), k)) for k in range(4)]
    torch.testing.assert_close(complement_entropies(scale * scores), torch.stack(labels, dim=1))


@pytest.mark.parametrize(("classes", "floor"), [(10, 0.500), (100, 0.778), (196, 0.849)])
def test_floor_of_label_smoothing_is_the_entropy_of_the_softened_label(classes, floor):
    q = torch.full((1, classes), 0.1 / classes, dtype=torch.float64)
    q[0, 0] += 0.9
    assert LabelSmoothingCrossEntropy()(q.log(), torch.tensor([0])).item() == pytest.approx(floor, abs=5e-4)


@pytest.mark.parametrize("margin", [0.0, 1.0, 40.0])
def test_complements_are_exact_at_every_margin(margin):
    scores = torch.tensor([[margin, 0.0, 0.0]], dtype=torch.float64)
    log_sum = log(math.exp(margin) + 2)
    expected = torch.tensor([[log(2) - log_sum, *[log(math.exp(margin) + 1) - log_sum] * 2]]).double()
    torch.testing.assert_close(log_complements(scores.log_softmax(dim=-1)), expected, check_dtype=False)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 2.0])
def test_slope_of_a_tamed_loss_fades_with_the_cross_entropy(alpha):
    u = torch.tensor([0.0, 1.0, 9.0], dtype=torch.float64, requires_grad=True)
    TamedCrossEntropyLoss(alpha=alpha).cost(u).sum().backward()
    torch.testing.assert_close(u.grad, (1 + u.detach()) ** -alpha)
