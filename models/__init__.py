"""Networks by name: our own, `torchvision/NAME`, and timm's. To add one: write its file, add its line here."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

from utils.lookup import (
    Entry,
    Table,
    did_you_mean,
    keywords,
    load_entry,
    parameter_problems,
    refusals,
    timm_architectures,
    torchvision_architectures,
    without_partial,
)
from utils.own_imports import place_of
from utils.own_names import is_own
from utils.types import ConfigError

_NAMES_BY_FILE = {
    "airbench": {"airbench": "six convolutions behind whitening, for 32 px (Jordan 2024)"},
    "bilinear": {"bcnn": "B-CNN: bilinear pooling of any body's map (Lin 2015)"},
    "dcl": {"dcl": "DCL: class, destruction and places, on any body (Chen 2019)"},
    "densenet_cifar": {"densenet_bc_cifar": "DenseNet-BC for 32 px, of free depth and growth (Huang 2017)"},
    "dfl_cnn": {"dfl_cnn": "DFL-CNN: whole image and patches, on any body (Wang 2018)"},
    "ghostnet": {"ghostnet": "GhostNet with features of free width (Han 2020)"},
    "hardnet": {
        "hardnet39": "HarDNet-39DS's plan with full convolutions",
        "hardnet39ds": "HarDNet-39, depthwise separable (Chao 2019)",
        "hardnet68": "HarDNet-68 (Chao 2019)",
        "hardnet68ds": "HarDNet-68, depthwise separable (Chao 2019)",
        "hardnet85": "HarDNet-85 (Chao 2019)",
        "hardnet85ds": "HarDNet-85, depthwise separable (Chao 2019)",
    },
    "lprnet": {
        "lprnet": "LPRNet: reads plates, for sequences (Zherzdev 2018)",
        "lprnet_small": "LPRNet of 16 to 32 channels, for sequences",
    },
    "nllr_net": {"nllr_net": "four convolutions, two linear layers, for 32 px (Zhu 2018)"},
    "resnet_cifar": {
        **{
            f"resnet{n}_basic": f"ResNet-{n} for 32 px, of pairs of 3x3 (He 2016)"
            for n in (20, 32, 44, 56, 74, 110, 164)
        },
        **{
            f"resnet{n}_bottleneck": f"ResNet-{n} for 32 px, of bottlenecks (He 2016)"
            for n in (20, 29, 56, 74, 110, 164)
        },
        **{f"resnet{n}_cifar": f"ResNet-{n} with a first layer for 32 px (He 2016)" for n in (18, 34, 50, 101)},
    },
    "resnext_cifar": {
        "resnext29_2x64d": "ResNeXt-29 for 32 px, 2 groups of 64 channels (Xie 2017)",
        "resnext29_32x4d": "ResNeXt-29 for 32 px, 32 groups of 4 channels (Xie 2017)",
    },
    "san": {"san15": "SAN-15, pairwise self-attention (Zhao 2020)"},
    "squeezenext": {
        "squeezenext23_1_0": "SqueezeNext-23, width 1 (Gholami 2018)",
        "squeezenext23_1_0v5": "SqueezeNext-23v5, width 1 (Gholami 2018)",
        "squeezenext23_2_0": "SqueezeNext-23, width 2 (Gholami 2018)",
        "squeezenext23_2_0v5": "SqueezeNext-23v5, width 2 (Gholami 2018)",
    },
    "vgg_cifar": {
        "vgg16_bn_cifar": "VGG16-BN for 32 px, one linear layer (Simonyan 2015)",
        "vgg16_cifar": "VGG16 for 32 px, one linear layer (Simonyan 2015)",
        "vgg19_bn_cifar": "VGG19-BN for 32 px, one linear layer (Simonyan 2015)",
        "vgg19_cifar": "VGG19 for 32 px, one linear layer (Simonyan 2015)",
    },
    "wide_resnet": {"wrn28_10": "wide ResNet of 28 layers for 32 px (Zagoruyko 2016)"},
}
ARCHITECTURES = {
    name: Entry(f"models.networks.{file}:{name}", summary)
    for file, names in _NAMES_BY_FILE.items()
    for name, summary in names.items()
}
"""Our own networks; each is a function of its own name in its file."""

BODIED = ("bcnn", "dcl", "dfl_cnn")
"""Those of ours that stand on another network, their parameter `body`, whose weights they can start from."""

DENSE_ARCHITECTURES = {
    "lraspp": Entry("models.dense.segmentation:lraspp", "LR-ASPP on a body of timm's, for segmentation (Howard 2019)"),
    "fcn": Entry("models.dense.segmentation:fcn", "FCN on a body of timm's, for segmentation (Long 2015)"),
    "deeplabv3": Entry(
        "models.dense.segmentation:deeplabv3", "DeepLabV3 on a body of timm's, for segmentation (Chen 2017)"
    ),
    "faster_rcnn": Entry(
        "models.dense.regions:faster_rcnn", "Faster R-CNN on a body of timm's, for detection (Ren 2015)"
    ),
    "mask_rcnn": Entry(
        "models.dense.regions:mask_rcnn", "Mask R-CNN on a body of timm's, for instance_segmentation (He 2017)"
    ),
    "ssdlite": Entry("models.dense.single_shot:ssdlite", "SSDlite on a body of timm's, for detection (Liu 2015)"),
}
"""Networks of pixels and regions."""
OURS = Table(ARCHITECTURES | DENSE_ARCHITECTURES)
"""All of these, and the user's own."""

