"""Where a last layer's scores start: one mechanism for every loss, network and way to make the layer."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from cases import refused
from torch import nn

from losses import LOSSES
from losses.contract import Batch, ParameterError, Sequences, Task
from models import build_model
from models.classifier import Classifier
from training.losses import build_loss
from utils.lookup import keywords, load_entry

STARTS = {"OneSidedMarginLoss": 600.0, "BinaryOneSidedMarginLoss": 350.0, "OneSidedMarginCTCLoss": 350.0}
"""Loss -> the score near which a network's last layer starts."""
WRAPPING = [name for name, entry in LOSSES.items() if "base" in keywords(load_entry(entry))]
K = 5


def make(name: str, architecture: str = "test_resnet", *, trained: Any = False, **params: Any) -> Classifier:
    """Return a classifier of K classes, or of the loss's number."""
    classes = load_entry(LOSSES[name]).num_classes or K
    torch.manual_seed(0)
    network = build_model(architecture, classes, 3)

    def stage_channels(stages: tuple[int, ...]) -> tuple[int, ...]:
        _, maps = network.forward_intermediates(torch.zeros(1, 3, 64, 64), indices=list(stages))
        return tuple(each.shape[1] for each in maps)

    task = Task(classes, 8, network.get_classifier(), stage_channels, trained_classifier=trained)
    loss = build_loss(name, task, **params)
    return Classifier(network, loss, task, lambda weights: torch.optim.SGD(weights.values(), lr=0.01))


def batch(classes: int = K, views: int = 1, size: int = 8) -> Batch:
    torch.manual_seed(1)
    return Batch(torch.randn(size, views, 3, 64, 64), torch.arange(size) % classes, torch.arange(size))


def first_scores(classifier: Classifier) -> torch.Tensor:
    size = (24, 94) if classifier.loss.kind == "sequence" else (64, 64)
    torch.manual_seed(2)
    with torch.no_grad():
        return classifier(torch.randn(4, 3, *size)).scores


@pytest.mark.parametrize("name", STARTS)
def test_scores_start_where_the_loss_says(name):
    architecture = "lprnet_small" if load_entry(LOSSES[name]).kind == "sequence" else "test_resnet"
    for params, start in (({}, STARTS[name]), ({"start": 40}, 40.0), ({"start": None}, 0.0)):
        scores = first_scores(make(name, architecture, **params))
        assert scores.mean().item() == pytest.approx(start, abs=2)
        assert 0 < scores.std().item() < 3


@pytest.mark.parametrize("name", WRAPPING)
def test_a_wrapped_loss_starts_as_alone(name):
    classifier = make(name, base="OneSidedMarginLoss")
    assert first_scores(classifier).mean().item() == pytest.approx(600, abs=2)
    assert make(name).loss.start is None


@pytest.mark.parametrize("architecture", ["test_resnet", "torchvision/squeezenet1_1", "caformer_s18", "cpubone_t0"])
def test_any_last_layer_can_be_started(architecture):
    """Linear, a convolution behind which the maps are averaged, and layers of several parts."""
    scores = first_scores(make("OneSidedMarginLoss", architecture))
    assert scores.mean().item() == pytest.approx(600, abs=5)
    assert first_scores(make("OneSidedMarginLoss", architecture, start=None)).abs().max() < 10


def test_a_last_layer_without_bias_is_given_one_that_is_trained_and_saved():
    class Bare(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Dropout(0.0), nn.Linear(3, K, bias=False))

    head = Bare()
    loss = build_loss("OneSidedMarginLoss")
    loss.start_head(head)
    assert torch.equal(head(torch.zeros(2, 3)), torch.full((2, K), 600.0))
    assert "1.bias" in dict(head.named_parameters())
    saved = head.state_dict()
    saved["1.bias"] = torch.arange(float(K))
    other = Bare()
    loss.start_head(other)
    other.load_state_dict(saved)
    assert torch.equal(other(torch.zeros(1, 3))[0], torch.arange(float(K)))


def test_a_last_layer_that_cannot_be_started_is_refused():
    with pytest.raises(ParameterError, match=r"^start: .*last layer, BatchNorm1d, has no bias.*null leaves"):
        build_loss("OneSidedMarginLoss").start_head(nn.BatchNorm1d(3))


def test_a_last_layer_that_came_with_weights_stays():
    trained, fresh = make("OneSidedMarginLoss", trained=True), make("OneSidedMarginLoss", start=None)
    assert torch.equal(first_scores(trained), first_scores(fresh))
    # a layer that the loss brings is fresh whatever the network came with
    assert first_scores(make("BinaryOneSidedMarginLoss", trained=True)).mean().item() == pytest.approx(350, abs=2)


def train(classifier: Classifier, data: Batch, lr: float) -> list[float]:
    """Take ten steps on one batch and return what each cost."""
    optimizer = torch.optim.SGD(classifier.parameters(), lr=lr)
    costs = []
    for _ in range(10):
        optimizer.zero_grad()
        total = classifier.training_step(data, 0)
        total.backward()
        optimizer.step()
        costs.append(total.item())
    return costs


@pytest.mark.parametrize("name", [name for name in STARTS if load_entry(LOSSES[name]).kind == "image"])
def test_started_scores_learn_from_the_first_step(name):
    classifier = make(name)
    data = batch(classifier.train_tally.num_classes)
    costs = train(classifier, data, lr=0.1)
    assert costs == sorted(costs, reverse=True)
    assert classifier.loss.predict(classifier(data.image[:, 0]).scores).tolist() == data.target.tolist()  # type: ignore
    # from 0 every wrong score costs lambda_max at first
    assert costs[0] < 505 < 2000 < train(make("OneSidedMarginLoss", start=None), batch(), lr=0.1)[-1]


def test_started_texts_learn_from_the_first_steps():
    torch.manual_seed(3)
    labels = torch.arange(4)[:, None].expand(4, 3) % K
    data = Batch(torch.randn(4, 1, 3, 24, 94), Sequences(labels, torch.full((4,), 3)), torch.arange(4))
    costs = train(make("OneSidedMarginCTCLoss", "lprnet_small"), data, lr=0.001)
    assert costs[-1] < 0.8 * costs[0]


@pytest.mark.parametrize("name", STARTS)
def test_a_bad_start_is_named(name):
    named = load_entry(LOSSES[name])(start=None).__init__.__kwdefaults__["start"]
    assert "loss_params.start: must be" in refused(name, {"start": "middle"})
    assert "start must be finite and a number, got inf" in refused(name, {"start": float("inf")})
    with pytest.raises(ValueError, match=f"start must be a number, {named} or null, got 'middle'"):
        load_entry(LOSSES[name])(start="middle")
