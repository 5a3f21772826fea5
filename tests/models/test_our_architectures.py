"""Laws over every architecture written here, on the smallest images that it takes; every day over some of each file."""

import copy
import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models import ARCHITECTURES as ALL_OF_OURS
from models import BODIED, build_model
from models.flops import count_parameters, meta_copy
from models.networks import ghostnet
from models.networks.base import Network, pool_to_vector
from models.networks.san import _san
from models.networks.squeezenext import _squeezenext
from models.single_sample import running_statistics_for_single_values
from utils.types import ConfigError

ARCHITECTURES = [name for name in ALL_OF_OURS if name not in BODIED]
EVERY_DAY = (
    *("densenet_bc_cifar", "ghostnet", "hardnet39ds", "lprnet_small", "nllr_net", "resnet20_basic"),
    *("resnet20_bottleneck", "resnext29_2x64d", "san15", "squeezenext23_1_0", "vgg16_cifar", "wrn28_10"),
)


def ghostnet_of_a_block_a_stage(num_classes: int) -> Network:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ghostnet, "_STAGES", [rows[-1:] for rows in ghostnet._STAGES])
        return ghostnet.ghostnet(num_classes)


TRACED = {name: functools.partial(build_model, name) for name in EVERY_DAY} | {
    "densenet_bc_cifar": functools.partial(build_model, "densenet_bc_cifar", depth=10),
    "ghostnet": ghostnet_of_a_block_a_stage,
    "san15": functools.partial(_san, in_channels=3, dropout=0.0, blocks=(1, 1, 1, 1, 1)),
    "squeezenext23_1_0": functools.partial(_squeezenext, in_channels=3, width=1.0, blocks=(1, 1, 1, 1)),
}
"""Tracing each layer takes long, and fewer layers are of the same kinds."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=() if name in EVERY_DAY else pytest.mark.torture) for name in ARCHITECTURES],
)
def network(request):
    torch.manual_seed(0)
    return build_model(request.param, 5).eval()


def images(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def smallest(network: Any, count: int, at_least: int = 1) -> Tensor:
    """Return images of the least size that the network takes, or of a larger one."""
    height, width = (max(size, at_least) for size in network.min_size)
    return images(count, 3, height, width)


def test_scores_are_the_classifier_of_the_features(network):
    x = smallest(network, 2, at_least=9)
    maps, scores = network.forward_features(x), network(x)
    features = network.forward_head(maps, pre_logits=True)
    assert maps.shape[0] == 2
    assert features.shape == (*scores.shape[:-1], network.num_features)
    assert (len(scores), scores.shape[-1]) == (2, 5)
    assert network.get_classifier().weight.shape == (5, network.num_features)
    assert torch.equal(network.get_classifier()(features), scores)
    assert torch.equal(network.forward_head(maps), scores)
    assert network.not_applied == ()
    assert network(smallest(network, 2)).shape[-1] == 5


def test_intermediates_run_from_shallow_to_deep_and_are_chosen_as_in_timm(network):
    x = smallest(network, 2, at_least=9)
    features, every = network.forward_intermediates(x)
    assert torch.equal(features, network.forward_features(x))
    assert torch.equal(every[-1], features)
    for indices, wanted in ((2, every[-2:]), ([0, -1], [every[0], every[-1]]), ((-1, 0), [every[0], every[-1]])):
        chosen = network.forward_intermediates(x, indices=indices, intermediates_only=True)
        assert all(torch.equal(a, b) for a, b in zip(chosen, wanted, strict=True))
    last_run, (chosen,) = network.forward_intermediates(x, indices=[1], stop_early=True)
    assert network.kind == "sequence" or torch.equal(last_run, every[1])
    assert torch.equal(chosen, every[1])
    without_data: Any = meta_copy(network)
    _, maps = without_data.forward_intermediates(torch.empty(1, 3, 64, 64, device="meta"))
    assert [m.shape[-1] for m in maps] == sorted({m.shape[-1] for m in maps}, reverse=True)
    with pytest.raises(IndexError, match=f"there are {len(network.stages)} stages, asked for 99"):
        network.forward_intermediates(x, indices=[99])
    with pytest.raises(ValueError, match="output_fmt must be 'NCHW', got 'NLC'"):
        network.forward_intermediates(x, output_fmt="NLC")


def test_every_parameter_gets_a_gradient(network):
    trained = copy.deepcopy(network).train()
    trained(smallest(network, 4, at_least=9)).square().sum().backward()
    grads = {name: parameter.grad for name, parameter in trained.named_parameters()}
    assert [name for name, grad in grads.items() if grad is None or not grad.isfinite().all()] == []
    assert all(grads[name].any() for name in grads if name.startswith("classifier") or name.endswith("0.0.weight"))


def test_batch_of_one_trains(network):
    trained = copy.deepcopy(network).train()
    with running_statistics_for_single_values(trained):
        scores = trained(smallest(network, 1))
    scores.sum().backward()
    assert scores.isfinite().all()
    assert all(value.isfinite().all() for value in trained.state_dict().values())


def test_state_dict_restores_the_scores(network):
    x = smallest(network, 2)
    other = copy.deepcopy(network)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    assert not other(x).any()
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(x), network(x))


def test_reset_classifier_changes_the_last_layer_alone(network):
    x = smallest(network, 2)
    other = copy.deepcopy(network)
    other.reset_classifier(7)
    assert other(x).shape == (*network(x).shape[:-1], 7)
    features = network.forward_head(network.forward_features(x), pre_logits=True)
    other.reset_classifier(0)
    assert torch.equal(other(x), features)
    with pytest.raises(ValueError, match="global_pool cannot be changed, got 'max'"):
        other.reset_classifier(2, global_pool="max")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_settings_are_applied_or_said_not_to_be(name):
    with torch.device("meta"):
        network = build_model(name, 5, in_channels=1, dropout=0.37, output_channels=48)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert convolutions[0].in_channels == 1
    assert all(conv.in_channels > 1 for conv in convolutions[1:])
    in_force = any(isinstance(module, nn.Dropout) and module.p == 0.37 for module in network.modules())
    assert ("dropout" in network.not_applied) == (not in_force)
    assert ("output_channels" in network.not_applied) == (network.num_features != 48)


def test_too_small_an_image_is_refused_with_the_least_size(network):
    height, width = network.min_size
    for size in ((height - 1, width), (height, width - 1)):
        text = f"images must be at least {height} px high and {width} px wide, got {size[0]} x {size[1]}"
        for call in (network, network.forward_intermediates):
            with pytest.raises(ConfigError, match=text):
                call(images(1, 3, *size))


def test_images_need_not_be_square_nor_even(network):
    x = smallest(network, 2, at_least=max(9, *network.min_size))
    wider = torch.cat([x, x[..., :3]], dim=-1)
    assert network(wider).isfinite().all()
    assert network(wider.mT).isfinite().all()


def test_neither_layout_nor_bfloat16_changes_the_scores_beyond_rounding(network):
    x = smallest(network, 2, at_least=9)
    with torch.no_grad():
        exact = network(x)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(x).float()
        assert (rounded - exact).norm() < 0.1 * exact.norm()
        wide, x = copy.deepcopy(network).double(), x.double()  # each order of sums rounds otherwise
        last = copy.deepcopy(wide).to(memory_format=torch.channels_last)
        torch.testing.assert_close(last(x.to(memory_format=torch.channels_last)), wide(x))


def exported_scores(network: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return torch.export.export(network, (x,)).module()(x)


@pytest.mark.parametrize("name", TRACED)
def test_export_and_compiler_take_it_in_one_piece(name):
    torch.manual_seed(0)
    network = TRACED[name](num_classes=5).eval()
    x = smallest(network, 2)
    expected = network(x)
    torch.testing.assert_close(exported_scores(network, x), expected)
    torch.compiler.reset()
    torch.testing.assert_close(torch.compile(network, backend="eager", fullgraph=True)(x), expected)


@pytest.mark.torture
def test_export_gives_the_same_scores_of_every_network(network):
    x = smallest(network, 2)
    torch.testing.assert_close(exported_scores(network, x), network(x))


@pytest.mark.parametrize(
    ("output_channels", "count"),
    [(320, 3_041_412), (640, 3_411_972), (960, 3_782_532), (1280, 4_153_092), (1600, 4_523_652)],
)
def test_ghostnet_has_the_thesis_size(output_channels, count):
    with torch.device("meta"):
        network = build_model("ghostnet", 196, output_channels=output_channels)
        assert count_parameters(network) == count
        assert network.num_features == output_channels


def test_ghostnet_takes_grayscale_and_another_width():
    with torch.device("meta"):
        assert count_parameters(build_model("ghostnet", 196, in_channels=1)) == 4_152_804  # the thesis's size
        assert next(build_model("ghostnet", 5, width=0.5).stages[0].parameters()).shape[0] == 8


def test_image_size_is_a_height_and_a_width():
    body, last = nn.Conv2d(3, 4, 1), nn.Linear(4, 5)
    assert Network([body], pool_to_vector(), last, 4).image_size == (224, 224)
    assert Network([body], pool_to_vector(), last, 4, image_size=32).image_size == (32, 32)
    assert Network([body], pool_to_vector(), last, 4, image_size=(24, 94)).image_size == (24, 94)


def test_harmonic_layers_are_linked_at_powers_of_two():
    from models.networks.hardnet import _HarmonicBlock

    block = _HarmonicBlock(10, 8, 1.6, 8, separable=False)
    assert block.links == [[0], [1, 0], [2], [3, 2, 0], [4], [5, 4], [6], [7, 6, 4, 0]]
    assert block.kept == [1, 3, 5, 7, 8]
    assert block.out_channels == 4 * 8 + 32  # 8 * 1.6^3 = 32.77, rounded to even


def test_ours_have_no_pretrained_weights():
    with pytest.raises(ConfigError, match="no published weights of ghostnet; give a file as weights_path"):
        build_model("ghost", 2, pretrained=True)


@pytest.mark.parametrize(
    ("name", "params", "counts"),
    [
        ("resnet29_bottleneck", {}, (313_114, 336_244)),
        ("resnet56_bottleneck", {}, (591_322, 614_452)),
        ("resnet74_bottleneck", {}, (776_794, 799_924)),
        ("resnet110_bottleneck", {}, (1_147_738, 1_170_868)),
        ("resnet164_bottleneck", {}, (1_704_154, 1_727_284)),
        ("resnet164_bottleneck", {"pre_activation": True}, (1_703_258, 1_726_388)),
        ("resnet56_basic", {}, (855_770, 861_620)),
        ("resnet74_basic", {}, (1_147_418, 1_153_268)),
        ("resnet110_basic", {}, (1_730_714, 1_736_564)),
        ("resnet164_basic", {}, (2_605_658, 2_611_508)),
        ("resnet34_cifar", {}, (21_282_122, 21_328_292)),
        ("resnet50_cifar", {}, (23_520_842, 23_705_252)),
        ("resnet101_cifar", {}, (42_512_970, 42_697_380)),
        ("resnext29_2x64d", {}, (9_128_778, 9_221_028)),
        ("resnext29_32x4d", {}, (4_774_218, 4_866_468)),
        ("vgg16_bn_cifar", {}, (14_728_266, 14_774_436)),
        ("vgg16_cifar", {}, (14_719_818, 14_765_988)),
        ("vgg19_bn_cifar", {}, (20_040_522, 20_086_692)),
        ("vgg19_cifar", {}, (20_029_514, 20_075_684)),
        ("densenet_bc_cifar", {}, (769_162, 800_032)),
        ("densenet_bc_cifar", {"depth": 190, "growth": 40}, (25_624_430, 25_821_620)),
        ("wrn28_10", {}, (36_479_194, 36_536_884)),
        ("nllr_net", {}, (1_250_858, 1_297_028)),
    ],
)
def test_networks_for_small_images_have_the_known_sizes_at_10_and_100_classes(name, params, counts):
    with torch.device("meta"):
        assert tuple(count_parameters(build_model(name, classes, **params)) for classes in (10, 100)) == counts


def test_pre_activation_ends_in_one_normalisation_of_all():
    network = build_model("resnet20_basic", 5, pre_activation=True).eval()
    features = network.forward_features(images(2, 3, 8, 8))
    assert (features >= 0).all()
    assert (features == 0).any()


def test_dropout_between_the_convolutions_of_a_block():
    network = build_model("wrn28_10", 5, block_dropout=0.3)
    assert [module.p for module in network.modules() if isinstance(module, nn.Dropout)] == 12 * [0.3] + [0.0]


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("ghostnet", {"widht": 2}, r"\.widht: unknown parameter.*\(allowed: width"),
        ("squeezenext23_1_0", {"widht": 2}, r"\.widht: unknown parameter.*\(allowed: no p"),
        ("densenet_bc_cifar", {"depth": 99}, ": densenet_bc_cifar refuses them: depth must be 6n"),
        ("densenet_bc_cifar", {"growth": 0}, ": densenet_bc_cifar refuses them: growth must be 1"),
        ("resnet20_basic", {"pre_activation": "yes"}, r"\.pre_activation: must be true or false, got 'yes'"),
        ("resnet20_basic", {"width": 32}, r"\.width: unknown parameter"),
        ("lprnet", {"base_channels": 2, "multipliers": [2, 4]}, ".*multipl"),
        ("lprnet", {"base_channels": 2, "multipliers": [2, 4, 5]}, ".*multipl"),
        ("lprnet", {"base_channels": 2, "multipliers": [0, 4, 4]}, ".*multipl"),
        ("lprnet", {"base_channels": 2, "multipliers": [2, 4, -4]}, ".*multipl"),
    ],
)
def test_wrong_parameters_are_refused(name, params, message):
    with pytest.raises(ConfigError, match=f"architecture_params{message}"):
        build_model(name, 2, **params)
