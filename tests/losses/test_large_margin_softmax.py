"""Large-margin softmax: its equation, its annealing, another implementation."""

from __future__ import annotations

import pytest
import torch
from by_loops import angular_margin
from cases import feature_batch
from pytorch_metric_learning.losses import LargeMarginSoftmaxLoss as Other
from test_angular_margin import MARGINS, angular, step
from torch.nn import functional as F


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("beta", [0.0, 3.0])
def test_equals_equations_4_to_6(margin, beta):
    _, features, target = feature_batch()
    loss = angular("LargeMarginSoftmaxLoss", margin=margin, beta=beta)
    assert loss.head is not None
    expected = angular_margin(features, loss.head.weight, target, margin, beta, unit_weights=False)
    assert step(loss, features, target).item() == pytest.approx(expected, rel=1e-9)


def test_beta_starts_as_given_and_falls_by_its_factor_to_its_minimum():
    _, features, target = feature_batch()
    loss = angular("LargeMarginSoftmaxLoss", margin=3, beta=8.0, beta_decay=0.5, beta_min=1.5)
    assert loss.head is not None
    for beta in (8.0, 4.0, 2.0, 1.5, 1.5):
        expected = angular_margin(features, loss.head.weight, target, 3, beta, unit_weights=False)
        assert step(loss, features, target).item() == pytest.approx(expected, rel=1e-6)


def test_margin_1_is_cross_entropy_of_a_linear_layer():
    _, features, target = feature_batch()
    loss = angular("LargeMarginSoftmaxLoss", margin=1)
    assert loss.head is not None
    torch.testing.assert_close(step(loss, features, target), F.cross_entropy(features @ loss.head.weight.T, target))


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # the other's use of NumPy
@pytest.mark.parametrize("margin", MARGINS)
def test_equals_another_implementation_without_annealing(margin):
    _, features, target = feature_batch()
    loss = angular("LargeMarginSoftmaxLoss", margin=margin, beta=0.0)
    assert loss.head is not None
    other = Other(num_classes=len(loss.head.weight), embedding_size=features.shape[1], margin=margin)
    other.W.data = loss.head.weight.detach().T.clone()
    torch.testing.assert_close(step(loss, features, target), other(features, target))
