"""Two-stage detectors from torchvision's parts: a body of timm's, proposals, and a class for each region."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import maskrcnn_inference, maskrcnn_loss
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from models.dense.base import Body, DenseNetwork, Rows
from utils.types import ConfigError

MOST_OBJECTS = 1 << 20
"""Of an image: an object's number and its image's make one."""
BOX_BETA = 1 / 9
"""Where torchvision's loss of boxes becomes linear."""


class Pyramid(nn.Module):
    """Args: extra: a further level, half the size of the last."""

    def __init__(self, channels: Sequence[int], width: int, extra: bool) -> None:
        super().__init__()
        self.fpn = FeaturePyramidNetwork(list(channels), width, LastLevelMaxPool() if extra else None)
        self.out_channels = width

    def forward(self, maps: list[Tensor]) -> OrderedDict[str, Tensor]:
        return self.fpn(OrderedDict((str(k), each) for k, each in enumerate(maps)))


class RegionNetwork(DenseNetwork):
    """Faster or Mask R-CNN whose regions any loss classifies; proposals, boxes and masks are torchvision's.

    Args:
        body: image -> maps.
        pyramid: maps -> maps of one width.
        parts: torchvision's detector, whose proposals, pools and heads are taken.
        num_features: D.
        num_classes: K, the background included.
    """

    kind = "detection"
    unit = "regions"
    pyramid: Any
    rpn: Any
    roi_heads: Any
    box_regressor: Any

    def __init__(self, body: Body, pyramid: Pyramid, parts: FasterRCNN, num_features: int, num_classes: int) -> None:
        super().__init__()
        self.body, self.pyramid, self.rpn, self.roi_heads = body, pyramid, parts.rpn, parts.roi_heads
        self.box_regressor = nn.Linear(num_features, 4 * num_classes)
        self.classifier = nn.Linear(num_features, num_classes)

    def forward_features(self, image: Tensor) -> OrderedDict[str, Tensor]:
        return self.pyramid(self.body(image))

    def forward_head(self, maps: Any, pre_logits: bool = False) -> Tensor:
        some, heads = next(iter(maps.values())), self.roi_heads
        self.rpn.head(list(maps.values()))
        number = len(some) * self.rpn.post_nms_top_n()
        features = heads.box_head(some.new_zeros(number, some.shape[1], *heads.box_roi_pool.output_size))
        self.box_regressor(features)
        if heads.has_mask():
            shape = len(some) * heads.detections_per_img, some.shape[1], *heads.mask_roi_pool.output_size
            heads.mask_predictor(heads.mask_head(some.new_zeros(shape)))
        return features if pre_logits else self.classifier(features)

    def rows(self, image: Tensor, target: Any = None, index: Tensor | None = None) -> Rows:
        maps = self.forward_features(image)
        sizes: Any = [tuple(image.shape[-2:])] * len(image)
        objects = None if target is None else [without_crowds(each) for each in target["objects"]]
        proposals, terms = self.rpn(ImageList(image, sizes), maps, objects if self.training else None)
        if self.training:
            return self._training_rows(maps, proposals, sizes, objects, index, terms)
        features = self._features(maps, proposals, sizes)
        labels = None
        if target is not None:
            known = [
                (each["boxes"].to(features.dtype), each["labels"].masked_fill(each["crowd"], -1))
                for each in target["objects"]
            ]
            boxes, classes = zip(*known, strict=True)
            labels = torch.cat(self.roi_heads.assign_targets_to_proposals(proposals, boxes, classes)[1])
        return Rows(features, labels, context=(maps, proposals, sizes))

    def _features(self, maps: Any, proposals: list[Tensor], sizes: Any) -> Tensor:
        return self.roi_heads.box_head(self.roi_heads.box_roi_pool(maps, proposals, sizes))

    def _training_rows(
        self, maps: Any, proposals: list[Tensor], sizes: Any, objects: Any, index: Any, terms: dict[str, Tensor]
    ) -> Rows:
        heads = self.roi_heads
        proposals, matched, labels, offsets = heads.select_training_samples(proposals, objects)
        features, target, offset = self._features(maps, proposals, sizes), torch.cat(labels), torch.cat(offsets)
        there = torch.where(target > 0)[0]
        boxes = self.box_regressor(features).unflatten(1, (-1, 4))[there, target[there]].float()
        far = F.smooth_l1_loss(boxes, offset[there].float(), beta=BOX_BETA, reduction="sum")
        terms = terms | {"boxes": far / max(1, len(target))}
        if heads.has_mask():
            chosen = [torch.where(each > 0)[0] for each in labels]
            regions = [each[some] for each, some in zip(proposals, chosen, strict=True)]
            matches = [each[some] for each, some in zip(matched, chosen, strict=True)]
            logits = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(maps, regions, sizes)))
            truths = [each["masks"] for each in objects], [each["labels"] for each in objects]
            terms["masks"] = maskrcnn_loss(logits.float(), regions, *truths, matches)
        return Rows(features, target, same_objects(objects, matched, labels, index), terms)

    def read(self, rows: Rows, scores: Tensor, loss: Any) -> list[dict[str, Tensor]]:
        maps, proposals, sizes = rows.context
        heads, offsets = self.roi_heads, self.box_regressor(rows.features).float()
        read = heads.postprocess_detections(loss.log_probabilities(scores), offsets, proposals, sizes)
        objects: list[dict[str, Any]] = [
            dict(zip(("boxes", "scores", "labels"), each, strict=True)) for each in zip(*read, strict=True)
        ]
        if heads.has_mask():
            boxes, labels = ([each[name] for each in objects] for name in ("boxes", "labels"))
            logits = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(maps, boxes, sizes)))
            for each, masks in zip(objects, maskrcnn_inference(logits.float(), labels), strict=True):
                each["masks"] = masks
        return objects


