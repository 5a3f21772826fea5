"""The frame of losses in which a class must score more as the label than it does against others."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float
from .label_probability import log_odds_against


class MarginLoss(ClassificationLoss):
    """The frame of cross entropies whose scores are changed in training; a member overrides `label_scores`.

        L = -log(e^a_y / (e^a_y + sum_{j != y} e^b_j)),   a = label_scores(s), b = other_scores(s)

    Judging takes the cross entropy of the scores as they are. Soft labels weigh the labels' losses: sum_k q_k L(k).

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    """

    calibrated = False

    def label_scores(self, scores: Tensor, label: Tensor) -> Tensor:
        """Return what classes score as the label. Shapes: scores [N, M] of the classes label [N, M] int64 -> [N, M]."""
        raise NotImplementedError

    def other_scores(self, scores: Tensor) -> Tensor:
        """Return what classes score against the label. Shapes: [N, K] -> [N, K]."""
        return scores

    def sample_losses(self, scores: Tensor, target: Any) -> Tensor:
        scores = full_float(scores)
        if not self.training:
            return F.cross_entropy(scores, target, reduction="none")
        others = self.other_scores(scores)
        if target.ndim == 1:
            label = target[:, None]
            own = self.label_scores(scores.gather(1, label), label)  # [N, 1]
            return F.cross_entropy(others.scatter(1, label, own), target, reduction="none")
        classes = torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
        lowering = others - self.label_scores(scores, classes)  # [N, K]
        return (target.to(scores.dtype) * F.softplus(lowering + log_odds_against(others, target))).sum(dim=-1)
