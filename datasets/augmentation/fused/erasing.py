"""Rectangles of an image that are set to a value."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torchvision import transforms

from datasets.augmentation.cutout import CutOut
from datasets.augmentation.fused.operation import NotFusable, Size, between, first_that_fits, whole

TRIES = 10  # RandomErasing's, before it leaves the image as it is


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
        transform, (height, width) = self.transform, self.size
        u = uniform[:, 1:].reshape(-1, TRIES, 4)
        area = height * width * between(u[..., 0], *transform.scale)
        ratio = np.exp(between(u[..., 1], *map(math.log, transform.ratio)))
        heights, widths = np.rint(np.sqrt(area * ratio)).astype(int), np.rint(np.sqrt(area / ratio)).astype(int)
        chosen, fitted = first_that_fits((heights < height) & (widths < width))
        sample = np.arange(len(u))
        box_height, box_width = heights[sample, chosen], widths[sample, chosen]
        top = whole(u[sample, chosen, 2], height - box_height + 1)
        left = whole(u[sample, chosen, 3], width - box_width + 1)
        applied = fitted & (uniform[:, 0] < transform.p)
        return np.stack([top, left, top + box_height, left + box_width], axis=1) * applied[:, None]


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
