"""timm's networks: held to the contract, their errors told in our words."""

import pytest
import timm
import torch
from torch import nn

from models import build_model, timm_models
from utils.types import ConfigError

SUPPORTED = ["test_resnet", "test_efficientnet", "test_vit", "test_convnext", "test_byobnet", "ghostnet_050"]


@pytest.mark.parametrize("name", SUPPORTED)
def test_scores_are_the_classifier_of_the_features(name):
    network = build_model(name, 5, in_channels=1).eval()
    nn.init.normal_(network.get_classifier().weight)
    x = torch.randn(2, 1, 160, 160)
    features = network.forward_head(network.forward_features(x), pre_logits=True)
    assert network(x).std() > 0
    assert torch.equal(network.get_classifier()(features), network(x))
    assert network.not_applied == ()
    assert network.training is False


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("qwen3_vit_88m_enc", "it has several last layers, or none"),
        ("levit_128s", "it has several last layers, or none"),
        ("deit_tiny_distilled_patch16_224", "it has several last layers, or none"),
        ("dla34", "its last layer is a convolution"),
        ("volo_d1_224", "its scores are not what its last layer gives"),
    ],
)
def test_network_outside_the_contract_is_refused_with_the_reason(name, why):
    with torch.device("meta"), pytest.raises(ConfigError, match=f"{name} is not supported: {why}"):
        build_model(name, 5)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "mobilenetv3_small_050"])
def test_dropout_is_in_force(name):
    network = build_model(name, 5, dropout=0.37, output_channels=7)
    assert network.not_applied == ("output_channels",)
    head_drop = getattr(network, "head_drop", None)
    assert (network.drop_rate if head_drop is None else head_drop.p) == 0.37


def test_dropout_that_is_kept_but_unused_is_not_taken_for_applied():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop_rate = 0.37
            self.drop = nn.Dropout(0.5)

        def forward(self, x):
            return self.drop(x)

    image = torch.empty(2, 3, 8, 8, device="meta")
    assert not timm_models._drops(Idle(), image, 0.37)
    assert timm_models._drops(Idle(), image, 0.5)


def test_network_without_dropout_is_built_and_says_so(monkeypatch):
    create = timm.create_model

    def without_drop_rate(name, **params):
        if "drop_rate" in params:
            raise TypeError("Net.__init__() got an unexpected keyword argument 'drop_rate'")
        return create(name, **params)

    monkeypatch.setattr(timm, "create_model", without_drop_rate)
    assert build_model("test_resnet", 5, dropout=0.2).not_applied == ("dropout",)


def test_building_leaves_the_random_numbers_where_timm_leaves_them():
    torch.manual_seed(3)
    timm.create_model("test_resnet", num_classes=5)
    expected = torch.rand(1)
    torch.manual_seed(3)
    build_model("test_resnet", 5, dropout=0.5)
    assert torch.equal(torch.rand(1), expected)


def test_parameter_that_has_a_setting_of_its_own_is_refused():
    with pytest.raises(ConfigError) as caught:
        build_model("test_resnet", 2, drop_rate=0.5, in_chans=1)
    assert str(caught.value).splitlines() == [
        "architecture_params.drop_rate: not set here: use dropout",
        "architecture_params.in_chans: not set here: the images say it",
    ]


def test_pretrained_grayscale_is_the_colours_sum(monkeypatch):
    published = timm.create_model("test_resnet").eval()
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *a, **k: dict(published.state_dict()))
    network = build_model("test_resnet", 1000, in_channels=1, pretrained=True).eval()
    x = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(network(x), published(x.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-4)


def test_image_size_is_that_of_the_weights_or_of_the_parameters():
    with torch.device("meta"):
        sizes = [build_model(name, 5).image_size for name in ("test_resnet", "efficientnetv2_rw_t")]
        network = build_model("vit_tiny_patch16_224", 5, img_size=32)
        assert network(torch.empty(2, 3, 32, 32)).shape == (2, 5)
    assert [*sizes, network.image_size] == [(160, 160), (224, 224), (32, 32)]


@pytest.mark.parametrize(
    ("name", "made_for"),
    [("vit_tiny_patch16_224", (48, 32)), ("swin_tiny_patch4_window7_224", (48, 32)), ("test_resnet", (160, 160))],
)
def test_a_network_for_one_size_is_made_for_the_images(name, made_for):
    with torch.device("meta"):
        network = build_model(name, 5, image_size=(48, 32))
        assert network.image_size == made_for
        assert network.eval()(torch.empty(2, 3, 48, 32)).shape == (2, 5)


def test_a_network_that_takes_any_size_stays_as_timm_makes_it():
    with torch.device("meta"):
        assert build_model("xcit_nano_12_p16_224", 5, image_size=64).image_size == (224, 224)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("test_resnet", {"zero_init": True}, r"_params\.zero_init: unknown parameter.*allowed: .*zero_init_last"),
        ("test_resnet", {"output_stride": 7}, "architecture_params: timm cannot build test_resnet: "),
        ("test_resnet", {"pretrained": True}, "cannot get the weights of test_resnet: .*give the file as weights_path"),
        ("resnet18", {"pretrained": "tv_in1k"}, r"cannot get the weights of resnet18\.tv_in1k: "),
        ("ghostnet_050", {"pretrained": True}, "pretrained: timm has no weights for ghostnet_050"),
    ],
)
def test_what_timm_refuses_is_reported(name, params, message, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigError, match=message):
        build_model(name, 2, **params)
