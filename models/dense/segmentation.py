"""Segmentation networks: a body's maps, torchvision's heads without their last layer, and one layer for each pixel."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import ASPP

from models.dense.base import Body, DenseNetwork, Rows

IGNORED = 255


class SegmentationNetwork(DenseNetwork):
    """A class for each pixel of the head's map, enlarged to the image's size where it is read.

    Args:
        body: image -> maps.
        head: maps -> features [B, D, h, w].
        num_features: D.
        num_classes: K.
        enlarge: features are enlarged by this factor before they are scored. It trains at more places; since the last
            layer is linear, its scores are those that would else be enlarged.

    Training compares each place of the head's map with the pixel at its centre. Those that are ignored are no rows.
    """

    kind = "segmentation"
    unit = "pixels"

    def __init__(self, body: Body, head: nn.Module, num_features: int, num_classes: int, enlarge: int) -> None:
        super().__init__()
        self.body, self.head, self.enlarge = body, head, enlarge
        self.classifier = nn.Linear(num_features, num_classes)

    def forward_features(self, image: Tensor) -> list[Tensor]:
        return self.body(image)

    def forward_head(self, maps: list[Tensor], pre_logits: bool = False) -> Tensor:
        """Return features [B, h, w, D], or scores."""
        features = self.head(maps)
        if self.enlarge > 1:
            features = F.interpolate(features, scale_factor=float(self.enlarge), mode="bilinear", align_corners=False)
        features = features.permute(0, 2, 3, 1)
        return features if pre_logits else self.classifier(features)

    def rows(self, image: Tensor, target: Any = None, index: Tensor | None = None) -> Rows:
        features = self.forward_head(self.forward_features(image), pre_logits=True)
        context = features.shape[:3], image.shape[-2:]
        flat = features.flatten(0, 2)
        if target is None or not self.training:
            return Rows(flat, context=context)
        (height, width), (rows, columns) = image.shape[-2:], features.shape[1:3]
        down = ((torch.arange(rows, device=image.device) + 0.5) * height / rows).long()
        right = ((torch.arange(columns, device=image.device) + 0.5) * width / columns).long()
        labels, places = (target[name].flatten(0, 1)[:, down[:, None], right] for name in ("pixels", "places"))
        cells = places // width * rows // height * columns + places % width * columns // width  # as the map has them
        assert index is not None
        whose = torch.where(places < 0, -1, index[:, None, None] * rows * columns + cells).flatten()
        alone = -1 - torch.arange(len(whose), device=image.device)
        kept = labels.flatten() != IGNORED
        return Rows(flat[kept], labels.flatten()[kept].long(), torch.where(whose < 0, alone, whose)[kept])

    def judged(self, rows: Rows, scores: Tensor, target: Any) -> tuple[Tensor, Tensor]:
        labels = target["pixels"][:, 0]
        kept = labels != IGNORED
        return self._enlarged(rows, scores)[kept], labels[kept].long()

    def read(self, rows: Rows, scores: Tensor, loss: Any) -> Tensor:
        whole = self._enlarged(rows, scores)
        return loss.predict(whole.flatten(0, 2)).reshape(whole.shape[:3])

    def _enlarged(self, rows: Rows, scores: Tensor) -> Tensor:
        """Shapes: scores [B*h*w, K] -> [B, H, W, K]."""
        grid, size = rows.context
        maps = scores.unflatten(0, grid).permute(0, 3, 1, 2)
        return F.interpolate(maps, size, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)


class LRASPPHead(nn.Module):
    """The head of LR-ASPP but for its two last layers, whose inputs stand side by side: one layer reads both."""

    def __init__(self, low_channels: int, high_channels: int, inner_channels: int) -> None:
        super().__init__()
        self.cbr = nn.Sequential(
            nn.Conv2d(high_channels, inner_channels, 1, bias=False), nn.BatchNorm2d(inner_channels), nn.ReLU(True)
        )
        self.scale = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(high_channels, inner_channels, 1, bias=False), nn.Sigmoid()
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        low, high = maps
        x = F.interpolate(self.cbr(high) * self.scale(high), low.shape[-2:], mode="bilinear", align_corners=False)
        return torch.cat([low, x], dim=1)


class LastMap(nn.Module):
    """Args: head: reads the deepest map alone."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, maps: list[Tensor]) -> Tensor:
        return self.head(maps[-1])


def lraspp(
    num_classes: int,
    in_channels: int = 3,
    *,
    body: str = "mobilenetv3_large_100",
    pretrained: bool | str = False,
    inner_channels: int = 128,
    output_stride: int = 16,
    enlarge: int = 1,
) -> SegmentationNetwork:
    """LR-ASPP on any body of timm's: the deepest map, gated by its mean, beside the map of stride 8.

    Args:
        body: one of timm's networks.
        inner_channels: width of the deep branch.
        output_stride: of the deepest map.
        enlarge: see `SegmentationNetwork`.

    Source: Howard et al. 2019, "Searching for MobileNetV3", arXiv:1905.02244, sec. 6.4; parts as torchvision's.
    Deviations: the two last layers are one with one bias, which is the same function.
    """
    feet = Body(body, (8, 32), in_channels, pretrained, None if output_stride == 32 else output_stride)
    head = LRASPPHead(feet.channels[0], feet.channels[1], inner_channels)
    return SegmentationNetwork(feet, head, feet.channels[0] + inner_channels, num_classes, enlarge)


def fcn(
    num_classes: int,
    in_channels: int = 3,
    *,
    body: str = "resnet50",
    pretrained: bool | str = False,
    output_stride: int = 8,
    dropout: float = 0.1,
    enlarge: int = 1,
) -> SegmentationNetwork:
    """FCN as torchvision has it, on any body of timm's: a 3x3 convolution to a quarter of the channels.

    Args:
        body: one of timm's networks.
        output_stride: of the deepest map.
        dropout: probability before the last layer.
        enlarge: see `SegmentationNetwork`.

    Source: Long et al. 2015, "Fully Convolutional Networks for Semantic Segmentation", arXiv:1411.4038.
    Deviations: as torchvision's, without the auxiliary head.
    """
    feet = Body(body, (32,), in_channels, pretrained, None if output_stride == 32 else output_stride)
    inner = feet.channels[-1] // 4
    head = nn.Sequential(
        nn.Conv2d(feet.channels[-1], inner, 3, padding=1, bias=False),
        *(nn.BatchNorm2d(inner), nn.ReLU(), nn.Dropout(dropout)),
    )
    return SegmentationNetwork(feet, LastMap(head), inner, num_classes, enlarge)


def deeplabv3(
    num_classes: int,
    in_channels: int = 3,
    *,
    body: str = "resnet50",
    pretrained: bool | str = False,
    output_stride: int = 8,
    enlarge: int = 1,
) -> SegmentationNetwork:
    """DeepLabV3 as torchvision has it, on any body of timm's: atrous pyramid pooling, then a 3x3 convolution.

    Args:
        body: one of timm's networks.
        output_stride: of the deepest map.
        enlarge: see `SegmentationNetwork`.

    Source: Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation", arXiv:1706.05587.
    Deviations: as torchvision's, without the auxiliary head.
    """
    feet = Body(body, (32,), in_channels, pretrained, None if output_stride == 32 else output_stride)
    head = nn.Sequential(
        ASPP(feet.channels[-1], [12, 24, 36]),
        *(nn.Conv2d(256, 256, 3, padding=1, bias=False), nn.BatchNorm2d(256), nn.ReLU()),
    )
    return SegmentationNetwork(feet, LastMap(head), 256, num_classes, enlarge)
