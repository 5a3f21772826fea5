"""Dual cross entropy: cross entropy plus a penalty on every wrong class's probability."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float, require
from .contract import Task


class DualCrossEntropyLoss(ClassificationLoss):
    """Penalises the probability of each wrong class, so that training goes on where cross entropy is almost 0.

        L = -log p_y + beta sum_{j != y} log(alpha + p_j),        p = softmax(scores)

    Scores are logits; prediction is their argmax. beta = 0 is cross entropy. For two classes it is the competing ratio
    loss. The smallest value is beta (K - 1) log alpha, 0 by default.

    Args:
        alpha: offset inside the logarithm, > 0; below 1 the loss can be negative.
        beta: weight of the penalty, >= 0.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities (sum_k q_k L(k)) -> scalar, mean over B.
    Use: to compare with the competing ratio loss, which sums the wrong classes before the logarithm.
    Raises: ValueError if alpha <= 0 or beta < 0.
    Source: Li et al. 2019, "Dual Cross-Entropy Loss for Small-Sample Fine-Grained Vehicle Classification", IEEE
        Transactions on Vehicular Technology 68(5).
    Deviations: a reconstruction. The abstract confirms cross entropy and a term that constrains the probability of the
        wrong classes; neither the equation nor the defaults were found in any text or code. Not "the paper's" numbers.
    """

    def __init__(self, task: Task | None = None, *, alpha: float = 1.0, beta: float = 1.0) -> None:
        super().__init__(task)
        require("alpha", alpha, alpha > 0, "> 0")
        require("beta", beta, beta >= 0, ">= 0")
        self.alpha, self.beta = alpha, beta
        self.calibrated = beta == 0

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(full_float(scores), target, reduction="none") + self.beta * self._penalty(scores, target)

    def mean_loss(self, scores: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(full_float(scores), target) + self.beta * self._penalty(scores, target).mean()

    def _penalty(self, scores: Tensor, target: Tensor) -> Tensor:
        """Return sum_{j != y} log(alpha + p_j). Shapes: [N, K], target -> [N]."""
        scores = full_float(scores)
        penalty = math.log(self.alpha) + torch.log1p(scores.softmax(dim=-1) / self.alpha)  # [B, K]
        of_wrong = penalty.scatter(1, target[:, None], 0.0) if target.ndim == 1 else (1 - target) * penalty
        return of_wrong.sum(dim=-1)
