"""Active passive loss: one normalised loss that pulls the label up, one that pushes the others down."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .base import ClassificationLoss, full_float, require
from .contract import Task
from .label_probability import fade, of_label

ACTIVE = ("cross_entropy", "focal", "generalized")
PASSIVE = ("reverse_cross_entropy", "absolute_error")


class ActivePassiveLoss(ClassificationLoss):
    """Adds a loss of the label, normalised by what all labels would cost, and one of the wrong classes.

        L = alpha l_y / sum_k l_k + beta c (1 - p_y),        p = softmax(scores)

    l_k, the active loss, is -log p_k, (1 - p_k)^gamma -log p_k (focal) or (1 - p_k^q) / q (generalized); c, by the
    passive loss, is -log_zero (reverse cross entropy) or 1 (absolute error). Both parts are bounded and robust to
    noise that hits all classes alike. Scores are logits; prediction is their argmax.

    Args:
        active: the loss l that is normalised.
        passive: the loss of the wrong classes.
        alpha: weight of the active loss, >= 0. Authors' code: 1 for CIFAR-10, 10 for CIFAR-100.
        beta: weight of the passive loss, >= 0. Authors' code: 1 for CIFAR-10, 0.1 for CIFAR-100, 10 for MNIST.
        gamma: power of the focal loss, >= 0. Authors' code: 0.5.
        q: power of the generalized loss, > 0 and <= 1. Authors' code: 0.7.
        log_zero: what stands for log 0 in the reverse cross entropy, < 0. Authors' code: log 0.0001.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities (sum_k q_k L(k)) -> [N].
    Use: where many labels are wrong.
    Raises: ValueError if a parameter is out of range.
    Source: Ma et al. 2020, "Normalized Loss Functions for Deep Learning with Noisy Labels", arXiv:2006.13554.
    Deviations: log p is computed from the scores, where the authors' code clamps p; the gradient runs through the
        focal weights of the sum, which that code holds constant. Absolute error is 1 - p_y as in the code, half the
        paper's.
    """

    calibrated = False

    def __init__(
        self,
        task: Task | None = None,
        *,
        active: Literal["cross_entropy", "focal", "generalized"] = "cross_entropy",
        passive: Literal["reverse_cross_entropy", "absolute_error"] = "reverse_cross_entropy",
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 0.5,
        q: float = 0.7,
        log_zero: float = -9.210340371976182,
    ) -> None:
        super().__init__(task)
        if active not in ACTIVE or passive not in PASSIVE:
            allowed = f"active must be one of {', '.join(ACTIVE)} and passive one of {', '.join(PASSIVE)}"
            raise ValueError(f"{allowed}, got {active!r} and {passive!r}")
        require("alpha", alpha, alpha >= 0, ">= 0")
        require("beta", beta, beta >= 0 and alpha + beta > 0, ">= 0, and > 0 where alpha is 0")
        require("gamma", gamma, gamma >= 0, ">= 0")
        require("q", q, 0 < q <= 1, "> 0 and <= 1")
        require("log_zero", log_zero, log_zero < 0, "< 0")
        self.active, self.gamma, self.q = active, gamma, q
        self.alpha, self.beta = alpha, beta * (-log_zero if passive == PASSIVE[0] else 1)

    def active_cost(self, log_p: Tensor) -> Tensor:
        """Return what a class costs as the label, elementwise, from its log p."""
        if self.active == "generalized":
            return -torch.expm1(self.q * log_p) / self.q
        return -log_p if self.active == "cross_entropy" else -fade(-torch.expm1(log_p), self.gamma) * log_p

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        log_p = full_float(scores).log_softmax(dim=-1)
        active = of_label(log_p, target, self.active_cost) / self.active_cost(log_p).sum(dim=-1)
        return self.alpha * active - self.beta * of_label(log_p, target, torch.expm1)
