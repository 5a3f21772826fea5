"""Data-distortion guided self-distillation: two distorted views of an image teach each other."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional as F

from .base import full_float, require
from .contract import Batch, Outputs, Task
from .wrapping import WrappingLoss


class DataDistortionDistillationLoss(WrappingLoss):
    """Asks two augmented views of an image for the same softened prediction and for features of the same mean.

        L = base + weight T^2 (KL(p1 || p2) + KL(p2 || p1)) + mmd_weight |mean f1 - mean f2|^2

    p1 and p2 are the base's probabilities of the two views, softened by the temperature T: log p / T, normalised
    again; f1 and f2 are their features. The base sees both views. Scores, probabilities and prediction are the base's.
    weight = mmd_weight = 0 is the base on two views.

    Args:
        base: the loss that decodes.
        base_params: its hyperparameters.
        temperature: T, > 0.
        weight: of the divergence, >= 0.
        mmd_weight: of the features' mean discrepancy, >= 0; 0 leaves it out, as OLS's comparison does.

    Shapes: scores and target as the base's for 2 B images, views of an image next to each other; features [2 B, D]
        -> scalar.
    Use: with strong augmentation and time for two views of every image.
    Raises: ValueError if a parameter is out of range, and for a base that cannot be built or that asks for
        another number of views.
    Source: Xu and Liu 2019, "Data-Distortion Guided Self-Distillation for Deep Neural Networks", AAAI.
    Deviations: the paper's text and code were not at hand. The structure (two views, KL both ways, discrepancy of
        features) is the paper's; temperature 3, both weights and the linear kernel are a reconstruction.
    """

    def __init__(
        self,
        task: Task | None = None,
        *,
        base: str = "CrossEntropyLoss",
        base_params: dict[str, Any] | None = None,
        temperature: float = 3.0,
        weight: float = 1.0,
        mmd_weight: float = 0.005,
    ) -> None:
        super().__init__(task, base, base_params)
        require("temperature", temperature, temperature > 0, "> 0")
        require("weight", weight, weight >= 0, ">= 0")
        require("mmd_weight", mmd_weight, mmd_weight >= 0, ">= 0")
        self.temperature, self.weight, self.mmd_weight = temperature, weight, mmd_weight
        self.ask_for_views(2)

    def added_terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        log_p = self.base.log_probabilities(full_float(outputs.scores))
        one, other = (log_p / self.temperature).log_softmax(dim=-1).unflatten(0, (-1, 2)).unbind(dim=1)  # [B, K] each
        divergence = F.kl_div(other, one, reduction="batchmean", log_target=True)
        divergence = divergence + F.kl_div(one, other, reduction="batchmean", log_target=True)
        first, second = full_float(outputs.features).unflatten(0, (-1, 2)).mean(dim=0).unbind(dim=0)  # [D] each
        return {
            "distillation": self.weight * self.temperature**2 * divergence,
            "discrepancy": self.mmd_weight * (first - second).square().sum(),
        }
