"""DCL: each image learnt beside itself with its patches shuffled, which are to be put back in place."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from losses.base import full_float
from losses.contract import Batch, Outputs
from losses.several_heads import Head
from models.networks.bodies import (
    BodiedNetwork,
    Body,
    ScoresOfHeads,
    build_body,
    choose_heads,
    freeze_unused,
    measure_maps,
)

HEADS = (Head("class"), Head("adversarial", doubled=True, replaced=False))
PLACES = "places"
"""Key of `Batch.extra`: number of the patch of the whole image that lies at each place, [B*V, grid * grid] int64."""


class _Features(nn.Module):
    """The mean of a map, and where each of its places is thought to come from.

    Shapes: [B, C, h, w] -> [B, C + grid * grid]; places on -1 to 1.
    """

    def __init__(self, channels: int, grid: int) -> None:
        super().__init__()
        self.grid = grid
        self.place = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        places = F.adaptive_avg_pool2d(self.place(x), self.grid).tanh()
        return torch.cat([x.mean((2, 3)), places.flatten(1)], dim=1)


class _Scores(ScoresOfHeads):
    """Shapes: [B, C + grid * grid] -> the classes' and the adversarial scores, [B, 3 K]."""

    def __init__(self, heads: tuple[Head, ...], num_classes: int, channels: int) -> None:
        super().__init__(heads, num_classes)
        self.channels = channels
        self.classes = nn.Linear(channels, num_classes, bias=False)
        self.adversarial = nn.Linear(channels, 2 * num_classes, bias=False)

    def all_scores(self, features: Tensor) -> Tensor:
        pooled = features[:, : self.channels]
        return torch.cat([self.classes(pooled), self.adversarial(pooled)], dim=1)


class _DCL(BodiedNetwork):
    channels: int

    def new_classifier(self, num_classes: int) -> nn.Module:
        return _Scores(self.heads, num_classes, self.channels)


def _places_term(outputs: Outputs, batch: Batch, weight: float) -> dict[str, Tensor]:
    """Return the weighted distance of the places guessed to the true ones, on -1/2 to 1/2."""
    number = batch.extra[PLACES].shape[1]
    guessed = full_float(outputs.features[:, -number:])
    return {PLACES: weight * F.l1_loss(guessed, (batch.extra[PLACES].to(guessed.dtype) - number // 2) / number)}


def dcl(
    num_classes: int,
    in_channels: int = 3,
    *,
    body: str = "torchvision/resnet50",
    body_params: dict[str, Any] | None = None,
    grid: int = 7,
    place_weight: float = 1.0,
    replaced: list[str] | None = None,
    pretrained: bool | str = False,
    weights_path: str | None = None,
) -> BodiedNetwork:
    """Build DCL: classes, an adversary that tells destroyed images from whole ones, and the places of patches.

    A training image is seen twice, the second time with its patches shuffled among neighbours. The network predicts by
    the classes' scores and both of the adversary's. When it does not train it is its body and one linear layer.

    Args:
        num_classes: K.
        in_channels: channels of the image.
        body: any architecture whose features are a map.
        body_params: to its constructor.
        grid: patches in height and in width.
        place_weight: gamma, of the places' loss. Authors' code: 1 on CUB, 0.01 on Stanford Cars and FGVC-Aircraft.
        replaced: heads that the run's loss trains, of class and adversarial; null for class alone, the other keeps
            cross entropy, as it has 2K classes that nobody asked for.

    Shapes: image [B, in_channels, H, W] -> scores [B, K], in training [B, 3 K]; features [B, C + grid * grid].
    Raises: ConfigError for a body without a map; ValueError for parameters out of range.
    Source: Chen et al. 2019, "Destruction and Construction Learning for Fine-grained Image Recognition", CVPR; CRL
        paper (arXiv:1907.13349), Table VI; the authors' code for what the paper leaves open: one number for a place,
        and the adversary's 2K classes.
    Deviations: the permutation that was drawn is the target, where the authors' code guesses it from colours; patches
        are drawn by the paper's jitter of +-k, k = 2, rows first, then columns; nothing is cut from the rim.
    """
    heads = choose_heads(HEADS, replaced)
    for name, value, fits, allowed in (
        ("grid", grid, grid >= 2, ">= 2"),
        ("place_weight", place_weight, place_weight >= 0, ">= 0"),
    ):
        if not fits:
            raise ValueError(f"{name} must be {allowed}, got {value}")
    net = build_body(body, body_params, in_channels, pretrained, weights_path)
    channels = measure_maps(body, net, in_channels)[-1][0]
    least = getattr(net, "min_size", (1, 1))
    network = _DCL(
        [Body(net, [], final=True)],
        _Features(channels, grid),
        _Scores(heads, num_classes, channels),
        channels + grid**2,
        min_size=(max(least[0], grid), max(least[1], grid)),
        image_size=net.image_size,
    )
    network.heads, network.channels, network.grid = heads, channels, grid
    network.own_terms = functools.partial(_places_term, weight=place_weight)
    freeze_unused(network, in_channels)
    return network
