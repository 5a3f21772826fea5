"""B-CNN, DFL-CNN and DCL on small bodies: shapes, counts, and forwards by the equations of their published code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from losses.several_heads import Head
from models import BODIED, build_model
from models.flops import count_parameters, meta_copy
from utils.types import ConfigError

BODY = "resnet20_basic"  # its last map has 64 channels, the one before 32


def images(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def build(name: str, **params: Any) -> Any:
    torch.manual_seed(0)
    return build_model(name, 5, body=BODY, **params).eval()


@pytest.mark.parametrize(
    ("name", "width", "in_training"), [("bcnn", 64 * 64, 5), ("dfl_cnn", 5 + 50, 15), ("dcl", 64 + 49, 15)]
)
def test_shapes(name, width, in_training):
    network, x = build(name), images(2, 3, 32, 32)
    maps = network.forward_features(x)
    features = network.forward_head(maps, pre_logits=True)
    assert features.shape == (2, network.num_features) == (2, width)
    assert torch.equal(network.get_classifier()(features), network(x))
    assert network(x).shape == (2, 5)
    assert network.train()(x).shape == (2, in_training)
    network.train()(x).square().sum().backward()
    network.reset_classifier(7)
    assert network.eval()(x).shape == (2, 7)


def test_counts_are_the_body_s_and_the_heads():
    with torch.device("meta"):
        body = build_model(BODY, 5)
        trunk = count_parameters(body) - count_parameters(body.get_classifier())
        counted = {name: count_parameters(build_model(name, 5, body=BODY)) - trunk for name in BODIED}
    whole, patches = 64 * 5 + 5 + 2 * 5, 32 * 50 + 50
    assert counted == {
        "bcnn": 64 * 64 * 5 + 5,
        "dfl_cnn": whole + patches + 50 * 5 + 5,
        "dcl": 64 * 5 + 64 * 10 + 64 + 1,
    }


@pytest.mark.parametrize(
    ("name", "features", "weights"),
    [
        ("bcnn", 512**2, 14_714_688 + 262_144 * 200 + 200),
        ("dfl_cnn", 2200, 14_723_136 + 512 * 200 + 3 * 200 + 512 * 2000 + 2000 + 2000 * 200 + 200),
        ("dcl", 2048 + 49, 23_508_032 + 2048 * 600 + 2049),
    ],
)
def test_the_papers_bodies_at_200_classes(name, features, weights):
    with torch.device("meta"):
        network: Any = build_model(name, 200)
        assert (network.num_features, count_parameters(network)) == (features, weights)


def test_bilinear_pooling_is_what_the_published_code_computes():
    network, x = build("bcnn"), images(3, 3, 32, 32)
    maps = network.forward_features(x)
    rows = []
    for each in maps:  # [C, H, W]
        vectors = each.flatten(1).T
        product = torch.stack([vector[:, None] * vector for vector in vectors]).mean(0).flatten()
        rooted = product.sign() * (product.abs() + 1e-10).sqrt()
        rows.append(rooted / rooted.norm())
    torch.testing.assert_close(network.forward_head(maps, pre_logits=True), torch.stack(rows))


def test_dfl_s_heads_are_what_the_published_code_computes():
    network, x = build("dfl_cnn", filters=3), images(2, 3, 32, 32)
    final, middle = network.forward_features(x)
    assert (final.shape, middle.shape) == ((2, 64, 8, 8), (2, 32, 16, 16))
    streams, last = network.head, network.get_classifier()
    whole = F.adaptive_avg_pool2d(streams.whole(final), 1).flatten(1)
    answers = F.max_pool2d(streams.filters(middle), (16, 16)).flatten(1)
    side = F.avg_pool1d(answers[:, None], 3, stride=3).flatten(1)
    expected = whole + last.patches(answers) + 0.1 * side
    torch.testing.assert_close(network(x), expected)
    assert [head.weight for head in network.heads] == [1, 1, 0.1]


def test_dcl_s_heads_are_what_the_published_code_computes():
    network, x = build("dcl", grid=4), images(2, 3, 32, 32)
    final = network.forward_features(x)
    pooled, last = F.adaptive_avg_pool2d(final, 1).flatten(1), network.get_classifier()
    places = F.avg_pool2d(network.head.place(final), 2, stride=2).tanh().flatten(1)
    torch.testing.assert_close(network.forward_head(final, pre_logits=True), torch.cat([pooled, places], dim=1))
    adversarial = last.adversarial(pooled)
    torch.testing.assert_close(network(x), last.classes(pooled) + adversarial[:, :5] + adversarial[:, 5:])


def test_weights_that_nothing_reads_are_not_trained():
    with torch.device("meta"):
        network: Any = build_model("bcnn", 5, body="tf_efficientnet_lite0")
    frozen = {name.split(".")[3] for name, weight in network.named_parameters() if not weight.requires_grad}
    assert frozen == {"conv_head", "bn2"}
    assert network.num_features == 320**2


def test_a_file_of_the_body_or_of_the_whole_is_loaded(tmp_path):
    body: Any = build_model(BODY, 7)
    torch.save(body.state_dict(), tmp_path / "body.pt")
    network = build("dcl", weights_path=tmp_path / "body.pt")
    inner = network.stages[0].net.stages.state_dict()
    assert all(torch.equal(value, inner[name]) for name, value in body.stages.state_dict().items())
    torch.save(network.state_dict(), tmp_path / "whole.pt")
    again = build_model("dcl", 5, body=BODY, weights_path=tmp_path / "whole.pt").eval()
    assert torch.equal(again(images(2, 3, 16, 16)), network(images(2, 3, 16, 16)))


def test_export_takes_the_weighted_sum():
    network, x = build("dfl_cnn", filters=2), images(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(torch.export.export(network, (x,)).module()(x), network(x))


def test_replaced_heads_are_a_parameter():
    assert [head.replaced for head in build("dfl_cnn").heads] == [True, True, True]
    assert [head.replaced for head in build("dfl_cnn", replaced=["patches"]).heads] == [False, True, False]
    assert build("dcl").heads == (Head("class"), Head("adversarial", doubled=True, replaced=False))
    assert build("dcl", replaced=["class", "adversarial"]).heads[1].replaced


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("dfl_cnn", {"replaced": ["tail"]}, "replaced must name some of the heads whole, patches, side, got .'tail'"),
        ("dfl_cnn", {"filters": 0}, "filters must be >= 1, got 0"),
        ("dcl", {"grid": 1}, "grid must be >= 2, got 1"),
        ("dcl", {"place_weight": -1.0}, "place_weight must be >= 0, got -1"),
        ("bcnn", {"stage": 9}, "stage must be -3 to 2 for resnet20_basic, got 9"),
        ("bcnn", {"body": "resnet1"}, r"architecture_params\.body: unknown architecture 'resnet1'"),
        ("bcnn", {"body_params": {"widht": 2}}, r"architecture_params\.body_params\.widht: unknown parameter"),
        ("bcnn", {"body": "lprnet_small"}, r"architecture_params\.body: lprnet_small is no classifier of images"),
    ],
)
def test_wrong_parameters_are_refused(name, params, message):
    with pytest.raises(ConfigError, match=message):
        build_model(name, 5, **{"body": BODY} | params)


def test_an_image_smaller_than_the_grid_is_refused():
    with pytest.raises(ConfigError, match="images must be at least 9 px high and 9 px wide, got 8 x 12"):
        meta_copy(build("dcl", grid=9))(torch.empty(1, 3, 8, 12, device="meta"))
    assert isinstance(build("dcl").get_classifier(), nn.Module)
