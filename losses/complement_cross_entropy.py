"""Complement cross entropy: cross entropy that also evens out the wrong classes."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float, require
from .contract import Task
from .label_probability import over_labels


class ComplementCrossEntropyLoss(ClassificationLoss):
    """Adds the entropy of the wrong classes among themselves; gamma < 0 rewards it.

        L = -log p_y + gamma / (K - 1) H_y,        H_y = -sum_{j != y} r_j log r_j,   r_j = p_j / (1 - p_y)

    with p = softmax(scores). Scores are logits; prediction is their argmax. gamma = 0 is cross entropy. With
    gamma = -1 the smallest value is -log(K - 1) / (K - 1), not 0. "Complement" means the wrong classes; this is no
    one-vs-rest loss.

    Args:
        gamma: weight of the entropy, finite; negative makes the wrong classes even. Paper: -1.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities (sum_k q_k L(k)) -> scalar, mean over B.
    Use: where classes are unbalanced.
    Raises: ValueError if gamma is not finite.
    Source: Kim et al. 2020, "Imbalanced Image Classification with Complement Cross Entropy", arXiv:2009.02189.
    Deviations: the paper's equations were not at hand, so sign, K - 1 and default are unconfirmed. The sign is
        its abstract's, which evens out the wrong classes; K - 1 and gamma = -1 are those of an independent
        implementation (holocron). The code the authors published divides by K and, by default, subtracts the negative
        entropy: the opposite sign.
    """

    def __init__(self, task: Task | None = None, *, gamma: float = -1.0) -> None:
        super().__init__(task)
        require("gamma", gamma, True, "a number")
        self.gamma = gamma
        self.calibrated = gamma == 0

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        entropy, weight = self._entropy(full_float(scores), target)
        return F.cross_entropy(full_float(scores), target, reduction="none") + weight * entropy

    def mean_loss(self, scores: Tensor, target: Tensor) -> Tensor:
        entropy, weight = self._entropy(full_float(scores), target)
        return F.cross_entropy(full_float(scores), target) + weight * entropy.mean()

    def _entropy(self, scores: Tensor, target: Tensor) -> tuple[Tensor, float]:
        """Return the entropy of the wrong classes, and its weight. Shapes: scores [N, K], target -> [N]."""
        entropy = complement_entropy(scores, target) if target.ndim == 1 else complement_entropies(scores)
        return over_labels(entropy, target), self.gamma / (scores.shape[-1] - 1)


def complement_entropy(scores: Tensor, label: Tensor) -> Tensor:
    """Return the entropy of the classes other than the label. Shapes: scores [B, K], label [B] int64 -> [B]."""
    log_r = scores.scatter(1, label[:, None], -math.inf).log_softmax(dim=-1)
    return -(log_r.exp() * log_r.clamp_min(torch.finfo(log_r.dtype).min)).sum(dim=-1)  # 0 log 0 = 0


def complement_entropies(scores: Tensor) -> Tensor:
    """Return the entropy of the other classes for every label. Shapes: [B, K] -> [B, K].

    With h = -p log p it is log(1 - p_k) + (sum_j h_j - h_k) / (1 - p_k), exact where p_k <= 1/2; the likeliest class,
    the only one beyond, is summed anew.
    """
    best = scores.argmax(dim=-1, keepdim=True)  # [B, 1]
    log_p = scores.log_softmax(dim=-1)
    h = -log_p.exp() * log_p
    rest = (1 - log_p.exp()).scatter(1, best, 1.0)
    return (torch.log(rest) + (h.sum(dim=-1, keepdim=True) - h) / rest).scatter(
        1, best, complement_entropy(scores, best.squeeze(1))[:, None]
    )
