"""Losses that know the classes' numbers of images: their equations by loops, limits, counts and mistakes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from by_loops import batch, cross_entropy, mean, softmax
from cases import refused
from torch import nn
from torch.nn import functional as F

from losses import build_loss
from losses.base import ClassificationLoss
from losses.contract import ParameterError, Task
from training.losses import build_loss as build_from_configuration
from utils.types import ConfigError

COUNTS = (60, 20, 6, 3)
COUNTING = [
    "AdaptiveArcFaceLoss",
    "BalancedSoftmaxLoss",
    "ClassBalancedLoss",
    "LDAMLoss",
    "LogitAdjustedLoss",
    "SeesawLoss",
]


def build(name: str, counts: tuple[int, ...] | None = COUNTS, num_epochs: int | None = 10, **params: Any):
    task = Task(4, 89, nn.Linear(8, 4), class_counts=counts, num_epochs=num_epochs)
    return build_loss(name, task, **params)


def effective(beta: float) -> list[float]:
    """Return the weights of Cui et al., scaled to a sum of the number of classes."""
    weights = [(1 - beta) / (1 - beta**n) for n in COUNTS]
    return [4 * w / sum(weights) for w in weights]


def logit_adjusted(s: list[float], y: int, tau: float = 1.0) -> float:
    return cross_entropy([each + tau * math.log(n / sum(COUNTS)) for each, n in zip(s, COUNTS, strict=True)], y)


def balanced_softmax(s: list[float], y: int) -> float:
    terms = [n * math.exp(each) for each, n in zip(s, COUNTS, strict=True)]
    return -math.log(terms[y] / sum(terms))


def class_balanced(s: list[float], y: int, beta: float = 0.9999) -> float:
    return effective(beta)[y] * cross_entropy(s, y)


def seesaw(s: list[float], y: int, p: float = 0.8, q: float = 2.0) -> float:
    total, probability = 0.0, softmax(s)
    for j, each in enumerate(s):
        mitigation = (COUNTS[j] / COUNTS[y]) ** p if COUNTS[j] < COUNTS[y] else 1
        ratio = probability[j] / max(probability[y], 0.01)
        compensation = ratio**q if ratio > 1 else 1
        total += math.exp(each) * (1 if j == y else mitigation * compensation)
    return -math.log(math.exp(s[y]) / total)


def ldam(s: list[float], y: int) -> float:
    """Scores are 30 times the cosines here, as the loss's head gives them."""
    largest = 0.5 / (min(COUNTS) ** -0.25)
    return cross_entropy([each - 30 * largest * COUNTS[y] ** -0.25 * (j == y) for j, each in enumerate(s)], y)


@pytest.mark.parametrize(
    ("name", "equation", "params"),
    [
        ("LogitAdjustedLoss", logit_adjusted, {}),
        ("LogitAdjustedLoss", logit_adjusted, {"tau": 2.5}),
        ("BalancedSoftmaxLoss", balanced_softmax, {}),
        ("ClassBalancedLoss", class_balanced, {}),
        ("ClassBalancedLoss", class_balanced, {"beta": 0.9}),
        ("SeesawLoss", seesaw, {}),
        ("SeesawLoss", seesaw, {"p": 2.0, "q": 0.5}),
        ("LDAMLoss", ldam, {}),
    ],
)
def test_equals_its_equation(name, equation, params):
    scores, target = batch()
    expected = mean([equation(s, y, **params) for s, y in zip(scores.tolist(), target.tolist(), strict=True)])
    loss = build(name, **params)
    assert loss(scores, target).item() == pytest.approx(expected, rel=1e-6)
    torch.testing.assert_close(loss.eval()(scores, target), F.cross_entropy(scores, target))


@pytest.mark.parametrize(
    ("loss", "limit"),
    [
        (build("LogitAdjustedLoss", tau=0.0), F.cross_entropy),
        (build("LogitAdjustedLoss"), build("BalancedSoftmaxLoss")),
        (build("BalancedSoftmaxLoss", (7, 7, 7, 7)), F.cross_entropy),
        (build("ClassBalancedLoss", beta=0.0), F.cross_entropy),
        (build("ClassBalancedLoss", base="FocalLoss", beta=0.0), build_loss("FocalLoss")),
        (build("ClassBalancedLoss", (7, 7, 7, 7)), F.cross_entropy),
        (build("SeesawLoss", p=0.0, q=0.0), F.cross_entropy),
        (build("SeesawLoss", (7, 7, 7, 7), q=0.0), F.cross_entropy),
        (build("LDAMLoss", (7, 7, 7, 7), defer=1.0), build_loss("CosFaceLoss", margin=0.5, scale=30.0)),
        (build("AdaptiveArcFaceLoss", (7, 7, 7, 7), margin_min=0.2), build_loss("ArcFaceLoss", margin=0.2)),
    ],
)
def test_has_its_limits(loss, limit):
    scores, target = batch()
    torch.testing.assert_close(loss(scores, target), limit(scores, target), rtol=1e-6, atol=1e-12)


