"""Losses whose scores are scaled cosines or distances: their equations by loops, limits and other implementations."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from by_loops import cross_entropy, mean, squared_distance, unit
from cases import D, K, feature_batch, make, terms_of
from pytorch_metric_learning import losses as others
from torch import Tensor, nn
from torch.nn import functional as F

from losses import build_loss
from losses.arc_face import ArcFaceLoss
from losses.base import ClassificationLoss
from losses.cos_face import CosFaceLoss
from losses.cosine import CosineLinear, wider
from losses.harmonic import DistanceLinear
from losses.norm_face import NormFaceLoss

MARGINS: list[tuple[str, dict[str, Any]]] = [
    ("NormFaceLoss", {}),
    ("CosFaceLoss", {}),
    ("ArcFaceLoss", {}),
    ("ArcFaceLoss", {"margin": 1.5}),  # beyond pi for many angles
    ("AdaFaceLoss", {}),
    ("CircleLoss", {"scale": 4.0}),
    ("LDAMLoss", {}),
    ("AdaptiveArcFaceLoss", {}),
]


def with_head(name: str, **params: Any) -> tuple[ClassificationLoss, Any]:
    loss = make(name, **params).double()
    return loss, loss.make_head(loss.task).double()  # type: ignore[arg-type]


def cosines(features: Tensor, weights: Tensor) -> list[list[float]]:
    """Return the cosines between rows by loops."""
    rows = [[unit(row) for row in each.tolist()] for each in (features, weights)]
    return [[sum(a * b for a, b in zip(x, w, strict=True)) for w in rows[1]] for x in rows[0]]


def arc(c: float, margin: float) -> float:
    return math.cos(math.acos(c) + margin) if math.acos(c) + margin < math.pi else c - margin * math.sin(margin)


LABEL_SCORES = {
    "NormFaceLoss": lambda c: 20 * c,
    "CosFaceLoss": lambda c: 64 * (c - 0.35),
    "ArcFaceLoss": lambda c: 64 * arc(c, 0.5),
    "AdaFaceLoss": lambda c: 64 * (c - 0.4),  # without features
}


@pytest.mark.parametrize("name", LABEL_SCORES)
def test_equals_its_equation(name):
    _, features, target = feature_batch()
    loss, head = with_head(name)
    scale: Any = loss.scale
    values = []
    for row, y in zip(cosines(features, head.weight), target.tolist(), strict=True):
        scores = [scale * c for c in row]
        scores[y] = LABEL_SCORES[name](row[y])
        values.append(cross_entropy(scores, y))
    assert loss(head(features), target).item() == pytest.approx(mean(values), rel=1e-9)


def test_circle_loss_equals_its_equation():
    """With the optima 1 + m and -m and the margins 1 - m and m, as a softplus over the pairs."""
    _, features, target = feature_batch()
    loss, head = with_head("CircleLoss", margin=0.3, scale=5.0)
    values = []
    for row, y in zip(cosines(features, head.weight), target.tolist(), strict=True):
        wrong = [math.exp(5 * max(0.0, c + 0.3) * (c - 0.3)) for j, c in enumerate(row) if j != y]
        right = math.exp(-5 * max(0.0, 1.3 - row[y]) * (row[y] - 0.7))
        values.append(math.log(1 + sum(wrong) * right))
    assert loss(head(features), target).item() == pytest.approx(mean(values), rel=1e-9)


def test_gradients_of_circle_loss_hold_the_weights_constant():
    _, features, target = feature_batch()
    loss, head = with_head("CircleLoss", scale=5.0)
    scores = head(features).detach().requires_grad_()
    loss(scores, target).backward()
    c = scores.detach() / 5
    own = F.one_hot(target, K).bool()
    factor = torch.where(own, F.relu(1.25 - c), F.relu(c + 0.25))
    logits = (5 * factor * (c - torch.where(own, 0.75, 0.25))).requires_grad_()
    F.cross_entropy(logits, target).backward()
    torch.testing.assert_close(scores.grad, logits.grad * factor)  # type: ignore[operator]


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # the other's use of NumPy
@pytest.mark.parametrize(
    ("name", "other", "params"),
    [
        ("CosFaceLoss", others.CosFaceLoss, {}),
        ("ArcFaceLoss", others.ArcFaceLoss, {"margin": math.degrees(0.5)}),
        ("NormFaceLoss", others.NormalizedSoftmaxLoss, {}),
    ],
)
def test_equals_another_implementation(name, other, params):
    _, features, target = feature_batch()
    loss, head = with_head(name)
    theirs = other(num_classes=K, embedding_size=D, **params)
    theirs.W.data = head.weight.detach().T.clone()
    torch.testing.assert_close(loss(head(features), target), theirs(features, target))


@pytest.mark.parametrize(("name", "params"), MARGINS)
def test_soft_labels_are_linear_between_hard_ones_in_training(name, params):
    _, features, target = feature_batch()
    loss, head = with_head(name, **params)
    scores, one_hot = head(features), F.one_hot(target, K).double()
    torch.testing.assert_close(loss(scores, one_hot), loss(scores, target))
    other = (target + 1) % K
    mixed = 0.3 * one_hot + 0.7 * F.one_hot(other, K)
    torch.testing.assert_close(loss(scores, mixed), 0.3 * loss(scores, target) + 0.7 * loss(scores, other))


@pytest.mark.parametrize(("name", "params"), MARGINS)
def test_judging_is_cross_entropy_and_a_margin_is_harder(name, params):
    _, features, target = feature_batch()
    loss, head = with_head(name, **params)
    scores = head(features)
    trained, judged = loss(scores, target), loss.eval()(scores, target)
    torch.testing.assert_close(judged, F.cross_entropy(scores, target))
    if name in {"NormFaceLoss", "CircleLoss"}:  # the first has no margin, the second another scale
        return
    assert trained > judged


@pytest.mark.parametrize(
    "loss",
    [
        CosFaceLoss(margin=0.0, scale=20.0),
        ArcFaceLoss(margin=0.0, scale=20.0),
        build_loss("AdaFaceLoss", None, margin=0.0, scale=20.0),
        build_loss("LDAMLoss", None, max_margin=0.0, scale=20.0, class_counts=[9, 5, 4, 3, 2]),
        build_loss(
            "AdaptiveArcFaceLoss", None, margin_min=0.0, margin_max=0.0, scale=20.0, class_counts=[5, 4, 3, 2, 1]
        ),
    ],
    ids=lambda loss: type(loss).__name__,
)
def test_no_margin_is_norm_face(loss):
    _, features, target = feature_batch()
    scores = CosineLinear(D, K, 20.0).double()(features)
    tolerance = 1e-2 if type(loss).__name__ == "AdaFaceLoss" else 1e-6  # which reads no angle below 0.045
    torch.testing.assert_close(loss(scores, target), NormFaceLoss()(scores, target), rtol=tolerance, atol=0)


def test_the_least_and_the_most_quality_are_arc_face_and_a_cosine_with_the_margin_twice():
    _, features, target = feature_batch()
    loss, head = with_head("AdaFaceLoss", h=1e9, momentum=0.0)
    loss.mean.fill_(50.0)  # type: ignore[union-attr,operator]
    for factor, other in ((1e-3, ArcFaceLoss(margin=0.4)), (1e3, None)):
        value = sum(terms_of(loss, head(features), target, features=factor * features).values())
        if other is None:
            scores = head(features)
            row = (scores.gather(1, target[:, None]) / 64).acos() - 0.4
            expected = F.cross_entropy(scores.scatter(1, target[:, None], 64 * (row.cos() - 0.8)), target)
        else:
            expected = other(head(features), target)
        torch.testing.assert_close(value, expected)


def test_lengths_are_averaged_over_batches_and_one_image_has_no_spread():
    loss, head = with_head("AdaFaceLoss", momentum=0.25)
    features = torch.eye(D, dtype=torch.float64)[:2] * torch.tensor([[4.0], [8.0]]).double()
    terms_of(loss, head(features), torch.tensor([0, 1]), features=features)
    assert loss.mean.item() == pytest.approx(0.75 * 20 + 0.25 * 6)  # type: ignore[operator,union-attr]
    assert loss.std.item() == pytest.approx(0.75 * 100 + 0.25 * math.sqrt(8))  # type: ignore[operator,union-attr]
    terms_of(loss, head(features[:1]), torch.tensor([0]), features=features[:1])
    assert loss.std.item() == pytest.approx(0.75 * 100 + 0.25 * math.sqrt(8))  # type: ignore[operator,union-attr]


@pytest.mark.parametrize("margin", [0.0, 0.5, 1.0, math.pi / 2])
def test_a_wider_angle_never_raises_the_cosine(margin):
    cosine = torch.linspace(-1, 1, 2001, dtype=torch.float64)
    value = wider(cosine, margin)
    assert (value.diff() >= -1e-12).all()
    assert (value <= cosine + 1e-5).all()


@pytest.mark.parametrize(("name", "params"), MARGINS)
@pytest.mark.parametrize("factor", [-1.0, 0.0, 1.0])
def test_parallel_opposite_and_zero_features_train(name, params, factor):
    loss, head = with_head(name, **params)
    features = (factor * head.weight.detach()).requires_grad_()
    value = sum(terms_of(loss, head(features), torch.arange(K), features=features).values())
    assert isinstance(value, Tensor)
    value.backward()
    assert value.isfinite()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert head.weight.grad.isfinite().all()


@pytest.mark.parametrize("layer", [CosineLinear(D, K, 64.0), DistanceLinear(D, K, 3.0, 1e-4)])
def test_heads_compute_in_float32_under_autocast(layer):
    features = torch.randn(4, D)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(features.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, layer(features.bfloat16().float()))


def test_lengths_of_features_and_weights_do_not_matter_to_cosines():
    _, features, _ = feature_batch()
    layer = CosineLinear(D, K, 7.0).double()
    expected = 7 * torch.tensor(cosines(features, layer.weight), dtype=torch.float64)
    torch.testing.assert_close(layer(features), expected)
    with torch.no_grad():
        layer.weight *= torch.linspace(0.1, 9, K)[:, None]
    torch.testing.assert_close(layer(3 * features), expected)


@pytest.mark.parametrize("exponent", [None, 1.0, 5.0])
def test_harmonic_probabilities_are_inverse_powers_of_distances(exponent):
    _, features, target = feature_batch()
    loss, head = with_head("HarmonicLoss", exponent=exponent)
    n = math.sqrt(D) if exponent is None else exponent
    values = []
    for row, (x, y) in enumerate(zip(features.tolist(), target.tolist(), strict=True)):
        inverse = [(squared_distance(x, w) + 1e-4) ** (-n / 2) for w in head.weight.tolist()]
        values.append(-math.log(inverse[y] / sum(inverse)))
        nearest = max(range(K), key=inverse.__getitem__)
        assert loss.predict(head(features[row : row + 1])).item() == nearest
    assert loss(head(features), target).item() == pytest.approx(mean(values), rel=1e-9)


def test_harmonic_probabilities_do_not_change_with_the_scale():
    _, features, target = feature_batch()
    loss, head = with_head("HarmonicLoss", eps=1e-12)
    before = loss(head(features), target)
    with torch.no_grad():
        head.weight *= 7
    torch.testing.assert_close(loss(head(7 * features), target), before)


def test_a_last_layer_that_is_not_linear_is_refused():
    from losses.contract import ParameterError, Task

    for name in ("ArcFaceLoss", "HarmonicLoss"):
        task = Task(K, 24, nn.Conv2d(D, K, 1))
        with pytest.raises((ParameterError, ValueError), match=f"{name} needs a network whose last layer is linear"):
            build_loss(name, task).make_head(task)
