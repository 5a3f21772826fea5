"""timm's networks, held to the contract that the bench relies on."""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from models.flops import meta_copy
from models.weights import no_pretrained_weights, weights_only_loads
from utils.lookup import did_you_mean
from utils.types import ConfigError

_SET_ELSEWHERE = {
    "num_classes": "the data set says it",
    "in_chans": "the images say it",
    "drop_rate": "use dropout",
    "pretrained": "use pretrained",
    "checkpoint_path": "use weights_path",
    "pretrained_cfg": "use weights_path",
    "pretrained_cfg_overlay": "use weights_path",
    "features_only": "a classifier is needed",
}
_UNKNOWN = re.compile(r"(\w+)(?:\.__init__)?\(\) got (?:an )?unexpected keyword argument(?:\(s\): \[| )'(\w+)'")
_REFUSALS = (OSError, TypeError, ValueError, RuntimeError, AssertionError, LookupError, AttributeError)
_DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.feature_alpha_dropout, F.alpha_dropout)


def build(
    name: str,
    num_classes: int,
    in_channels: int = 3,
    *,
    dropout: float | None = None,
    pretrained: bool | str = False,
    image_size: tuple[int, int] | None = None,
    **params: Any,
) -> tuple[nn.Module, bool]:
    """Build one of timm's networks.

    Args:
        name: timm's, such as "resnet18" or "resnet18.a1_in1k".
        num_classes: K.
        in_channels: channels of the image.
        dropout: timm's `drop_rate`.
        pretrained: download timm's weights, those of a tag or its default ones.
        image_size: height and width of the images, px; networks that are made for one size get it.
        params: to `timm.create_model`.

    Returns: the network, and whether the dropout has taken effect.
    Raises: ConfigError for parameters that the network refuses, weights that cannot be had, and networks whose
        scores are not one module's output for one tensor of features.
    """
    if problems := {key: _SET_ELSEWHERE[key] for key in params if key in _SET_ELSEWHERE}:
        raise ConfigError("\n".join(f"architecture_params.{key}: not set here: {why}" for key, why in problems.items()))
    if isinstance(pretrained, str):
        name, pretrained = f"{name}.{pretrained}", True
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        one_of = ", ".join(weights_names(name.partition(".")[0]))
        raise ConfigError(f"architecture: {name}: {error}{one_of and f'; its weights: {one_of}'}") from None
    ours = {"num_classes": num_classes, "in_chans": in_channels, "pretrained": pretrained}
    network = _create(name, params, **ours, **({} if dropout is None else {"drop_rate": dropout}))
    if network is None:
        dropout = None
        network = _create(name, params, **ours)
    if image_size is not None and "img_size" not in params and not _takes(network, in_channels, image_size):
        sized = {**params, "img_size": image_size}
        with contextlib.suppress(ConfigError):  # the run says which size is refused
            network = _create(name, sized, **ours, **({} if dropout is None else {"drop_rate": dropout}))
            params = sized
    network.image_size = _image_size(network, params)
    network.trained_classifier = pretrained and network.pretrained_cfg.get("num_classes") == num_classes
    image = torch.empty(2, in_channels, *network.image_size, device="meta")
    if problem := contract_problem(network, image):
        raise ConfigError(f"architecture: {name} is not supported: {problem}")
    return network, dropout is not None and (dropout == 0 or _drops(network, image, dropout))


def weights_names(name: str) -> list[str]:
    """Return the tags of the weights that timm publishes for a network."""
    tagged = timm.list_pretrained(f"{name}.*")
    return [full_name.removeprefix(f"{name}.") for full_name in tagged]


def normalization(name: str) -> tuple[Sequence[float], Sequence[float]] | None:
    """Return mean and std that timm's weights of a network were trained with, None if there are no weights."""
    config = timm.get_pretrained_cfg(name)
    return (config.mean, config.std) if config and config.has_weights else None


