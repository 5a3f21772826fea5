"""Balanced softmax: a softmax that counts each class by its images."""

from __future__ import annotations

from .contract import Task
from .logit_adjusted import LogitAdjustedLoss


class BalancedSoftmaxLoss(LogitAdjustedLoss):
    """Cross entropy in which, in training, each class enters the softmax as often as it has images.

        L = -log(n_y e^s_y / sum_j n_j e^s_j)

    n_j is the number of training images of class j. Prediction is the argmax of s, and judging takes its cross entropy.
    It is logit adjustment with tau = 1, found from another side.

    Args:
        class_counts: n, for a loss that is used alone; in a run those of the training part.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: for long-tailed training data where every class counts alike in the test.
    Raises: ValueError if a class has no image or, at use, if nobody gave the counts.
    Source: Ren et al. 2020, "Balanced Meta-Softmax for Long-Tailed Visual Recognition", arXiv:2007.10740, eq. 3.
    Deviations: without the paper's second part, the meta sampler, which draws the training images.
    """

    def __init__(self, task: Task | None = None, *, class_counts: tuple[int, ...] | None = None) -> None:
        super().__init__(task, class_counts=class_counts)
