"""DFL-CNN: filters that each answer to one patch of a class, beside the whole image."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from losses.several_heads import Head
from models.networks.bodies import (
    BodiedNetwork,
    Body,
    ScoresOfHeads,
    build_body,
    choose_heads,
    deepest_with_weights,
    freeze_unused,
    measure_maps,
)

HEADS = (Head("whole"), Head("patches"), Head("side", 0.1))


class _Streams(nn.Module):
    """What the heads read: the scores of the whole image, and each filter's strongest answer.

    Shapes: final map [B, D, h, w] and the one for patches [B, C, H, W] -> [B, K + k K].
    """

    def __init__(self, final: int, channels: int, num_classes: int, filters: int) -> None:
        super().__init__()
        first = nn.Conv2d(final, num_classes, 1)
        self.whole = nn.Sequential(first, nn.BatchNorm2d(num_classes), nn.ReLU())
        self.filters = nn.Conv2d(channels, filters * num_classes, 1)
        for layer in (first, self.filters):
            nn.init.xavier_uniform_(layer.weight)
            layer.bias = nn.Parameter(torch.zeros(layer.out_channels))

    def forward(self, maps: tuple[Tensor, Tensor]) -> Tensor:
        final, for_patches = maps
        return torch.cat([self.whole(final).mean((2, 3)), self.filters(for_patches).amax((2, 3))], dim=1)


class _Scores(ScoresOfHeads):
    """Shapes: whole scores and answers [B, K + k K] -> the three heads' [B, 3 K]; filter f is of class f // k."""

    def __init__(self, heads: tuple[Head, ...], num_classes: int, filters: int) -> None:
        super().__init__(heads, num_classes)
        self.patches = nn.Linear(filters * num_classes, num_classes)
        nn.init.xavier_uniform_(self.patches.weight)

    def all_scores(self, features: Tensor) -> Tensor:
        whole, answers = features.tensor_split([self.num_classes], dim=1)
        side = answers.unflatten(1, (self.num_classes, -1)).mean(2)
        return torch.cat([whole, self.patches(answers), side], dim=1)


class _DFLCNN(BodiedNetwork):
    filters_per_class: int
    map_channels: tuple[int, int]

    def new_classifier(self, num_classes: int) -> nn.Module:
        """Return fresh scores, for which the features are fresh too: they have a filter bank for each class."""
        device = next(self.head.parameters()).device
        self.head = _Streams(*self.map_channels, num_classes, self.filters_per_class).to(device)
        self.num_features = self.head_hidden_size = num_classes * (1 + self.filters_per_class)
        return _Scores(self.heads, num_classes, self.filters_per_class)


def dfl_cnn(
    num_classes: int,
    in_channels: int = 3,
    *,
    body: str = "torchvision/vgg16_bn",
    body_params: dict[str, Any] | None = None,
    filters: int = 10,
    stage: int | None = None,
    replaced: list[str] | None = None,
    pretrained: bool | str = False,
    weights_path: str | None = None,
) -> BodiedNetwork:
    """Build DFL-CNN: three heads, of the whole image, of the strongest patches and of each class's own filters.

    It predicts by whole + patches + 0.1 side, the weights of their losses too.

    Args:
        num_classes: K.
        in_channels: channels of the image.
        body: any architecture with feature maps.
        body_params: to its constructor.
        filters: k, filters of each class.
        stage: position of the map for patches among the body's own; None for the one before the deepest that has
            weights, of VGG-16 relu4_3 and of ResNet-50 conv4_x.
        replaced: heads that the run's loss trains, of whole, patches and side; null for all. The others keep cross
            entropy.

    Shapes: image [B, in_channels, H, W] -> scores [B, K], in training [B, 3 K]; features [B, K + k K].
    Raises: ConfigError for a body without feature maps; ValueError for heads that are not there.
    Source: Wang et al. 2018, "Learning a Discriminative Filter Bank within a CNN for Fine-grained Recognition", CVPR,
        arXiv:1611.09932.
    Deviations: filters start at random (Xavier), not from clusters of each class's strongest vectors.
    """
    heads = choose_heads(HEADS, replaced)
    if filters < 1:
        raise ValueError(f"filters must be >= 1, got {filters}")
    net = build_body(body, body_params, in_channels, pretrained, weights_path)
    *maps, (final, _) = measure_maps(body, net, in_channels)
    position = deepest_with_weights(net) - 1 if stage is None else stage
    if not -len(maps) <= position < len(maps):
        raise ValueError(f"stage must be {-len(maps)} to {len(maps) - 1} for {body}, got {position}")
    network = _DFLCNN(
        [Body(net, [position], final=True)],
        _Streams(final, maps[position][0], num_classes, filters),
        _Scores(heads, num_classes, filters),
        num_classes * (1 + filters),
        min_size=getattr(net, "min_size", (1, 1)),
        image_size=net.image_size,
    )
    network.heads, network.filters_per_class = heads, filters
    network.map_channels = final, maps[position][0]
    freeze_unused(network, in_channels)
    return network
