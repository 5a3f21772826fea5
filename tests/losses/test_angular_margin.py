"""Losses with an angular margin: the multiplied angle, their equations, and what their frame promises."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import angular_margin
from by_loops import psi as psi_by_acos
from cases import D, K, feature_batch, make, terms_of
from pytorch_metric_learning import losses as others
from torch import Tensor
from torch.nn import functional as F

from losses.angular_margin import AngularMarginLoss, psi
from losses.base import ClassificationLoss

ANGULAR = ["AngularSoftmaxLoss", "LargeMarginSoftmaxLoss"]
MARGINS = [1, 2, 3, 4]


@pytest.fixture(params=ANGULAR)
def name(request) -> str:
    return request.param


def angular(name: str, **params) -> AngularMarginLoss:
    loss: ClassificationLoss = make(name, **params).double()
    assert isinstance(loss, AngularMarginLoss)
    assert loss.head is not None
    loss.head.double()
    return loss


def step(loss: AngularMarginLoss, features: Tensor, target: Tensor) -> Tensor:
    """Return what training minimises, with the scores of the loss's own last layer."""
    assert loss.head is not None
    (value,) = terms_of(loss, loss.head(features), target, features=features).values()
    return value


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("beta", [0.0, 3.0])
def test_equals_its_equation(name, margin, beta):
    """Equation 7 of angular softmax, 4 to 6 of large-margin softmax."""
    _, features, target = feature_batch()
    constant = {"beta_decay": 0.0, "beta_min": 0.0} if name == ANGULAR[0] else {}
    loss = angular(name, margin=margin, beta=beta, **constant)
    assert loss.head is not None
    expected = angular_margin(features, loss.head.weight, target, margin, beta, unit_weights=name == ANGULAR[0])
    assert step(loss, features, target).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "start", "least", "betas"),
    [
        (ANGULAR[0], 12.0, 4.5, (8, 6, 4.8, 4.5, 4.5)),  # t = 1 at the first step, as in the authors' code
        (ANGULAR[1], 8.0, 1.5, (8.0, 4.0, 2.0, 1.5, 1.5)),
    ],
)
def test_beta_falls_with_the_steps_to_its_minimum(name, start, least, betas):
    _, features, target = feature_batch()
    loss = angular(name, margin=3, beta=start, beta_decay=0.5, beta_min=least)
    assert loss.head is not None
    for beta in betas:
        expected = angular_margin(features, loss.head.weight, target, 3, beta, unit_weights=name == ANGULAR[0])
        assert step(loss, features, target).item() == pytest.approx(expected, rel=1e-6)


def test_margin_1_is_cross_entropy_over_angles_or_of_a_linear_layer(name):
    _, features, target = feature_batch()
    loss = angular(name, margin=1)
    assert loss.head is not None
    scores = features @ loss.head.weight.T
    if name == ANGULAR[0]:
        scores = scores / loss.head.weight.norm(dim=1)
    torch.testing.assert_close(step(loss, features, target), F.cross_entropy(scores, target))


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # the other's use of NumPy
@pytest.mark.parametrize("margin", MARGINS)
def test_equals_another_implementation_without_annealing(name, margin):
    _, features, target = feature_batch()
    loss = angular(name, margin=margin, beta=0.0, beta_min=0.0)
    assert loss.head is not None
    kind = others.SphereFaceLoss if name == ANGULAR[0] else others.LargeMarginSoftmaxLoss
    other = kind(num_classes=K, embedding_size=D, margin=margin)
    other.W.data = loss.head.weight.detach().T.clone()
    torch.testing.assert_close(step(loss, features, target), other(features, target))


def test_length_of_the_weights_does_not_matter_to_angular_softmax():
    _, features, _ = feature_batch()
    loss = angular(ANGULAR[0])
    assert loss.head is not None
    scores = loss.head(features)
    with torch.no_grad():
        loss.head.weight *= torch.linspace(0.1, 9, len(loss.head.weight))[:, None]
    torch.testing.assert_close(loss.head(features), scores)


@pytest.mark.parametrize("margin", MARGINS)
def test_psi_is_the_multiplied_angle(margin):
    angles = [math.pi * i / 997 for i in range(998)]
    found = psi(torch.tensor([math.cos(angle) for angle in angles], dtype=torch.float64), margin)
    expected = torch.tensor([psi_by_acos(angle, margin) for angle in angles], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("margin", MARGINS)
def test_psi_falls_from_1_to_1_minus_2m_and_never_exceeds_the_cosine(margin):
    cosine = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    value = psi(cosine, margin)
    assert (value.diff() > 0).all()
    assert (value <= cosine + 1e-12).all()
    assert (value[0].item(), value[-1].item()) == (1 - 2 * margin, 1)


@pytest.mark.parametrize("margin", MARGINS)
def test_psi_is_continuous_where_its_pieces_meet(margin):
    for k in range(1, margin):
        edge = math.cos(k * math.pi / margin)
        left, right = psi(torch.tensor([edge - 1e-9, edge + 1e-9], dtype=torch.float64), margin).tolist()
        assert left == pytest.approx(right, abs=1e-7)
        assert right == pytest.approx(1 - 2 * k, abs=1e-7)


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("end", [-1.0, 1.0])
def test_psi_has_the_slope_m_squared_at_both_ends(margin, end):
    cosine = torch.tensor(end, dtype=torch.float64, requires_grad=True)
    psi(cosine, margin).backward()
    assert cosine.grad is not None
    assert cosine.grad.item() == margin**2


@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize("factor", [-1.0, 0.0, 1.0])
def test_parallel_opposite_and_zero_features_train(name, margin, factor):
    loss = angular(name, margin=margin, beta=0.0, beta_min=0.0)
    assert loss.head is not None
    features = (factor * loss.head.weight.detach()).requires_grad_()
    value = step(loss, features, torch.arange(K))
    value.backward()
    assert value.isfinite()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert loss.head.weight.grad is not None
    assert loss.head.weight.grad.isfinite().all()
    if factor == 0:
        assert value.item() == pytest.approx(math.log(K))


@pytest.mark.parametrize("margin", [2, 3, 4])
def test_the_margin_makes_training_harder_and_leaves_judging_alone(name, margin):
    _, features, target = feature_batch()
    loss = angular(name, margin=margin, beta=0.0, beta_min=0.0)
    assert loss.head is not None
    scores = loss.head(features)
    torch.testing.assert_close(loss(scores, target), F.cross_entropy(scores, target))
    assert step(loss, features, target) > loss(scores, target)


def test_more_margin_is_harder(name):
    _, features, target = feature_batch()
    values = [step(angular(name, margin=m, beta=0.0, beta_min=0.0), features, target).item() for m in MARGINS]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_annealing_advances_in_training_alone(name):
    _, features, target = feature_batch()
    loss = angular(name)
    assert loss.head is not None
    for _ in range(3):
        loss(loss.head(features), target)
        loss.log_probabilities(loss.head(features))
        loss.predict(loss.head(features))
    loss.on_epoch_end()
    assert int(loss.steps) == 0
    values = [step(loss, features, target).item() for _ in range(5)]
    assert int(loss.steps) == 5
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_the_last_layer_has_no_bias_and_belongs_to_whoever_asks_for_it(name):
    loss = angular(name)
    assert loss.head is not None
    assert loss.head.bias is None
    assert loss.head.weight.shape == (K, D)
    assert [*loss.state_dict()] == ["steps"]
    assert [*loss.parameters()] == []
