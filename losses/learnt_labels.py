"""The frame of losses that mix the label with a soft one, learnt from the network's own right predictions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from losses.base import ClassificationLoss, full_float, require
from utils.types import Batch, Outputs, Task


class LearntLabelsLoss(ClassificationLoss):
    """The frame of losses with a soft label for each class; a member overrides `learn`.

        L = -alpha log p_y - (1 - alpha) sum_k S_yk log p_k,        p = softmax(scores)

    S is uniform at first. Scores are logits; prediction is their argmax; `forward` judges by cross entropy. Soft
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

    def forward(self, scores: Tensor, target: Any) -> Tensor:
        return F.cross_entropy(full_float(scores), target)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        log_p = full_float(outputs.scores).log_softmax(dim=-1)
        target: Any = batch.target
        soft = self.soft.to(log_p.dtype)
        if target.ndim == 1:
            hard_part = F.nll_loss(log_p, target)
            soft_part = -(soft[target] * log_p).sum(dim=-1).mean()
            with torch.no_grad():
                self.learn(log_p.exp().to(self.soft.dtype), target, log_p.argmax(dim=-1) == target)
        else:
            hard_part = F.cross_entropy(log_p, target)
            soft_part = -(target.to(soft.dtype) @ soft * log_p).sum(dim=-1).mean()
        return {"main": self.alpha * hard_part + (1 - self.alpha) * soft_part}

    def learn(self, p: Tensor, target: Tensor, right: Tensor) -> None:
        """Learn from a batch. Shapes: p [B, K] constant, target [B] int64, right [B] bool."""
        raise NotImplementedError
