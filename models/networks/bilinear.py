"""B-CNN: bilinear pooling of a body's last feature map."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from models.networks.bodies import (
    BodiedNetwork,
    Body,
    build_body,
    deepest_with_weights,
    freeze_unused,
    measure_maps,
)

EPSILON = 1e-10
"""Added under the square root, as in the code read, for a finite gradient at 0."""


class BilinearPooling(nn.Module):
    """Mean outer product of a map's vectors with themselves, its signed square root, scaled to length 1.

    Shapes: [B, C, H, W] -> [B, C * C].
    """

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)  # [B, C, H * W]
        product = flat @ flat.mT / flat.shape[-1]
        rooted = product.sign() * (product.abs() + EPSILON).sqrt()
        return F.normalize(rooted.flatten(1))


def bcnn(
    num_classes: int,
    in_channels: int = 3,
    *,
    body: str = "torchvision/vgg16",
    body_params: dict[str, Any] | None = None,
    stage: int | None = None,
    pretrained: bool | str = False,
    weights_path: str | None = None,
) -> BodiedNetwork:
    """Build B-CNN with both of its streams shared: a linear layer over the outer product of a map with itself.

    Args:
        num_classes: K.
        in_channels: channels of the image.
        body: any architecture with feature maps.
        body_params: to its constructor.
        stage: position of the map among the body's own; None for the deepest that has weights, of VGG-16 relu5_3.

    Shapes: image [B, in_channels, H, W] -> scores [B, K]; features [B, C * C] of a map of C channels.
    Raises: ConfigError for a body without feature maps.
    Source: Lin et al. 2015, "Bilinear CNN Models for Fine-grained Visual Recognition", ICCV, arXiv:1504.07889.
    Deviations: none known with VGG-16; the first step of its training, the last layer alone, is a setting of the run.
    """
    net = build_body(body, body_params, in_channels, pretrained, weights_path)
    *maps, _ = measure_maps(body, net, in_channels)
    position = deepest_with_weights(net) if stage is None else stage
    if not -len(maps) <= position < len(maps):
        raise ValueError(f"stage must be {-len(maps)} to {len(maps) - 1} for {body}, got {stage}")
    channels = maps[position][0]
    last = nn.Linear(channels**2, num_classes)
    network = BodiedNetwork([Body(net, [position])], BilinearPooling(), last, channels**2, **_sizes(net))
    freeze_unused(network, in_channels)
    return network


def _sizes(net: Any) -> dict[str, Any]:
    return {"min_size": getattr(net, "min_size", (1, 1)), "image_size": net.image_size}
