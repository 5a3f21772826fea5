"""One-sided margin loss of one score for two classes."""

from __future__ import annotations

import warnings
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from .binary import BinaryLoss
from .contract import Task
from .one_sided_margin import check_margins, starting_score, threshold, warn_of_ties


class BinaryOneSidedMarginLoss(BinaryLoss):
    """Asks one score to lie in [0, lambda_min] for the second class and to reach lambda_max for the first.

        L = h(s - lambda_min) + alpha h(-s) for the second class, lambda_ h(lambda_max - s) for the first,
        h = softplus or max(., 0)

    The network's last layer is a linear one with one score. With g(s) = softplus(s - lambda_min) + alpha softplus(-s)
    - lambda_ softplus(lambda_max - s), p(second) = sigmoid(-g(s)); prediction is the second class where g(s) < 0, that
    is for s below about (lambda_min + lambda_ lambda_max) / (1 + lambda_), 350 by default.

    Args:
        alpha: weight of negative scores of the second class, >= 0. Paper: 0.1.
        lambda_: weight of the first class, > 0. Paper: 1.
        lambda_max: score that the first class must reach, > lambda_min. Paper: 600.
        lambda_min: score that the second class must not exceed, >= 0. Paper: 100.
        soft: softplus instead of the hard hinge.
        normalize_negatives: as for several classes; without effect, since there is one wrong class.
        start: score near which the last layer starts: "threshold" for the one above, where neither class is favoured,
            a number, or null for near 0. Ours.

    Shapes: scores [B, 1] or [B] float, target [B] int64 (0 or 1) or [B, 2] probabilities -> scalar, mean over B.
    Use: for two classes, to compare one-sided margins with binary cross entropy.
    Raises: ValueError if a parameter is out of range, or if the data has not two classes. Warns when
        alpha >= lambda_: then very negative scores are the first class's again.
    Source: Karimi et al. 2022, arXiv:2206.01002, eq. 1.
    Deviations: eq. 2 lacks the factor (1 - y) that eq. 1 has; eq. 1 is followed. The paper gives no threshold; the
        class that costs less is predicted. Nor does it say where scores start; at that threshold neither class is
        favoured, from 0 the scores need many epochs to get there. Which class is "positive" it does not say either;
        here the second.
    """

    calibrated = False
    score_scale = 100.0

    def __init__(
        self,
        task: Task | None = None,
        *,
        alpha: float = 0.1,
        lambda_: float = 1.0,
        lambda_max: float = 600.0,
        lambda_min: float = 100.0,
        soft: bool = True,
        normalize_negatives: bool = False,
        start: float | Literal["threshold"] | None = "threshold",
    ) -> None:
        super().__init__(task)
        check_margins(alpha, lambda_, lambda_max, lambda_min)
        warn_of_ties(type(self).__name__, alpha, lambda_)
        if normalize_negatives:
            warnings.warn(
                "loss_params.normalize_negatives: has no effect: two classes have one wrong one", stacklevel=2
            )
        self.alpha, self.lambda_, self.lambda_max, self.lambda_min = alpha, lambda_, lambda_max, lambda_min
        self.soft = soft
        self.start = starting_score(start, threshold=threshold(lambda_, lambda_max, lambda_min))

    def costs(self, score: Tensor) -> tuple[Tensor, Tensor]:
        hinge = F.softplus if self.soft else F.relu
        positive = hinge(score - self.lambda_min) + self.alpha * hinge(-score)
        return positive, self.lambda_ * hinge(self.lambda_max - score)

    def log_odds(self, score: Tensor) -> Tensor:
        positive = F.softplus(score - self.lambda_min) + self.alpha * F.softplus(-score)
        return self.lambda_ * F.softplus(self.lambda_max - score) - positive
