"""CutMix: a box of another image pasted in, labels mixed by area."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from datasets.augmentation.mixing import Mixing


class CutMix(Mixing):
    """Replaces a box of each image by the same box of its partner, and mixes the labels by area.

    The box has the image's proportions and a share 1 - lambda of its area, lambda ~ Beta(alpha, alpha); its centre is
    uniform over the image, and what overhangs is cut off. The label's share is the area that is kept after that.

    Args:
        alpha: > 0. Paper: 1.
        probability: share of the batches that are mixed, 0 to 1. Paper: 0.5 on CIFAR, 1 on ImageNet.

    Shapes: `Mixing.__call__`.
    Raises: ConfigError naming each parameter that is out of range.
    Source: Yun et al. 2019, "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features",
        arXiv:1905.04899, eq. 1 and 2; the exact area as in the authors' code.
    Deviations: the loss gets one soft label; for cross entropy that is the authors' weighted sum of two losses.
    """

    def __init__(self, *, alpha: float = 1.0, probability: float = 0.5) -> None:
        super().__init__(alpha, probability)

    def blend(self, image: Tensor, partner: Tensor, share: float, random: np.random.Generator) -> tuple[Tensor, float]:
        height, width = image.shape[-2:]
        side = math.sqrt(1 - share)
        rows, columns = (_interval(length, int(length * side), random) for length in (height, width))
        mixed = image.clone()
        mixed[..., rows, columns] = image[..., rows, columns][partner]
        box = (rows.stop - rows.start) * (columns.stop - columns.start)
        return mixed, 1 - box / (height * width)


def _interval(length: int, side: int, random: np.random.Generator) -> slice:
    """Return `side` pixels around a uniform centre, as far as they lie within `length`."""
    start = int(random.integers(length)) - side // 2
    return slice(max(start, 0), min(start + side, length))
