"""Competing ratio loss: cross entropy plus the log of how much probability the wrong classes hold."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import full_float, require
from .contract import Task
from .label_probability import LabelProbabilityLoss, log_odds_against, over_labels

EXACT_BELOW = 0.1
"""alpha from which the rounding of 1 - p no longer shows in log(alpha + 1 - p)."""


class CompetingRatioLoss(LabelProbabilityLoss):
    """Penalises the total probability of the wrong classes beside the missing probability of the right one.

        L = beta log(alpha + 1 - p_y) - log p_y,        p = softmax(scores)

    Scores are logits; prediction is their argmax. beta = 0 is cross entropy; alpha = 0, beta = 1 is the negative log
    likelihood ratio. The gradient is (1 + beta p_y / (alpha + 1 - p_y)) (p - onehot(y)): confident samples count more
    than in cross entropy. The smallest value is beta log alpha, not 0.

    Args:
        alpha: offset inside the logarithm, >= 0; below 1 the loss can be negative, at 0 it has no lower bound.
            Paper: 1.5.
        beta: weight of the ratio, >= 0. Paper: 1.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities (sum_k q_k L(k)) -> scalar, mean over B.
    Use: in place of cross entropy where classes are easily confused; alpha and beta want a search on validation images.
    Raises: ValueError if alpha or beta is negative.
    Source: Zhang et al. 2019, "Competing Ratio Loss for Discriminative Multi-class Image Classification",
        arXiv:1907.13349, eq. 11.
    Deviations: none from eq. 11, whose derivative the gradient is; the printed eq. 14 and 15 have a wrong sign.
    """

    def __init__(self, task: Task | None = None, *, alpha: float = 1.5, beta: float = 1.0) -> None:
        super().__init__(task)
        require("alpha", alpha, alpha >= 0, ">= 0")
        require("beta", beta, beta >= 0, ">= 0")
        self.alpha, self.beta = alpha, beta
        self.calibrated = beta == 0

    def cost(self, cross_entropy: Tensor) -> Tensor:
        return cross_entropy.add(torch.log(self.alpha - torch.expm1(-cross_entropy)), alpha=self.beta)

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        if self.alpha >= EXACT_BELOW:
            return super().sample_losses(scores, target)
        against = log_odds_against(full_float(scores), target)
        log_alpha = against.new_tensor(math.log(self.alpha) if self.alpha > 0 else -math.inf)
        ratio = torch.logaddexp(log_alpha, -F.softplus(-against))  # log(alpha + 1 - p)
        return over_labels(F.softplus(against) + self.beta * ratio, target)
