"""Random rectangles of an image: RandomResizedCrop from images of many sizes, RandomErasing, CutOut."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from datasets.augmentation.fused.operation import NotFusable, Parameters, Size, between, whole
from datasets.augmentation.transforms import CutOut
from datasets.preprocessing import resize

TRIES = 10  # torchvision's, before RandomResizedCrop takes the centre and RandomErasing leaves the image as it is
MODES = {InterpolationMode.BILINEAR: "bilinear", InterpolationMode.BICUBIC: "bicubic"}
ALWAYS_KEPT = 2**18
"""Pixels: 512 x 512."""


class Cropping:
    """RandomResizedCrop as torchvision does it on PIL images: cut from each as it is stored, resized with antialiasing.

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


def _draw_sides(transform: Any, uniform: np.ndarray, area: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return sqrt(area ratio) and sqrt(area / ratio), rounded, of each try. Shapes: [M, tries, 4] -> [M, tries]."""
    area = area * between(uniform[..., 0], *transform.scale)
    ratio = np.exp(between(uniform[..., 1], *map(math.log, transform.ratio)))
    return np.rint(np.sqrt(area * ratio)), np.rint(np.sqrt(area / ratio))


def draw_crops(transform: Any, uniform: np.ndarray, height: np.ndarray, width: np.ndarray) -> Parameters:
    """Return what RandomResizedCrop draws for images of these heights and widths.

    Shapes: uniform [M, 4 TRIES], height [M] int, width [M] int -> [M] each.
    """
    u = uniform.reshape(-1, TRIES, 4)
    widths, heights = _draw_sides(transform, u, (height * width)[:, None])
    fits = (widths > 0) & (widths <= width[:, None]) & (heights > 0) & (heights <= height[:, None])
    chosen = np.arange(len(u)), fits.argmax(axis=1)  # the first try that fits
    heights, widths = heights[chosen].astype(int), widths[chosen].astype(int)
    least, most = min(transform.ratio), max(transform.ratio)  # of the centre, which is cropped where no try fits
    full_height = np.where(width / height < least, np.rint(width / least), height).astype(int)
    full_width = np.where(width / height > most, np.rint(height * most), width).astype(int)
    drawn = {
        "top": (whole(u[chosen][:, 2], height - heights + 1), (height - full_height) // 2),
        "left": (whole(u[chosen][:, 3], width - widths + 1), (width - full_width) // 2),
        "height": (heights, full_height),
        "width": (widths, full_width),
    }
    return {name: np.where(fits[chosen], *values) for name, values in drawn.items()}


class Erasing:
    """RandomErasing with a constant value.

    Args:
        transform: torchvision's, which holds the parameters.
        size: of the images.

    Attributes:
        number: of random numbers that it needs for a sample.
        value: of each channel, on 0 to 1; None for the mean of the data.

    Raises: NotFusable.
    """

    number = 1 + 4 * TRIES

    def __init__(self, transform: Any, size: Size) -> None:
        self.transform, self.size = transform, size
        if isinstance(transform.value, str):
            raise NotFusable("value: random")
        values = transform.value if isinstance(transform.value, (list, tuple)) else [transform.value]
        self.value: tuple[float, ...] | None = tuple(map(float, values))

    def boxes(self, uniform: np.ndarray) -> np.ndarray:
        """Return top, left, bottom and right, the latter two exclusive; nothing lies in a box of zeros.

        Shapes: [M, number] -> [M, 4] int64.
        """
        height, width = self.size
        u = uniform[:, 1:].reshape(-1, TRIES, 4)
        heights, widths = _draw_sides(self.transform, u, height * width)
        fits = (heights < height) & (widths < width)
        chosen = np.arange(len(u)), fits.argmax(axis=1)
        heights, widths = heights[chosen].astype(int), widths[chosen].astype(int)
        top, left = whole(u[chosen][:, 2], height - heights + 1), whole(u[chosen][:, 3], width - widths + 1)
        applied = fits[chosen] & (uniform[:, 0] < self.transform.p)
        return np.stack([top, left, top + heights, left + widths], axis=1) * applied[:, None]


class Cutting(Erasing):
    """CutOut."""

    number = 2

    def __init__(self, transform: Any, size: Size) -> None:
        self.transform, self.size, self.value = transform, size, None

    def boxes(self, uniform: np.ndarray) -> np.ndarray:
        length, (height, width) = self.transform.length, self.size
        top, left = whole(uniform[:, 0], height) - length // 2, whole(uniform[:, 1], width) - length // 2
        return np.stack([top, left, top + length, left + length], axis=1).clip(0, [height, width, height, width])


ERASING: dict[type, Callable[[Any, Size], Erasing]] = {transforms.RandomErasing: Erasing, CutOut: Cutting}
