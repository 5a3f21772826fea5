"""Angular softmax: its equation, its annealing, another implementation."""

from __future__ import annotations

import pytest
import torch
from by_loops import angular_margin
from cases import feature_batch
from pytorch_metric_learning.losses import SphereFaceLoss as Other
from test_angular_margin import MARGINS, angular, step
from torch.nn import functional as F


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("beta", [0.0, 3.0])
def test_equals_equation_7(margin, beta):
    _, features, target = feature_batch()
    loss = angular("AngularSoftmaxLoss", margin=margin, beta=beta, beta_decay=0.0, beta_min=0.0)
    assert loss.head is not None
    expected = angular_margin(features, loss.head.weight, target, margin, beta, unit_weights=True)
    assert step(loss, features, target).item() == pytest.approx(expected, rel=1e-9)


def test_beta_falls_with_the_steps_to_its_minimum():
    _, features, target = feature_batch()
    loss = angular("AngularSoftmaxLoss", margin=3, beta=12.0, beta_decay=0.5, beta_min=4.5)
    assert loss.head is not None
    for beta in (12 / 1.5, 12 / 2, 12 / 2.5, 4.5, 4.5):  # t = 1 at the first step, as in the authors' code
        expected = angular_margin(features, loss.head.weight, target, 3, beta, unit_weights=True)
        assert step(loss, features, target).item() == pytest.approx(expected, rel=1e-6)


def test_margin_1_is_cross_entropy_over_angles():
    _, features, target = feature_batch()
    loss = angular("AngularSoftmaxLoss", margin=1)
    assert loss.head is not None
    cosine = F.cosine_similarity(features[:, None], loss.head.weight[None], dim=-1)
    expected = F.cross_entropy(features.norm(dim=1, keepdim=True) * cosine, target)
    torch.testing.assert_close(step(loss, features, target), expected)


def test_length_of_the_weights_does_not_matter():
    _, features, _ = feature_batch()
    loss = angular("AngularSoftmaxLoss")
    assert loss.head is not None
    scores = loss.head(features)
    with torch.no_grad():
        loss.head.weight *= torch.linspace(0.1, 9, len(loss.head.weight))[:, None]
    torch.testing.assert_close(loss.head(features), scores)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # the other's use of NumPy
@pytest.mark.parametrize("margin", MARGINS)
def test_equals_another_implementation_without_annealing(margin):
    _, features, target = feature_batch()
    loss = angular("AngularSoftmaxLoss", margin=margin, beta=0.0, beta_min=0.0)
    assert loss.head is not None
    other = Other(num_classes=len(loss.head.weight), embedding_size=features.shape[1], margin=margin)
    other.W.data = loss.head.weight.detach().T.clone()
    torch.testing.assert_close(step(loss, features, target), other(features, target))
