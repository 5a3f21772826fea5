"""MaxSup: the largest score, right or wrong, is held near the mean one."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float, require
from .contract import Task


class MaxSupLoss(ClassificationLoss):
    """Adds to cross entropy how far the largest score exceeds the mean one.

        L = -log p_y + alpha (max_k s_k - mean_k s_k),        p = softmax(s)

    alpha rises over the epochs of a run from the first value to the last, by which judging goes. Label smoothing is the
    same with s_y in place of the largest score. Scores are logits; prediction is their argmax. alpha = 0 is cross
    entropy.

    Args:
        alpha: weight in the first epoch, >= 0. Authors' code: 0.1.
        alpha_end: weight in the last epoch, >= 0. Authors' code: 0.2. Without a run it is not reached.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: in place of label smoothing, above all where features are used again.
    Raises: ValueError if a weight is negative.
    Source: Zhou et al. 2025, "MaxSup: Overcoming Representation Collapse in Label Smoothing", arXiv:2502.15798;
        the schedule is the authors' code's.
    Deviations: none.
    """

    calibrated = False

    def __init__(self, task: Task | None = None, *, alpha: float = 0.1, alpha_end: float = 0.2) -> None:
        super().__init__(task)
        require("alpha", alpha, alpha >= 0, ">= 0")
        require("alpha_end", alpha_end, alpha_end >= 0, ">= 0")
        self.alpha, self.alpha_end = alpha, alpha_end
        self.current = alpha

    def begin_epoch(self, epoch: int) -> None:
        super().begin_epoch(epoch)
        last = max((None if self.task is None else self.task.num_epochs) or 1, 2) - 1
        self.current = self.alpha + (self.alpha_end - self.alpha) * min(epoch / last, 1)

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        scores = full_float(scores)
        weight = self.current if self.training else self.alpha_end
        excess = scores.max(dim=-1).values - scores.mean(dim=-1)  # [N]
        return F.cross_entropy(scores, target, reduction="none") + weight * excess
