"""LPRNet: the laws of our networks as they read for sequences, the port's sizes and scores, what it may train on."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import train
from models import build_model
from models.flops import count_parameters
from models.networks.base import Network
from models.networks.lprnet import _Pool
from models.single_sample import running_statistics_for_single_values
from utils.types import ConfigError

NAMES = ["lprnet", "lprnet_small"]
SMALLEST = (21, 25)
PUBLISHED = (24, 94)


@pytest.fixture(scope="module", params=NAMES)
def network(request):
    torch.manual_seed(0)
    return build_model(request.param, 5).eval()


def images(batch, size=PUBLISHED):
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "num_classes", "params", "count"),
    [
        ("lprnet", 68, {}, 446_976),
        ("lprnet", 66, {}, 439_148),
        ("lprnet_small", 68, {}, 41_260),
        ("lprnet_small", 68, {"multipliers": [2, 4, 4]}, 81_624),
        ("lprnet", 68, {"base_channels": 16}, 81_624),
    ],
)
def test_size_is_the_ports(name, num_classes, params, count):
    with torch.device("meta"):
        assert count_parameters(build_model(name, num_classes, **params)) == count


@pytest.mark.parametrize(("name", "channels"), [("lprnet", (64, 128, 256, 453)), ("lprnet_small", (16, 16, 32, 69))])
def test_plate_gives_the_published_maps_and_steps(name, channels):
    with torch.device("meta"):
        network = build_model(name, 5).eval()
        maps = network.forward_intermediates(torch.empty(1, 3, *PUBLISHED), intermediates_only=True)
        assert network(torch.empty(1, 3, *PUBLISHED)).shape == (1, 18, 5)
    sizes = ((22, 92), (20, 90), (18, 44), (4, 18))
    assert [tuple(x.shape[1:]) for x in maps] == [(c, *size) for c, size in zip(channels, sizes, strict=True)]


def test_pool_is_the_ports_over_channels_too():
    x = torch.randn(2, 8, 7, 11)
    for keep in (2, 4):
        assert torch.equal(_Pool(keep)(x), F.max_pool3d(x, (1, 3, 3), stride=(keep, 1, 2)))


def test_scores_of_one_plate_are_the_ports(network):
    x = images(1)
    maps = network.forward_intermediates(x, intermediates_only=True)
    last = nn.Sequential(*network.stages[3])(maps[2])
    pooled = [F.avg_pool2d(maps[0], 5, 5), F.avg_pool2d(maps[1], 5, 5), F.avg_pool2d(maps[2], (4, 10), (4, 2)), last]
    context = torch.cat([each / each.pow(2).mean() for each in pooled], dim=1)
    classifier = network.get_classifier()
    scores = F.conv2d(context, classifier.weight[:, :, None, None], classifier.bias).mean(dim=2)  # [1, K, T]
    torch.testing.assert_close(network(x), scores.transpose(1, 2))


def test_scores_do_not_depend_on_the_other_images_of_a_batch(network):
    network, x = copy.deepcopy(network).double(), images(3).double()
    x[1:] *= 10
    torch.testing.assert_close(network(x), torch.cat([network(each[None]) for each in x]))


def test_blank_map_has_finite_scores(network):
    other = copy.deepcopy(network)
    for module in other.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.constant_(module.bias, -100)  # so that every ReLU gives 0, whose mean square is 0
    torch.testing.assert_close(other(images(1)), other.get_classifier().bias.expand(1, 18, 5))


@pytest.mark.parametrize(("size", "steps"), [(SMALLEST, 1), (PUBLISHED, 18), ((48, 188), 42), ((21, 300), 70)])
def test_contract_has_the_promised_shapes(network, size, steps):
    x = images(2, size)
    maps = network.forward_features(x)
    features = network.forward_head(maps, pre_logits=True)
    assert features.shape == (2, steps, network.num_features)
    assert network.get_classifier().weight.shape == (5, network.num_features)
    assert network(x).shape == (2, steps, 5)
    assert torch.equal(network.get_classifier()(features), network(x))
    assert torch.equal(network.forward_head(maps), network(x))


def test_smaller_image_is_refused(network):
    for size in ((20, 94), (24, 24)):
        with pytest.raises(ConfigError, match="images must be at least 21 px high and 25 px wide"):
            network(images(1, size))


def test_intermediates_are_chosen_as_in_timm(network):
    x = images(1)
    features, every = network.forward_intermediates(x)
    assert torch.equal(features, network.forward_features(x))
    assert torch.equal(every[-1], features)
    for indices, wanted in ((2, every[-2:]), ([0, -1], [every[0], every[-1]]), ([1], every[1:2])):
        chosen = network.forward_intermediates(x, indices=indices, stop_early=True, intermediates_only=True)
        assert all(torch.equal(a, b) for a, b in zip(chosen, wanted, strict=True))


def test_every_parameter_gets_a_gradient_of_the_sequence_loss(network):
    trained = copy.deepcopy(network).train()
    steps = trained(images(4)).log_softmax(dim=-1).transpose(0, 1)  # [T, B, K]
    target = torch.tensor([[1, 2, 3], [4, 3, 2], [1, 1, 2], [2, 4, 1]])
    F.ctc_loss(steps, target, torch.full((4,), 18), torch.full((4,), 3)).backward()
    grads = {name: parameter.grad for name, parameter in trained.named_parameters()}
    assert [name for name, grad in grads.items() if grad is None or not grad.isfinite().all()] == []
    assert [name for name, grad in grads.items() if name.endswith("weight") and not grad.any()] == []


def test_batch_of_one_trains(network):
    trained = copy.deepcopy(network).train()
    with running_statistics_for_single_values(trained):
        scores = trained(images(1, SMALLEST))
    scores.sum().backward()
    assert scores.isfinite().all()
    assert all(value.isfinite().all() for value in trained.state_dict().values())


def test_state_dict_restores_the_scores(network):
    x = images(2)
    other = copy.deepcopy(network)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    assert not other(x).any()
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(x), network(x))


def test_reset_classifier_changes_the_last_layer_alone(network):
    x = images(2)
    other = copy.deepcopy(network)
    other.reset_classifier(7)
    assert other(x).shape == (2, 18, 7)
    other.reset_classifier(0)
    assert torch.equal(other(x), network.forward_head(network.forward_features(x), pre_logits=True))


def test_export_and_memory_format_keep_the_scores(network):
    x = images(2)
    torch.testing.assert_close(torch.export.export(network, (x,)).module()(x), network(x))
    exact, x = copy.deepcopy(network).double(), x.double()  # in single precision each order of sums rounds otherwise
    other = copy.deepcopy(exact).to(memory_format=torch.channels_last)
    torch.testing.assert_close(other(x.contiguous(memory_format=torch.channels_last)), exact(x))


def test_dropout_stands_before_both_convolutions_behind_the_blocks():
    with torch.device("meta"):
        rates = [m.p for m in build_model("lprnet", 5, dropout=0.3).modules() if isinstance(m, nn.Dropout)]
    assert rates == [0.3, 0.3]


@pytest.mark.parametrize("multipliers", [[2, 4], [2, 4, 5], [0, 4, 4], [2, 4, -4]])
def test_channels_that_cannot_be_split_are_refused(multipliers):
    with pytest.raises(ConfigError, match=r"architecture_params.*: .*multipl"):
        build_model("lprnet", 5, base_channels=2, multipliers=multipliers)


def test_network_for_sequences_is_refused_on_images(tmp_path, capsys):
    folders = [f"output_path={tmp_path}", f"logging_dir={tmp_path}/logs"]
    status = train.main(["--check", "dataset=digits", "architecture=lprnet", *folders])
    assert status == 2
    assert "architecture: lprnet reads sequences, digits holds images" in capsys.readouterr().err


def test_networks_judge_images_unless_they_say_otherwise():
    with torch.device("meta"):
        kinds = {name: build_model(name, 2).kind for name in ("ghostnet", *NAMES)}
    assert kinds == {"ghostnet": "image", "lprnet": "sequence", "lprnet_small": "sequence"}
    assert Network.kind == "image"
