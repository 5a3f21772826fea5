"""LossTransform: its divergence against loops, its gradients, its limits, its base."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import kl, mean, softmax
from cases import K, feature_batch, make, refused, terms_of
from torch.nn import functional as F

from training.losses import build_loss

GROUPS = torch.tensor([7, 2, 2, 9, 5, 9, 7, 9, 4])  # one, two and three replicas, mixed
DIRECTIONS = ["mean_to_prediction", "prediction_to_mean"]


def group_means(p: list[list[float]], index: list[int]) -> list[list[float]]:
    """Return for each row the mean of the rows with its index."""
    return [
        [mean([row[k] for row, j in zip(p, index, strict=True) if j == i]) for k in range(len(p[0]))] for i in index
    ]


def by_loops(p: list[list[float]], index: list[int], direction: str) -> float:
    means = group_means(p, index)
    pairs = zip(means, p, strict=True) if direction == "mean_to_prediction" else zip(p, means, strict=True)
    return mean([kl(a, b) for a, b in pairs])


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("detach", [True, False])
def test_equals_loops_over_groups_of_different_sizes(direction, detach):
    scores, _, target = feature_batch(len(GROUPS))
    loss = make("LossTransform", lambda_=0.7, views=3, direction=direction, detach_mean=detach)
    found = terms_of(loss, scores, target, index=GROUPS)
    expected = 0.7 * by_loops([softmax(row) for row in scores.tolist()], GROUPS.tolist(), direction)
    assert found["consistency"].item() == pytest.approx(expected, rel=1e-9)
    torch.testing.assert_close(found["main"], F.cross_entropy(scores, target))


def gradient(direction: str, detach: bool) -> torch.Tensor:
    scores, _, target = feature_batch(len(GROUPS))
    loss = make("LossTransform", lambda_=0.7, direction=direction, detach_mean=detach)
    terms_of(loss, scores.requires_grad_(), target, index=GROUPS)["consistency"].backward()
    assert scores.grad is not None
    return scores.grad


def test_gradient_towards_a_constant_mean_is_the_distance_to_it():
    scores, *_ = feature_batch(len(GROUPS))
    p = scores.softmax(dim=-1)
    means = torch.tensor(group_means(p.tolist(), GROUPS.tolist()), dtype=torch.float64)
    torch.testing.assert_close(gradient("mean_to_prediction", True), 0.7 * (p - means) / len(GROUPS))


def test_a_mean_that_moves_changes_the_gradient_in_one_direction_alone():
    torch.testing.assert_close(gradient("prediction_to_mean", True), gradient("prediction_to_mean", False))
    assert not torch.allclose(gradient("mean_to_prediction", True), gradient("mean_to_prediction", False))


@pytest.mark.parametrize("views", [2, 3, 4])
def test_divergence_to_the_mean_is_at_most_log_views(views):
    loss = make("LossTransform", direction="prediction_to_mean", views=views)
    torch.manual_seed(0)
    scores, target = 9 * torch.randn(5 * views, K).double(), torch.zeros(5 * views, dtype=torch.int64)
    assert 0 < terms_of(loss, scores, target)["consistency"].item() < math.log(views)
    disagreeing = 50 * torch.eye(K).double()[:views]
    found = terms_of(loss, disagreeing, target[:views])["consistency"]
    assert found.item() == pytest.approx(math.log(views))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_replicas_that_agree_add_nothing(direction):
    scores, _, target = feature_batch(4)
    loss = make("LossTransform", views=3, direction=direction)
    found = terms_of(loss, scores.repeat_interleave(3, dim=0), target.repeat_interleave(3))
    assert found["consistency"].item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("params", [{"views": 1}, {"views": 3}, {"views": 1, "base": "HingeLoss"}])
def test_images_that_are_alone_train_by_the_base(direction, params):
    scores, _, target = feature_batch()
    loss = make("LossTransform", direction=direction, **params)
    terms = terms_of(loss, scores, target, index=torch.randperm(len(scores)))
    base = build_loss(params.get("base", "CrossEntropyLoss"))
    torch.testing.assert_close(torch.stack(list(terms.values())).sum(), base(scores, target))


def test_a_base_of_costs_gives_its_own_probabilities():
    scores, _, target = feature_batch(len(GROUPS))
    margins = {"alpha": 0.5, "lambda_": 2.0, "lambda_max": 3.0, "lambda_min": 1.0}
    loss = make("LossTransform", base="OneSidedMarginLoss", base_params=margins)

    def softplus(x: float) -> float:
        return math.log1p(math.exp(x))

    p = [
        softmax([-(softplus(s - 1.0) + 0.5 * softplus(-s) - 2.0 * softplus(3.0 - s)) for s in row])
        for row in scores.tolist()
    ]
    found = terms_of(loss, scores, target, index=GROUPS)["consistency"]
    assert found.item() == pytest.approx(by_loops(p, GROUPS.tolist(), "mean_to_prediction"), rel=1e-9)


@pytest.mark.parametrize(
    ("repeated", "views", "sampling", "repeats"), [(False, 4, "shuffle", 3), (True, 1, "repeated", 4)]
)
def test_replicas_come_from_views_or_from_repeated_draws(repeated, views, sampling, repeats):
    loss = make("LossTransform", views=4, repeated_sampling=repeated)
    assert (loss.views, loss.sampling, loss.repeats) == (views, sampling, repeats)


def test_a_base_that_takes_another_number_of_views_is_refused():
    assert refused("LossTransform", {"views": 3, "base": "DataDistortionDistillationLoss"}) == (
        "loss_params.base: LossTransform takes 3 views of an image, DataDistortionDistillationLoss 2"
    )
    assert make("LossTransform", views=2, base="DataDistortionDistillationLoss").views == 2
