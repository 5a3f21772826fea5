"""Teacher-free distillation: both teachers against loops, and how the trained one is kept."""

from __future__ import annotations

import pytest
import torch
from by_loops import cross_entropy, kl, mean, softmax
from cases import D, K, feature_batch, terms_of
from torch import Tensor, nn
from torch.nn import functional as F

from losses.base import ClassificationLoss
from losses.contract import Task
from training.losses import build_loss
from utils.types import ConfigError

NAME = "TeacherFreeDistillationLoss"


class Network(nn.Module):
    """Stands for a trained network: its scores are the image's pixels, and differ in training."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.seen: list[Tensor] = []

    def forward(self, image: Tensor) -> Tensor:
        self.seen.append(image)
        return self.weight * image.flatten(1) + self.training


def self_taught(network: nn.Module | None = None, **params) -> ClassificationLoss:
    """Build the loss with a network that stands behind `best.ckpt`."""
    stored = {"best.ckpt": network or Network()}
    task = Task(K, 10, nn.Linear(D, K), load_network=stored.__getitem__)
    return build_loss(NAME, task, mode="self", teacher_path="best.ckpt", **params).double()


@pytest.mark.parametrize(
    "params",
    [{}, {"alpha": 0.6, "temperature": 0.5, "multiplier": 2.0, "a": 0.9}, {"alpha": 1.0, "a": 1.0}],
)
def test_handmade_teacher_equals_loops(params):
    scores, _, target = feature_batch()
    given = {"alpha": 0.1, "temperature": 20.0, "multiplier": 1.0, "a": 0.99} | params
    alpha, temperature, multiplier, a = given.values()
    values = []
    for row, y in zip(scores.tolist(), target.tolist(), strict=True):
        made = [a if k == y else (1 - a) / (K - 1) for k in range(K)]
        teacher = softmax([d / temperature for d in made])
        teaching = kl(teacher, softmax(row))
        values.append((1 - alpha) * cross_entropy(row, y) + alpha * multiplier * teaching)
    loss = build_loss(NAME, None, **params)
    assert loss(scores, target).item() == pytest.approx(mean(values), rel=1e-9)
    (trained,) = terms_of(loss, scores, target).values()
    assert torch.equal(trained, loss(scores, target))


def test_soft_labels_weigh_the_handmade_teachers_losses():
    scores, *_ = feature_batch(4)
    q = torch.rand(4, K).double().softmax(dim=-1)
    loss = build_loss(NAME, None, alpha=0.7, temperature=0.5)
    each = torch.stack([torch.stack([loss(s[None], torch.tensor([k])) for k in range(K)]) for s in scores])
    torch.testing.assert_close(loss(scores, q), (q * each).sum(dim=-1).mean())


@pytest.mark.parametrize("mode", ["regularization", "self"])
def test_alpha_0_is_cross_entropy(mode):
    scores, _, target = feature_batch()
    loss = build_loss(NAME, None, alpha=0.0) if mode == "regularization" else self_taught(alpha=0.0)
    terms = terms_of(loss, scores, target, image=torch.randn(len(scores), 1, 1, K).double())
    torch.testing.assert_close(torch.stack(list(terms.values())).sum(), F.cross_entropy(scores, target))


@pytest.mark.parametrize("params", [{}, {"alpha": 0.6, "temperature": 2.0, "multiplier": 3.0}])
def test_trained_teacher_equals_loops(params):
    scores, _, target = feature_batch()
    alpha, temperature, multiplier = ({"alpha": 0.95, "temperature": 6.0, "multiplier": 0.5} | params).values()
    image = torch.randn(len(scores), 1, 1, K).double()
    found = terms_of(self_taught(**params), scores, target, image=image)
    label = mean([cross_entropy(row, y) for row, y in zip(scores.tolist(), target.tolist(), strict=True)])
    teaching = mean(
        [
            kl(softmax([v / temperature for v in t]), softmax([v / temperature for v in s]))
            for t, s in zip(image.flatten(1).tolist(), scores.tolist(), strict=True)
        ]
    )
    assert found["main"].item() == pytest.approx((1 - alpha) * label, rel=1e-9)
    assert found["teaching"].item() == pytest.approx(alpha * multiplier * temperature**2 * teaching, rel=1e-9)


def test_a_network_that_equals_its_teacher_is_taught_nothing():
    scores, _, target = feature_batch()
    scores.requires_grad_()
    found = terms_of(self_taught(), scores, target, image=scores.detach()[:, None, None, :])["teaching"]
    found.backward()
    assert found.item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(scores.grad, torch.zeros_like(scores), rtol=0, atol=1e-12)


def test_teacher_sees_the_batch_s_images_frozen_and_in_evaluation():
    scores, _, target = feature_batch()
    network = Network()
    loss = self_taught(network)
    image = torch.randn(len(scores), 1, 1, K).double().requires_grad_()
    nn.Sequential(loss).train()
    assert loss.training
    assert not network.training
    terms_of(loss, scores.requires_grad_(), target, image=image)["teaching"].backward()
    assert network.seen == [image]
    assert (image.grad, network.weight.grad, network.weight.requires_grad) == (None, None, False)


def test_judging_by_a_trained_teacher_s_loss_is_cross_entropy():
    scores, _, target = feature_batch()
    network = Network()
    torch.testing.assert_close(self_taught(network)(scores, target), F.cross_entropy(scores, target))
    assert network.seen == []


def test_a_file_that_cannot_be_loaded_is_told_at_its_key():
    def load(path: str) -> nn.Module:
        raise ValueError(f"{path}: no such file")

    with pytest.raises(ConfigError) as error:
        build_loss(NAME, Task(K, 10, nn.Linear(D, K), load_network=load), mode="self", teacher_path="gone.ckpt")
    assert str(error.value) == "loss_params.teacher_path: gone.ckpt: no such file"


def test_outside_a_run_no_teacher_can_be_loaded():
    with pytest.raises(ConfigError, match=r"loss_params\.teacher_path: only a run can load a teacher"):
        build_loss(NAME, Task(K, 10, nn.Linear(D, K)), mode="self", teacher_path="best.ckpt")
