"""The small network on which the negative log likelihood ratio was first tried."""

from __future__ import annotations

from torch import nn

from models.networks.base import Network, initialize

_WIDTHS, _FEATURES, _MAP = (32, 64), 512, 6


def nllr_net(num_classes: int, in_channels: int = 3, *, dropout: float = 0.5, conv_dropout: float = 0.25) -> Network:
    """Build the network of four convolutions and two linear layers, with max pooling and dropout.

    Args:
        num_classes: K.
        in_channels: channels of the image.
        dropout: probability before the last layer.
        conv_dropout: probability after each max pooling.

    Shapes: image [B, in_channels, H, W], 10 px or more -> scores [B, K]; features [B, 512].
    Source: Zhu et al. 2018, "Negative Log Likelihood Ratio Loss for Deep Neural Network Classification",
        arXiv:1804.10690; CRL paper (arXiv:1907.13349), Table II.
    Deviations: the sources name the kinds of layers and not their sizes. These are the ones of Keras's example for
        CIFAR-10, which is of this form: 3x3 convolutions of 32, 32, 64 and 64 channels, the second of each pair
        without padding, and 512 features; 1,250,858 parameters at 10 classes. Maps of other sizes than 6x6, which
        images of 32 px give, are averaged to it.
    """
    channels, stages = in_channels, []
    for width in _WIDTHS:
        stages.append(
            nn.Sequential(
                nn.Conv2d(channels, width, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(width, width, 3),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Dropout(conv_dropout),
            )
        )
        channels = width
    head = nn.Sequential(
        nn.AdaptiveAvgPool2d(_MAP),
        nn.Flatten(1),
        nn.Linear(channels * _MAP**2, _FEATURES),
        nn.ReLU(),
        nn.Dropout(dropout),
    )
    network = Network(stages, head, nn.Linear(_FEATURES, num_classes), _FEATURES, min_size=(10, 10), image_size=32)
    initialize(network)
    return network
