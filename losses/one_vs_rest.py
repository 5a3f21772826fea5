"""Cross entropy of every class's softmax probability against the rest."""

from __future__ import annotations

from torch import Tensor

from .base import ClassificationLoss, full_float
from .label_probability import log_complements


class OneVsRestCrossEntropyLoss(ClassificationLoss):
    """Sums, over the classes, the binary cross entropy of the softmax probability.

        L = -log p_y - sum_{j != y} log(1 - p_j),        p = softmax(scores)

    Scores are logits; prediction is their argmax. Unlike torch's BCEWithLogitsLoss the probabilities are a softmax: the
    classes compete. For two classes it is twice the cross entropy.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities (sum_k q_k L(k)) -> scalar, mean over B.
    Use: to compare with the competing ratio loss, as its paper does.
    Raises: nothing; it has no parameters.
    Source: Zhang et al. 2019, arXiv:1907.13349, eq. 5, there "CCE".
    Deviations: the second line of eq. 5 lacks the bar over the wrong classes; their factors are 1 - p_j.
    """

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        log_p = full_float(scores).log_softmax(dim=-1)
        if target.ndim == 1:
            own = log_p.gather(1, target[:, None])  # [B, 1], in the place of the label's complement
            return -log_complements(log_p).scatter(1, target[:, None], own).sum(dim=-1)
        return -(target * log_p + (1 - target) * log_complements(log_p)).sum(dim=-1)