MODULES = {
    "image": Entry("models.classifier:Classifier", "a class an image"),
    "sequence": Entry("models.classifier:Classifier", "a text an image"),
    "segmentation": Entry("models.dense.classifier:DenseClassifier", "a class a pixel"),
    "detection": Entry("models.dense.classifier:DenseClassifier", "a class a region"),
    "instance_segmentation": Entry("models.dense.classifier:DenseClassifier", "a class a region"),
}
"""What trains a network, by its kind."""

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
    return (*OURS, *ALIASES, *torchvision_architectures(), *timm_architectures())


def check_architecture_name(name: str) -> str | None:
    """Return what is wrong with an architecture's name, or None; imports nothing. timm's may end in `.TAG`."""
    # timm's hundred files are read only for a name that is not found before.
    if name in OURS or name in ALIASES or name in torchvision_architectures():
        return None
    if "/" not in name and name.partition(".")[0] in timm_architectures():
        return None
    near = did_you_mean(name, architecture_names())
    return f"unknown architecture {name!r}{near} (python train.py --list architectures)"


def architecture_problems(name: str, params: Mapping[str, Any]) -> dict[str, str]:
    """Return parameter of one of our architectures -> what is wrong; libraries tell theirs when they build."""
    source = resolve_architecture(name)
    if source not in OURS:
        return {}
    elsewhere = ("num_classes", "in_channels", "dropout", "output_channels", "pretrained", "weights_path", "image_size")
    return parameter_problems(load_entry(OURS[source]), params, given=elsewhere)


def weights_problem(name: str, pretrained: bool | str) -> str | None:
    """Return why there are no such published weights of an architecture, with those that there are; None if there are.

    Args: pretrained: the name of some weights; True for the library's default.
    """
    source = resolve_architecture(name)
    if not pretrained or source in DENSE_ARCHITECTURES or source in BODIED:  # building the body reports its own
        return None
    if source in OURS:
        return f"there are no published weights of {source}; give a file as weights_path"
    if source.startswith("torchvision/"):
        from models.torchvision_models import weights_names
    else:
        from models.timm_models import weights_names
    base, _, tag = source.removeprefix("torchvision/").partition(".")
    if tag and isinstance(pretrained, str):
        return f"{name} names its weights already; set pretrained: true, or leave .{tag} out of the architecture"
    names = weights_names(base)
    if not names:
        return f"{'torchvision' if '/' in source else 'timm'} has no weights for {base}"
    version = pretrained if isinstance(pretrained, str) else tag
    if not version or version in names:
        return None
    return f"{base} has no weights {version!r}{did_you_mean(version, names)}; one of {', '.join(names)}"


def architecture_kind(name: str) -> str:
    """Return what an architecture's scores are of, such as "image", as its function's annotation says."""
    source = resolve_architecture(name)
    if source not in OURS:
        return "image"  # the libraries' networks classify images
    function = load_entry(OURS[source])
    function = function.func if isinstance(function, functools.partial) else function
    return getattr(get_type_hints(function).get("return"), "kind", "image")


