"""Margin-based label smoothing: scores may differ up to a margin before they are smoothed."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float, require
from .contract import Task


class MarginLabelSmoothingLoss(ClassificationLoss):
    """Adds to cross entropy how far scores lie below the largest one, beyond a margin.

        L = -log p_y + alpha / K sum_j max(0, max_k s_k - s_j - m),        p = softmax(s)

    Scores are logits; prediction is their argmax. alpha = 0 is cross entropy.

    Args:
        margin: m, >= 0. Authors' code: 10.
        alpha: weight of what exceeds the margin, >= 0. Authors' code: 0.1.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: for calibrated networks; unlike label smoothing it leaves small differences alone.
    Raises: ValueError if a parameter is negative.
    Source: Liu et al. 2022, "The Devil is in the Margin: Margin-based Label Smoothing for Network Calibration",
        arXiv:2111.15430.
    Deviations: the mean over the classes, as in the authors' code, where others write their sum.
    """

    calibrated = False

    def __init__(self, task: Task | None = None, *, margin: float = 10.0, alpha: float = 0.1) -> None:
        super().__init__(task)
        require("margin", margin, margin >= 0, ">= 0")
        require("alpha", alpha, alpha >= 0, ">= 0")
        self.margin, self.alpha = margin, alpha

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        scores = full_float(scores)
        beyond = F.relu(scores.max(dim=-1, keepdim=True).values - scores - self.margin).mean(dim=-1)  # [N]
        return F.cross_entropy(scores, target, reduction="none") + self.alpha * beyond
