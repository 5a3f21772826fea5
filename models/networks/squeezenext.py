"""SqueezeNext-23: bottlenecks whose 3x3 convolution is a 1x3 and a 3x1."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from models.networks.base import Network, initialize, pool_to_vector

_MIN_SIZE = (9, 9)  # px


class _Block(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        reduction = 1 if stride == 2 else 0.25 if in_channels > out_channels else 0.5
        wide, narrow = int(in_channels * reduction), int(in_channels * reduction * 0.5)
        self.body = nn.Sequential(
            *_conv_norm_relu(in_channels, wide, 1, stride=stride),
            *_conv_norm_relu(wide, narrow, 1),
            *_conv_norm_relu(narrow, wide, (1, 3), padding=(0, 1)),
            *_conv_norm_relu(wide, wide, (3, 1), padding=(1, 0)),
            *_conv_norm_relu(wide, out_channels, 1),
        )
        self.shortcut = nn.Sequential()
        if stride == 2 or in_channels != out_channels:
            self.shortcut = nn.Sequential(*_conv_norm_relu(in_channels, out_channels, 1, stride=stride))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def _conv_norm_relu(
    in_channels: int,
    out_channels: int,
    kernel: int | tuple[int, int],
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
) -> tuple[nn.Conv2d, nn.BatchNorm2d, nn.ReLU]:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding)
    return conv, nn.BatchNorm2d(out_channels), nn.ReLU()


def _squeezenext(num_classes: int, in_channels: int, width: float, blocks: tuple[int, ...]) -> Network:
    channels = int(64 * width)
    stages: list[list[nn.Module]] = [[*_conv_norm_relu(in_channels, channels, 7, stride=2)]]
    stage: list[nn.Module] = [nn.MaxPool2d(2)]
    for base, stride, count in zip((32, 64, 128, 256), (1, 2, 2, 2), blocks, strict=True):
        out = int(base * width)
        for i in range(count):
            stage.append(_Block(channels, out, 1 if i else stride))
            channels = out
        stages.append(stage)
        stage = []
    features = int(128 * width)
    stages[-1] += _conv_norm_relu(channels, features, 1)
    classifier = nn.Linear(features, num_classes)
    stack = (nn.Sequential(*stage) for stage in stages)
    network = Network(stack, pool_to_vector(), classifier, features, min_size=_MIN_SIZE)
    initialize(network)
    return network


def squeezenext23_1_0(num_classes: int, in_channels: int = 3) -> Network:
    """Build SqueezeNext-23, width 1.

    Args:
        num_classes: K.
        in_channels: channels of the image.

    Shapes: image [B, in_channels, H, W], at least 9 px -> scores [B, K]; features [B, 128 * width].
    Source: Gholami et al. 2018, "SqueezeNext: Hardware-Aware Neural Network Design", arXiv:1803.10615.
    Deviations: convolutions have biases; a global average instead of a fixed 4x4 one, so that any size works.
    """
    return _squeezenext(num_classes, in_channels, 1.0, (6, 6, 8, 1))


def squeezenext23_1_0v5(num_classes: int, in_channels: int = 3) -> Network:
    """Build SqueezeNext-23v5, width 1: blocks moved from the early stages to the third; see `squeezenext23_1_0`."""
    return _squeezenext(num_classes, in_channels, 1.0, (2, 4, 14, 1))


def squeezenext23_2_0(num_classes: int, in_channels: int = 3) -> Network:
    """Build SqueezeNext-23, width 2; see `squeezenext23_1_0`."""
    return _squeezenext(num_classes, in_channels, 2.0, (6, 6, 8, 1))


def squeezenext23_2_0v5(num_classes: int, in_channels: int = 3) -> Network:
    """Build SqueezeNext-23v5, width 2; see `squeezenext23_1_0v5`."""
    return _squeezenext(num_classes, in_channels, 2.0, (2, 4, 14, 1))