def _check_network(network: Any, place: str) -> None:
    """Raise ConfigError for a network of the user's own that lacks something of the contract."""
    from models.networks.base import CONTRACT

    if missing := [name for name in CONTRACT if not hasattr(network, name)]:
        text = f"must return a models.networks.base.Network: it has no {', '.join(missing)}"
        raise ConfigError(f"architecture: {place} {text}")


def weights_normalization(name: str) -> tuple[Sequence[float], Sequence[float]] | None:
    """Return mean and std, a number a channel on 0 to 1, that an architecture's published weights were trained with.

    None where none are published.
    """
    source = resolve_architecture(name)
    if source in OURS:
        return None
    if source.startswith("torchvision/"):
        from models.torchvision_models import normalization
    else:
        from models.timm_models import normalization
    return normalization(source.removeprefix("torchvision/"))


def build_model(
    name: str,
    num_classes: int,
    in_channels: int = 3,
    *,
    dropout: float | None = None,
    output_channels: int | None = None,
    pretrained: bool | str = False,
    weights_path: str | Path | None = None,
    image_size: int | tuple[int, int] | None = None,
    **params: Any,
) -> Any:
    """Build a network in timm's contract.

    For any image x, `get_classifier()(forward_head(forward_features(x), pre_logits=True))` equals `forward(x)` in
    eval mode. The network's attribute `not_applied` names those of `dropout` and `output_channels` that were given
    and that it cannot take; `image_size` is the height and width, px, that it was made for; `trained_classifier` says
    whether the last layer came with weights.

    Args:
        name: one of `architecture_names()`; of equal names ours come first. timm's may carry a tag of weights.
        num_classes: K.
        in_channels: channels of the image; where the pretrained first layer has three, one gets their sum.
        dropout: probability before the last layer; None for the architecture's own.
        output_channels: width of the features; None for the architecture's own.
        pretrained: start from the weights that torchvision or timm publish; a text names which of them.
        weights_path: a local file of weights; nothing is downloaded then.
        image_size: H = W, or (H, W), px, of the images, for networks that are made for one size; None for their own.
        params: to the architecture's constructor.

    Returns: an nn.Module, image [B, in_channels, H, W] -> scores [B, K].
    Raises: ConfigError for an unknown name, parameters that the architecture refuses, weights that cannot be had or
        do not fit, and networks whose scores do not come from one last layer.
    """
    if problem := check_architecture_name(name):
        raise ConfigError(f"architecture: {problem}")
    source = resolve_architecture(name)
    download = pretrained if weights_path is None else False
    if problem := weights_problem(name, download):
        raise ConfigError(f"pretrained: {problem}")
    image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
    not_applied: list[str] = []
    network: Any
    if source in OURS:
        constructor = load_entry(OURS[source])
        options: dict[str, Any] = {"dropout": dropout, "output_channels": output_channels}
        options |= {"pretrained": download or None} if source in DENSE_ARCHITECTURES else {}
        options = {key: value for key, value in options.items() if value is not None}
        not_applied += parameter_problems(constructor, options, given=("num_classes", "in_channels", "image_size"))
        taken: dict[str, Any] = {key: value for key, value in options.items() if key not in not_applied}
        if image_size is not None and "image_size" in keywords(without_partial(constructor)):
            taken["image_size"] = image_size
        if problems := architecture_problems(name, params):
            raise ConfigError("\n".join(f"architecture_params.{key}: {text}" for key, text in problems.items()))
        if source in BODIED:
            from models.weights import start_of_body

            start, weights_path = start_of_body(download, weights_path)
            params = {**params, **start}
        try:
            network = constructor(num_classes, in_channels, **taken, **params)
            if is_own(source):
                _check_network(network, place_of(constructor, source))
            network.trained_classifier = False
        except refusals(constructor) as error:
            raise ConfigError(f"architecture_params: {source} refuses them: {error}") from None
    else:
        if source.startswith("torchvision/"):
            from models import torchvision_models as library
        else:
            from models import timm_models as library
        network, drops = library.build(
            source.removeprefix("torchvision/"),
            num_classes,
            in_channels,
            dropout=dropout,
            pretrained=download,
            image_size=image_size,
            **params,
        )
        not_applied += ["dropout"] if dropout is not None and not drops else []
        not_applied += ["output_channels"] if output_channels is not None else []
    network.not_applied = tuple(not_applied)
    if weights_path is not None:
        from models.weights import load_weights

        network.trained_classifier = load_weights(network, weights_path)
    return network
