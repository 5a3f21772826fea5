"""Fine-tuning: what is frozen stays, bit for bit, rates fall by layer, and all of it resumes exactly."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import timm
import timm.optim
import torch
from torch import nn

from configuration.schema import Configuration
from runs.checkpoints import load_checkpoint
from runs.folder import RunFolder
from runs.identity import settings_of
from tests.training.resuming import differences, train_until
from training import runner
from training.building import prepare
from training.decays import block_of, treatments
from training.freezing import frozen_names
from training.report import describe
from utils.types import ConfigError

pytestmark = pytest.mark.usefixtures("plain_log")
INNER = ("conv1.weight", "layer1.0.bn1.bias", "layer1.0.conv1.weight", "layer10.weight")
NAMES = (*INNER, "classifier.weight", "loss.centers")


def weights_of_run(folder: RunFolder) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder.last, "state_dict")["state_dict"]


def initial(config: Configuration) -> dict[str, torch.Tensor]:
    return prepare(config).classifier.state_dict()


@pytest.mark.parametrize(
    ("freeze", "expected"),
    [
        (None, ()),
        ("backbone", INNER),
        ("layer1", NAMES[1:3]),
        (["*.bias", "conv1"], NAMES[:2]),
        (["layer1*"], NAMES[1:4]),
    ],
)
def test_freeze_takes_patterns_beginnings_and_the_backbone(freeze: Any, expected: tuple[str, ...]) -> None:
    assert frozen_names(NAMES, freeze) == set(expected)


def test_patterns_of_nothing_and_of_everything_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        frozen_names(NAMES, ["layer7", "conv1", "fc*"])
    lines = str(caught.value).splitlines()
    assert [line.partition(" matches")[0] for line in lines] == ["freeze: 'layer7'", "freeze: 'fc*'"]
    with pytest.raises(ConfigError, match="freeze: takes all parameters, so that none is left to train"):
        frozen_names(NAMES, "*")


@pytest.mark.parametrize("statistics", [True, False])
@pytest.mark.parametrize("others", [{}, {"ema_decay": "0.9"}, {"loss_function": "AngularSoftmaxLoss"}])
def test_a_frozen_backbone_stays_and_its_statistics_if_wished(quick: Callable, statistics: bool, others: dict) -> None:
    config = quick(freeze="backbone", freeze_statistics=statistics, num_epochs=1, **others)
    before = initial(config)
    folder, summary = runner.train(config)
    after = weights_of_run(folder)
    changed = {name for name, weight in before.items() if not torch.equal(weight, after[name]) and "tally" not in name}
    moving = {name for name in changed if "running_" in name or name.endswith("num_batches_tracked")}
    inner = {name for name in changed - moving if not name.startswith(("network.fc", "own_head", "loss."))}
    assert inner == set()
    assert changed - moving
    assert bool(moving) is not statistics
    assert summary["num_parameters"] < 10_000


def test_the_frozen_are_no_part_of_the_optimizer(quick: Callable) -> None:
    prepared = prepare(quick(freeze=["conv1", "layer1"], loss_function="CenterLoss"))
    classifier = prepared.classifier
    optimizer = classifier._build_optimizer(classifier.named_weights())
    held = {id(weight) for group in optimizer.param_groups for weight in group["params"]}
    for name, weight in classifier.named_weights().items():
        assert (id(weight) in held) == weight.requires_grad == (not name.startswith(("conv1.", "layer1.")))


GRADUAL = (
    "{late: {params: ['conv1.*', 'layer1.*'], start_epoch: 1, optimizer_params: {lr: 0.001}},"
    " early: {params: 'layer2.*', epochs: 2}}"
)


@pytest.mark.parametrize("save", [1, 2])
def test_unfreezing_is_gradual_and_resumes_exactly(quick: Callable, tmp_path: Any, save: int) -> None:
    changes = {
        "optimizer_groups": GRADUAL,
        "freeze": "layer3",
        "layer_decay": 0.8,
        "decay_norms_and_biases": "false",
        "num_epochs": 3,
        "keep_epochs": "all",
    }
    before = initial(quick(**changes))
    whole, _ = runner.train(quick(output_path=tmp_path / "whole", **changes))
    kept = [load_checkpoint(whole.kept(epoch), "state_dict")["state_dict"] for epoch in range(3)]
    for epoch, (old, new) in enumerate(zip([before, *kept], kept, strict=False)):
        for part, trains in {
            "layer1.0": epoch >= 1,
            "layer2.0": epoch < 2,
            "layer3.0": False,
            "layer4.0": True,
        }.items():
            tensors = [name for name in old if f"network.{part}.conv" in name]
            assert tensors
            assert all(torch.equal(old[name], new[name]) is not trains for name in tensors), (epoch, part)
    means = [state["network.layer1.0.bn1.running_mean"] for state in (before, *kept)]
    assert [torch.equal(one, other) for one, other in itertools.pairwise(means)] == [True, False, False]
    config = quick(output_path=tmp_path / "resumed", **changes)
    train_until(config, save)
    resumed, _ = runner.train(quick(output_path=tmp_path / "resumed", **changes))
    assert differences(whole, resumed) == []


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "convnext_atto", "resnet10t"])
def test_layers_decay_as_timm_has_them(quick: Callable, name: str) -> None:
    network: Any = timm.create_model(name, num_classes=3)
    last = {id(weight) for weight in network.get_classifier().parameters()}
    weights = {f"classifier.{n}" if id(w) in last else n: w for n, w in network.named_parameters()}
    found = treatments(quick(layer_decay=0.7, decay_norms_and_biases="false"), network, weights)
    groups = timm.optim.param_groups_layer_decay(  # type: ignore[attr-defined]
        network,
        weight_decay=1.0,
        no_weight_decay_list=network.no_weight_decay() if name[:3] == "vit" else (),
        layer_decay=0.7,
    )
    expected = {
        id(weight): (group["lr_scale"], group["weight_decay"] > 0) for group in groups for weight in group["params"]
    }
    assert {key: pytest.approx(value) for key, value in expected.items()} == found


def test_layers_of_other_networks_are_their_blocks(quick: Callable) -> None:
    blocks = ("conv1.weight", "layer1.0.conv1.weight", "stages.2.1.conv.weight", "bn1.bias", "pos_embed")
    assert [*map(block_of, blocks)] == ["conv1", "layer1.0", "stages.2", "bn1", "pos_embed"]
    weights = {name: nn.Parameter(torch.zeros(1)) for name in (*blocks[:3], "classifier.weight")}
    found = treatments(quick(layer_decay=0.5), nn.Identity(), weights)
    assert [found[id(weight)].scale for weight in weights.values()] == [0.125, 0.25, 0.5, 1.0]


def test_rates_of_layers_follow_a_schedule(quick: Callable) -> None:
    config = quick(layer_decay=0.5, lr_scheduler="OneCycleLR", lr_scheduler_params="{cycle_momentum: false}")
    classifier = prepare(config).classifier
    optimizer = classifier._build_optimizer(classifier.named_weights())
    rates = [group["lr"] for group in optimizer.param_groups]
    assert rates == sorted(rates, reverse=True)
    assert rates[0] == 0.01  # what a run reports
    schedule = classifier._build_scheduler(optimizer, 5)
    assert schedule is not None
    peaks = [group["max_lr"] for group in optimizer.param_groups]
    assert peaks == pytest.approx(rates)


def test_the_check_shows_the_groups(quick: Callable) -> None:
    text = describe(
        prepare(quick(freeze="backbone", decay_norms_and_biases="false", optimizer_params__weight_decay=0.1))
    )
    lines = [line.split() for line in text.splitlines()]
    assert ["group", "optimizer", "tensors", "parameters", "lr", "weight", "decay", "epochs"] in lines
    rows = [line for line in lines if line[:2] in (["the", "rest"], ["frozen", lines[-1][1]])]
    assert [row[-2:] for row in rows[:2]] == [["0.1", "all"], ["0", "all"]]
    assert lines[-1][0] == "frozen"
    assert "statistics" in lines[-1]
    assert "group" not in describe(prepare(quick())).split()


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        (
            {
                "optimizer_groups": "{a: {params: 'conv1.*', optimizer: SDG}, b: {params: 'layr1.*'}, "
                "c: {params: 'loss.*'}}",
                "freeze": "[layer9, classifier]",
            },
            [
                "optimizer_groups.a.optimizer: unknown optimizer 'SDG'; did you mean 'SGD'?",
                "optimizer_groups.b.params: match no parameter that trains",
                "freeze: 'layer9' matches no parameter",
            ],
        ),
        (
            {"optimizer_groups": "{b: {params: 'layr1.*'}}", "freeze": "layer9"},
            ["optimizer_groups.b.params: match no parameter that trains", "freeze: 'layer9' matches no parameter"],
        ),
        (
            {
                "optimizer_groups": "{b: {params: 'layer1.*', start_epoch: 2}, "
                "c: {params: 'l*', start_epoch: 1, epochs: 1}}"
            },
            [
                "optimizer_groups.b.start_epoch: epochs are counted from 0, and this group's last is 1, got 2",
                "optimizer_groups.c.start_epoch: epochs are counted from 0, and this group's last is 0, got 1",
            ],
        ),
        (
            {"optimizer_groups": "{b: {params: '*', start_epoch: 1}}"},
            ["optimizer_groups: no parameter trains in the first epoch of 2"],
        ),
    ],
)
def test_mistakes_are_reported_together(quick: Callable, changes: dict, messages: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare(quick(**changes))
    text = str(caught.value)
    assert all(f"command line: {message}" in text for message in messages), text


def test_the_settings_are_part_of_a_run_s_identity(quick: Callable) -> None:
    plain = settings_of(quick())
    assert plain == settings_of(quick(freeze_statistics="false")) == settings_of(quick(layer_decay="null"))
    one, other = (settings_of(quick(freeze=freeze)) for freeze in ("backbone", "[backbone]"))
    assert one == other != plain
    assert one != settings_of(quick(freeze="backbone", freeze_statistics="false"))
    groups = [settings_of(quick(optimizer_groups=f"{{a: {{params: x, {text}}}}}")) for text in ("", "start_epoch: 1")]
    assert groups[0] != groups[1]


def test_one_rate_for_all_layers_is_pointed_out(quick: Callable, caplog: pytest.LogCaptureFixture) -> None:
    prepare(quick(layer_decay=0.5, lr_scheduler="OneCycleLR", lr_scheduler_params="{max_lr: 0.1}"))
    assert "layer_decay has no effect: OneCycleLR sets the learning rate of every layer" in caplog.text
