"""Bi-tempered loss: a bounded logarithm of a softmax with heavy tails."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import ClassificationLoss, full_float, require
from .contract import Task
from .label_probability import of_label
from .tempered import normalized


class BiTemperedLoss(ClassificationLoss):
    """The tempered cross entropy of a tempered softmax: one temperature bounds the loss, the other slows its tails.

        L = -log_t1 p_y - (1 - sum_k p_k^(2 - t1)) / (2 - t1),   p_k = exp_t2(s_k - c), with the c of sum_k p_k = 1,
        log_t(x) = (x^(1 - t) - 1) / (1 - t), exp_t its inverse

    p are the probabilities; prediction is the argmax of the scores. t1 = t2 = 1 is cross entropy.

    Args:
        t1: temperature of the logarithm, 0 to 1; below 1 the loss is at most 1 / (1 - t1). Paper, CIFAR-100: 0.8.
        t2: temperature of the softmax, 1 to 4; above 1 its tails are heavy. Paper, CIFAR-100: 1.2.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: where some labels are wrong: t1 for those far from their class, t2 for those near the border.
    Raises: ValueError if a temperature is out of range.
    Source: Amid et al. 2019, "Robust Bi-Tempered Logistic Loss Based on Bregman Divergences", arXiv:1906.03361.
    Deviations: the normaliser is exact, where the authors' code takes five steps towards it. Soft labels weigh the
        labels' losses, sum_k q_k L(k), which leaves out of the paper's divergence what the labels alone decide.
    """

    def __init__(self, task: Task | None = None, *, t1: float = 0.8, t2: float = 1.2) -> None:
        super().__init__(task)
        require("t1", t1, 0 <= t1 <= 1, "0 to 1")
        require("t2", t2, 1 <= t2 <= 4, "1 to 4")
        self.t1, self.t2 = t1, t2

    def log_probabilities(self, scores: Tensor) -> Tensor:
        below = normalized(full_float(scores), self.t2)  # <= 0
        return below if self.t2 == 1 else torch.log1p((1 - self.t2) * below) / (1 - self.t2)

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        log_p = self.log_probabilities(scores)

        def log_t1(log_p: Tensor) -> Tensor:
            return log_p if self.t1 == 1 else torch.expm1((1 - self.t1) * log_p) / (1 - self.t1)

        missing = 1 - ((2 - self.t1) * log_p).exp().sum(dim=-1)
        return -of_label(log_p, target, log_t1) - missing / (2 - self.t1)
