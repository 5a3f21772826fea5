"""ArcFace with a margin by class: the rarer a class, the larger."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import require
from .class_counts import class_counts_of, require_counts
from .contract import Task
from .cosine import CosineLoss, require_angle, wider


class AdaptiveArcFaceLoss(CosineLoss):
    """Cross entropy of scaled cosines in which, in training, the label's angle is widened by its class's margin.

        L = cross entropy of s cos(theta_j), the label's being s cos(theta_y + m_y),
        m_j = margin_min + (margin_max - margin_min) (n_j^-power - a) / (b - a)

    n_j is the number of training images of class j; a and b are the smallest and the largest n_k^-power. The last layer
    is linear without bias, its input and its rows scaled to length 1. Scores are logits; prediction is their argmax,
    judged without margin. Where all classes have as many images all have margin_min, as in ArcFace.

    Args:
        margin_min: margin of the most frequent class in radians, 0 to pi / 2. mmpretrain: 0.05.
        margin_max: margin of the rarest class in radians, margin_min to pi / 2. mmpretrain: 0.5.
        power: how fast margins fall with a class's images, > 0. mmpretrain: 0.25.
        scale: s, > 0. ArcFace: 64.
        class_counts: n, for a loss that is used alone; in a run those of the training part.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: for many classes with very different numbers of images, as of landmarks.
    Raises: ValueError if a parameter is out of range, a class has no image or, at use, if nobody gave the counts;
        ParameterError if the architecture's last layer is not linear.
    Source: Ha et al. 2020, "Google Landmark Recognition 2020 Competition Third Place Solution", arXiv:2010.05350; the
        scaling to margin_min and margin_max is mmpretrain's.
    Deviations: one centre for a class, the paper has several. Beyond pi as ArcFace here.
    """

    margins: Tensor

    def __init__(
        self,
        task: Task | None = None,
        *,
        margin_min: float = 0.05,
        margin_max: float = 0.5,
        power: float = 0.25,
        scale: float = 64.0,
        class_counts: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(task, scale)
        require_angle("margin_min", margin_min)
        require_angle("margin_max", margin_max)
        require("margin_max", margin_max, margin_max >= margin_min, f">= margin_min = {margin_min}")
        require("power", power, power > 0, "> 0")
        rarity = class_counts_of(task, class_counts) ** -power
        if len(rarity):
            rarity = (rarity - rarity.min()) / (rarity.max() - rarity.min()).clamp(min=torch.finfo(rarity.dtype).tiny)
        self.register_buffer("margins", margin_min + (margin_max - margin_min) * rarity, persistent=False)

    def label_cosines(self, cosine: Tensor, label: Tensor) -> Tensor:
        return wider(cosine, require_counts(self.margins, self)[label])
