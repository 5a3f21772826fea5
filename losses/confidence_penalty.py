"""Confidence penalty: cross entropy that rewards uncertain predictions."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float, require
from .contract import Task


class ConfidencePenaltyLoss(ClassificationLoss):
    """Subtracts from cross entropy the entropy of the prediction.

        L = -log p_y + beta sum_k p_k log p_k,        p = softmax(scores)

    Scores are logits; prediction is their argmax. beta = 0 is cross entropy.

    Args:
        beta: weight of the entropy, >= 0. Paper: chosen for each set; 0.1 for CIFAR-10.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: against certain mistakes; near to label smoothing, whose divergence from the uniform distribution it reverses.
    Raises: ValueError if beta is negative.
    Source: Pereyra et al. 2017, "Regularizing Neural Networks by Penalizing Confident Output Distributions",
        arXiv:1701.06548.
    Deviations: without the paper's annealing of beta and threshold of the entropy, which it tries beside.
    """

    calibrated = False

    def __init__(self, task: Task | None = None, *, beta: float = 0.1) -> None:
        super().__init__(task)
        require("beta", beta, beta >= 0, ">= 0")
        self.beta = beta

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        log_p = full_float(scores).log_softmax(dim=-1)
        negative_entropy = (log_p.exp() * log_p).sum(dim=-1)  # [N]
        return F.cross_entropy(log_p, target, reduction="none") + self.beta * negative_entropy
