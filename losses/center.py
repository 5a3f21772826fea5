"""Center loss: features of a class gather around its centre."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .base import as_probabilities, full_float, num_features, require, sum_over_ranks
from .contract import Batch, Outputs, Task
from .wrapping import WrappingLoss


class CenterLoss(WrappingLoss):
    """Adds to another loss the distance of each image's features to the centre of its class.

        L = base + weight / 2 mean_i |x_i - c_{y_i}|^2,
        c_j <- c_j - alpha sum_{i: y_i = j} (c_j - x_i) / (1 + n_j)        after each step, n_j the images of class j

    The centres start at 0, are moved by this rule and by no optimizer, see the images of all devices and are kept with
    the checkpoint. Scores, probabilities and prediction are the base's. weight = 0 is the base.

    Args:
        base: the loss that decodes.
        base_params: its hyperparameters.
        weight: lambda, >= 0. Paper: 0.003.
        alpha: rate of the centres, 0 to 1. Paper: 0.5.

    Shapes: features [B, D], scores and target as the base's -> scalar, mean over B.
    Use: where features are compared later (retrieval, verification), or classes vary much within themselves.
    Raises: ValueError if weight or alpha is out of range, and for a base that cannot be built, or if the
        architecture's last layer is not linear.
    Source: Wen et al. 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition", ECCV, eq. 2 to 4.
    Deviations: the mean over the batch instead of the sum, for both terms. Soft labels, on which the paper is silent,
        share an image among the centres by their probabilities.
    """

    centers: Tensor

    def __init__(
        self,
        task: Task | None = None,
        *,
        base: str = "CrossEntropyLoss",
        base_params: dict[str, Any] | None = None,
        weight: float = 0.003,
        alpha: float = 0.5,
    ) -> None:
        super().__init__(task, base, base_params)
        require("weight", weight, weight >= 0, ">= 0")
        require("alpha", alpha, 0 <= alpha <= 1, "0 to 1")
        self.weight, self.alpha = weight, alpha
        shape = (0, 0) if task is None else (task.num_classes, num_features(task, type(self).__name__))
        self.register_buffer("centers", torch.zeros(shape))

    def added_terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        features, target = full_float(outputs.features), batch.target
        centers = self.centers.to(features.dtype)
        if target.ndim == 1:  # type: ignore
            distance = (features - centers[target]).square().sum(dim=-1)  # [B]
        else:
            weights = target.to(features.dtype)  # type: ignore
            middle = weights @ centers  # [B, D]
            spread = weights @ centers.square().sum(dim=-1) - middle.square().sum(dim=-1)  # of the centres around it
            distance = (features - middle).square().sum(dim=-1) + spread.clamp(min=0)
        self._move(features.detach(), as_probabilities(target, len(centers), features.dtype))  # type: ignore
        return {"center": self.weight / 2 * distance.mean()}

    @torch.no_grad()
    def _move(self, features: Tensor, weights: Tensor) -> None:
        """Move the centres towards the features. Shapes: features [B, D], weights [B, K]."""
        total, count = weights.T @ features, weights.sum(dim=0)  # [K, D], [K]
        sum_over_ranks(total, count)
        away = count[:, None] * self.centers - total  # sum of c_j - x_i
        self.centers -= (self.alpha * away / (1 + count[:, None])).to(self.centers.dtype)
