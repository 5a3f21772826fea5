"""Binary cross entropy of one score for two classes."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from .binary import BinaryLoss


class BinaryCrossEntropyLoss(BinaryLoss):
    """Cross entropy of two classes told apart by one score, the log odds of the second class.

        L = softplus(-s) for the second class, softplus(s) for the first,        p(second) = sigmoid(s)

    The network's last layer is a linear one with one score. Prediction is the second class where s > 0. It equals
    cross entropy with scores (0, s).

    Shapes: scores [B, 1] or [B] float, target [B] int64 (0 or 1) or [B, 2] probabilities -> scalar, mean over B.
    Use: for two classes, as the baseline of BinaryOneSidedMarginLoss.
    Raises: ValueError if the data has not two classes.
    Source: Zhang et al. 2019, arXiv:1907.13349, eq. 4.
    Deviations: none.
    """

    def costs(self, score: Tensor) -> tuple[Tensor, Tensor]:
        return F.softplus(-score), F.softplus(score)

    def log_odds(self, score: Tensor) -> Tensor:
        return score
