"""The frame of losses that mix the label with a soft one, learnt from the network's own right predictions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float, require
from .contract import Task


class LearntLabelsLoss(ClassificationLoss):
    """The frame of losses with a soft label for each class; a member overrides `learn`.

        L = -alpha log p_y - (1 - alpha) sum_k S_yk log p_k,        p = softmax(scores)

    S is uniform at first. Scores are logits; prediction is their argmax; it judges by cross entropy. Soft
    targets (MixUp) mix the soft labels of their classes and teach nothing, since they have no one class.

    Args:
        alpha: weight of the label as it is, 0 to 1.

    Attributes:
        soft: S, one row for each class, [K, K].

    Raises: ValueError if alpha is out of range.
    """

    soft: Tensor

    def __init__(self, task: Task | None, alpha: float) -> None:
        super().__init__(task)
        require("alpha", alpha, 0 <= alpha <= 1, "0 to 1")
        self.alpha = alpha
        classes = 0 if task is None else task.num_classes
        self.register_buffer("soft", torch.full((classes, classes), 1 / max(classes, 1)))

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        if not self.training:
            return F.cross_entropy(full_float(scores), target, reduction="none")
        log_p, soft_part = self._soft_part(scores, target)
        return self.alpha * F.cross_entropy(log_p, target, reduction="none") + (1 - self.alpha) * soft_part

    def mean_loss(self, scores: Tensor, target: Tensor) -> Tensor:
        if not self.training:
            return F.cross_entropy(full_float(scores), target)
        log_p, soft_part = self._soft_part(scores, target)
        hard_part = F.nll_loss(log_p, target) if target.ndim == 1 else F.cross_entropy(log_p, target)
        return self.alpha * hard_part + (1 - self.alpha) * soft_part.mean()

    def _soft_part(self, scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return log p and the cross entropy of the soft labels, and learn from it. Shapes: [N, K], [N]."""
        log_p = full_float(scores).log_softmax(dim=-1)
        soft = self.soft.to(log_p.dtype)
        if target.ndim == 2:
            return log_p, -(target.to(soft.dtype) @ soft * log_p).sum(dim=-1)
        soft_part = -(soft[target] * log_p).sum(dim=-1)
        with torch.no_grad():
            self.learn(log_p.exp().to(self.soft.dtype), target, log_p.argmax(dim=-1) == target)
        return log_p, soft_part

    def learn(self, p: Tensor, target: Tensor, right: Tensor) -> None:
        """Learn from a batch. Shapes: p [B, K] constant, target [B] int64, right [B] bool."""
        raise NotImplementedError
