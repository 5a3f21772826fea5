"""Costs: parameters and multiply-adds."""

import pytest
import torch
from torch import nn

from models import build_model
from models.flops import count_multiply_adds, count_parameters
from models.scorer import Scorer


def test_parameters_that_are_not_trained_do_not_count():
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))
    module[0].requires_grad_(False)
    assert count_parameters(module) == 4 * 5 + 5


def test_multiply_adds_of_a_convolution_and_a_layer():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 10 * 12, 5))
    assert count_multiply_adds(network, (10, 12), 3) == 10 * 12 * 8 * 3 * 9 + 8 * 10 * 12 * 5


@pytest.mark.parametrize(
    ("name", "published"), [("ghostnet", 0.142e9), ("torchvision/resnet18", 1.82e9), ("torchvision/vit_b_32", 4.41e9)]
)
def test_multiply_adds_are_the_published_ones(name, published):
    with torch.device("meta"):
        network = build_model(name, 1000)
    assert count_multiply_adds(network, 224, 3) == pytest.approx(published, rel=0.02)


def test_counting_leaves_state_mode_and_random_numbers_alone():
    network = build_model("ghostnet", 5)
    network.stages[0].eval()
    modes = [module.training for module in network.modules()]
    state = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert count_multiply_adds(network, 32, 3) > 0
    assert torch.equal(torch.rand(1), expected)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in state.items())
    assert all(parameter.device.type == "cpu" and parameter.grad is None for parameter in network.parameters())


class TwoParts(nn.Sequential):
    """The part of timm's contract that a last layer of one's own needs."""

    def forward_features(self, image):
        return self[0](image)

    def forward_head(self, features, pre_logits=False):
        return features if pre_logits else self[1](features)


def test_a_last_layer_of_the_loss_is_counted_in_place_of_the_network_s():
    network = TwoParts(nn.Flatten(), nn.Linear(12, 5))
    counts = [count_multiply_adds(Scorer(network, head), (2, 2), 3) for head in (None, nn.Linear(12, 7))]
    assert counts == [12 * 5, 12 * 7]