def test_weights_of_inverse_counts_are_those_of_the_largest_beta():
    scores, target = batch()
    inverse = [1 / n for n in COUNTS]
    weights = torch.tensor([4 * w / sum(inverse) for w in inverse]).double()
    expected = (weights[target] * F.cross_entropy(scores, target, reduction="none")).mean()
    torch.testing.assert_close(build("ClassBalancedLoss", beta=1.0)(scores, target), expected, rtol=1e-6, atol=0)


def test_margins_of_arc_face_run_from_the_most_frequent_to_the_rarest_class():
    margins: Any = build("AdaptiveArcFaceLoss").margins
    rarity = [n**-0.25 for n in COUNTS]
    expected = [0.05 + 0.45 * (r - rarity[0]) / (rarity[-1] - rarity[0]) for r in rarity]
    assert margins.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("defer", "first"), [(0.0, 0), (0.8, 8), (0.75, 8), (1.0, None)])
def test_weights_start_at_the_epoch_that_they_are_deferred_to(defer, first):
    scores, target = batch()
    loss = build("LDAMLoss", defer=defer)
    plain = build("LDAMLoss", defer=1.0).sample_losses(scores, target)
    weights = torch.tensor(effective(0.9999)).double()[target]
    for epoch in range(10):
        loss.begin_epoch(epoch)
        expected = plain * weights if first is not None and epoch >= first else plain
        torch.testing.assert_close(loss.sample_losses(scores, target), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["ClassBalancedLoss", "LDAMLoss"])
def test_soft_labels_weigh_the_classes_weights(name):
    scores, target = batch()
    params: dict[str, Any] = {"defer": 0.0} if name == "LDAMLoss" else {}
    loss = build(name, **params)
    torch.testing.assert_close(loss(scores, F.one_hot(target, 4).double()), loss(scores, target))


@pytest.mark.parametrize("name", COUNTING)
def test_counts_are_a_parameter_where_there_is_no_task(name):
    scores, target = batch()
    alone = build_loss(name, None, class_counts=list(COUNTS))
    torch.testing.assert_close(alone(scores, target), build(name)(scores, target))
    assert torch.equal(build(name, None, class_counts=list(COUNTS))(scores, target), alone(scores, target))


@pytest.mark.parametrize("name", COUNTING)
def test_training_without_counts_is_refused_and_judging_needs_none(name):
    scores, target = batch()
    loss = build(name, None)
    with pytest.raises(ValueError, match=f"{name} needs the number of training images of each class"):
        loss(scores, target)
    assert loss.eval()(scores, target).isfinite()


@pytest.mark.parametrize("name", COUNTING)
@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([5, 3], "class_counts: must have a number for each of 4 classes, got 2"),
        ([5, 0, 2, 0], "class_counts: must be at least 1, but no training image has class 1, 3"),
        ([5, -1, 2, 1], "no training image has class 1"),
    ],
)
def test_counts_that_cannot_be_are_refused(name, counts, message):
    with pytest.raises(ParameterError, match=message):
        build(name, None, class_counts=counts)


@pytest.mark.parametrize("name", COUNTING)
def test_classes_without_images_are_refused_with_a_remedy(name):
    task = Task(4, 83, nn.Linear(8, 4), class_counts=(60, 20, 0, 3))
    with pytest.raises(ConfigError) as error:
        build_from_configuration(name, task)
    assert str(error.value) == (
        "loss_params.class_counts: must be at least 1, but no training image has class 2; leave out such classes by "
        "`classes`, or choose another loss"
    )


def test_of_many_empty_classes_the_first_are_named():
    assert "class 0, 1, 2, 3, 4 and 3 more" in refused("LogitAdjustedLoss", {"class_counts": [0] * 8})


def test_what_follows_from_counts_is_not_kept_with_the_checkpoint():
    for name in COUNTING:
        assert not build(name).state_dict(), name


@pytest.mark.parametrize("base", ["CenterLoss", "AngularSoftmaxLoss"])
def test_a_base_that_needs_more_than_scores_cannot_be_weighted(base):
    assert "needs more than scores" in refused("ClassBalancedLoss", {"base": base})


def test_rare_classes_gain_from_the_prior():
    """With equal scores the label of a rare class costs more in training, so that it learns to score higher."""
    scores = torch.zeros(4, 4)
    for name in ("LogitAdjustedLoss", "BalancedSoftmaxLoss"):
        loss: ClassificationLoss = build(name)
        values = loss.sample_losses(scores, torch.arange(4)).tolist()
        assert values == sorted(values)
        assert loss.predict(torch.tensor([[0.0, 0.1, 0.0, 0.0]])).item() == 1  # the prior has no say
