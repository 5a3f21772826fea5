"""Symmetric cross entropy: cross entropy in both directions."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import require
from .contract import Task
from .label_probability import LabelProbabilityLoss


class SymmetricCrossEntropyLoss(LabelProbabilityLoss):
    """Adds the cross entropy of the label under the prediction, which wrong labels cannot inflate.

        L = -alpha log p_y - beta sum_k p_k log q_k = -alpha log p_y - beta A (1 - p_y),        p = softmax(scores)

    q is the one-hot label and A what stands for log 0. Scores are logits; prediction is their argmax. alpha = 1,
    beta = 0 is cross entropy.

    Args:
        alpha: weight of cross entropy, >= 0. Paper: 0.1 on CIFAR-10, 6 on CIFAR-100.
        beta: weight of the reverse, >= 0, not 0 together with alpha. Paper: 1 on CIFAR-10, 0.1 on CIFAR-100.
        log_zero: A, < 0. The authors' code: log 1e-4 = -9.21.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities (sum_k q_k L(k), A for every wrong class of
        each label, not the logarithm of soft probabilities) -> scalar, mean over B.
    Use: where labels are wrong; the paper takes alpha 0.1, beta 1 for 10 classes and alpha 6, beta 0.1 for 100.
    Raises: ValueError if a parameter is out of range.
    Source: Wang et al. 2019, "Symmetric Cross Entropy for Robust Learning with Noisy Labels", arXiv:1908.06112.
    Deviations: the paper speaks of A = -4 in places; the default follows the authors' code.
    """

    calibrated = False

    def __init__(
        self, task: Task | None = None, *, alpha: float = 0.1, beta: float = 1.0, log_zero: float = math.log(1e-4)
    ) -> None:
        super().__init__(task)
        require("alpha", alpha, alpha >= 0, ">= 0")
        require("beta", beta, beta >= 0 and (beta > 0 or alpha > 0), ">= 0, and > 0 where alpha is 0")
        require("log_zero", log_zero, log_zero < 0, "< 0")
        self.alpha, self.beta, self.log_zero = alpha, beta, log_zero

    def cost(self, cross_entropy: Tensor) -> Tensor:
        return self.alpha * cross_entropy + self.beta * self.log_zero * torch.expm1(-cross_entropy)
