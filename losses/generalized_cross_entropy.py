"""Generalised cross entropy: between cross entropy and the mean absolute error."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import require
from .contract import Task
from .label_probability import LabelProbabilityLoss


class GeneralizedCrossEntropyLoss(LabelProbabilityLoss):
    """Bounds what one sample can cost, so that wrong labels weigh less.

        L = (1 - p_y^q) / q,        p = softmax(scores)

    Scores are logits; prediction is their argmax. q -> 0 is cross entropy; q = 1 is 1 - p_y, half the absolute error.

    Args:
        q: 0 exclusive to 1. Paper: 0.7.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities (sum over labels, weighted) -> scalar, mean
        over B.
    Use: where labels are wrong; q nearer to 1 stands more noise and learns slower, worse with many classes.
    Raises: ValueError if q is outside its range.
    Source: Zhang and Sabuncu 2018, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy
        Labels", arXiv:1805.07836.
    Deviations: the truncated loss of the same paper is left out.
    """

    calibrated = False

    def __init__(self, task: Task | None = None, *, q: float = 0.7) -> None:
        super().__init__(task)
        require("q", q, 0 < q <= 1, "> 0 and <= 1")
        self.q = q

    def cost(self, cross_entropy: Tensor) -> Tensor:
        return -torch.expm1(-self.q * cross_entropy) / self.q
