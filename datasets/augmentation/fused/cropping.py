"""RandomResizedCrop of images of many sizes: cut from each as it is stored, then resized with antialiasing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torchvision.transforms import InterpolationMode

from datasets.augmentation.fused.operation import NotFusable, Parameters, Size, between, first_that_fits, whole
from datasets.preprocessing import resize

TRIES = 10  # RandomResizedCrop's, before it takes the centre
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


def draw_crops(transform: Any, uniform: np.ndarray, height: np.ndarray, width: np.ndarray) -> Parameters:
    """Return what RandomResizedCrop draws for images of these heights and widths.

    Shapes: uniform [M, 4 TRIES], height [M] int, width [M] int -> [M] each.
    """
    u = uniform.reshape(-1, TRIES, 4)
    area = (height * width)[:, None] * between(u[..., 0], *transform.scale)
    ratio = np.exp(between(u[..., 1], *map(math.log, transform.ratio)))
    widths, heights = np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))
    fits = (widths > 0) & (widths <= width[:, None]) & (heights > 0) & (heights <= height[:, None])
    chosen, fitted = first_that_fits(fits)
    sample = np.arange(len(u))
    crop_height, crop_width = heights[sample, chosen].astype(int), widths[sample, chosen].astype(int)
    top = whole(u[sample, chosen, 2], height - crop_height + 1)
    left = whole(u[sample, chosen, 3], width - crop_width + 1)
    least, most = min(transform.ratio), max(transform.ratio)  # of the centre, which is cropped where no try fits
    full_height = np.where(width / height < least, np.rint(width / least), height).astype(int)
    full_width = np.where(width / height > most, np.rint(height * most), width).astype(int)
    return {
        "top": np.where(fitted, top, (height - full_height) // 2),
        "left": np.where(fitted, left, (width - full_width) // 2),
        "height": np.where(fitted, crop_height, full_height),
        "width": np.where(fitted, crop_width, full_width),
    }
