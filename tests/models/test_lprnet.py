"""LPRNet: the port's sizes and scores, what it may train on."""

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
def test_wider_images_give_more_steps(network, size, steps):
    x = images(2, size)
    assert network.forward_head(network.forward_features(x), pre_logits=True).shape == (2, steps, network.num_features)
    assert network(x).shape == (2, steps, 5)


def test_every_parameter_gets_a_gradient_of_the_sequence_loss(network):
    trained = copy.deepcopy(network).train()
    steps = trained(images(4)).log_softmax(dim=-1).transpose(0, 1)  # [T, B, K]
    target = torch.tensor([[1, 2, 3], [4, 3, 2], [1, 1, 2], [2, 4, 1]])
    F.ctc_loss(steps, target, torch.full((4,), 18), torch.full((4,), 3)).backward()
    grads = {name: parameter.grad for name, parameter in trained.named_parameters()}
    assert [name for name, grad in grads.items() if grad is None or not grad.isfinite().all()] == []
    assert [name for name, grad in grads.items() if name.endswith("weight") and not grad.any()] == []


def test_dropout_stands_before_both_convolutions_behind_the_blocks():
    with torch.device("meta"):
        rates = [m.p for m in build_model("lprnet", 5, dropout=0.3).modules() if isinstance(m, nn.Dropout)]
    assert rates == [0.3, 0.3]


def test_network_for_sequences_is_refused_on_images(tmp_path, capsys):
    folders = [f"output_path={tmp_path}", f"logging_dir={tmp_path}/logs"]
    status = train.main(["--check", "dataset=digits", "architecture=lprnet", *folders])
    assert status == 2
    assert "architecture: lprnet is for sequences, digits holds images" in capsys.readouterr().err


def test_networks_judge_images_unless_they_say_otherwise():
    with torch.device("meta"):
        kinds = {name: build_model(name, 2).kind for name in ("ghostnet", *NAMES)}
    assert kinds == {"ghostnet": "image", "lprnet": "sequence", "lprnet_small": "sequence"}
    assert Network.kind == "image"
