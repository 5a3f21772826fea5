"""Focal loss: cross entropy that turns away from samples already learnt."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import require
from .contract import Task
from .label_probability import LabelProbabilityLoss, fade


class FocalLoss(LabelProbabilityLoss):
    """Weighs the cross entropy of a sample by how far it is from certain.

        L = -alpha (1 - p_y)^gamma log p_y,        p = softmax(scores)

    Scores are logits; prediction is their argmax. gamma = 0, alpha = 1 is cross entropy. The loss is no proper score:
    its minimum is less confident than the label's distribution, so the probabilities are a convention.

    Args:
        gamma: how fast certain samples fade, >= 0. Paper: 2.
        alpha: factor of the whole, > 0. Paper: 0.25 for the foreground of its detector; 1 here.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities (sum_k q_k L(k)) -> scalar, mean over B.
    Use: where easy samples outnumber hard ones by far; on balanced sets cross entropy is rarely worse.
    Raises: ValueError if gamma < 0 or alpha <= 0.
    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", arXiv:1708.02002, eq. 5.
    Deviations: softmax over the classes where the paper has one sigmoid each; alpha is one number for all classes.
    """

    calibrated = False

    def __init__(self, task: Task | None = None, *, gamma: float = 2.0, alpha: float = 1.0) -> None:
        super().__init__(task)
        require("gamma", gamma, gamma >= 0, ">= 0")
        require("alpha", alpha, alpha > 0, "> 0")
        self.gamma, self.alpha = gamma, alpha

    def cost(self, cross_entropy: Tensor) -> Tensor:
        return fade(-torch.expm1(-cross_entropy), self.gamma) * (self.alpha * cross_entropy)
