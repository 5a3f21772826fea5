"""Wide residual networks: fewer layers, more channels."""

from __future__ import annotations

from collections.abc import Sequence

from models.networks.base import Network
from models.networks.residual import Convolution, basic, residual_network


def wrn28_10(num_classes: int, in_channels: int = 3, *, dropout: float = 0.0, block_dropout: float = 0.0) -> Network:
    """Build WRN-28-10: three stages of four pre-activated blocks, ten times as wide as ResNet's.

    Args:
        num_classes: K.
        in_channels: channels of the image.
        dropout: probability before the last layer.
        block_dropout: probability between the two convolutions of a block. Paper: 0, and 0.3 in its last tables.

    Shapes: image [B, in_channels, H, W], any size -> scores [B, K]; features [B, 640].
    Source: Zagoruyko and Komodakis 2016, "Wide Residual Networks", arXiv:1605.07146, Table 1.
    Deviations: none.
    """

    def block(stage: int, stride: int) -> Sequence[Convolution]:
        return basic(160 * 2**stage, stride)

    return residual_network(
        num_classes,
        in_channels,
        Convolution(16, 3),
        (4, 4, 4),
        block,
        pre_activation=True,
        dropout=dropout,
        block_dropout=block_dropout,
    )
