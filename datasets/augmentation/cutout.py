"""CutOut: a square of an image set to nothing."""

from __future__ import annotations

import torch
from torch import Tensor


class CutOut:
    """Sets one square of a normalised image to 0, the mean of the data.

    The centre is uniform over the image, so the square may overhang the border and then covers less. RandomErasing is
    another thing: its rectangle has a random area and form, lies inside the image and is filled before normalisation.

    Args:
        length: side of the square in pixels, >= 1. Paper: 16 on CIFAR-10, 8 on CIFAR-100.

    Shapes: image [..., C, H, W], normalised -> a copy of the same.
    Raises: ValueError if the length is below 1.
    Source: DeVries and Taylor 2017, "Improved Regularization of Convolutional Neural Networks with Cutout",
        arXiv:1708.04552.
    Deviations: a square of odd length has this length; in the authors' code it is one pixel smaller.
    """

    after_normalization = True

    def __init__(self, length: int = 16) -> None:
        if length < 1:
            raise ValueError(f"length must be >= 1, got {length}")
        self.length = length

    def __call__(self, image: Tensor) -> Tensor:
        rows, columns = (self._interval(side) for side in image.shape[-2:])
        image = image.clone()
        image[..., rows, columns] = 0
        return image

    def _interval(self, side: int) -> slice:
        start = int(torch.randint(side, ())) - self.length // 2
        return slice(max(start, 0), start + self.length)