def _create(name: str, params: Mapping[str, Any], **ours: Any) -> Any:
    """Return the network, or None if it takes no `drop_rate`."""
    try:
        with weights_only_loads():
            return timm.create_model(name, **params, **ours)
    except _REFUSALS as error:
        match = _UNKNOWN.search(str(error)) if isinstance(error, TypeError) else None
        if match and match[2] == "drop_rate":
            return None
        if match and match[2] in params:
            allowed = _allowed(name, match[1])
            text = f"unknown parameter{did_you_mean(match[2], allowed)} (allowed: {', '.join(allowed)})"
            raise ConfigError(f"architecture_params.{match[2]}: {text}") from None
        if ours["pretrained"] and isinstance(error, (OSError, RuntimeError)):
            raise no_pretrained_weights(name, error) from None
        blamed = "architecture_params" if params else "architecture"
        raise ConfigError(f"{blamed}: timm cannot build {name}: {error}") from error


def _allowed(name: str, constructor: str) -> list[str]:
    """Return the parameters of the class or function that refused one."""
    module = sys.modules[timm.models.model_entrypoint(name).__module__]
    signature = inspect.signature(getattr(module, constructor, timm.create_model)).parameters.values()
    hidden = {"self", "kwargs", *_SET_ELSEWHERE}
    return [p.name for p in signature if p.name not in hidden and p.kind is not p.VAR_KEYWORD]


def _image_size(network: Any, params: Mapping[str, Any]) -> tuple[int, int]:
    """Return the height and width, px, of the images that the network was made for."""
    size = params.get("img_size") or network.pretrained_cfg.get("input_size", (3, 224, 224))[1:]
    return (size, size) if isinstance(size, int) else tuple(size)


def _takes(network: Any, channels: int, size: tuple[int, int]) -> bool:
    """Return whether a network takes images of this size; only one that timm says is made for one size is asked."""
    if not network.pretrained_cfg.get("fixed_input_size"):
        return True
    try:
        meta_copy(network).eval()(torch.empty(1, channels, *size, device="meta"))
    except _REFUSALS:
        return False
    return True


def contract_problem(network: Any, image: Tensor) -> str | None:
    """Return why a network's scores are not `get_classifier()` of `forward_head(..., pre_logits=True)`, or None.

    Followed on a copy without data: `forward` must return the very tensor that the classifier returns, and the
    classifier must take in it what it takes in `forward_head`.

    Args:
        network: with timm's methods.
        image: a batch on the meta device.
    """
    calls = []
    copy: Any = meta_copy(network).eval()
    classifier = copy.get_classifier() if hasattr(copy, "get_classifier") else None
    if not isinstance(classifier, nn.Module) or isinstance(classifier, (nn.ModuleList, nn.ModuleDict, nn.Identity)):
        return "it has several last layers, or none"
    if isinstance(classifier, nn.Conv2d):
        return "its last layer is a convolution, not a layer over a vector of features"
    classifier.register_forward_hook(lambda module, args, output: calls.append((args[0], output)))
    scores = copy(image)
    if len(calls) != 1 or scores is not calls[0][1]:
        return "its scores are not what its last layer gives"
    try:
        features = copy.forward_head(copy.forward_features(image), pre_logits=True)
    except TypeError:
        return "its head cannot stop before the last layer"
    if not isinstance(features, Tensor) or features.shape != calls[0][0].shape or features.ndim != 2:
        return "its last layer does not map one vector of features to scores"
    return None


class _DropoutCalls(TorchFunctionMode):
    """Collects the probabilities of the dropouts that are in force."""

    def __init__(self) -> None:
        super().__init__()
        self.probabilities: set[float] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _DROPOUTS:
            call = inspect.signature(func).bind(*args, **(kwargs or {}))
            call.apply_defaults()
            if call.arguments["training"]:
                self.probabilities.add(call.arguments["p"])
        return func(*args, **(kwargs or {}))


def _drops(network: nn.Module, image: Tensor, probability: float) -> bool:
    """Whether a training pass drops with this probability."""
    with torch.random.fork_rng(devices=[]), _DropoutCalls() as calls:
        meta_copy(network).train()(image)
    return probability in calls.probabilities
