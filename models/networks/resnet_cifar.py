"""ResNets for images of 32 px: the thin ones of 6n + 2 or 9n + 2 layers, and ImageNet's with a small stem."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from models.networks.base import Network
from models.networks.residual import Convolution, basic, bottleneck, residual_network


def _resnet(
    width: int,
    depths: Sequence[int],
    is_bottleneck: bool,
    num_classes: int,
    in_channels: int = 3,
    *,
    dropout: float = 0.0,
    pre_activation: bool = False,
) -> Network:
    """Build a ResNet with a 3x3 first layer of stride 1 and no pooling after it.

    Args:
        width: channels of the first stage, doubled in each later one; bottlenecks give out four times as many.
        depths: blocks of each stage.
        is_bottleneck: blocks of 1x1, 3x3, 1x1 convolutions instead of two 3x3.
        num_classes: K.
        in_channels: channels of the image.
        dropout: probability before the last layer.
        pre_activation: normalise and activate before the convolutions (He 2016b) instead of after them.

    Shapes: image [B, in_channels, H, W], any size -> scores [B, K].
    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", arXiv:1512.03385, sec. 4.2 (depth 20 to 164)
        and Table 1 (`_cifar`); pre-activation: He et al. 2016, "Identity Mappings in Deep Residual Networks",
        arXiv:1603.05027.
    Deviations: shortcuts whose shape changes are 1x1 convolutions where sec. 4.2 pads with zeros. The `_cifar` forms
        have the small first layer that is customary for 32 px. A bottleneck's stride is in its 3x3 convolution, as in
        torchvision.
    """

    def block(stage: int, stride: int) -> Sequence[Convolution]:
        inner = width * 2**stage
        return bottleneck(inner, stride, 4 * inner) if is_bottleneck else basic(inner, stride)

    stem = Convolution(width, 3)
    return residual_network(
        num_classes, in_channels, stem, depths, block, pre_activation=pre_activation, dropout=dropout
    )


resnet20_basic = partial(_resnet, 16, 3 * (3,), False)
resnet32_basic = partial(_resnet, 16, 3 * (5,), False)
resnet44_basic = partial(_resnet, 16, 3 * (7,), False)
resnet56_basic = partial(_resnet, 16, 3 * (9,), False)
resnet74_basic = partial(_resnet, 16, 3 * (12,), False)
resnet110_basic = partial(_resnet, 16, 3 * (18,), False)
resnet164_basic = partial(_resnet, 16, 3 * (27,), False)

resnet20_bottleneck = partial(_resnet, 16, 3 * (2,), True)
resnet29_bottleneck = partial(_resnet, 16, 3 * (3,), True)
resnet56_bottleneck = partial(_resnet, 16, 3 * (6,), True)
resnet74_bottleneck = partial(_resnet, 16, 3 * (8,), True)
resnet110_bottleneck = partial(_resnet, 16, 3 * (12,), True)
resnet164_bottleneck = partial(_resnet, 16, 3 * (18,), True)

resnet18_cifar = partial(_resnet, 64, (2, 2, 2, 2), False)
resnet34_cifar = partial(_resnet, 64, (3, 4, 6, 3), False)
resnet50_cifar = partial(_resnet, 64, (3, 4, 6, 3), True)
resnet101_cifar = partial(_resnet, 64, (3, 4, 23, 3), True)