class MaskNetwork(RegionNetwork):
    """Mask R-CNN, whose parts hold a head of masks."""

    kind = "instance_segmentation"


def without_crowds(objects: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return an image's objects that a detector is trained on."""
    left = ~objects["crowd"]
    return {name: each[left] for name, each in objects.items() if name in ("boxes", "labels", "masks", "numbers")}


def same_objects(objects: Any, matched: Any, labels: Any, index: Tensor | None) -> Tensor:
    """Return numbers that are equal where regions show one object of one image; those of the background are alone.

    Args:
        objects: of each image, with the `numbers` that they have in every view.
        matched, labels: of each image's regions.
        index: [B], the images' own.
    """
    assert index is not None
    numbers = []
    for each, match, label, image in zip(objects, matched, labels, index, strict=True):
        own = each["numbers"] if len(each["numbers"]) else label.new_zeros(1)
        numbers.append(torch.where(label > 0, image * MOST_OBJECTS + own[match.clamp(min=0)], -1))
    joined = torch.cat(numbers)
    return torch.where(joined < 0, -1 - torch.arange(len(joined), device=joined.device), joined)


def _regions(
    masks: bool,
    num_classes: int,
    in_channels: int,
    body: str,
    pretrained: bool | str,
    strides: list[int],
    width: int,
    hidden: int,
    anchor_sizes: list[int] | None,
    anchor_ratios: list[float],
    proposals: int,
    regions: int,
    frozen_statistics: bool,
) -> RegionNetwork:
    feet = Body(body, strides, in_channels, pretrained, frozen_statistics=frozen_statistics)
    sizes = anchor_sizes or [8 * stride for stride in (*strides, 2 * strides[-1])]
    if len(sizes) not in (len(strides), len(strides) + 1):
        text = f"must hold a side for each of {len(strides)} strides, and perhaps one more, got {len(sizes)}"
        raise ConfigError(f"architecture_params.anchor_sizes: {text}")
    pyramid = Pyramid(feet.channels, width, extra=len(sizes) > len(strides))
    names = [str(k) for k in range(len(strides))]
    options: dict[str, Any] = {
        "rpn_anchor_generator": AnchorGenerator(tuple((size,) for size in sizes), (tuple(anchor_ratios),) * len(sizes)),
        "box_roi_pool": MultiScaleRoIAlign(names, 7, 2),
        "box_head": TwoMLPHead(width * 49, hidden),
        "box_predictor": nn.Identity(),
        "rpn_pre_nms_top_n_train": 2 * proposals,
        "rpn_post_nms_top_n_train": 2 * proposals,
        "rpn_pre_nms_top_n_test": proposals,
        "rpn_post_nms_top_n_test": proposals,
        "box_batch_size_per_image": regions,
    }
    if masks:
        inner = (width,) * (4 if width > 64 else 2)
        options |= {
            "mask_roi_pool": MultiScaleRoIAlign(names, 14, 2),
            "mask_head": MaskRCNNHeads(width, inner, 1),
            "mask_predictor": MaskRCNNPredictor(inner[-1], inner[-1], num_classes),
        }
    parts = (MaskRCNN if masks else FasterRCNN)(pyramid, None, **options)
    return (MaskNetwork if masks else RegionNetwork)(feet, pyramid, parts, hidden, num_classes)


def faster_rcnn(
    num_classes: int,
    in_channels: int = 3,
    *,
    body: str = "resnet50",
    pretrained: bool | str = False,
    strides: list[int] = [4, 8, 16, 32],  # noqa: B006 never changed
    width: int = 256,
    hidden: int = 1024,
    anchor_sizes: list[int] | None = None,
    anchor_ratios: list[float] = [0.5, 1.0, 2.0],  # noqa: B006
    proposals: int = 1000,
    regions: int = 512,
    frozen_statistics: bool = True,
) -> RegionNetwork:
    """Faster R-CNN with a feature pyramid, on any body of timm's.

    Args:
        body: one of timm's networks.
        strides: of the body's maps that the pyramid is built of.
        width: channels of the pyramid.
        hidden: features of a region.
        anchor_sizes: sides in pixels of the prepared image, one a level; one more adds a level. By default 8 strides.
        anchor_ratios: height to width of anchors.
        proposals: of an image, when it is judged; twice as many in training.
        regions: of an image, that are trained on.
        frozen_statistics: leave the body's batch normalisation as it is.

    Source: Ren et al. 2015, "Faster R-CNN", arXiv:1506.01497; Lin et al. 2016, arXiv:1612.03144; parts are
        torchvision's.
    Deviations: images are fitted into one size instead of a short side of 800 px.
    """
    return _regions(
        *(False, num_classes, in_channels, body, pretrained, strides, width, hidden),
        *(anchor_sizes, anchor_ratios, proposals, regions, frozen_statistics),
    )


def mask_rcnn(
    num_classes: int,
    in_channels: int = 3,
    *,
    body: str = "resnet50",
    pretrained: bool | str = False,
    strides: list[int] = [4, 8, 16, 32],  # noqa: B006
    width: int = 256,
    hidden: int = 1024,
    anchor_sizes: list[int] | None = None,
    anchor_ratios: list[float] = [0.5, 1.0, 2.0],  # noqa: B006
    proposals: int = 1000,
    regions: int = 512,
    frozen_statistics: bool = True,
) -> MaskNetwork:
    """Mask R-CNN with a feature pyramid, on any body of timm's; see `faster_rcnn` for the parameters.

    Source: He et al. 2017, "Mask R-CNN", arXiv:1703.06870; parts as torchvision's.
    Deviations: as `faster_rcnn`; up to 64 channels, two convolutions of masks instead of four.
    """
    return _regions(  # type: ignore[return-value]
        *(True, num_classes, in_channels, body, pretrained, strides, width, hidden),
        *(anchor_sizes, anchor_ratios, proposals, regions, frozen_statistics),
    )
