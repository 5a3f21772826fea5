"""Soft-margin softmax: cross entropy in which the right class must win by a margin."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float, require
from .contract import Task
from .label_probability import log_odds_against, over_labels


class SoftMarginSoftmaxLoss(ClassificationLoss):
    """Trains with the right score lowered by a margin, judges without.

        L = -log(e^(s_y - m) / (e^(s_y - m) + sum_{j != y} e^s_j)) in training, cross entropy in judging

    Scores are logits; prediction is their argmax. margin = 0 is cross entropy. The trained loss exceeds the judged one
    by at most the margin.

    Args:
        margin: m, >= 0.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities (sum_k q_k L(k)) -> scalar, mean over B.
    Use: as the simplest margin: no own layer, no annealing.
    Raises: ValueError if margin is negative.
    Source: Liang et al. 2017, "Soft-Margin Softmax for Deep Classification", ICONIP, doi 10.1007/978-3-319-70096-0_43.
    Deviations: the paper was read in a summary only, which gives no default margin; 0.5 is ours.
    """

    calibrated = False

    def __init__(self, task: Task | None = None, *, margin: float = 0.5) -> None:
        super().__init__(task)
        require("margin", margin, margin >= 0, ">= 0")
        self.margin = margin

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        scores = full_float(scores)
        if self.training and target.ndim == 2:
            return over_labels(F.softplus(self.margin + log_odds_against(scores, target)), target)
        return F.cross_entropy(self._lowered(scores, target), target, reduction="none")

    def mean_loss(self, scores: Tensor, target: Tensor) -> Tensor:
        if self.training and target.ndim == 2:
            return super().mean_loss(scores, target)
        return F.cross_entropy(self._lowered(full_float(scores), target), target)

    def _lowered(self, scores: Tensor, target: Tensor) -> Tensor:
        """Return the scores, of which the label's is lowered while training. Shapes: [N, K] -> [N, K]."""
        if not self.training:
            return scores
        lowering = torch.full_like(target, -self.margin, dtype=scores.dtype)[:, None]  # [N, 1]
        return scores.scatter_add(1, target[:, None], lowering)
