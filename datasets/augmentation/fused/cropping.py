"""RandomResizedCrop of images of many sizes: cut from each as it is stored, then resized with antialiasing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torchvision.transforms import InterpolationMode

from datasets.augmentation.fused.geometry import TRIES, draw_crops
from datasets.augmentation.fused.operation import NotFusable, Size
from datasets.preprocessing import resize

MODES = {InterpolationMode.BILINEAR: "bilinear", InterpolationMode.BICUBIC: "bicubic"}


ALWAYS_KEPT = 2**18
"""Pixels: 512 x 512."""


class Cropping:
    """RandomResizedCrop, as torchvision does it on PIL images.

    Args:
        transform: torchvision's, which holds the parameters.

    Attributes:
        number: of random numbers that it needs for a sample.
        size: of the images that it gives.

    Raises: NotFusable.
    """

    number = 4 * TRIES

    def __init__(self, transform: Any) -> None:
        if transform.interpolation not in MODES:
            raise NotFusable(f"RandomResizedCrop (interpolation: {transform.interpolation.value})")
        self.transform, self.mode = transform, MODES[transform.interpolation]
        self.size: Size = tuple(transform.size)

    def __call__(self, images: Sequence[np.ndarray], uniform: np.ndarray) -> list[np.ndarray]:
        """Shapes: images M of [H, W, C] uint8, each of its own size, uniform [M, number] -> M of [h, w, C]."""
        height, width = np.array([image.shape[:2] for image in images]).T
        drawn = draw_crops(self.transform, uniform, height, width)
        boxes = np.stack([drawn[name] for name in ("top", "left", "height", "width")], axis=1).tolist()
        return [
            resize(image[top : top + height, left : left + width], self.size, self.mode)
            for image, (top, left, height, width) in zip(images, boxes, strict=True)
        ]


def most_pixels(transform: Any) -> int:
    """Return how many pixels of an image are of use: with these its smallest crop has as many as are wanted of it.

    Photographs of up to `ALWAYS_KEPT` are never reduced, so that small crops of them are cut at the very pixel.
    """
    height, width = transform.size
    return max(ALWAYS_KEPT, round(height * width / min(transform.scale)))
