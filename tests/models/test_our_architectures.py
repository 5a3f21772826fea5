"""Laws over every architecture written here."""

import copy

import pytest
import torch
from torch import nn

from models import ARCHITECTURES, build_model
from models.architectures.base import Network, pool_to_vector
from models.flops import count_parameters
from utils.types import ConfigError

SIZE = 9  # px, the smallest that all of them take


@pytest.fixture(scope="module", params=ARCHITECTURES)
def network(request):
    torch.manual_seed(0)
    return build_model(request.param, 5).eval()


def images(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_contract_has_the_promised_shapes(network):
    x = images(2, 3, SIZE, SIZE)
    maps = network.forward_features(x)
    assert maps.shape[0] == 2
    assert network.forward_head(maps, pre_logits=True).shape == (2, network.num_features)
    assert network(x).shape == (2, 5)
    assert network.get_classifier().weight.shape == (5, network.num_features)


def test_scores_are_the_classifier_of_the_features(network):
    x = images(2, 3, 17, 17)
    features = network.forward_head(network.forward_features(x), pre_logits=True)
    assert torch.equal(network.get_classifier()(features), network(x))
    assert torch.equal(network.forward_head(network.forward_features(x)), network(x))


def test_intermediates_run_from_shallow_to_deep_and_end_in_the_features(network):
    x = images(1, 3, 64, 64)
    features, maps = network.forward_intermediates(x)
    assert torch.equal(features, network.forward_features(x))
    assert torch.equal(maps[-1], features)
    assert [m.shape[-1] for m in maps] == sorted({m.shape[-1] for m in maps}, reverse=True)


def test_intermediates_are_chosen_as_in_timm(network):
    x = images(1, 3, SIZE, SIZE)
    every = network.forward_intermediates(x, intermediates_only=True)
    for indices, wanted in ((2, every[-2:]), ([0, -1], [every[0], every[-1]]), ((-1, 0), [every[0], every[-1]])):
        chosen = network.forward_intermediates(x, indices=indices, intermediates_only=True)
        assert all(torch.equal(a, b) for a, b in zip(chosen, wanted, strict=True))
    last_run, (chosen,) = network.forward_intermediates(x, indices=[1], stop_early=True)
    assert torch.equal(last_run, every[1])
    assert torch.equal(chosen, every[1])


def test_intermediate_that_is_not_there_is_refused(network):
    with pytest.raises(IndexError, match=f"there are {len(network.stages)} stages, asked for 99"):
        network.forward_intermediates(images(1, 3, SIZE, SIZE), indices=[99])
    with pytest.raises(ValueError, match="output_fmt must be 'NCHW', got 'NLC'"):
        network.forward_intermediates(images(1, 3, SIZE, SIZE), output_fmt="NLC")


def test_every_parameter_gets_a_gradient(network):
    trained = copy.deepcopy(network).train()
    trained(images(4, 3, 17, 17)).square().sum().backward()
    grads = {name: parameter.grad for name, parameter in trained.named_parameters()}
    assert [name for name, grad in grads.items() if grad is None or not grad.isfinite().all()] == []
    assert all(grads[name].any() for name in grads if name.startswith("classifier") or name.endswith("0.0.weight"))


def test_batch_of_one_trains(network):
    trained = copy.deepcopy(network).train()
    scores = trained(images(1, 3, SIZE, SIZE))
    scores.sum().backward()
    assert scores.isfinite().all()
    assert all(value.isfinite().all() for value in trained.state_dict().values())


def test_state_dict_restores_the_scores(network):
    x = images(2, 3, SIZE, SIZE)
    other = copy.deepcopy(network)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    assert not other(x).any()
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(x), network(x))


def test_reset_classifier_changes_the_last_layer_alone(network):
    x = images(2, 3, SIZE, SIZE)
    other = copy.deepcopy(network)
    other.reset_classifier(7)
    assert other(x).shape == (2, 7)
    features = network.forward_head(network.forward_features(x), pre_logits=True)
    other.reset_classifier(0)
    assert torch.equal(other(x), features)
    with pytest.raises(ValueError, match="global_pool cannot be changed, got 'max'"):
        other.reset_classifier(2, global_pool="max")


