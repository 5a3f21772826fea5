"""Logit adjustment: the classes' frequencies are added to the scores in training, and not in prediction."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float, require
from .class_counts import class_counts_of, require_counts
from .contract import Task


class LogitAdjustedLoss(ClassificationLoss):
    """Cross entropy in which, in training, each score is raised by the logarithm of its class's frequency.

        L = -log softmax(s + tau log pi)_y,        pi_j = n_j / sum_k n_k

    n_j is the number of training images of class j. Prediction is the argmax of s, and judging takes its cross entropy:
    what the frequencies explain is left out, so the softmax of s is the posterior of a set whose classes are equally
    frequent. tau = 0 is cross entropy.

    Args:
        tau: strength of the adjustment, >= 0. Paper: 1.
        class_counts: n, for a loss that is used alone; in a run those of the training part.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: for long-tailed training data where every class counts alike in the test; the simplest such loss.
    Raises: ValueError if tau is negative, a class has no image or, at use, if nobody gave the counts.
    Source: Menon et al. 2021, "Long-Tail Learning via Logit Adjustment", arXiv:2007.07314, eq. 10.
    Deviations: none.
    """

    calibrated = False
    prior: Tensor

    def __init__(
        self, task: Task | None = None, *, tau: float = 1.0, class_counts: tuple[int, ...] | None = None
    ) -> None:
        super().__init__(task)
        require("tau", tau, tau >= 0, ">= 0")
        counts = class_counts_of(task, class_counts)
        self.tau = tau
        self.register_buffer("prior", (counts / counts.sum()).log(), persistent=False)

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        scores = full_float(scores)
        if self.training:
            scores = scores + self.tau * require_counts(self.prior, self)
        return F.cross_entropy(scores, target, reduction="none")
