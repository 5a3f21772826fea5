"""A training batch of one sample trains on any network, and leaves the running statistics as they are."""

import pytest
import torch
from torch import nn

from losses.contract import Batch, Task
from models import build_model
from models.classifier import Classifier
from models.single_sample import running_statistics_for_single_values
from training.losses import build_loss


def test_single_values_are_normalised_by_running_statistics():
    norm = nn.BatchNorm1d(3)
    norm(torch.randn(8, 3))
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    x = torch.randn(1, 3)
    expected = (x - before["running_mean"]) / (before["running_var"] + norm.eps).sqrt()
    with running_statistics_for_single_values(norm):
        torch.testing.assert_close(norm(x), expected)
    assert norm.training
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm(x)


def test_several_values_are_normalised_by_their_own_statistics():
    norm, x = nn.BatchNorm2d(2), torch.randn(1, 2, 3, 3)
    with running_statistics_for_single_values(norm):
        inside = norm(x)
    assert norm.num_batches_tracked is not None
    assert norm.num_batches_tracked.item() == 1
    torch.testing.assert_close(inside.mean(dim=(0, 2, 3)), torch.zeros(2), atol=1e-6, rtol=0)


def test_a_layer_that_was_in_evaluation_stays_there():
    norms = nn.Sequential(nn.BatchNorm1d(2).eval(), nn.BatchNorm1d(2))
    with running_statistics_for_single_values(norms):
        norms(torch.randn(1, 2))
    assert [norm.training for norm in norms] == [False, True]


@pytest.mark.parametrize(
    "name", ["resnet18", "torchvision/resnet18", "efficientnet_b0", "torchvision/mobilenet_v2", "ghostnet"]
)
def test_an_epoch_may_end_in_a_batch_of_one(name):
    torch.manual_seed(0)
    network = build_model(name, 4, 1)
    task = Task(4, 9, network.get_classifier())
    classifier = Classifier(
        network, build_loss("CrossEntropyLoss", task), task, lambda weights: torch.optim.SGD(weights.values(), lr=0.1)
    )
    batch = Batch(torch.randn(1, 1, 1, 8, 8), torch.tensor([2]), torch.tensor([0]))
    classifier.train().training_step(batch, 0).backward()
    assert all(parameter.grad is not None for parameter in classifier.parameters())
    assert all(module.training for module in classifier.modules())