@pytest.fixture(scope="module", params=ARCHITECTURES)
def configured(request):
    with torch.device("meta"):
        return build_model(request.param, 5, in_channels=1, dropout=0.37, output_channels=48)


def test_grayscale_changes_the_first_layer_alone(configured):
    convolutions = [module for module in configured.modules() if isinstance(module, nn.Conv2d)]
    assert convolutions[0].in_channels == 1
    assert all(conv.in_channels > 1 for conv in convolutions[1:])


def test_dropout_is_applied_or_said_not_to_be(configured):
    in_force = any(isinstance(module, nn.Dropout) and module.p == 0.37 for module in configured.modules())
    assert ("dropout" in configured.not_applied) == (not in_force)


def test_output_channels_are_applied_or_said_not_to_be(configured):
    assert ("output_channels" in configured.not_applied) == (configured.num_features != 48)


def test_what_was_not_given_is_not_reported(network):
    assert network.not_applied == ()


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if not name.startswith("squeezenext")])
def test_image_may_be_as_small_as_a_pixel(name):
    network = build_model(name, 3, in_channels=1)
    for size in (1, 8):
        assert network.train()(images(1, 1, size, size)).shape == (1, 3)
        assert network.eval()(images(2, 1, size, size)).isfinite().all()


def test_squeezenext_names_the_smallest_image():
    with pytest.raises(ConfigError, match="squeezenext: images must be at least 9 px high and wide"):
        build_model("squeezenext23_1_0", 2)(images(2, 3, 8, 8))


@pytest.mark.parametrize(
    ("output_channels", "count"),
    [(320, 3_041_412), (640, 3_411_972), (960, 3_782_532), (1280, 4_153_092), (1600, 4_523_652)],
)
def test_ghostnet_has_the_thesis_size(output_channels, count):
    with torch.device("meta"):
        network = build_model("ghostnet", 196, output_channels=output_channels)
        assert count_parameters(network) == count
        assert network.num_features == output_channels


def test_grayscale_ghostnet_has_the_thesis_size():
    with torch.device("meta"):
        assert count_parameters(build_model("ghostnet", 196, in_channels=1)) == 4_152_804


def test_image_size_is_a_height_and_a_width():
    body, last = nn.Conv2d(3, 4, 1), nn.Linear(4, 5)
    assert Network([body], pool_to_vector(), last, 4).image_size == (224, 224)
    assert Network([body], pool_to_vector(), last, 4, image_size=32).image_size == (32, 32)
    assert Network([body], pool_to_vector(), last, 4, image_size=(24, 94)).image_size == (24, 94)


def test_width_scales_ghostnet_in_steps_of_four():
    with torch.device("meta"):
        shapes = [p.shape[0] for p in build_model("ghostnet", 5, width=0.5).stages[0].parameters()]
    assert shapes[0] == 8


def test_single_sample_is_normalised_by_running_statistics():
    from models.architectures.base import BatchNorm1d

    norm = BatchNorm1d(3)
    norm(torch.randn(8, 3))
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    x = torch.randn(1, 3)
    expected = (x - before["running_mean"]) / (before["running_var"] + norm.eps).sqrt()
    torch.testing.assert_close(norm(x), expected)
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


def test_harmonic_layers_are_linked_at_powers_of_two():
    from models.architectures.hardnet import _HarmonicBlock

    block = _HarmonicBlock(10, 8, 1.6, 8, separable=False)
    assert block.links == [[0], [1, 0], [2], [3, 2, 0], [4], [5, 4], [6], [7, 6, 4, 0]]
    assert block.kept == [1, 3, 5, 7, 8]
    assert block.out_channels == 4 * 8 + 32  # 8 * 1.6^3 = 32.77, rounded to even


@pytest.mark.parametrize("name", ["ghostnet", "squeezenext23_1_0", "hardnet39ds"])
def test_unknown_parameter_is_refused(name):
    with pytest.raises(ConfigError, match=r"architecture_params\.widht: unknown parameter.*\(allowed: (width|no p)"):
        build_model(name, 2, widht=2)


def test_ours_have_no_pretrained_weights():
    with pytest.raises(ConfigError, match="no published weights of ghostnet; give a file as weights_path"):
        build_model("ghost", 2, pretrained=True)
