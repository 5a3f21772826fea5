"""torchvision's classification networks by name, with their weights."""

from __future__ import annotations

import inspect
import pickle
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn
from torchvision import models as tv

from models.torchvision_adapter import TorchvisionNetwork, adapt
from models.weights import no_pretrained_weights, weights_only_loads
from utils.lookup import parameter_problems
from utils.types import ConfigError


def _replace_first_conv(net: nn.Module, in_channels: int, pretrained: bool) -> None:
    """Make the first convolution take `in_channels`; pretrained weights are summed over the colours."""
    name, conv = next((name, part) for name, part in net.named_modules() if isinstance(part, nn.Conv2d))
    geometry: dict[str, Any] = {key: getattr(conv, key) for key in ("kernel_size", "stride", "padding")}
    new = nn.Conv2d(in_channels, conv.out_channels, bias=conv.bias is not None, **geometry)
    if pretrained:
        new.weight = nn.Parameter(conv.weight.detach().sum(1, keepdim=True))
        new.bias = conv.bias
    net.set_submodule(name, new)


def _constructor(name: str) -> Callable[..., nn.Module]:
    """Return the class behind a builder, since builders take any parameter and hand it on."""
    return typing.get_type_hints(tv.get_model_builder(name))["return"]


def _schema(constructor: Callable[..., nn.Module]) -> Callable[..., None]:
    """Return a stand-in whose signature holds the parameters that are the user's to set.

    Left out: what the builder fixes, what has a setting of its own, and a `**kwargs` that swallows any mistake.
    """

    def schema() -> None: ...

    size = {"image_size", "input_size"}  # without default in two classes, with one in their builders
    elsewhere = {"num_classes", "dropout", "dropout_aux", "aux_logits", "init_weights", "transform_input"}
    schema.__signature__ = inspect.Signature(  # pyright: ignore[reportFunctionMemberAccess]
        [
            parameter.replace(kind=parameter.KEYWORD_ONLY, default=None)
            for name, parameter in inspect.signature(constructor).parameters.items()
            if name in size or (parameter.default is not parameter.empty and name not in elsewhere)
        ]
    )
    return schema


def _for_size(constructor: Callable[..., nn.Module], size: tuple[int, int]) -> dict[str, Any]:
    """Return the parameter that makes a network for images of one size, if its class has one that can say it."""
    taken = inspect.signature(constructor).parameters
    if "input_size" in taken:
        return {"input_size": size}
    return {"image_size": size[0]} if "image_size" in taken and size[0] == size[1] else {}


def weights_names(name: str) -> list[str]:
    """Return what torchvision calls the weights that it publishes for a network."""
    return [weights.name for weights in tv.get_model_weights(name)]


def _image_size(name: str, weights: str, net: Any, params: Mapping[str, Any]) -> tuple[int, int]:
    """Return the height and width, px, that the network takes, or else that these weights are published for."""
    size = getattr(net, "image_size", None) or params.get("input_size")
    size = size or tv.get_model_weights(name)[weights].transforms().crop_size[0]  # type: ignore
    return (size, size) if isinstance(size, int) else tuple(size)


def normalization(name: str) -> tuple[Sequence[float], Sequence[float]]:
    """Return mean and std that torchvision's weights of a network were trained with."""
    transforms: Any = tv.get_model_weights(name).DEFAULT.transforms()  # type: ignore
    return transforms.mean, transforms.std


def build(
    name: str,
    num_classes: int,
    in_channels: int = 3,
    *,
    dropout: float | None = None,
    pretrained: bool | str = False,
    image_size: tuple[int, int] | None = None,
    **params: Any,
) -> tuple[TorchvisionNetwork, bool]:
    """Build one of torchvision's networks.

    Args:
        name: torchvision's, such as "resnet18".
        num_classes: K.
        in_channels: channels of the image; with pretrained weights 3, or 1 (the colours' weights are summed).
        dropout: probability of the dropout layers between the last feature map and the last layer.
        pretrained: download weights, those of a name or torchvision's default ones.
        image_size: height and width of the images, px; classes made for one size get it, unless weights fix that.
        params: to the network's class.

    Returns: the network, and whether it has such dropout layers.
    Raises: ConfigError for parameters that the class refuses, weights that cannot be had and unknown kinds.
    """
    constructor = _constructor(name)
    if problems := parameter_problems(_schema(constructor), params):
        raise ConfigError("\n".join(f"architecture_params.{key}: {text}" for key, text in problems.items()))
    sized = {} if pretrained or image_size is None else _for_size(constructor, image_size)
    params = sized | params
    if pretrained and in_channels not in (1, 3):
        raise ConfigError(f"torchvision/{name}: pretrained weights take 3 channels or 1, got {in_channels}")
    weights = pretrained if isinstance(pretrained, str) else "DEFAULT"
    if not pretrained:
        params["num_classes"] = num_classes
        if constructor in (tv.GoogLeNet, tv.Inception3):
            params |= {"aux_logits": False, "init_weights": True}
    try:
        with weights_only_loads():
            net: Any = tv.get_model(name, weights=weights if pretrained else None, **params)
    except (OSError, RuntimeError, TypeError, ValueError, AssertionError, pickle.UnpicklingError) as error:
        if pretrained and isinstance(error, (OSError, RuntimeError, pickle.UnpicklingError)):
            raise no_pretrained_weights(f"torchvision/{name}", error) from None
        if sized:
            text = "torchvision/{} cannot take {}x{} images: {}".format(name, *image_size or (), error)
            raise ConfigError(f"image_size: {text}") from None
        raise ConfigError(f"architecture_params: torchvision/{name} refuses them: {error}") from None
    if isinstance(net, (tv.GoogLeNet, tv.Inception3)):
        net.aux_logits = False
        for side_branch in {"aux1", "aux2", "AuxLogits"} & set(dict(net.named_children())):
            setattr(net, side_branch, None)
    if in_channels != 3 and not getattr(net, "transform_input", False):  # `_Rescale` gives three channels
        _replace_first_conv(net, in_channels, bool(pretrained))
    network = adapt(net)
    network.image_size = _image_size(name, weights, net, params)
    network.trained_classifier = bool(pretrained)
    if next(network.classifier.parameters()).shape[0] != num_classes:
        network.reset_classifier(num_classes)
        network.trained_classifier = False
    layers = [module for module in network.head.modules() if isinstance(module, nn.Dropout)]
    if dropout is not None:
        for layer in layers:
            layer.p = dropout
    return network, bool(layers)
