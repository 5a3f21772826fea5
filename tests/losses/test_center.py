"""Center loss: its equation, its centres' rule, its base."""

from __future__ import annotations

import pytest
import torch
from by_loops import cross_entropy, mean, squared_distance
from cases import D, K, feature_batch, make, terms_of
from torch import nn
from torch.nn import functional as F

from losses.center import CenterLoss
from losses.contract import Task
from training.losses import build_loss
from utils.types import ConfigError


def center(**params) -> CenterLoss:
    loss = make("CenterLoss", **params).double()
    assert isinstance(loss, CenterLoss)
    return loss


def moved(centers: list[list[float]], features: list[list[float]], target: list[int], alpha: float):
    """Equation 4: c_j - alpha sum_{y_i = j} (c_j - x_i) / (1 + n_j)."""
    fresh = []
    for j, c in enumerate(centers):
        own = [x for x, y in zip(features, target, strict=True) if y == j]
        away = [sum(c[d] - x[d] for x in own) / (1 + len(own)) for d in range(len(c))]
        fresh.append([c[d] - alpha * away[d] for d in range(len(c))])
    return fresh


def test_value_and_centres_equal_the_equations_over_several_steps():
    scores, features, target = feature_batch()
    loss = center(weight=0.4, alpha=0.3)
    centers = [[0.0] * D for _ in range(K)]
    for step in range(3):
        shifted = features + step
        found = terms_of(loss, scores, target, features=shifted)
        rows, labels = shifted.tolist(), target.tolist()
        expected = 0.4 / 2 * mean([squared_distance(x, centers[y]) for x, y in zip(rows, labels, strict=True)])
        assert found["center"].item() == pytest.approx(expected, rel=1e-12)
        assert found["main"].item() == pytest.approx(
            mean([cross_entropy(s, y) for s, y in zip(scores.tolist(), labels, strict=True)]), rel=1e-12
        )
        centers = moved(centers, rows, labels, 0.3)
        torch.testing.assert_close(loss.centers, torch.tensor(centers, dtype=torch.float64))


def test_centre_of_an_absent_class_stays():
    scores, features, target = feature_batch()
    loss = center()
    loss.centers += 2
    terms_of(loss, scores, target, features=features)
    assert K - 1 not in target
    assert (loss.centers[K - 1] == 2).all()
    assert (loss.centers[target] != 2).any(dim=-1).all()


def test_images_are_pulled_straight_to_constant_centres():
    scores, features, target = feature_batch()
    loss = center(weight=0.4)
    loss.centers += torch.randn(K, D)
    before = loss.centers.clone()
    features.requires_grad_()
    terms_of(loss, scores, target, features=features)["center"].backward()
    torch.testing.assert_close(features.grad, 0.4 * (features.detach() - before[target]) / len(target))
    assert not loss.centers.requires_grad
    assert list(loss.parameters()) == []


def test_one_hot_labels_equal_classes():
    scores, features, target = feature_batch()
    hard, soft = center(), center()
    for loss, label in ((hard, target), (soft, F.one_hot(target, K).double())):
        loss.centers += torch.linspace(-1, 1, K * D).reshape(K, D)
        loss.found = torch.stack(list(terms_of(loss, scores, label, features=features).values()))
    torch.testing.assert_close(soft.found, hard.found)
    torch.testing.assert_close(soft.centers, hard.centers)


def test_soft_labels_share_an_image_among_the_centres():
    scores, features, _ = feature_batch()
    loss = center(weight=0.4, alpha=0.3)
    loss.centers += torch.randn(K, D)
    before, q = loss.centers.tolist(), torch.rand(len(scores), K).double().softmax(dim=-1)
    found = terms_of(loss, scores, q, features=features)["center"]
    rows, shares = features.tolist(), q.tolist()
    expected = [
        sum(row[k] * squared_distance(x, before[k]) for k in range(K)) for x, row in zip(rows, shares, strict=True)
    ]
    assert found.item() == pytest.approx(0.4 / 2 * mean(expected), rel=1e-9)
    for k in range(K):
        count = sum(row[k] for row in shares)
        for d in range(D):
            away = sum(row[k] * (before[k][d] - x[d]) for x, row in zip(rows, shares, strict=True)) / (1 + count)
            assert loss.centers[k, d].item() == pytest.approx(before[k][d] - 0.3 * away, rel=1e-9)


def test_an_architecture_without_one_feature_vector_is_refused():
    with pytest.raises(ConfigError, match="architecture: CenterLoss needs a network whose last layer is linear"):
        build_loss("CenterLoss", Task(K, 10, nn.Conv2d(D, K, 1)))
