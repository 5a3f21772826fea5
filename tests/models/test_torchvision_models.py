"""torchvision's networks compute in our stages what they compute in torchvision."""

import functools
import urllib.error

import pytest
import torch
from torch import nn
from torchvision import models as tv
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.vgg import make_layers

from models import build_model, torchvision_models
from models.torchvision_adapter import adapt
from utils.types import ConfigError


def small_vgg():
    with torch.device("meta"):  # the 120 million parameters of the class's own layers are never made
        net = tv.VGG(nn.Identity())
    net.features = make_layers([8, "M", 16, 16, "M"], batch_norm=True)
    net.classifier = nn.Sequential(nn.Linear(16 * 7 * 7, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 5))
    return net


KINDS = {
    "AlexNet": (functools.partial(tv.alexnet, num_classes=5), 64),
    "VGG": (small_vgg, 32),
    "ResNet": (functools.partial(tv.resnet18, num_classes=5), 32),
    "RegNet": (functools.partial(tv.regnet_x_400mf, num_classes=5), 32),
    "ShuffleNetV2": (functools.partial(tv.shufflenet_v2_x0_5, num_classes=5), 32),
    "MNASNet": (functools.partial(tv.mnasnet0_5, num_classes=5), 32),
    "MobileNetV2": (functools.partial(tv.mobilenet_v2, num_classes=5), 32),
    "MobileNetV3": (functools.partial(tv.mobilenet_v3_small, num_classes=5), 32),
    "EfficientNet": (functools.partial(tv.efficientnet_b0, num_classes=5), 32),
    "DenseNet": (functools.partial(tv.DenseNet, 8, (2, 2, 2, 2), 8, num_classes=5), 32),
    "SqueezeNet": (functools.partial(tv.squeezenet1_1, num_classes=5), 32),
    "ConvNeXt": (
        functools.partial(tv.ConvNeXt, [CNBlockConfig(8, 16, 2), CNBlockConfig(16, None, 2)], num_classes=5),
        32,
    ),
    "SwinTransformer": (functools.partial(tv.SwinTransformer, [4, 4], 8, [2, 2], [2, 2], [2, 2], num_classes=5), 32),
    "VisionTransformer": (functools.partial(tv.VisionTransformer, 32, 8, 2, 2, 16, 16, num_classes=5), 32),
    "MaxVit": (functools.partial(tv.MaxVit, (32, 32), 8, 2, [8, 16], [1, 1], 8, 0.0, num_classes=5), 32),
    "GoogLeNet": (functools.partial(tv.GoogLeNet, 5, False, True, init_weights=False), 64),
    "Inception3": (functools.partial(tv.Inception3, 5, False, True, init_weights=False), 75),
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    torch.manual_seed(0)
    make, size = KINDS[request.param]
    with torch.random.fork_rng():
        net = make().eval()
    if isinstance(net, tv.VisionTransformer):  # its last layer starts at zero, which would hide any mistake
        nn.init.normal_(net.get_parameter("heads.head.weight"))
    return net, torch.randn(2, 3, size, size)


def test_scores_are_torchvisions(kind):
    net, x = kind
    network = adapt(net).eval()
    expected = net(x)
    assert expected.std() > 0
    torch.testing.assert_close(network(x), expected)
    features = network.forward_head(network.forward_features(x), pre_logits=True)
    assert torch.equal(network.get_classifier()(features), network(x))
    assert features.shape[:2] == (2, network.num_features)


def test_intermediates_are_maps_of_falling_resolution(kind):
    net, x = kind
    network = adapt(net).eval()
    features, maps = network.forward_intermediates(x)
    assert torch.equal(features, network.forward_features(x))
    assert all(m.ndim == 4 and m.shape[2] == m.shape[3] for m in maps)
    sides = [m.shape[-1] for m in maps]
    assert sides == sorted(sides, reverse=True)
    assert len(maps) >= 2


def test_parameters_keep_torchvisions_names_for_files(kind):
    net, _ = kind
    network = adapt(net)
    ours = network.state_dict()
    assert {name: ours[network.native_keys[name]].shape for name in net.state_dict()} == {
        name: value.shape for name, value in net.state_dict().items()
    }
    assert len(ours) == len(net.state_dict())


def test_every_torchvision_network_is_of_a_known_kind():
    kinds = {torchvision_models._constructor(name).__name__ for name in tv.list_models(module=tv)}
    assert kinds == set(KINDS)


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "densenet121", "googlenet"])
def test_grayscale_and_other_class_counts(name):
    network = build_model(f"torchvision/{name}", 4, in_channels=1).eval()
    x = torch.randn(2, 1, 64, 64)
    assert network(x).shape == (2, 4)
    network.reset_classifier(6)
    assert network(x).shape == (2, 6)
    network.reset_classifier(0)
    assert torch.equal(network(x), network.forward_head(network.forward_features(x), pre_logits=True))


@pytest.mark.parametrize(
    ("name", "applied"),
    [("mobilenet_v2", True), ("vgg11", True), ("squeezenet1_0", True), ("resnet18", False), ("vit_b_32", False)],
)
def test_dropout_is_applied_or_said_not_to_be(name, applied):
    with torch.device("meta"):
        network = build_model(f"torchvision/{name}", 4, dropout=0.37, output_channels=10)
    assert ("dropout" not in network.not_applied) == applied
    assert any(isinstance(m, nn.Dropout) and m.p == 0.37 for m in network.modules()) == applied
    assert "output_channels" in network.not_applied


