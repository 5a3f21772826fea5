"""The LightningModule asks nothing about which loss or network it holds."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import models.classifier
from losses import LOSSES, TORCH_LOSSES
from losses.base import ClassificationLoss
from losses.contract import Batch, Sequences, Task
from models import build_model
from models.classifier import Classifier, repeat_views
from training.losses import build_loss
from utils.lookup import load_entry
from utils.types import ConfigError

K = 4


def make(loss: ClassificationLoss | str, channels_last: bool = False, **params) -> Classifier:
    """Return a classifier of K classes, or of two for losses that take no more. Args: params: of a loss by name."""
    torch.manual_seed(0)
    names = [loss, params.get("base")] if isinstance(loss, str) else []
    entries = [load_entry(LOSSES[name]) if name in LOSSES else ClassificationLoss for name in names]
    entry = entries[0] if entries else ClassificationLoss
    only = next((each.num_classes for each in entries if each.num_classes), None)
    network = build_model({"image": "test_resnet", "sequence": "lprnet_small"}[entry.kind], only or K, 1)

    def stage_channels(stages: tuple[int, ...]) -> tuple[int, ...]:
        _, maps = network.forward_intermediates(batch().image[:, 0], indices=list(stages))
        return tuple(each.shape[1] for each in maps)

    counts = (2,) * (only or K)
    task = Task(only or K, 8, network.get_classifier(), stage_channels, class_counts=counts)
    built = build_loss(loss, task, **params) if isinstance(loss, str) else loss
    return Classifier(
        network, built, task, lambda weights: torch.optim.SGD(weights.values(), lr=0.1), channels_last=channels_last
    )


def batch(views: int = 1, size: int = 6, classes: int = K) -> Batch:
    torch.manual_seed(1)
    return Batch(torch.randn(size, views, 1, 16, 16), torch.arange(size) % classes, torch.arange(size))


def text_batch(size: int = 6) -> Batch:
    """Images of LPRNet's least size, which gives three steps, with texts of two characters."""
    torch.manual_seed(1)
    labels = (torch.arange(size)[:, None] + torch.arange(2)) % K
    image = torch.randn(size, 1, 1, 21, 33)
    return Batch(image, Sequences(labels, torch.full((size,), 2)), torch.arange(size))


WRAPPED = [
    ("CenterLoss", {"base": "AngularSoftmaxLoss"}),
    ("LossTransform", {"base": "CenterLoss", "base_params": {"base": "LargeMarginSoftmaxLoss"}}),
    ("TripletLoss", {"base": "BinaryCrossEntropyLoss"}),
]


@pytest.mark.parametrize(("name", "params"), [*((name, {}) for name in (*LOSSES, *TORCH_LOSSES)), *WRAPPED])
def test_every_loss_trains_every_parameter_and_stores_it_once(name, params):
    classifier = make(name, **params)
    views, classes = classifier.loss.views, classifier.train_tally.num_classes
    given = text_batch() if classifier.loss.kind == "sequence" else batch(views, classes=classes)
    classifier.training_step(given, 0).backward()
    for parameter, value in classifier.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter
    state = [tensor for tensor in classifier.state_dict(keep_vars=True).values() if tensor.numel()]
    assert len({tensor.untyped_storage().data_ptr() for tensor in state}) == len(state)
    names = [name for name, _ in classifier.named_parameters(remove_duplicate=False)]
    assert len(names) == len([*classifier.parameters()])
    assert any(parameter is next(classifier.head.parameters()) for parameter in classifier.parameters())


def test_scores_are_the_network_s_own():
    classifier = make("CrossEntropyLoss").eval()
    image = batch().image[:, 0]
    torch.testing.assert_close(classifier(image).scores, classifier.network(image))
    assert classifier(image).features.shape == (6, classifier.network.num_features)


def test_the_step_returns_the_sum_of_the_terms_and_counts_it():
    class TwoTerms(ClassificationLoss):
        def forward(self, scores, target: Any):
            return F.cross_entropy(scores, target)

        def terms(self, outputs, batch):
            return {"main": self(outputs.scores, batch.target), "extra": outputs.features.square().mean()}

    classifier = make(TwoTerms()).eval()
    value = classifier.training_step(batch(), 0)
    outputs, target = classifier(batch().image[:, 0]), torch.arange(6) % K
    expected = F.cross_entropy(outputs.scores, target) + outputs.features.square().mean()
    torch.testing.assert_close(value, expected)
    assert classifier.train_tally.compute()["loss"] == pytest.approx(expected.item())


