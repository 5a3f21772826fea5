"""Tamed cross entropy: cross entropy whose slope fades for samples far off."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import require
from .contract import Task
from .label_probability import LabelProbabilityLoss


class TamedCrossEntropyLoss(LabelProbabilityLoss):
    """Follows cross entropy u where it is small and bends where it is large, as it is for wrong labels.

        L = ((1 + u)^(1 - alpha) - 1) / (1 - alpha),   log(1 + u) at alpha = 1,        u = -log softmax(scores)_y

    Scores are logits; prediction is their argmax. alpha = 0 is cross entropy. The slope in u is (1 + u)^-alpha.

    Args:
        alpha: how strongly large values bend, >= 0; above 1 the loss is bounded.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities (sum_k q_k L(k)) -> scalar, mean over B.
    Use: where labels are wrong and cross entropy's behaviour should stay.
    Raises: ValueError if alpha is negative.
    Source: Martinez and Stiefelhagen 2018, "Taming the Cross Entropy Loss", arXiv:1810.05075.
    Deviations: a reconstruction. The abstract confirms a robust loss that trains as cross entropy does where labels are
        clean, with one parameter; neither the equation nor its default was found. Not "the paper's" numbers.
    """

    calibrated = False

    def __init__(self, task: Task | None = None, *, alpha: float = 0.5) -> None:
        super().__init__(task)
        require("alpha", alpha, alpha >= 0, ">= 0")
        self.alpha = alpha

    def cost(self, cross_entropy: Tensor) -> Tensor:
        bent = torch.log1p(cross_entropy)
        return bent if self.alpha == 1 else torch.expm1((1 - self.alpha) * bent) / (1 - self.alpha)
