"""LPRNet: reads a line of characters, a score for each class at each step from left to right, without recurrence."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.base import Network, initialize

_MIN_SIZE = (21, 25)  # px, height and width that leave the last map one pixel
_MADE_FOR = (24, 94)
_CONTEXT_POOLS = ((5, 5), (5, 5), ((4, 10), (4, 2)))  # kernel, stride: all but the last of the four maps


class LPRNet(Network):
    """Scores of each step, for texts."""

    kind = "sequence"


class _Pool(nn.Module):
    """3x3 max pooling, which halves the width alone, of every `keep`-th channel."""

    def __init__(self, keep: int) -> None:
        super().__init__()
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x[:, :: self.keep], 3, stride=(1, 2))


class _Stage(nn.Sequential):
    """The maps of the stages before -> those and its own."""

    def forward(self, maps: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return *maps, super().forward(maps[-1])


class _FirstStage(nn.Sequential):
    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (super().forward(x),)


class _LastStage(nn.Sequential):
    """The maps of the stages before -> those and its own, pooled to its own size, each scaled, then concatenated."""

    def forward(self, maps: tuple[Tensor, ...]) -> Tensor:
        last = super().forward(maps[-1])
        pooled = [F.avg_pool2d(x, *pool) for x, pool in zip(maps, _CONTEXT_POOLS, strict=True)]
        pooled = [F.adaptive_avg_pool2d(x, last.shape[-2:]) for x in pooled]
        return torch.cat([_scaled(x) for x in (*pooled, last)], dim=1)


def _scaled(x: Tensor) -> Tensor:
    """Divide each image's map by the mean of its squares."""
    return x / x.square().mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)


class _Head(nn.Module):
    """The mean over the height: [B, F, H, T] -> [B, T, F]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=2).transpose(1, 2)


def _block(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    hidden = out_channels // 4
    return (
        *(nn.Conv2d(in_channels, hidden, 1), nn.ReLU()),
        *(nn.Conv2d(hidden, hidden, (3, 1), padding=(1, 0)), nn.ReLU()),
        *(nn.Conv2d(hidden, hidden, (1, 3), padding=(0, 1)), nn.ReLU()),
        *_norm_relu(nn.Conv2d(hidden, out_channels, 1)),
    )


def _norm_relu(conv: nn.Conv2d) -> tuple[nn.Module, ...]:
    return conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU()


def lprnet(
    num_classes: int,
    in_channels: int = 3,
    *,
    dropout: float = 0.5,
    base_channels: int = 64,
    multipliers: tuple[int, int, int] = (2, 4, 4),
) -> LPRNet:
    """Build LPRNet.

    Args:
        num_classes: K, the blank included.
        in_channels: channels of the image.
        dropout: probability before each of the two convolutions behind the blocks.
        base_channels: channels of the first convolution.
        multipliers: of `base_channels`, give the channels of the three blocks, each a multiple of 4.

    Shapes: image [B, in_channels, H, W], at least 21 px high and 25 px wide -> scores [B, T, K]; features [B, T, F],
    F = base_channels * (1 + multipliers[0] + multipliers[2]) + K. 24 x 94 px give T = 18 steps.
    Raises: ValueError for channels of blocks that are no multiples of 4.
    Source: Zherzdev and Gruzdev 2018, "LPRNet: License Plate Recognition via Deep Neural Networks", arXiv:1806.10447,
    in the layout of its public port to PyTorch, whose sizes are the known ones.
    Deviations: a map is divided by the mean square of its own image, and by 1e-6 at least; the port's mean runs over
    the batch, so that a plate's scores depend on its neighbours'. Its fixed pools of the earlier maps are followed by
    an adaptive one, which changes nothing at 24 x 94 px. The mean over the height precedes the last 1x1 convolution,
    which is then a linear layer: both are linear. The channels of the convolution behind the blocks, 256 there, are
    the last block's. Convolutions start as in our other networks.
    """
    widths = [base_channels * multiplier for multiplier in multipliers]
    if len(widths) != 3 or any(channels < 4 or channels % 4 for channels in widths):
        raise ValueError(f"base_channels times three multipliers must give multiples of 4, >= 4 each, got {widths}")
    first, second, third = widths
    stages = [
        _FirstStage(*_norm_relu(nn.Conv2d(in_channels, base_channels, 3))),
        _Stage(nn.MaxPool2d(3, stride=1), *_block(base_channels, first)),
        _Stage(_Pool(2), *_block(first // 2, second), *_block(second, third)),
        _LastStage(
            _Pool(4),
            nn.Dropout(dropout),
            *_norm_relu(nn.Conv2d(third // 4, third, (1, 4))),
            nn.Dropout(dropout),
            *_norm_relu(nn.Conv2d(third, num_classes, (13, 1))),
        ),
    ]
    features = base_channels + first + third + num_classes
    network = LPRNet(
        stages, _Head(), nn.Linear(features, num_classes), features, _newest, min_size=_MIN_SIZE, image_size=_MADE_FOR
    )
    initialize(network)
    return network


def _newest(output: Tensor | tuple[Tensor, ...]) -> Tensor:
    return output if isinstance(output, Tensor) else output[-1]


def lprnet_small(
    num_classes: int,
    in_channels: int = 3,
    *,
    dropout: float = 0.5,
    base_channels: int = 16,
    multipliers: tuple[int, int, int] = (1, 2, 2),
) -> LPRNet:
    """Build the scaled-down LPRNet: a quarter of the channels, which grow half as fast; see `lprnet`.

    Deviations: its source says no more than that. The other reading, channels that grow as fast as before, is
    `multipliers` of 2, 4, 4.
    """
    return lprnet(num_classes, in_channels, dropout=dropout, base_channels=base_channels, multipliers=multipliers)
