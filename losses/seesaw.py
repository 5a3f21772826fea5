"""Seesaw loss: rare classes are pushed down less, and pushed up again where they are confused."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float, require
from .class_counts import class_counts_of, require_counts
from .contract import Task

LEAST_PROBABILITY = 1e-2
"""Probability of the label below which the compensation does not grow; the authors'."""


class SeesawLoss(ClassificationLoss):
    """Cross entropy in which, in training, each wrong class is weighted by its images and its probability.

        L = -log(e^s_y / (e^s_y + sum_{j != y} M_j C_j e^s_j)),
        M_j = min(1, n_j / n_y)^p,   C_j = max(1, p_j / max(p_y, 0.01))^q,   p = softmax(s) held constant

    n_j is the number of training images of class j. Scores are logits; prediction is their argmax; judging takes the
    cross entropy. p = q = 0 is cross entropy.

    Args:
        p: how much less frequent labels punish rarer classes, >= 0. Paper: 0.8.
        q: how much more misclassified samples punish what they are taken for, >= 0. Paper: 2.
        class_counts: n, for a loss that is used alone; in a run those of the training part.

    Shapes: scores [N, K] float, target [N] int64 -> [N]. Soft labels are refused: all K labels' losses would take K^2
        weights.
    Use: for long-tailed training data.
    Raises: ValueError if p or q is negative, a class has no image or, at use, if nobody gave the counts.
    Source: Wang et al. 2021, "Seesaw Loss for Long-Tailed Instance Segmentation", arXiv:2008.10032.
    Deviations: the counts of the training part from the first step on, where the paper counts the labels seen so far,
        whose ratios approach them. Without the paper's normalised linear layer and its score for objects.
    """

    soft_targets = False
    calibrated = False
    log_counts: Tensor

    def __init__(
        self, task: Task | None = None, *, p: float = 0.8, q: float = 2.0, class_counts: tuple[int, ...] | None = None
    ) -> None:
        super().__init__(task)
        require("p", p, p >= 0, ">= 0")
        require("q", q, q >= 0, ">= 0")
        self.p, self.q = p, q
        self.register_buffer("log_counts", class_counts_of(task, class_counts).log(), persistent=False)

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        scores = full_float(scores)
        if not self.training:
            return F.cross_entropy(scores, target, reduction="none")
        log_counts, label = require_counts(self.log_counts, self).to(scores.dtype), target[:, None]
        log_p = scores.detach().log_softmax(dim=-1)
        mitigation = (log_counts - log_counts[label]).clamp(max=0)  # [N, K]
        compensation = (log_p - log_p.gather(1, label).clamp(min=math.log(LEAST_PROBABILITY))).clamp(min=0)
        log_weight = (self.p * mitigation + self.q * compensation).scatter(1, label, 0)
        return F.cross_entropy(scores + log_weight, target, reduction="none")
