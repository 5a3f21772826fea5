"""Metrics of pixels, and of regions beside the objects that are detected."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from losses.contract import REJECTED, Batch
from metrics.classification import Tally

IGNORED = 255


class PixelTally(Tally):
    """Counts of pixels; their metrics are a `Tally`'s, and intersection over union."""

    kind = "segmentation"

    def of_images(self, reading: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Return the counts of each image's pixels by class and prediction, the last column those that are rejected.

        Shapes: reading [B, H, W] -> counts [B, K, K + 1].
        """
        target: Any = batch.target
        labels, size = target["pixels"][:, 0], self.num_classes
        images = torch.arange(len(labels), device=labels.device)[:, None, None].expand_as(labels)
        kept = labels != IGNORED
        read = torch.where(reading == REJECTED, size, reading)
        cell = (images[kept] * size + labels[kept].long()) * (size + 1) + read[kept]
        counts = torch.bincount(cell, minlength=len(labels) * size * (size + 1))
        return {"counts": counts.reshape(len(labels), size, size + 1)}


def mean_iou(tally: Tally) -> Tensor:
    """Mean over the classes, of those that occur as label or prediction, of hits / (labels or predictions)."""
    union = (tally.predicted + tally.actual - tally.hits)[:-1]
    return (tally.hits[:-1].double() / union.clamp(min=1))[union > 0].mean()
