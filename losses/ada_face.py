"""AdaFace: a margin that depends on the quality of the image, read from the length of its features."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .base import full_float, require, sum_over_ranks
from .contract import Batch, Outputs, Task
from .cosine import CosineLoss

CLOSEST = 1e-3
"""Smallest angle that a label has, and what is added to the standard deviation; the authors'."""


class AdaFaceLoss(CosineLoss):
    """Cross entropy of scaled cosines with a margin for the label that suits the image's quality.

        L = cross entropy of s cos(theta_j), the label's being s (cos(theta_y - m u) - (m + m u)),
        u = clip(h (|x| - mean) / std, -1, 1)

    |x|, the length of the features before they are scaled, stands for the quality; its mean and standard deviation
    are moving averages over the batches, kept with the checkpoint. u = -1 is ArcFace, u = 0 CosFace. The last layer is
    linear without bias, its input and its rows scaled to length 1. Scores are logits; prediction is their argmax,
    judged without margin. Without features, from scores alone, training takes u = 0.

    Args:
        margin: m, 0 to pi. Paper: 0.4.
        h: how strongly the quality counts, >= 0. Paper: 0.33; authors' code: 0.333.
        scale: s, > 0. Paper: 64.
        momentum: weight of a batch in the moving averages, 0 to 1. Paper: 0.01, that is alpha = 0.99.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities, features [N, D] -> [N].
    Use: for faces, or images of which some cannot be recognised.
    Raises: ValueError if a parameter is out of range; ParameterError if the architecture's last layer is not linear.
    Source: Kim et al. 2022, "AdaFace: Quality Adaptive Margin for Face Recognition", arXiv:2204.00964.
    Deviations: none. As in the authors' code the averages start at 20 and 100, lengths count up to 100, and no gradient
        runs through them. The other classes' cosines are not clamped.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        task: Task | None = None,
        *,
        margin: float = 0.4,
        h: float = 0.333,
        scale: float = 64.0,
        momentum: float = 0.01,
    ) -> None:
        super().__init__(task, scale)
        require("margin", margin, 0 <= margin <= math.pi, "0 to pi")
        require("h", h, h >= 0, ">= 0")
        require("momentum", momentum, 0 <= momentum <= 1, "0 to 1")
        self.margin, self.h, self.momentum = margin, h, momentum
        self.register_buffer("mean", torch.tensor(20.0))
        self.register_buffer("std", torch.tensor(100.0))
        self._quality: Tensor | None = None  # u of the batch that `terms` is judging, [N, 1]

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        features, target = full_float(outputs.features.detach()), batch.target
        ignored = None if target.ndim == 2 else self.ignore_index  # type: ignore
        self._quality = self.quality(features if ignored is None else features[target != ignored])
        try:
            return super().terms(outputs, batch)
        finally:
            self._quality = None

    @torch.no_grad()
    def quality(self, features: Tensor) -> Tensor:
        """Learn from a batch's features and return u of each. Shapes: [N, D] -> [N, 1]."""
        length = features.norm(dim=1, keepdim=True).clamp(1e-3, 100)
        count, total = length.new_tensor(float(len(length))), length.sum()
        sum_over_ranks(count, total)
        spread = (length - total / count).square().sum()
        sum_over_ranks(spread)
        self.mean.lerp_((total / count).to(self.mean.dtype), self.momentum)
        if count > 1:  # one image alone has no spread
            self.std.lerp_((spread / (count - 1)).sqrt().to(self.std.dtype), self.momentum)
        return (self.h * (length - self.mean) / (self.std + CLOSEST)).clamp(-1, 1)

    def label_cosines(self, cosine: Tensor, label: Tensor) -> Tensor:
        u = 0.0 if self._quality is None else self._quality
        angle = cosine.clamp(CLOSEST - 1, 1 - CLOSEST).acos() - self.margin * u
        return angle.clamp(CLOSEST, math.pi - CLOSEST).cos() - self.margin * (1 + u)
