"""Residual blocks, and networks of three or four stages of them for small images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.base import Network, initialize, pool_to_vector


class Convolution(NamedTuple):
    """One convolution of a block; padded so that only the stride makes the map smaller."""

    out_channels: int
    kernel: int
    stride: int = 1
    groups: int = 1


class PostActivationBlock(nn.Module):
    """relu(convolutions(x) + x), each convolution normalised; x is projected where the shape changes."""

    def __init__(self, in_channels: int, convolutions: Sequence[Convolution], dropout: float = 0.0) -> None:
        super().__init__()
        out_channels = convolutions[-1].out_channels
        self.body = nn.Sequential(*_chain(in_channels, convolutions, dropout), nn.BatchNorm2d(out_channels))
        self.shortcut = nn.Sequential()
        if projection := _projection(in_channels, convolutions):
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


class PreActivationBlock(nn.Module):
    """convolutions(a) + x with a = relu(norm(x)); where the shape changes, x is the projection of a."""

    def __init__(self, in_channels: int, convolutions: Sequence[Convolution], dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.body = nn.Sequential(*_chain(in_channels, convolutions, dropout))
        self.projection = _projection(in_channels, convolutions)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm(x))
        return self.body(active) + (x if self.projection is None else self.projection(active))


def basic(width: int, stride: int) -> tuple[Convolution, ...]:
    """Return two 3x3 convolutions."""
    return Convolution(width, 3, stride), Convolution(width, 3)


def bottleneck(width: int, stride: int, out_channels: int, groups: int = 1) -> tuple[Convolution, ...]:
    """Return a 1x1 convolution to the width, a 3x3 one that has the stride, and a 1x1 one to the output."""
    return Convolution(width, 1), Convolution(width, 3, stride, groups), Convolution(out_channels, 1)


def residual_network(
    num_classes: int,
    in_channels: int,
    stem: Convolution,
    depths: Sequence[int],
    block: Callable[[int, int], Sequence[Convolution]],
    *,
    pre_activation: bool = False,
    dropout: float = 0.0,
    block_dropout: float = 0.0,
) -> Network:
    """Build a stem without pooling, stages that halve the map from the second on, and one linear layer.

    Args:
        num_classes: K.
        in_channels: channels of the image.
        stem: the first convolution.
        depths: blocks of each stage.
        block: number of the stage, stride -> a block's convolutions.
        pre_activation: normalise and activate before the convolutions instead of after them.
        dropout: probability before the last layer.
        block_dropout: probability between the convolutions of a block.

    Shapes: image [B, in_channels, H, W], any size -> scores [B, K].
    """
    kind = PreActivationBlock if pre_activation else PostActivationBlock
    first = nn.Conv2d(in_channels, stem.out_channels, stem.kernel, stem.stride, stem.kernel // 2, bias=False)
    layers: list[nn.Module] = [first]
    if not pre_activation:
        layers += [nn.BatchNorm2d(stem.out_channels), nn.ReLU()]
    channels, stages = stem.out_channels, []
    for i, depth in enumerate(depths):
        for j in range(depth):
            convolutions = block(i, 2 if i and not j else 1)
            layers.append(kind(channels, convolutions, block_dropout))
            channels = convolutions[-1].out_channels
        stages.append(layers)
        layers = []
    if pre_activation:
        stages[-1] += [nn.BatchNorm2d(channels), nn.ReLU()]
    head = pool_to_vector(nn.Dropout(dropout))
    classifier = nn.Linear(channels, num_classes)
    network = Network((nn.Sequential(*stage) for stage in stages), head, classifier, channels, image_size=32)
    initialize(network)
    return network


def _chain(in_channels: int, convolutions: Sequence[Convolution], dropout: float) -> list[nn.Module]:
    """Return the convolutions with normalisation and activation between them."""
    chain: list[nn.Module] = []
    for i, (out_channels, kernel, stride, groups) in enumerate(convolutions):
        if i:
            chain += [nn.BatchNorm2d(in_channels), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
        chain.append(nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False))
        in_channels = out_channels
    return chain


def _projection(in_channels: int, convolutions: Sequence[Convolution]) -> nn.Conv2d | None:
    """Return the 1x1 convolution that gives the input the output's shape, or None where it has it."""
    stride, out_channels = max(convolution.stride for convolution in convolutions), convolutions[-1].out_channels
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
