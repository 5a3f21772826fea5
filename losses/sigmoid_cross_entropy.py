"""Binary cross entropy of each class against the rest, as modern recipes for ImageNet train."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, as_probabilities, full_float, require
from .contract import Task
from .one_sided_margin import starting_score


class SigmoidCrossEntropyLoss(ClassificationLoss):
    """Asks of each class by itself whether the image shows it.

        L = mean_k (t_k softplus(-s_k) + (1 - t_k) softplus(s_k)),   t = (1 - smoothing) q + smoothing / K

    q is the one-hot or the mixed label. Prediction is the argmax of the scores; the log odds of a class are its own, so
    their softmax is no posterior. smoothing = 0 is torch's BCEWithLogitsLoss.

    Args:
        smoothing: share of the label that is spread over all classes, 0 to below 1. timm: 0.1.
        target_threshold: probability above which a class counts as shown, all others as not; null for soft labels as
            they are. Recipe A2 for ImageNet: 0.2, so that both images of a mixture are there.
        sum_classes: the sum over the classes instead of their mean, K times as much.
        start: score near which a fresh last layer starts: "prior", -log K, so that at first no class seems shown, a
            number, or null for the architecture's own, near 0.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: with MixUp and CutMix and long training; with many classes start at the prior.
    Raises: ValueError if a parameter is out of range.
    Source: Wightman et al. 2021, "ResNet Strikes Back", arXiv:2110.00476; timm's BinaryCrossEntropy.
    Deviations: mixed labels are smoothed like others; timm leaves them as they are.
    """

    calibrated = False

    def __init__(
        self,
        task: Task | None = None,
        *,
        smoothing: float = 0.1,
        target_threshold: float | None = None,
        sum_classes: bool = False,
        start: float | Literal["prior"] | None = None,
    ) -> None:
        super().__init__(task)
        require("smoothing", smoothing, 0 <= smoothing < 1, "0 to below 1")
        if target_threshold is not None:
            require("target_threshold", target_threshold, 0 <= target_threshold < 1, "0 to below 1, or null")
        self.smoothing, self.target_threshold, self.sum_classes = smoothing, target_threshold, sum_classes
        self.start = starting_score(start, prior=0.0 if task is None else -math.log(task.num_classes))

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        scores = full_float(scores)
        q = as_probabilities(target, scores.shape[-1], scores.dtype)
        t = (1 - self.smoothing) * q + self.smoothing / scores.shape[-1]
        if self.target_threshold is not None:
            t = (t > self.target_threshold).to(t.dtype)
        costs = F.binary_cross_entropy_with_logits(scores, t, reduction="none")  # [N, K]
        return costs.sum(dim=-1) if self.sum_classes else costs.mean(dim=-1)
