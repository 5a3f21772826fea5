"""Class-balanced loss: any loss, weighted by the effective number of its class's images."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .base import ClassificationLoss, require
from .class_counts import class_counts_of, effective_number_weights, require_counts
from .contract import ParameterError, Task
from .wrapping import WrappingLoss


class ClassBalancedLoss(WrappingLoss):
    """Weighs another loss, in training, by the inverse of the effective number of images that the label has.

        L = w_y base,        w_j = (1 - beta) / (1 - beta^n_j), scaled to a sum of K

    n_j is the number of training images of class j. Scores, judging, probabilities and prediction are the base's.
    beta = 0 is the base; beta = 1 weighs by 1 / n_j.

    Args:
        base: the loss that decodes; one of scores alone, without features, views or state.
        base_params: its hyperparameters.
        beta: 0 to 1. Paper: chosen from 0.9, 0.99, 0.999 and 0.9999; 0.9999 for CIFAR-10.
        class_counts: n, for a loss that is used alone; in a run those of the training part.

    Shapes: scores and target as the base's -> [N].
    Use: for long-tailed training data; with a base such as FocalLoss.
    Raises: ValueError if beta is out of range, a class has no image or, at use, if nobody gave the counts;
        ParameterError for a base that cannot be built or needs more than scores.
    Source: Cui et al. 2019, "Class-Balanced Loss Based on Effective Number of Samples", arXiv:1901.05555.
    Deviations: soft labels, on which the paper is silent, weigh the classes' weights.
    """

    weights: Tensor

    def __init__(
        self,
        task: Task | None = None,
        *,
        base: str = "CrossEntropyLoss",
        base_params: dict[str, Any] | None = None,
        beta: float = 0.9999,
        class_counts: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(task, base, base_params)
        require("beta", beta, 0 <= beta <= 1, "0 to 1")
        if type(self.base).terms is not ClassificationLoss.terms:
            raise ParameterError("base", f"{base} needs more than scores, so its samples cannot be weighted")
        counts = class_counts_of(task, class_counts)
        self.register_buffer("weights", effective_number_weights(counts, beta), persistent=False)

    forward, terms = ClassificationLoss.forward, ClassificationLoss.terms  # weighted here, not by the base

    def mean_loss(self, scores: Tensor, target: Tensor) -> Tensor:
        return self.sample_losses(scores, target).mean()

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        losses = self.base.sample_losses(scores, target)
        if not self.training:
            return losses
        weights = require_counts(self.weights, self).to(losses.dtype)
        return losses * (weights[target] if target.ndim == 1 else target.to(losses.dtype) @ weights)
