"""Harmonic loss: probabilities fall with a power of the distance to each class's weights."""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from .base import ClassificationLoss, full_float, num_features, require
from .contract import Task
from .full_float_linear import FullFloatLinear


class DistanceLinear(FullFloatLinear):
    """A layer whose scores are -n log d_j, d_j the distance of its input to the j-th row of its weights.

    It computes in float32, as differences of squares would magnify what was rounded.

    Shapes: [..., D] -> [..., K].
    """

    def __init__(self, num_features: int, num_classes: int, exponent: float, eps: float) -> None:
        super().__init__(num_features, num_classes)
        self.exponent, self.eps = exponent, eps

    def scores_of(self, features: Tensor, weight: Tensor) -> Tensor:
        squares = features.square().sum(dim=-1, keepdim=True) + weight.square().sum(dim=1)  # [..., K]
        squared_distance = (squares - 2 * F.linear(features, weight)).clamp(min=0)
        return -self.exponent / 2 * (squared_distance + self.eps).log()


class HarmonicLoss(ClassificationLoss):
    """Cross entropy of probabilities that are inverse to a power of the distance between features and weights.

        L = -log p_y,        p_j = d_j^-n / sum_k d_k^-n,        d_j = sqrt(|w_j - x|^2 + eps)

    The last layer measures the distances; the scores -n log d_j are logits, and prediction is their argmax, the nearest
    class. The probabilities stay as they are when features and weights are scaled together.

    Args:
        exponent: n, > 0; null for the square root of the number of features D. Paper: near that.
        eps: keeps a distance from 0, > 0. Authors' code: 0.0001.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: where the weights of a class should be a point that its images gather around.
    Raises: ValueError if a parameter is not positive; ParameterError if the architecture's last layer is not linear.
    Source: Baek et al. 2025, "Harmonic Loss Trains Interpretable AI Models", arXiv:2502.01628.
    Deviations: in the authors' code the exponent applies to the squared distance, so that its n is n / 2 here.
    """

    def __init__(self, task: Task | None = None, *, exponent: float | None = None, eps: float = 1e-4) -> None:
        super().__init__(task)
        if exponent is not None:
            require("exponent", exponent, exponent > 0, "> 0, or null")
        require("eps", eps, eps > 0, "> 0")
        self.exponent, self.eps = exponent, eps

    def make_head(self, task: Task) -> nn.Module:
        width = num_features(task, type(self).__name__)
        exponent = math.sqrt(width) if self.exponent is None else self.exponent
        return DistanceLinear(width, task.num_classes, exponent, self.eps)

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(full_float(scores), target, reduction="none")
