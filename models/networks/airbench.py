"""The network of the CIFAR-10 speed record: a whitening first layer, then three pairs of convolutions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.base import Network
from utils.types import ConfigError

Positive = Annotated[int, Meta(ge=1)]
NEGLIGIBLE = 5e-4
"""Added to the variance of patches, on normalised images: directions that hardly vary are noise, not to be enlarged."""


class Whitening(nn.Conv2d):
    """A convolution that makes the values of a patch uncorrelated, each with variance 1; and their negatives.

    Its filters are computed, not trained; its bias is trained.

    Args:
        in_channels: C.
        size: height and width of a patch, k.

    Shapes: image [B, C, H, W] -> [B, 2 C k k, H - k + 1, W - k + 1].
    """

    def __init__(self, in_channels: int, size: int) -> None:
        super().__init__(in_channels, 2 * in_channels * size**2, size)
        _fix(self, "weight")

    @torch.no_grad()
    def start_from(self, batches: Iterable[Tensor]) -> None:
        """Compute the filters. Shapes: each batch [B, C, H, W]. Raises: ConfigError for too few images."""
        length, images, patches = self.weight[0].numel(), 0, 0
        moments = torch.zeros(length, length, dtype=torch.float64)
        for batch in batches:
            columns = F.unfold(batch.double(), self.kernel_size).transpose(0, 1).flatten(1)  # [C k k, patches]
            moments += columns @ columns.T
            images, patches = images + len(batch), patches + columns.shape[1]
        if images < length:
            text = f"computes its first layer from patches of {length} values, for which {images} training images"
            raise ConfigError(f"architecture: {text} are too few: at least {length}")
        variances, directions = torch.linalg.eigh(moments / patches)  # ascending; a column is a direction
        filters = (directions / (variances + NEGLIGIBLE).sqrt()).T.flip(0)
        largest = filters.gather(1, filters.abs().argmax(dim=1, keepdim=True))
        filters = (filters * largest.sign()).view_as(self.weight[:length])  # whose sign is arbitrary else
        self.weight.copy_(torch.cat([filters, -filters]))


class Airbench(Network):
    """A `Network` that starts from training images."""

    start_images: ClassVar[int] = 5000

    def start_from(self, batches: Iterable[Tensor]) -> None:
        self.stages[0][0].start_from(batches)  # type: ignore[index]

    def new_classifier(self, num_classes: int) -> nn.Module:
        return nn.Linear(self.num_features, num_classes, bias=False)


def airbench(
    num_classes: int,
    in_channels: int = 3,
    *,
    widths: Sequence[Positive] = (64, 256, 256),
    patch: Positive = 2,
    scale: float = 1 / 9,
) -> Network:
    """Build airbench94's network.

    The filters of the first layer whiten patches of the training images, and are not trained. Where a run begins with
    weights from a file, they are those of the file.

    Args:
        num_classes: K.
        in_channels: channels of the image.
        widths: channels of the three pairs of convolutions. airbench94: 64, 256, 256; airbench96 has three in a row.
        patch: side of the patches that are whitened, px.
        scale: what the features are multiplied by, so that scores start small and their gradients are.

    Shapes: image [B, in_channels, H, W], 9 px or more -> scores [B, K]; features [B, widths[-1]].
    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", arXiv:2404.00498, sec. 3.1 and 3.2.
    Deviations: the filters of a convolution start with a mean norm of 1. A maximum over the whole map precedes the
        last layer, which at 32 px is the paper's over 3x3.
    Raises: ValueError without a width.
    """
    if not widths:
        raise ValueError("widths must hold a number for each pair of convolutions, got none")
    whitening = Whitening(in_channels, patch)
    channels, stages = whitening.out_channels, []
    for width in widths:
        pair = [_convolution(channels, width), nn.MaxPool2d(2), *_norm(width), _convolution(width, width)]
        stages.append(nn.Sequential(*(() if stages else (whitening, nn.GELU())), *pair, *_norm(width)))
        channels = width
    head = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(1), _Scale(scale))
    classifier = nn.Linear(channels, num_classes, bias=False)
    least = patch - 1 + 2 ** len(stages)
    return Airbench(stages, head, classifier, channels, min_size=(least, least), image_size=32)


class _Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


def _convolution(in_channels: int, out_channels: int) -> nn.Conv2d:
    """Return a 3x3 convolution whose first filters hand their channel on."""
    layer = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
    with torch.no_grad():
        nn.init.dirac_(layer.weight[:in_channels])
        layer.weight *= math.sqrt(out_channels) / layer.weight.norm()
    return layer


def _norm(channels: int) -> Sequence[nn.Module]:
    """Return a batch normalisation that trains no scale, and its activation."""
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=0.4)
    _fix(norm, "weight")
    return norm, nn.GELU()


def _fix(module: nn.Module, name: str) -> None:
    """Turn a parameter into a buffer, which is saved but not trained."""
    tensor = getattr(module, name).detach()
    delattr(module, name)
    module.register_buffer(name, tensor)
