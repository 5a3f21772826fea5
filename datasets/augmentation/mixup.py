"""MixUp: averages of two images and of their labels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from datasets.augmentation.mixing import Mixing


class MixUp(Mixing):
    """Replaces each image and its label by a weighted mean of two.

        image = lambda * image + (1 - lambda) * partner,        lambda ~ Beta(alpha, alpha)

    Args:
        alpha: > 0. Paper: 1 on CIFAR, 0.2 on ImageNet.
        probability: share of the batches that are mixed, 0 to 1. Paper: 1.

    Shapes: `Mixing.__call__`.
    Raises: ConfigError naming each parameter that is out of range.
    Source: Zhang et al. 2017, "mixup: Beyond Empirical Risk Minimization", arXiv:1710.09412, sec. 2.
    Deviations: the loss gets one soft label; for cross entropy that is the paper's weighted sum of two losses.
    """

    def __init__(self, *, alpha: float = 1.0, probability: float = 1.0) -> None:
        super().__init__(alpha, probability)

    def blend(self, image: Tensor, partner: Tensor, share: float, random: np.random.Generator) -> tuple[Tensor, float]:
        return torch.lerp(image[partner], image, share), share
