"""Grad-CAM in closed form, on every layout of feature maps, by every loss."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from evaluation.findings import NotApplicable
from evaluation.grad_cam import (
    class_activation,
    enlarge,
    evidence,
    grad_cam,
    last_map_and_gradient,
    layout,
    scores_are_evidence,
)
from losses import LOSSES
from models.networks.base import Network, pool_to_vector
from tests.evaluation.made_up_subject import LOSSES_OF_CLASSES, make_subject
from training.losses import build_loss
from utils.lookup import load_entry


class Toy(nn.Module):
    """What `last_map_and_gradient` asks of a Classifier."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network, self.head = network, network.get_classifier()


@pytest.fixture
def toy() -> Toy:
    """A convolution, a global average and a linear layer."""
    torch.manual_seed(0)
    return Toy(Network([nn.Conv2d(1, 4, 3)], pool_to_vector(), nn.Linear(4, 3), 4))


def test_after_a_global_average_the_map_is_that_of_class_activation_mapping(toy):
    image, label = torch.randn(2, 1, 7, 6), torch.tensor([2, 0])
    features, gradient = last_map_and_gradient(toy, image, lambda scores: scores.gather(1, label[:, None]).squeeze(1))  # type: ignore
    maps = toy.network.stages[0](image)  # [B, 4, 5, 4]
    torch.testing.assert_close(features, maps)
    for place in range(2):
        weights = toy.head.weight[label[place]]  # type: ignore
        expected = torch.zeros(5, 4)
        for k in range(4):
            expected += weights[k] / (5 * 4) * maps[place, k]
        torch.testing.assert_close(class_activation(features, gradient)[place], expected.clamp(min=0))


def test_evidence_of_logits_is_the_score_and_of_costs_the_log_odds():
    scores, label = torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([1])
    assert float(evidence(build_loss("CrossEntropyLoss"), scores, label)) == 3
    loss = build_loss("OneSidedMarginLoss")
    p = loss.log_probabilities(100 * scores).double().exp()[0]
    assert float(evidence(loss, 100 * scores, torch.tensor([0]))) == pytest.approx(
        float(p[0].log() - (p[1] + p[2]).log()), rel=1e-4
    )
    binary = build_loss("BinaryCrossEntropyLoss")
    score = torch.tensor([[1.5], [1.5]])
    torch.testing.assert_close(evidence(binary, score, torch.tensor([1, 0])), torch.tensor([1.5, -1.5]))


@pytest.mark.parametrize("name", LOSSES_OF_CLASSES)
def test_evidence_has_a_gradient_even_where_a_loss_is_certain(name):
    loss = build_loss(name)
    width = 1 if load_entry(LOSSES[name]).num_classes == 2 else 4
    scores = (1000 * torch.eye(4)[:, :width]).requires_grad_()
    label = loss.predict(scores).clamp(min=0)
    (gradient,) = torch.autograd.grad(evidence(loss, scores, label).sum(), scores)
    assert gradient.abs().amax(dim=1).gt(1e-3).all()
    assert scores_are_evidence(loss, scores) == (name not in ("OneSidedMarginLoss",) and width > 1)


def test_maps_are_found_in_every_layout():
    image = torch.zeros(1, 3, 8, 16)
    plain = nn.Module()
    tokens = torch.arange(9.0).reshape(1, 9, 1)
    plain.num_prefix_tokens = 1  # type: ignore
    assert layout(plain, tokens, image)(tokens)[0, 0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    plain.output_fmt = "NHWC"  # type: ignore
    last = torch.zeros(1, 2, 4, 5)
    assert layout(plain, last, image)(last).shape == (1, 5, 2, 4)
    assert layout(nn.Module(), torch.zeros(1, 5, 2, 4), image)(torch.zeros(1, 5, 2, 4)).shape == (1, 5, 2, 4)


@pytest.mark.parametrize(
    ("shape", "reason"), [((1, 5), "a vector"), ((1, 5, 1, 1), "single place"), ((1, 6, 2), "do not form a grid")]
)
def test_features_without_places_are_refused(shape, reason):
    plain = nn.Module()
    with pytest.raises(NotApplicable, match=reason):
        layout(plain, torch.zeros(shape), torch.zeros(1, 3, 8, 8))


def test_enlarged_maps_reach_1_and_empty_ones_stay_empty():
    maps = torch.stack([torch.eye(3), torch.zeros(3, 3)])
    large = enlarge(maps, torch.Size((9, 9)))
    assert large.amax(dim=(1, 2)).tolist() == [1, 0]
    torch.testing.assert_close(large[0], F.interpolate(maps[None, :1], (9, 9), mode="bilinear")[0, 0])


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"loss_function": "OneSidedMarginLoss"},
        {"classes": ["3", "8"], "loss_function": "BinaryOneSidedMarginLoss"},
        {"architecture": "test_vit", "image_size": 160},
    ],
)
def test_right_and_wrong_predictions_are_drawn(quick, changes):
    subject = make_subject(quick(**{"classes": ["3", "8", "0"], "batch_size": 64, "image_size": 64} | changes))
    found = grad_cam(subject, images=2)
    right = int(subject.answers.right.sum())
    assert found.numbers["maps"] == min(2, right) + 2 * min(2, len(subject.answers.right) - right)
    assert found.numbers["empty_maps"] < found.numbers["maps"]
    assert all(picture.path.is_file() for picture in found.figures)
    assert any("log odds" in note for note in found.notes) == ("loss_function" in changes)
