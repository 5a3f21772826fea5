"""DenseNet-BC for images of 32 px: every layer sees all earlier ones of its stage."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.base import Network, initialize, pool_to_vector


class _DenseLayer(nn.Module):
    """[B, in, H, W] -> [B, in + growth, H, W]: the input and what a 1x1 and a 3x3 convolution make of it."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_norm_relu_conv(in_channels, 4 * growth, 1), *_norm_relu_conv(4 * growth, growth, 3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.body(x)], dim=1)


def _norm_relu_conv(in_channels: int, out_channels: int, kernel: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return nn.BatchNorm2d(in_channels), nn.ReLU(), conv


def densenet_bc_cifar(
    num_classes: int, in_channels: int = 3, *, dropout: float = 0.0, depth: int = 100, growth: int = 12
) -> Network:
    """Build DenseNet-BC of three stages.

    Args:
        num_classes: K.
        in_channels: channels of the image.
        dropout: probability before the last layer.
        depth: layers, 6n + 4. Paper: 100, 250 and 190.
        growth: channels that a layer adds. Paper: 12, 24 and 40 with these depths.

    Shapes: image [B, in_channels, H, W], 4 px or more -> scores [B, K]; features [B, 342] by default.
    Raises: ValueError if there is no such depth or growth.
    Source: Huang et al. 2017, "Densely Connected Convolutional Networks", arXiv:1608.06993, sec. 3 and 4.
    Deviations: no dropout within layers; the paper has 0.2 there where images are not augmented.
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"depth must be 6n + 4 with n >= 1, got {depth}")
    if growth < 1:
        raise ValueError(f"growth must be 1 or more, got {growth}")
    channels = 2 * growth
    layers: list[nn.Module] = [nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)]
    stages = []
    for i in range(3):
        if i:
            layers = [*_norm_relu_conv(channels, channels // 2, 1), nn.AvgPool2d(2)]
            channels //= 2
        for _ in range((depth - 4) // 6):
            layers.append(_DenseLayer(channels, growth))
            channels += growth
        stages.append(layers)
    stages[-1] += [nn.BatchNorm2d(channels), nn.ReLU()]
    head = pool_to_vector(nn.Dropout(dropout))
    network = Network(
        (nn.Sequential(*stage) for stage in stages),
        head,
        nn.Linear(channels, num_classes),
        channels,
        min_size=(4, 4),
        image_size=32,
    )
    initialize(network)
    return network
