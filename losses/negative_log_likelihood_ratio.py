"""Negative log likelihood ratio: the log odds against the right class."""

from __future__ import annotations

from torch import Tensor

from .base import ClassificationLoss, full_float
from .label_probability import log_odds_against, over_labels


class NegativeLogLikelihoodRatioLoss(ClassificationLoss):
    """Makes the right class likelier than all others together, without end.

        L = -log(p_y / sum_{j != y} p_j) = logsumexp_{j != y}(s_j) - s_y,        p = softmax(s)

    Scores are logits; prediction is their argmax. The gradient on the right score is always -1: the loss has no lower
    bound, is negative where p_y > 1/2, and scores grow as long as it is trained.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities (sum_k q_k L(k)) -> scalar, mean over B.
    Use: to study the competing ratio loss's limit; it never stops pushing, so regularize and watch validation.
    Raises: nothing; it has no parameters.
    Source: Zhu et al. 2018, arXiv:1804.10690; as in Zhang et al. 2019, arXiv:1907.13349, eq. 9 and 10.
    Deviations: none. Computed from the scores, since 1 - p_y rounds to 0 at a margin of 17 in float32.
    """

    calibrated = False

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        return over_labels(log_odds_against(full_float(scores), target), target)
