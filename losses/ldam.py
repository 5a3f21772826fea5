"""LDAM: the rarer a class, the larger the margin by which it must win."""

from __future__ import annotations

from torch import Tensor

from .base import require
from .class_counts import class_counts_of, effective_number_weights, require_counts
from .contract import Task
from .cosine import CosineLoss


class LDAMLoss(CosineLoss):
    """Cross entropy of scaled cosines with a margin by class in training, and late in training weights by class.

        L = w_y cross entropy of s cos(theta_j), the label's being s (cos(theta_y) - max_margin (n_min / n_y)^(1/4))

    n_j is the number of training images of class j. w_j is 1 until, from the share `defer` of the epochs on, it is
    (1 - beta) / (1 - beta^n_j), scaled to a sum of K: deferred reweighting. The last layer is linear without bias, its
    input and its rows scaled to length 1. Scores are logits; prediction is their argmax, judged without margin and
    weights. max_margin = 0, defer = 1 is NormFace.

    Args:
        max_margin: margin of the rarest class, >= 0. Paper: 0.5.
        scale: s, > 0. Authors' code: 30.
        beta: how fast weights fall with a class's images, 0 to 1. Paper: 0.9999.
        defer: share of the run's epochs without weights, 0 to 1; 1 is LDAM without reweighting. Paper: 160 of 200.
        class_counts: n, for a loss that is used alone; in a run those of the training part.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: for long-tailed training data; together with a lower learning rate where the weights start.
    Raises: ValueError if a parameter is out of range, a class has no image or, at use, if nobody gave the counts;
        ParameterError if the architecture's last layer is not linear.
    Source: Cao et al. 2019, "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss", arXiv:1906.07413,
        algorithm 1.
    Deviations: the mean over the batch is of weighted losses, where the authors' code divides by the sum of the batch's
        weights. Soft labels, on which the paper is silent, weigh the labels' losses.
    """

    score_scale = 2.5
    margins: Tensor
    weights: Tensor

    def __init__(
        self,
        task: Task | None = None,
        *,
        max_margin: float = 0.5,
        scale: float = 30.0,
        beta: float = 0.9999,
        defer: float = 0.8,
        class_counts: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(task, scale)
        require("max_margin", max_margin, max_margin >= 0, ">= 0")
        require("beta", beta, 0 <= beta <= 1, "0 to 1")
        require("defer", defer, 0 <= defer <= 1, "0 to 1")
        counts = class_counts_of(task, class_counts)
        rarity = (counts.min() / counts) ** 0.25 if len(counts) else counts
        self.register_buffer("margins", max_margin * rarity, persistent=False)
        self.register_buffer("weights", effective_number_weights(counts, beta), persistent=False)
        self.defer = defer
        self.reweighted = defer == 0

    def begin_epoch(self, epoch: int) -> None:
        super().begin_epoch(epoch)
        epochs = None if self.task is None else self.task.num_epochs
        self.reweighted = self.defer == 0 or (epochs is not None and epoch >= self.defer * epochs)

    def label_cosines(self, cosine: Tensor, label: Tensor) -> Tensor:
        return cosine - require_counts(self.margins, self).to(cosine.dtype)[label]

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        losses = super().sample_losses(scores, target)
        if not (self.training and self.reweighted):
            return losses
        weights = self.weights.to(losses.dtype)
        return losses * (weights[target] if target.ndim == 1 else target.to(losses.dtype) @ weights)
