"""HarDNet: dense blocks that keep only the links at powers of two, for the sake of memory traffic."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.base import Network, initialize, pool_to_vector


class _Plan(NamedTuple):
    stem: tuple[int, int]
    widths: tuple[int, ...]
    growth: tuple[int, ...]
    layers: tuple[int, ...]
    halve: tuple[bool, ...]
    multiplier: float
    dropout_before_last: float = 0.0


_PLAN_39 = _Plan((24, 48), (96, 320, 640, 1024), (16, 20, 64, 160), (4, 16, 8, 4), (True, True, True, False), 1.6)
_PLAN_68 = _Plan(
    (32, 64),
    (128, 256, 320, 640, 1024),
    (14, 16, 20, 40, 160),
    (8, 16, 16, 16, 4),
    (True, False, True, True, False),
    1.7,
)
_PLAN_85 = _Plan(
    (48, 96),
    (192, 256, 320, 480, 720, 1280),
    (24, 24, 28, 36, 48, 256),
    (8, 16, 16, 16, 16, 4),
    (True, False, True, False, True, False),
    1.7,
    0.1,
)


class _Halve(nn.Module):
    """2x2 max pooling that leaves a map of one pixel as it is, so that small images pass."""

    def forward(self, x: Tensor) -> Tensor:
        return x if min(x.shape[-2:]) < 2 else F.max_pool2d(x, 2)


class _HarmonicBlock(nn.Module):
    """Layer l sees layers l - 2^i for every 2^i that divides l; the odd layers and the last are the output."""

    def __init__(self, in_channels: int, growth: int, multiplier: float, num_layers: int, separable: bool) -> None:
        super().__init__()
        widths = [in_channels]
        self.links: list[list[int]] = []
        self.layers = nn.ModuleList()
        for layer in range(1, num_layers + 1):
            links = [layer - 2**i for i in range(layer.bit_length()) if layer % 2**i == 0]
            width = int(growth * multiplier ** (len(links) - 1) + 1) // 2 * 2
            seen = sum(widths[link] for link in links)
            self.layers.append(_separable(seen, width) if separable else _conv(seen, width, 3))
            self.links.append(links)
            widths.append(width)
        self.kept = [layer for layer in range(1, num_layers + 1) if layer % 2 or layer == num_layers]
        self.out_channels = sum(widths[layer] for layer in self.kept)

    def forward(self, x: Tensor) -> Tensor:
        outputs = [x]
        for layer, links in zip(self.layers, self.links, strict=True):
            outputs.append(layer(torch.cat([outputs[link] for link in links], dim=1)))
        return torch.cat([outputs[layer] for layer in self.kept], dim=1)


def _conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU6())


def _depthwise(channels: int, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(channels))


def _separable(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(_conv(in_channels, out_channels, 1), _depthwise(out_channels))


def _hardnet(plan: _Plan, num_classes: int, in_channels: int, dropout: float, separable: bool) -> Network:
    first, channels = plan.stem
    stages: list[list[nn.Module]] = [
        [_conv(in_channels, first, 3, stride=2), _conv(first, channels, 1 if separable else 3)]
    ]
    stages.append([_depthwise(channels, stride=2) if separable else nn.MaxPool2d(3, stride=2, padding=1)])
    last = len(plan.widths) - 1
    for i, (width, growth, num_layers) in enumerate(zip(plan.widths, plan.growth, plan.layers, strict=True)):
        block = _HarmonicBlock(channels, growth, plan.multiplier, num_layers, separable)
        stages[-1].append(block)
        if i == last and plan.dropout_before_last:
            stages[-1].append(nn.Dropout(plan.dropout_before_last))
        stages[-1].append(_conv(block.out_channels, width, 1))
        channels = width
        if plan.halve[i]:
            stages.append([_depthwise(channels, stride=2) if separable else _Halve()])
    classifier = nn.Linear(channels, num_classes)
    head = pool_to_vector(nn.Dropout(dropout))
    network = Network((nn.Sequential(*stage) for stage in stages), head, classifier, channels)
    initialize(network)
    return network


def hardnet39(num_classes: int, in_channels: int = 3, *, dropout: float = 0.1) -> Network:
    """Build HarDNet-39.

    Args:
        num_classes: K.
        in_channels: channels of the image.
        dropout: probability before the last layer.

    Shapes: image [B, in_channels, H, W], any size -> scores [B, K]; features [B, 1024], of HarDNet-85 [B, 1280].
    Source: Chao et al. 2019, "HarDNet: A Low Memory Traffic Network", arXiv:1909.00948.
    Deviations: maps of one pixel are not pooled further. The paper has no plain HarDNet-39: this is the separable
    one's plan with full convolutions, and HarDNet-68's dropout.
    """
    return _hardnet(_PLAN_39, num_classes, in_channels, dropout, separable=False)


def hardnet39ds(num_classes: int, in_channels: int = 3, *, dropout: float = 0.05) -> Network:
    """Build HarDNet-39DS, of depthwise separable convolutions; see `hardnet39`."""
    return _hardnet(_PLAN_39, num_classes, in_channels, dropout, separable=True)


def hardnet68(num_classes: int, in_channels: int = 3, *, dropout: float = 0.1) -> Network:
    """Build HarDNet-68; see `hardnet39`."""
    return _hardnet(_PLAN_68, num_classes, in_channels, dropout, separable=False)


def hardnet68ds(num_classes: int, in_channels: int = 3, *, dropout: float = 0.05) -> Network:
    """Build HarDNet-68DS, of depthwise separable convolutions; see `hardnet39`."""
    return _hardnet(_PLAN_68, num_classes, in_channels, dropout, separable=True)


def hardnet85(num_classes: int, in_channels: int = 3, *, dropout: float = 0.2) -> Network:
    """Build HarDNet-85, with a dropout of 0.1 before the last 1x1 convolution too; see `hardnet39`."""
    return _hardnet(_PLAN_85, num_classes, in_channels, dropout, separable=False)


def hardnet85ds(num_classes: int, in_channels: int = 3, *, dropout: float = 0.05) -> Network:
    """Build HarDNet-85DS, of depthwise separable convolutions; see `hardnet85`."""
    return _hardnet(_PLAN_85, num_classes, in_channels, dropout, separable=True)
