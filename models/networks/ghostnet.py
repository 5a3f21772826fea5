"""GhostNet: half of a layer's maps are convolved, the other half are cheap depthwise copies of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.base import Network, initialize, pool_to_vector

# A row is a bottleneck (kernel, expansion, out, squeeze-and-excitation); each stage but the first opens with stride 2.
_STAGES = (
    ((3, 16, 16, False),),
    ((3, 48, 24, False), (3, 72, 24, False)),
    ((5, 72, 40, True), (5, 120, 40, True)),
    (
        (3, 240, 80, False),
        (3, 200, 80, False),
        (3, 184, 80, False),
        (3, 184, 80, False),
        (3, 480, 112, True),
        (3, 672, 112, True),
    ),
    ((5, 672, 160, True), (5, 960, 160, False), (5, 960, 160, True), (5, 960, 160, False), (5, 960, 160, True)),
)


class _GhostModule(nn.Module):
    """[B, in, H, W] -> [B, out, H, W]: the first half by 1x1 convolution, the second from the first, depthwise."""

    def __init__(self, in_channels: int, out_channels: int, *, relu: bool) -> None:
        super().__init__()
        half = -(-out_channels // 2)
        self.out_channels = out_channels
        self.primary = nn.Sequential(*_conv_norm(in_channels, half, 1), *([nn.ReLU(inplace=True)] if relu else []))
        self.cheap = nn.Sequential(*_conv_norm(half, half, 3, groups=half), *([nn.ReLU(inplace=True)] if relu else []))

    def forward(self, x: Tensor) -> Tensor:
        x = self.primary(x)
        return torch.cat([x, self.cheap(x)], dim=1)[:, : self.out_channels]


class _SqueezeExcite(nn.Module):
    """Scales each channel by a number in [0, 1] that depends on all channels' averages."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gate = pool_to_vector(nn.Linear(channels, channels // 4), nn.ReLU(), nn.Linear(channels // 4, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x).clamp(0, 1)[:, :, None, None]


class _Bottleneck(nn.Module):
    def __init__(
        self, in_channels: int, hidden: int, out_channels: int, kernel: int, stride: int, excite: bool
    ) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _GhostModule(in_channels, hidden, relu=True),
            *(_conv_norm(hidden, hidden, kernel, stride, groups=hidden) if stride > 1 else []),
            *([_SqueezeExcite(hidden)] if excite else []),
            _GhostModule(hidden, out_channels, relu=False),
        )
        self.shortcut = nn.Sequential()
        if stride > 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                *_conv_norm(in_channels, in_channels, kernel, stride, groups=in_channels),
                *_conv_norm(in_channels, out_channels, 1),
            )

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.shortcut(x)


def _conv_norm(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(out_channels)


def _multiple_of_4(channels: float) -> int:
    """Round to a multiple of 4, never below 90 % of what was asked for."""
    rounded = max(4, int(channels + 2) // 4 * 4)
    return rounded + 4 if rounded < 0.9 * channels else rounded


def ghostnet(
    num_classes: int,
    in_channels: int = 3,
    *,
    dropout: float = 0.2,
    output_channels: int = 1280,
    width: float = 1.0,
) -> Network:
    """Build GhostNet.

    Args:
        num_classes: K.
        in_channels: channels of the image.
        dropout: probability before the last layer.
        output_channels: width of the features.
        width: multiplies the channels of all but the features.

    Shapes: image [B, in_channels, H, W], any size -> scores [B, K]; features [B, output_channels].
    Raises: ValueError if width is not positive.
    Source: Han et al. 2020, "GhostNet: More Features from Cheap Operations", arXiv:1911.11907, Table 1.
    Deviations: the features come from a linear layer and a batch normalisation without bias where the paper has a
    1x1 convolution; their width is free.
    """
    if width <= 0:
        raise ValueError(f"width must be > 0, got {width}")
    channels = _multiple_of_4(16 * width)
    layers: list[nn.Module] = [*_conv_norm(in_channels, channels, 3, stride=2), nn.ReLU(inplace=True)]
    stages = []
    for i, rows in enumerate(_STAGES):
        for j, (kernel, expansion, out, excite) in enumerate(rows):
            hidden, out = _multiple_of_4(expansion * width), _multiple_of_4(out * width)
            layers.append(_Bottleneck(channels, hidden, out, kernel, 2 if i and not j else 1, excite))
            channels = out
        stages.append(layers)
        layers = []
    last = _multiple_of_4(960 * width)
    stages[-1] += [*_conv_norm(channels, last, 1), nn.ReLU(inplace=True)]
    head = pool_to_vector(
        nn.Linear(last, output_channels, bias=False), nn.BatchNorm1d(output_channels), nn.ReLU(), nn.Dropout(dropout)
    )
    classifier = nn.Linear(output_channels, num_classes)
    network = Network((nn.Sequential(*stage) for stage in stages), head, classifier, output_channels)
    initialize(network)
    return network