def test_dropout_drops_in_training_alone():
    network = build_model("torchvision/mobilenet_v2", 4, dropout=1.0)
    x = torch.randn(2, 3, 32, 32)
    bias = network.get_classifier().bias.expand(2, 4)
    torch.testing.assert_close(network.train()(x), bias)
    assert not torch.allclose(network.eval()(x), bias)


@pytest.mark.parametrize(
    ("name", "params", "size"),
    [
        ("mobilenet_v3_small", {}, 224),
        ("efficientnet_b1", {}, 240),
        ("vit_b_32", {}, 224),
        ("vit_b_32", {"image_size": 64}, 64),
        ("maxvit_t", {"image_size": (448, 448)}, 448),
        ("resnet18", {"image_size": 64}, 224),
        ("maxvit_t", {"input_size": [448, 448]}, 448),
    ],
)
def test_image_size_is_the_published_weights_or_the_networks_own(name, params, size):
    with torch.device("meta"):
        network = build_model(f"torchvision/{name}", 5, **params)
        assert network.image_size == (size, size)
        assert network.eval()(torch.empty(2, 3, size, size)).shape == (2, 5)


def test_pretrained_without_network_names_weights_path(monkeypatch):
    def unreachable(*args, **kwargs):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(
        ConfigError, match=r"(?s)weights of torchvision/resnet18: .*no route.*give the file as weights_path"
    ):
        build_model("torchvision/resnet18", 2, pretrained=True)


@pytest.mark.parametrize(
    ("pretrained", "file"),
    [(True, "resnet50-11ad3fa6"), ("IMAGENET1K_V2", "resnet50-11ad3fa6"), ("IMAGENET1K_V1", "resnet50-0676ba61")],
)
def test_weights_are_those_of_the_name(monkeypatch, pretrained, file):
    published, urls = tv.resnet50().state_dict(), []
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda url, **_: (urls.append(url), published)[1]
    )
    network = build_model("torchvision/resnet50", 1000, pretrained=pretrained)
    assert [url.rpartition("/")[2] for url in urls] == [f"{file}.pth"]
    torch.testing.assert_close(network.get_classifier().weight, published["fc.weight"])


def test_image_size_is_that_of_the_chosen_weights():
    names = torchvision_models.weights_names("regnet_y_16gf")
    sizes = [torchvision_models._image_size("regnet_y_16gf", name, nn.Identity(), {})[0] for name in names]
    assert dict(zip(names, sizes, strict=True))["IMAGENET1K_SWAG_E2E_V1"] == 384
    assert dict(zip(names, sizes, strict=True))["IMAGENET1K_V1"] == 224


@pytest.mark.parametrize(
    ("name", "pretrained", "message"),
    [
        ("torchvision/resnet50", "IMAGENET1K_V3", r"has no weights 'IMAGENET1K_V3'; did you mean .*; one of .*_V1, "),
        ("mob_v2", "tv_in1k", "mobilenet_v2 has no weights 'tv_in1k'; one of IMAGENET1K_V1, IMAGENET1K_V2"),
        ("resnet50", "IMAGENET1K_V1", "resnet50 has no weights 'IMAGENET1K_V1'; one of a1_in1k, .*, tv_in1k"),
        ("resnet50.a1_in1k", "tv_in1k", "names its weights already; set pretrained: true"),
        ("ghostnet", "IMAGENET1K_V1", "there are no published weights of ghostnet"),
        ("ghostnet_050", "in1k", "timm has no weights for ghostnet_050"),
    ],
)
def test_weights_that_do_not_exist_are_answered_with_those_that_do(name, pretrained, message):
    with pytest.raises(ConfigError, match=f"^pretrained: .*{message}"):
        build_model(name, 5, pretrained=pretrained)


def test_pretrained_grayscale_is_the_colours_sum(monkeypatch):
    published = tv.resnet18().eval()
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", lambda *a, **k: published.state_dict())
    network = build_model("torchvision/resnet18", 1000, in_channels=1, pretrained=True).eval()
    x = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(network(x), published(x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)
    fewer = build_model("torchvision/resnet18", 4, pretrained=True).eval()
    features = fewer.forward_head(fewer.forward_features(x.expand(-1, 3, -1, -1)), pre_logits=True)
    torch.testing.assert_close(published.fc(features), published(x.expand(-1, 3, -1, -1)))
    assert fewer.get_classifier().out_features == 4
    with pytest.raises(ConfigError, match="pretrained weights take 3 channels or 1, got 4"):
        build_model("torchvision/resnet18", 4, in_channels=4, pretrained=True)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("resnet18", {"norm_laier": 2}, r"architecture_params\.norm_laier: .*did you mean 'norm_layer'.*allowed: "),
        ("vit_b_32", {"norm_laier": 2}, r"architecture_params\.norm_laier: .*did you mean 'norm_layer'.*allowed: "),
        ("resnet18", {"replace_stride_with_dilation": [True]}, "_params: torchvision/resnet18 refuses them: "),
        (
            "vit_b_32",
            {"image_size": 227},
            "^image_size: torchvision/vit_b_32 cannot take 227x227 images: .*indivisible",
        ),
    ],
)
def test_what_torchvision_refuses_is_reported(name, params, message):
    with pytest.raises(ConfigError, match=message):
        build_model(f"torchvision/{name}", 2, **params)


def test_networks_of_other_kinds_and_images_of_other_sizes_are_refused():
    with pytest.raises(ConfigError, match="torchvision's Linear networks are not supported"):
        adapt(nn.Linear(2, 2))
    with torch.device("meta"):
        network = build_model("torchvision/vit_b_32", 4, image_size=64)
        with pytest.raises(ConfigError, match="takes images of 64 x 64 px, got 32 x 32"):
            network(torch.empty(2, 3, 32, 32))
