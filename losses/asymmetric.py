"""Asymmetric loss for one label: right and wrong classes fade by powers of their own."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import ClassificationLoss, full_float, require
from .contract import Task
from .label_probability import fade, of_label


class AsymmetricLoss(ClassificationLoss):
    """Cross entropy against a softened label in which certain classes fade, wrong ones faster than the right one.

        L = -(1 - e + e / K) (1 - p_y)^g+ log p_y - e / K sum_{j != y} p_j^g- log p_j,        p = softmax(scores)

    e is the smoothing, g+ and g- the powers. Scores are logits; prediction is their argmax. smoothing = 0 is the focal
    loss, g+ = g- = 0 label smoothing.

    Args:
        gamma_pos: g+, >= 0. Authors' code: 0.
        gamma_neg: g-, >= 0. Authors' code: 4.
        smoothing: e, share of the label that is spread over all classes, 0 to 1. Authors' code: 0.1.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities (sum_k q_k L(k)) -> [N].
    Use: as its authors fine-tune for images of one label; the loss of the paper is for several labels.
    Raises: ValueError if a parameter is out of range.
    Source: Ridnik et al. 2021, "Asymmetric Loss For Multi-Label Classification", arXiv:2009.14119; the form for
        one label is the authors' code's alone, ASLSingleLabel.
    Deviations: none. The paper's probability margin belongs to several labels and is not in the authors' form for one.
    """

    calibrated = False

    def __init__(
        self, task: Task | None = None, *, gamma_pos: float = 0.0, gamma_neg: float = 4.0, smoothing: float = 0.1
    ) -> None:
        super().__init__(task)
        require("gamma_pos", gamma_pos, gamma_pos >= 0, ">= 0")
        require("gamma_neg", gamma_neg, gamma_neg >= 0, ">= 0")
        require("smoothing", smoothing, 0 <= smoothing <= 1, "0 to 1")
        self.gamma_pos, self.gamma_neg, self.smoothing = gamma_pos, gamma_neg, smoothing

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        log_p = full_float(scores).log_softmax(dim=-1)
        share = self.smoothing / log_p.shape[-1]

        def as_other(log_p: Tensor) -> Tensor:
            return -share * (self.gamma_neg * log_p).exp() * log_p

        def more_as_label(log_p: Tensor) -> Tensor:
            own = -(1 - self.smoothing + share) * fade(-torch.expm1(log_p), self.gamma_pos) * log_p
            return own - as_other(log_p)

        return of_label(log_p, target, more_as_label) + as_other(log_p).sum(dim=-1)