def test_views_become_samples_with_their_target_and_index_repeated():
    seen = {}

    class Spy(ClassificationLoss):
        views = 3

        def forward(self, scores, target: Any):
            return F.cross_entropy(scores, target)

        def terms(self, outputs, batch):
            seen["batch"] = batch
            return super().terms(outputs, batch)

    make(Spy()).training_step(batch(views=3, size=2), 0)
    assert seen["batch"].image.shape == (6, 1, 16, 16)
    assert seen["batch"].target.tolist() == [0, 0, 0, 1, 1, 1]
    assert seen["batch"].index.tolist() == [0, 0, 0, 1, 1, 1]
    assert torch.equal(seen["batch"].image, batch(views=3, size=2).image.flatten(0, 1))


def test_sequences_are_repeated_part_by_part():
    target = Sequences(torch.tensor([[1, 2], [3, 4]]), torch.tensor([2, 1]))
    repeated = repeat_views(target, 2)
    assert repeated.labels.tolist() == [[1, 2], [1, 2], [3, 4], [3, 4]]
    assert repeated.lengths.tolist() == [2, 2, 1, 1]


def test_a_loss_may_bring_its_own_head_and_the_old_one_is_dropped():
    class Cosine(ClassificationLoss):
        def make_head(self, task):
            last: Any = task.classifier
            return nn.Linear(last.in_features, task.num_classes, bias=False)

        def forward(self, scores, target: Any):
            return F.cross_entropy(scores, target)

    classifier = make(Cosine())
    assert classifier.head.bias is None
    assert isinstance(classifier.network.get_classifier(), nn.Identity)
    classifier.training_step(batch(), 0).backward()
    assert all(parameter.grad is not None for parameter in classifier.parameters())
    assert sum("head.weight" in name for name in classifier.state_dict()) == 1


@pytest.mark.parametrize("name", ["CrossEntropyLoss", "AngularSoftmaxLoss", "BinaryCrossEntropyLoss"])
def test_the_last_layer_computes_in_float32_under_autocast(name):
    classifier = make(name).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = classifier(batch().image[:, 0])
        in_half = classifier.head(outputs.features).float()
    assert outputs.features.dtype == torch.bfloat16
    assert torch.equal(outputs.scores, classifier.head(outputs.features.float()))
    assert not torch.equal(outputs.scores, in_half)


def test_a_loss_that_keeps_the_head_for_itself_is_refused():
    class Keeps(ClassificationLoss):
        def make_head(self, task):
            self.layer = nn.Linear(8, task.num_classes)
            return self.layer

    with pytest.raises(ConfigError, match=r"^loss_function: Keeps registers its head: keep it in a tuple"):
        make(Keeps())


def test_a_loss_gets_the_feature_maps_that_it_asks_for():
    seen = {}

    class Staged(ClassificationLoss):
        stages = (1, -1)

        def forward(self, scores, target: Any):
            return F.cross_entropy(scores, target)

        def terms(self, outputs, batch):
            seen["stages"] = outputs.stages
            return super().terms(outputs, batch)

    make(Staged()).training_step(batch(), 0)
    shallow, deep = seen["stages"]
    assert shallow.ndim == deep.ndim == 4
    assert shallow.shape[-1] > deep.shape[-1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_and_the_last_layer_compute_in_float32_under_autocast(dtype):
    seen = {}

    class Spy(ClassificationLoss):
        def forward(self, scores, target: Any):
            seen["dtype"] = scores.dtype
            seen["matmul"] = (scores @ scores.T).dtype
            return F.cross_entropy(scores, target)

    classifier = make(Spy())
    with torch.autocast("cpu", dtype=dtype):
        classifier.training_step(batch(), 0)
    assert seen == {"dtype": torch.float32, "matmul": torch.float32}


def test_channels_last_gives_the_same_scores():
    plain, last = make("CrossEntropyLoss").eval(), make("CrossEntropyLoss", channels_last=True).eval()
    image = batch().image[:, 0]
    torch.testing.assert_close(plain(image).scores, last(image).scores)


def test_the_module_is_short_and_names_no_loss():
    text = inspect.getsource(models.classifier)
    assert not [name for name in LOSSES if name in text]
    body = inspect.getsource(Classifier).splitlines()
    assert len(body) <= 175
