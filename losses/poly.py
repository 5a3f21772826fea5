"""PolyLoss: cross entropy whose first polynomial coefficient is shifted."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import require
from .contract import Task
from .label_probability import LabelProbabilityLoss


class PolyLoss(LabelProbabilityLoss):
    """Adds to cross entropy the missing probability of the label: Poly-1.

        L = -log p_y + epsilon (1 - p_y),        p = softmax(scores)

    Cross entropy is sum_j (1 - p_y)^j / j; epsilon changes the first coefficient. Scores are logits; prediction is
    their argmax. epsilon = 0 is cross entropy.

    Args:
        epsilon: >= -1, below which a better score could cost more. Paper, ImageNet: 2.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities (sum_k q_k L(k)) -> [N].
    Use: as one more setting beside cross entropy; > 0 for balanced sets, the paper's detectors take < 0.
    Raises: ValueError if epsilon < -1.
    Source: Leng et al. 2022, "PolyLoss: A Polynomial Expansion Perspective of Classification Loss Functions",
        arXiv:2204.12511.
    Deviations: none.
    """

    calibrated = False

    def __init__(self, task: Task | None = None, *, epsilon: float = 2.0) -> None:
        super().__init__(task)
        require("epsilon", epsilon, epsilon >= -1, ">= -1")
        self.epsilon = epsilon

    def cost(self, cross_entropy: Tensor) -> Tensor:
        return cross_entropy - self.epsilon * torch.expm1(-cross_entropy)
