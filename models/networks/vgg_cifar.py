"""VGG for images of 32 px: the convolutions of the paper, then one linear layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from torch import nn

from models.networks.base import Network, initialize, pool_to_vector

_CHANNELS = (64, 128, 256, 512, 512)


def _vgg(
    depths: Sequence[int],
    batch_norm: bool,
    num_classes: int,
    in_channels: int = 3,
    *,
    dropout: float = 0.0,
) -> Network:
    """Build VGG with a single linear layer.

    Args:
        depths: 3x3 convolutions of each stage; 2x2 max pooling ends a stage.
        batch_norm: normalise after each convolution.
        num_classes: K.
        in_channels: channels of the image.
        dropout: probability before the last layer.

    Shapes: image [B, in_channels, H, W], 32 px or more -> scores [B, K]; features [B, 512].
    Source: Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
        arXiv:1409.1556, Table 1, columns D and E.
    Deviations: batch normalisation, and one linear layer instead of three, as is customary for 32 px.
    """
    channels, stages = in_channels, []
    for width, depth in zip(_CHANNELS, depths, strict=True):
        layers: list[nn.Module] = []
        for _ in range(depth):
            layers += [nn.Conv2d(channels, width, 3, padding=1), *([nn.BatchNorm2d(width)] if batch_norm else [])]
            layers.append(nn.ReLU())
            channels = width
        stages.append(nn.Sequential(*layers, nn.MaxPool2d(2)))
    head = pool_to_vector(nn.Dropout(dropout))
    network = Network(stages, head, nn.Linear(channels, num_classes), channels, min_size=(32, 32), image_size=32)
    initialize(network)
    return network


vgg16_cifar = partial(_vgg, (2, 2, 3, 3, 3), False)
vgg16_bn_cifar = partial(_vgg, (2, 2, 3, 3, 3), True)
vgg19_cifar = partial(_vgg, (2, 2, 4, 4, 4), False)
vgg19_bn_cifar = partial(_vgg, (2, 2, 4, 4, 4), True)
