"""Networks by name: our own, `torchvision/NAME`, and timm's. To add one: write its file, add its line here."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from utils.lookup import (
    Entry,
    did_you_mean,
    load_entry,
    parameter_problems,
    timm_architectures,
    torchvision_architectures,
)
from utils.types import ConfigError

ARCHITECTURES = {
    "ghostnet": Entry("models.architectures.ghostnet:ghostnet", "GhostNet with features of free width (Han 2020)"),
    "hardnet39": Entry("models.architectures.hardnet:hardnet39", "HarDNet-39DS's plan with full convolutions"),
    "hardnet39ds": Entry("models.architectures.hardnet:hardnet39ds", "HarDNet-39, depthwise separable (Chao 2019)"),
    "hardnet68": Entry("models.architectures.hardnet:hardnet68", "HarDNet-68 (Chao 2019)"),
    "hardnet68ds": Entry("models.architectures.hardnet:hardnet68ds", "HarDNet-68, depthwise separable (Chao 2019)"),
    "hardnet85": Entry("models.architectures.hardnet:hardnet85", "HarDNet-85 (Chao 2019)"),
    "hardnet85ds": Entry("models.architectures.hardnet:hardnet85ds", "HarDNet-85, depthwise separable (Chao 2019)"),
    "squeezenext23_1_0": Entry(
        "models.architectures.squeezenext:squeezenext23_1_0", "SqueezeNext-23, width 1 (Gholami 2018)"
    ),
    "squeezenext23_1_0v5": Entry(
        "models.architectures.squeezenext:squeezenext23_1_0v5", "SqueezeNext-23v5, width 1 (Gholami 2018)"
    ),
    "squeezenext23_2_0": Entry(
        "models.architectures.squeezenext:squeezenext23_2_0", "SqueezeNext-23, width 2 (Gholami 2018)"
    ),
    "squeezenext23_2_0v5": Entry(
        "models.architectures.squeezenext:squeezenext23_2_0v5", "SqueezeNext-23v5, width 2 (Gholami 2018)"
    ),
}

ALIASES = {
    "ghost": "ghostnet",
    "sq_10": "torchvision/squeezenet1_0",
    "sq_11": "torchvision/squeezenet1_1",
    "sqnxt_1": "squeezenext23_1_0",
    "sqnxt_1v5": "squeezenext23_1_0v5",
    "sqnxt_2": "squeezenext23_2_0",
    "sqnxt_2v5": "squeezenext23_2_0v5",
    "mob_v2": "torchvision/mobilenet_v2",
    **{f"eff_b{i}": f"torchvision/efficientnet_b{i}" for i in range(8)},
    **{f"hard_{depth}": f"hardnet{depth}" for depth in (39, 68, 85)},
    **{f"hard_{depth}dw": f"hardnet{depth}ds" for depth in (39, 68, 85)},
    **{f"shuff_v2_x{width}": f"torchvision/shufflenet_v2_x{width[0]}_{width[1]}" for width in ("05", "10", "15", "20")},
}
"""The thesis's short names."""


def resolve_architecture(name: str) -> str:
    """Return the name that a short name stands for; any other as it is."""
    return ALIASES.get(name, name)


@functools.cache
def architecture_names() -> tuple[str, ...]:
    """Return every name that `build_model` takes: ours, short ones, torchvision's, timm's; imports neither."""
    return (*ARCHITECTURES, *ALIASES, *torchvision_architectures(), *timm_architectures())


def check_architecture_name(name: str) -> str | None:
    """Return what is wrong with an architecture's name, or None; imports nothing. timm's may end in `.TAG`."""
    # timm's hundred files are read only for a name that is not found before.
    if name in ARCHITECTURES or name in ALIASES or name in torchvision_architectures():
        return None
    if "/" not in name and name.partition(".")[0] in timm_architectures():
        return None
    near = did_you_mean(name, architecture_names())
    return f"unknown architecture {name!r}{near} (python train.py --list architectures)"


def build_model(
    name: str,
    num_classes: int,
    in_channels: int = 3,
    *,
    dropout: float | None = None,
    output_channels: int | None = None,
    pretrained: bool = False,
    weights_path: str | Path | None = None,
    **params: Any,
) -> Any:
    """Build a network in timm's contract.

    For any image x, `get_classifier()(forward_head(forward_features(x), pre_logits=True))` equals `forward(x)` in
    eval mode. The network's attribute `not_applied` names those of `dropout` and `output_channels` that were given
    and that it cannot take; `image_size` is the height and width, px, that it was made for.

    Args:
        name: one of `architecture_names()`; of equal names ours come first. timm's may carry a tag of weights.
        num_classes: K.
        in_channels: channels of the image; where the pretrained first layer has three, one gets their sum.
        dropout: probability before the last layer; None for the architecture's own.
        output_channels: width of the features; None for the architecture's own.
        pretrained: start from the weights that torchvision or timm publish.
        weights_path: a local file of weights; nothing is downloaded then.
        params: to the architecture's constructor.

    Returns: an nn.Module, image [B, in_channels, H, W] -> scores [B, K].
    Raises: ConfigError for an unknown name, parameters that the architecture refuses, weights that cannot be had or
        do not fit, and networks whose scores do not come from one last layer.
    """
    if problem := check_architecture_name(name):
        raise ConfigError(f"architecture: {problem}")
    source = resolve_architecture(name)
    download = pretrained and weights_path is None
    not_applied: list[str] = []
    network: Any
    if source in ARCHITECTURES:
        if download:
            raise ConfigError(f"pretrained: there are no published weights of {source}; give a file as weights_path")
        constructor = load_entry(ARCHITECTURES[source])
        given = {"dropout": dropout, "output_channels": output_channels}
        given = {key: value for key, value in given.items() if value is not None}
        not_applied += parameter_problems(constructor, given, given=("num_classes", "in_channels"))
        taken = {key: value for key, value in given.items() if key not in not_applied}
        elsewhere = ("num_classes", "in_channels", "dropout", "output_channels")
        if problems := parameter_problems(constructor, params, given=elsewhere):
            raise ConfigError("\n".join(f"architecture_params.{key}: {text}" for key, text in problems.items()))
        try:
            network = constructor(num_classes, in_channels, **taken, **params)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"architecture_params: {source} refuses them: {error}") from None
    else:
        if source.startswith("torchvision/"):
            from models.architectures import torchvision_models as library
        else:
            from models.architectures import timm_models as library
        network, drops = library.build(
            source.removeprefix("torchvision/"),
            num_classes,
            in_channels,
            dropout=dropout,
            pretrained=download,
            **params,
        )
        not_applied += ["dropout"] if dropout is not None and not drops else []
        not_applied += ["output_channels"] if output_channels is not None else []
    network.not_applied = tuple(not_applied)
    if weights_path is not None:
        from models.weights import load_weights

        load_weights(network, weights_path)
    return network
