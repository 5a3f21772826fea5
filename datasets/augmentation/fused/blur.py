"""Torchvision's blur: its random draws, as the weights of a pixel's neighbours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torchvision import transforms

from datasets.augmentation.fused.operation import NotFusable, Parameters, Size, between

LEAST_WEIGHT = 1e-6
"""Of a neighbour; beneath it a bright one would add less than a thousandth of a level, and is left out."""


class Blur:
    """GaussianBlur: a mean along x, then along y, of what lies around a pixel, mirrored about the outermost ones.

    Args:
        transform: torchvision's, which holds the parameters.
        size: of the images.

    Attributes:
        number: of random numbers that it needs for a sample.

    Raises: NotFusable.
    """

    number = 1

    def __init__(self, transform: Any, size: Size) -> None:
        self.transform = transform
        self.taps: tuple[int, int] = tuple(transform.kernel_size)  # along x, along y
        if any(taps // 2 >= side for taps, side in zip(self.taps, reversed(size), strict=True)):
            raise NotFusable(f"the image of {size[0]}x{size[1]} is too small for the kernel")

    def parameters(self, uniform: np.ndarray) -> Parameters:
        """Return what is drawn, as torchvision's function takes it. Shapes: [M, 1] -> [M]."""
        return {"sigma": between(uniform[:, 0], *self.transform.sigma)}

    def weights(self, drawn: Parameters) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights along x and along y, which sum to 1. Shapes: [M] -> [M, taps along x], [M, along y]."""
        along_x, along_y = (_gaussian(taps, drawn["sigma"]) for taps in self.taps)
        return along_x, along_y


def _gaussian(taps: int, sigma: np.ndarray) -> np.ndarray:
    """Shapes: [M] -> [M, taps]."""
    steps = np.arange(taps) - taps // 2
    weights = np.exp(-0.5 * (steps / sigma[:, None]) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    weights[weights < LEAST_WEIGHT] = 0
    return weights / weights.sum(axis=1, keepdims=True)


BLURS: dict[type, Callable[[Any, Size], Blur]] = {transforms.GaussianBlur: Blur}
