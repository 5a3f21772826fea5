"""Triplet loss: its three minings against loops and another implementation, and batches without a triplet."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import mean, squared_distance, unit
from cases import feature_batch, make, terms_of
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.losses import TripletMarginLoss as Other
from pytorch_metric_learning.miners import BatchHardMiner
from pytorch_metric_learning.reducers import MeanReducer
from torch.nn import functional as F

from losses.triplet import triplet_loss

MININGS = ["semi_hard", "hard", "all"]
MARGINS = [0.0, 0.2, 3.0]


def embedded(size: int = 14) -> tuple[torch.Tensor, torch.Tensor]:
    """Return features [B, D] and labels of four classes, of which one has a single image."""
    _, features, target = feature_batch(size)
    target[target == 3] = 0
    target[5] = 3
    return features, target


def by_loops(features: torch.Tensor, target: torch.Tensor, margin: float, mining: str) -> float:
    points, labels = [unit(row) for row in features.tolist()], target.tolist()
    values = []
    for a, y in enumerate(labels):
        far = {i: squared_distance(points[a], points[i]) for i in range(len(labels))}
        positives = [far[i] for i in far if labels[i] == y and i != a]
        negatives = [far[i] for i in far if labels[i] != y]
        if not positives or not negatives:
            continue
        if mining == "hard":
            values.append(max(0.0, max(positives) - min(negatives) + margin))
        for positive in positives:
            if mining == "semi_hard":
                farther = [negative for negative in negatives if negative > positive]
                values.append(max(0.0, positive - (min(farther) if farther else max(negatives)) + margin))
            if mining == "all":
                values += [positive - negative + margin for negative in negatives if positive - negative + margin > 0]
    return mean(values) if values else 0.0


@pytest.mark.parametrize("mining", MININGS)
@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("size", [6, 14])
def test_equals_triple_loops(mining, margin, size):
    features, target = embedded(size)
    expected = by_loops(features, target, margin, mining)
    assert triplet_loss(features, target, margin, mining).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("mining", ["hard", "all"])
@pytest.mark.parametrize("margin", MARGINS)
def test_equals_another_implementation(mining, margin):
    features, target = embedded()
    distance = LpDistance(normalize_embeddings=True, p=2, power=2)
    if mining == "all":
        expected = Other(margin=margin, distance=distance)(features, target)
    else:
        triplets = BatchHardMiner(distance=distance)(features, target)
        expected = Other(margin=margin, distance=distance, reducer=MeanReducer())(features, target, triplets)
    torch.testing.assert_close(triplet_loss(features, target, margin, mining), expected)


@pytest.mark.parametrize("mining", MININGS)
def test_has_the_derivative_of_its_features(mining):
    features, target = embedded()
    assert torch.autograd.gradcheck(lambda x: triplet_loss(x, target, 0.2, mining), features.requires_grad_())


@pytest.mark.parametrize("mining", MININGS)
def test_length_of_features_does_not_matter(mining):
    features, target = embedded()
    longer = features * torch.linspace(0.1, 50, len(features))[:, None]
    torch.testing.assert_close(triplet_loss(longer, target, 0.2, mining), triplet_loss(features, target, 0.2, mining))


@pytest.mark.parametrize("mining", MININGS)
@pytest.mark.parametrize("labels", [[0, 1, 2, 3], [2, 2, 2, 2], [1]], ids=["no positives", "one class", "one image"])
def test_a_batch_without_triplets_gives_0(mining, labels):
    features = torch.randn(len(labels), 3, requires_grad=True)
    value = triplet_loss(features, torch.tensor(labels), 0.2, mining)
    value.backward()
    assert value.item() == 0
    assert features.grad is not None
    assert (features.grad == 0).all()


@pytest.mark.parametrize("mining", MININGS)
def test_equal_features_cost_the_margin(mining):
    features = torch.ones(6, 3, requires_grad=True)
    value = triplet_loss(features, torch.tensor([0, 0, 0, 1, 1, 1]), 0.2, mining)
    value.backward()
    assert value.item() == pytest.approx(0.2)
    assert features.grad is not None
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("mining", MININGS)
def test_ties_between_negatives_count_once(mining):
    angles = torch.tensor([0.0, 0.5, 1.0, -1.0])  # anchor, positive, two negatives as far from the anchor
    features, target = torch.stack([angles.cos(), angles.sin()], dim=-1), torch.tensor([0, 0, 1, 2])
    near, far = 2 - 2 * math.cos(0.5), 2 - 2 * math.cos(1.0)
    other_far = 2 - 2 * math.cos(1.5)
    each = {
        "semi_hard": [near - far, near - other_far],  # from 0.5, the negative at 1.0 is no farther than the positive
        "hard": [near - far, 0.0],
        "all": [near - far, near - far, 0.0, near - other_far],
    }[mining]
    values = [max(0.0, value + 1.0) for value in each]
    expected = mean([v for v in values if v > 0] if mining == "all" else values)
    assert triplet_loss(features, target, 1.0, mining).item() == pytest.approx(expected, rel=1e-5)


def test_adds_its_weight_to_the_base():
    scores, features, target = feature_batch()
    terms = terms_of(make("TripletLoss", weight=2.5, mining="all"), scores, target, features=features)
    torch.testing.assert_close(terms["main"], F.cross_entropy(scores, target))
    torch.testing.assert_close(terms["triplet"], 2.5 * triplet_loss(features, target, 0.2, "all"))


def test_asks_for_batches_of_whole_classes():
    loss = make("TripletLoss", samples_per_class=7)
    assert (loss.sampling, loss.samples_per_class, loss.soft_targets) == ("class_balanced", 7, False)
