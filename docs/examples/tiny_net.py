"""A network of two convolutions, for small images."""

from torch import nn

from models.networks.base import Network


def tiny_net(num_classes: int, in_channels: int = 3, *, width: int = 16) -> Network:
    """Build two convolutions, each with batch normalisation, and a linear layer on their mean.

    Args:
        num_classes: K.
        in_channels: channels of the image.
        width: channels of both convolutions.

    Shapes: image [B, in_channels, H, W] -> scores [B, K]; features [B, width].
    """
    stages = [
        nn.Sequential(nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        for channels in (in_channels, width)
    ]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(1))
    return Network(stages, head, nn.Linear(width, num_classes), width, image_size=16)
