"""ResNeXt-29 for images of 32 px: bottlenecks whose 3x3 convolution is split into groups."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from models.networks.base import Network
from models.networks.residual import Convolution, bottleneck, residual_network


def _resnext29(
    groups: int, group_width: int, num_classes: int, in_channels: int = 3, *, dropout: float = 0.0
) -> Network:
    """Build ResNeXt-29 of three stages of three blocks.

    Args:
        groups: of the 3x3 convolutions (cardinality).
        group_width: channels of a group in the first stage, doubled in each later one; blocks give out twice as many.
        num_classes: K.
        in_channels: channels of the image.
        dropout: probability before the last layer.

    Shapes: image [B, in_channels, H, W], any size -> scores [B, K]; features [B, 8 groups group_width].
    Source: Xie et al. 2017, "Aggregated Residual Transformations for Deep Neural Networks", arXiv:1611.05431, sec. 5.2.
    Deviations: the first layer is a 1x1 convolution and blocks give out twice their width, as in the public
        implementation that OLS's log of parameters (9,221,028 at 100 classes) agrees with; the paper has a 3x3 first
        layer and four times the width of one group of 64.
    """

    def block(stage: int, stride: int) -> Sequence[Convolution]:
        inner = groups * group_width * 2**stage
        return bottleneck(inner, stride, 2 * inner, groups)

    return residual_network(num_classes, in_channels, Convolution(64, 1), (3, 3, 3), block, dropout=dropout)


resnext29_2x64d = partial(_resnext29, 2, 64)
resnext29_32x4d = partial(_resnext29, 32, 4)
