"""Metrics of objects: COCO's average precision, by faster-coco-eval."""

from __future__ import annotations

import contextlib
import io
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed

from losses.contract import Batch
from metrics.classification import Tally

BOX, MASK = "bbox", "segm"
"""What overlaps, as COCO names it."""
AREAS = ("all", "small", "medium", "large")
LEAST_OF_A_MASK = 0.5
"""Probability from which on a pixel belongs to an object."""


class DetectionTally(Tally):
    """Counts of regions as a `Tally`'s, and for each image the objects that are there and those that are detected.

    Attributes: records: a mapping an image of `id`, `height`, `width`, `truth` and `detections`, both as COCO's.
    """

    kind = "detection"
    types: tuple[str, ...] = (BOX,)

    def __init__(self, num_classes: int, judge: bool = True, ordered: bool = False) -> None:
        super().__init__(num_classes, judge, ordered)
        self.records: list[dict[str, Any]] = []

    def reset(self) -> None:
        super().reset()
        self.records = []

    def reduce(self, over_ranks: Any) -> None:
        super().reduce(over_ranks)
        parts: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(parts, self.records)
        self.records = [record for part in parts for record in part]

    def of_images(self, reading: list[dict[str, Tensor]], batch: Batch) -> dict[str, Tensor]:
        """Record the objects of a batch; return how many there are and how many are detected. Shapes: -> [B] each."""
        target: Any = batch.target
        before = len(self.records)
        for one, objects, index in zip(reading, target["objects"], batch.index.tolist(), strict=True):
            height, width = objects["size"].tolist()
            boxes = (one["boxes"].float() / objects["scale"].repeat(2)).cpu()
            detected = []
            for box, score, label in zip(boxes.tolist(), one["scores"].tolist(), one["labels"].tolist(), strict=True):
                x1, y1, x2, y2 = box
                bbox = [x1, y1, x2 - x1, y2 - y1]
                detected.append({"image_id": index, "category_id": label, "bbox": bbox, "score": score})
            if "masks" in one:
                for each, mask in zip(detected, pasted(one["masks"].cpu(), boxes, height, width), strict=True):
                    each["segmentation"] = encoded(mask)
            truth = [
                {name: value for name, value in each.items() if name != "mask"}
                | ({"segmentation": encoded(each["mask"])} if "mask" in each else {})
                for each in objects["truth"]
            ]
            record = {"id": index, "height": height, "width": width, "truth": truth, "detections": detected}
            self.records.append(record)
        numbers = [[len(each[name]) for each in self.records[before:]] for name in ("truth", "detections")]
        return dict(zip(("objects", "detections"), map(torch.tensor, numbers), strict=True))

    @property
    def ground_truth(self) -> dict[str, Any]:
        """COCO's json of the objects that are there."""
        records = sorted(self.records, key=lambda record: record["id"])
        images = [{name: record[name] for name in ("id", "height", "width")} for record in records]
        objects = [each | {"image_id": record["id"]} for record in records for each in record["truth"]]
        categories = [{"id": k, "name": str(k)} for k in range(1, self.num_classes)]
        numbered = [each | {"id": k} for k, each in enumerate(objects, start=1)]
        return {"images": images, "annotations": numbered, "categories": categories}

    @property
    def detections(self) -> list[dict[str, Any]]:
        """COCO's json of the objects that are detected."""
        records = sorted(self.records, key=lambda record: record["id"])
        return [each for record in records for each in record["detections"]]

    @cached_property
    def precisions(self) -> dict[str, np.ndarray]:
        """What overlaps -> average precision [T, K - 1, A] by threshold, class and `AREAS`; NaN without objects."""
        truth, detections = self.ground_truth, self.detections
        return {kind: average_precisions(truth, detections, kind) for kind in self.types}


class InstanceTally(DetectionTally):
    kind = "instance_segmentation"
    types = (BOX, MASK)


def average_precisions(truth: dict[str, Any], detections: list[dict[str, Any]], kind: Any) -> np.ndarray:
    """Return COCO's average precision, of at most 100 detections an image.

    Shapes: -> [T, K - 1, A]: T thresholds of overlap from 0.5 to 0.95, classes, `AREAS`; NaN where nothing is there.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    whole = np.full((10, len(truth["categories"]), len(AREAS)), np.nan)
    if not truth["annotations"]:
        return whole
    with contextlib.redirect_stdout(io.StringIO()):
        there = COCO(truth)
        if not detections:
            counts = {(each["category_id"], "all") for each in truth["annotations"] if not each["iscrowd"]}
            for category, _ in counts:
                whole[:, category - 1, 0] = 0
            return whole
        evaluation = COCOeval_faster(there, there.loadRes(detections), kind, print_function=lambda *_: None)
        evaluation.evaluate()
        evaluation.accumulate()
    precision = np.asarray(evaluation.eval["precision"])[..., -1]  # [T, R, K - 1, A]
    return np.where((precision > -1).any(axis=1), precision.mean(axis=1), np.nan)


def pasted(masks: Tensor, boxes: Tensor, height: int, width: int) -> np.ndarray:
    """Return masks of boxes as masks of their image. Shapes: masks [M, 1, h, w] on 0 to 1 -> [M, H, W] bool."""
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    whole = paste_masks_in_image(masks.float(), boxes, (height, width))
    return (whole[:, 0] > LEAST_OF_A_MASK).numpy()


def encoded(mask: np.ndarray) -> dict[str, Any]:
    """Return a mask as COCO's run lengths."""
    from faster_coco_eval.core import mask as coco_mask

    lengths = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    counts = lengths["counts"]
    return {"size": list(lengths["size"]), "counts": counts.decode() if isinstance(counts, bytes) else counts}


def _mean(precision: np.ndarray) -> Tensor:
    known = precision[~np.isnan(precision)]
    return torch.tensor(float(known.mean()) if known.size else 0.0)


def box_map(tally: DetectionTally) -> Tensor:
    """Mean average precision of boxes over the classes and the overlaps 0.5 to 0.95; 0 if there are no objects."""
    return _mean(tally.precisions[BOX][:, :, 0])


def box_map_50(tally: DetectionTally) -> Tensor:
    """Mean average precision of boxes at an overlap of 0.5."""
    return _mean(tally.precisions[BOX][0, :, 0])


def box_map_75(tally: DetectionTally) -> Tensor:
    """Mean average precision of boxes at an overlap of 0.75."""
    return _mean(tally.precisions[BOX][5, :, 0])


def mask_map(tally: DetectionTally) -> Tensor:
    """Mean average precision of masks over the classes and the overlaps 0.5 to 0.95."""
    return _mean(tally.precisions[MASK][:, :, 0])


def mask_map_50(tally: DetectionTally) -> Tensor:
    """Mean average precision of masks at an overlap of 0.5."""
    return _mean(tally.precisions[MASK][0, :, 0])


def mask_map_75(tally: DetectionTally) -> Tensor:
    """Mean average precision of masks at an overlap of 0.75."""
    return _mean(tally.precisions[MASK][5, :, 0])
