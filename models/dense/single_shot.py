"""The one-stage detector of torchvision whose classifier is a softmax: SSDlite, on any body of timm's."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.ssd import SSD
from torchvision.ops import Conv2dNormActivation, box_iou

from models.dense.base import Body, DenseNetwork, Rows
from models.dense.regions import same_objects, without_crowds

NEGATIVES = 3
"""Anchors of the background that train for each one of an object."""
_conv = partial(Conv2dNormActivation, activation_layer=nn.ReLU6, norm_layer=partial(nn.BatchNorm2d, eps=1e-3))


class SingleShotNetwork(DenseNetwork):
    """Anchors of all levels, classified by one layer; the hardest of the background train beside those of objects.

    Args:
        body: image -> maps of strides 16 and 32.
        extras: further levels, each from the one before.
        num_classes: K, the background included.
        num_features: D, of an anchor.
        size: height and width, px, that torchvision's parts are told of.
    """

    kind = "detection"
    unit = "anchors"
    parts: Any
    class_heads: Any
    box_heads: Any
    loss_weight = 1.0 + NEGATIVES  # torchvision divides the sum by the anchors of objects alone

    def __init__(
        self, body: Body, extras: nn.ModuleList, channels: list[int], num_classes: int, num_features: int
    ) -> None:
        super().__init__()
        self.body, self.extras = body, extras
        anchors = DefaultBoxGenerator([[2, 3] for _ in channels], min_ratio=0.2, max_ratio=0.95)
        self.parts = SSD(
            nn.Identity(), anchors, (320, 320), num_classes, head=nn.Identity(), score_thresh=0.001, nms_thresh=0.55
        )
        each = anchors.num_anchors_per_location()
        self.class_heads, self.box_heads = (
            nn.ModuleList(
                nn.Sequential(_conv(width, width, 3, groups=width), nn.Conv2d(width, number * wide, 1))
                for width, number in zip(channels, each, strict=True)
            )
            for wide in (num_features, 4)
        )
        self.classifier = nn.Linear(num_features, num_classes)
        for module in (*self.class_heads.modules(), *self.box_heads.modules(), *extras.modules()):
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.03)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward_features(self, image: Tensor) -> list[Tensor]:
        maps = self.body(image)
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return maps

    def forward_head(self, maps: list[Tensor], pre_logits: bool = False) -> Tensor:
        """Return features [B, A, D] of all anchors, or scores."""
        self._by_anchor(maps, self.box_heads, 4)  # which costs, too
        features = self._by_anchor(maps, self.class_heads, self.classifier_width)
        return features if pre_logits else self.classifier(features)

    @property
    def classifier_width(self) -> int:
        return self.class_heads[0][1].out_channels // self.parts.anchor_generator.num_anchors_per_location()[0]  # type: ignore[index, operator, union-attr]

    @staticmethod
    def _by_anchor(maps: list[Tensor], heads: Any, width: int) -> Tensor:
        """Shapes: maps [B, C, h, w] -> [B, A, width], the anchors as torchvision orders them."""
        each = [
            head(one).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, width))
            for head, one in zip(heads, maps, strict=True)
        ]
        return torch.cat(each, dim=1)

    def rows(self, image: Tensor, target: Any = None, index: Tensor | None = None) -> Rows:
        maps = self.forward_features(image)
        features = self._by_anchor(maps, self.class_heads, self.classifier_width)
        offsets = self._by_anchor(maps, self.box_heads, 4).float()
        sizes: Any = [tuple(image.shape[-2:])] * len(image)
        anchors = self.parts.anchor_generator(ImageList(image, sizes), maps)
        context = anchors, offsets, sizes
        if target is None:
            return Rows(features.flatten(0, 1), context=context)
        objects = [without_crowds(each) for each in target["objects"]]
        matched = [self._match(each["boxes"], some) for each, some in zip(objects, anchors, strict=True)]
        labels = [
            torch.where(match >= 0, each["labels"][match], 0) if len(each["labels"]) else torch.zeros_like(match)
            for each, match in zip(objects, matched, strict=True)
        ]
        rows = Rows(features.flatten(0, 1), torch.cat(labels), context=context)
        if not self.training:
            return rows
        far, number = offsets.sum() * 0, max(1, sum(int((match >= 0).sum()) for match in matched))
        for each, match, some, offset in zip(objects, matched, anchors, offsets, strict=True):
            there = torch.where(match >= 0)[0]
            wanted = self.parts.box_coder.encode_single(each["boxes"][match[there]], some[there])
            far = far + F.smooth_l1_loss(offset[there], wanted, reduction="sum")
        return rows._replace(terms={"boxes": far / number}, index=same_objects(objects, matched, labels, index))

    def _match(self, boxes: Tensor, anchors: Tensor) -> Tensor:
        if not len(boxes):
            return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
        return self.parts.proposal_matcher(box_iou(boxes, anchors))

    def chosen(self, rows: Rows, log_p: Tensor) -> Tensor:
        assert rows.target is not None
        there = (rows.target > 0).unflatten(0, (len(rows.context[0]), -1))  # [B, A]
        hard = (-log_p[:, 0]).reshape(there.shape).masked_fill(there, -torch.inf)
        rank = hard.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        negative = rank < NEGATIVES * there.sum(dim=1, keepdim=True)
        return (there | (negative & ~there)).flatten()

    def read(self, rows: Rows, scores: Tensor, loss: Any) -> list[dict[str, Tensor]]:
        anchors, offsets, sizes = rows.context
        log_p = loss.log_probabilities(scores).unflatten(0, (len(anchors), -1))
        return self.parts.postprocess_detections({"bbox_regression": offsets, "cls_logits": log_p}, anchors, sizes)


def ssdlite(
    num_classes: int,
    in_channels: int = 3,
    *,
    body: str = "mobilenetv3_large_100",
    pretrained: bool | str = False,
    num_features: int = 64,
    levels: int = 6,
    frozen_statistics: bool = False,
) -> SingleShotNetwork:
    """SSDlite on any body of timm's; of one-stage detectors, the one whose anchors have a softmax over classes.

    It stands in for the YOLO of OLS's Table X, whose code is not public.

    Args:
        body: one of timm's networks, whose maps of strides 16 and 32 are taken.
        num_features: features of an anchor.
        levels: maps in all, >= 2.
        frozen_statistics: leave the body's batch normalisation as it is.

    Source: Liu et al. 2015, "SSD: Single Shot MultiBox Detector", arXiv:1512.02325; Sandler et al. 2018,
        arXiv:1801.04381, sec. 6.2; parts are torchvision's.
    Deviations: the last layer reads `num_features` an anchor and is one for all levels, so that a loss may bring its
        own; maps are the body's blocks', not those of an expansion.
    """
    feet = Body(body, (16, 32), in_channels, pretrained, frozen_statistics=frozen_statistics)
    channels, extras = list(feet.channels), nn.ModuleList()
    for width in (512, 256, 256, 128, *[128] * levels)[: levels - 2]:
        inner = width // 2
        extras.append(
            nn.Sequential(
                *(_conv(channels[-1], inner, 1), _conv(inner, inner, 3, 2, groups=inner), _conv(inner, width, 1))
            )
        )
        channels.append(width)
    return SingleShotNetwork(feet, extras, channels, num_classes, num_features)
