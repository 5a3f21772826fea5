"""A network's last map of features, of whatever layout, with the gradient of a value to it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from evaluation.findings import NotApplicable
from losses.base import full_float
from models.classifier import Classifier

ToMap = Callable[[Tensor], Tensor]


def last_map_and_gradient(
    classifier: Classifier, image: Tensor, value: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the last feature map and the gradient of a value of the scores to it, without autocast.

    Args:
        classifier: in eval mode.
        image: [B, C, H, W].
        value: scores -> a value of each image, [B].

    Shapes: -> two of [B, D, h, w].
    Raises: NotApplicable for networks without places in their features.
    """
    network: Any = classifier.network
    image = image.detach()
    if (layer := _before_class_attention(network)) is not None:
        kept: list[Tensor] = []
        handle = layer.register_forward_hook(lambda module, args, output: kept.append(output))
        try:
            with torch.enable_grad():
                scores = classifier(image).scores
        finally:
            handle.remove()
        features = kept[-1]
    else:
        with torch.enable_grad():
            features = network.forward_features(image.to(next(network.parameters()).dtype))
            if not isinstance(features, Tensor):
                raise NotApplicable("the network's last features are not one tensor")
            features = features if features.requires_grad else features.requires_grad_()
            scores = full_float(classifier.head(network.forward_head(features, pre_logits=True)))
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(value(scores).sum(), features)
    to_map = layout(network, features, image)
    return to_map(full_float(features.detach())), to_map(full_float(gradient))


def _before_class_attention(network: Any) -> Any:
    """Return the layer that the last attention reads, for a vision transformer whose class token alone is scored.

    After that attention no patch reaches the scores any more, and all gradients are 0.
    """
    blocks = getattr(network, "blocks", None)
    if getattr(network, "global_pool", None) != "token" or not blocks:
        return None
    return getattr(blocks[-1], "norm1", None)


def layout(network: Any, features: Tensor, image: Tensor) -> ToMap:
    """Return what makes a map [B, D, h, w] of features in the network's own layout.

    Raises: NotApplicable if no place in the image belongs to them.
    """
    if (to_map := getattr(network, "to_map", None)) is not None:
        return to_map
    if features.ndim == 4:
        last = getattr(network, "output_fmt", "NCHW") == "NHWC"
        if math.prod(features.shape[1:3] if last else features.shape[2:]) == 1:
            raise NotApplicable("the network's last map has a single place")
        return (lambda x: x.permute(0, 3, 1, 2)) if last else (lambda x: x)
    if features.ndim == 3:
        prefix = getattr(network, "num_prefix_tokens", 0)
        height, width = _grid(features.shape[1] - prefix, image.shape[-2:])
        return lambda x: x[:, prefix:].transpose(1, 2).unflatten(2, (height, width))
    raise NotApplicable("the network's last features are a vector: no place in the image belongs to them")


def _grid(tokens: int, size: torch.Size) -> tuple[int, int]:
    """Return the rows and columns of so many tokens, in the proportions of the image."""
    height, width = (round(math.sqrt(tokens * side / other)) for side, other in (size, size[::-1]))
    if tokens < 2 or height * width != tokens:
        raise NotApplicable(f"{tokens} tokens do not lie in a grid of the image's proportions")
    return height, width
