"""DisturbLabel: cross entropy against labels of which some are redrawn at every step."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, as_probabilities, full_float, require
from .contract import Task


class DisturbLabelLoss(ClassificationLoss):
    """Trains on labels that, with probability alpha, are redrawn from all classes; judges by cross entropy.

        label = y with probability 1 - alpha (K - 1) / K, every other class with alpha / K

    L = -log softmax(scores)_label. Scores are logits; prediction is their argmax. alpha = 0 is cross entropy. On
    average the trained loss is that of label smoothing with epsilon = alpha. Every view of a sample is drawn by itself,
    from torch's generator.

    Args:
        alpha: share of labels that are redrawn, 0 to 1; a redrawn label can be the right one. OLS's code: 0.1.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities (replaced by a one-hot label where redrawn)
        -> scalar, mean over B.
    Use: as a regularizer of small data sets, beside or instead of dropout.
    Raises: ValueError if alpha is outside 0 to 1.
    Source: Xie et al. 2016, "DisturbLabel: Regularizing CNN on the Loss Layer", arXiv:1605.00055.
    Deviations: none.
    """

    def __init__(self, task: Task | None = None, *, alpha: float = 0.1) -> None:
        super().__init__(task)
        require("alpha", alpha, 0 <= alpha <= 1, "0 to 1")
        self.alpha = alpha

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(full_float(scores), self._label(scores, target), reduction="none")

    def mean_loss(self, scores: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(full_float(scores), self._label(scores, target))

    def _label(self, scores: Tensor, target: Tensor) -> Tensor:
        return disturb(target, scores.shape[-1], self.alpha) if self.training else target


def disturb(target: Tensor, num_classes: int, alpha: float) -> Tensor:
    """Redraw a share of the labels. Shapes: [B] int64 or [B, K] probabilities -> the same."""
    redrawn = torch.rand(len(target), device=target.device) < alpha  # [B]
    drawn = torch.randint(num_classes, (len(target),), device=target.device)  # [B]
    if target.ndim == 1:
        return torch.where(redrawn, drawn, target)
    return torch.where(redrawn[:, None], as_probabilities(drawn, num_classes, target.dtype), target)
