"""Multi-class hinge losses."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float, require
from .contract import Task

VARIANTS = ("crammer_singer", "weston_watkins")


class HingeLoss(ClassificationLoss):
    """Asks the right score to exceed the others by a margin, and nothing of samples that do.

        crammer_singer:  L = max(0, m + max_{j != y} s_j - s_y)^power
        weston_watkins:  L = sum_{j != y} max(0, m + s_j - s_y)^power

    Prediction is the argmax of the scores. Their softmax is no posterior: fit a temperature before reading it as
    confidence. weston_watkins with margin 1 is K times torch's MultiMarginLoss, which divides by the number of classes.

    Args:
        margin: m, > 0.
        variant: "crammer_singer" (the worst class) or "weston_watkins" (all classes).
        power: 1, or 2 for the squared hinge, whose slope is continuous.

    Shapes: scores [B, K] float, target [B] int64 -> scalar, mean over B. Soft labels are refused: all K labels' losses
        would take K^2 differences.
    Use: as the classical margin, and the baseline of one-sided margins.
    Raises: ValueError if a parameter is out of range.
    Source: Crammer and Singer 2001, JMLR 2, 265-292; Weston and Watkins 1999, ESANN, 219-224.
    Deviations: none. Where the hinge has its kink the slope is 0.
    """

    soft_targets = False
    calibrated = False

    def __init__(
        self,
        task: Task | None = None,
        *,
        margin: float = 1.0,
        variant: Literal["crammer_singer", "weston_watkins"] = "crammer_singer",
        power: Literal[1, 2] = 1,
    ) -> None:
        super().__init__(task)
        require("margin", margin, margin > 0, "> 0")
        if variant not in VARIANTS:
            raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
        if power not in (1, 2):
            raise ValueError(f"power must be 1 or 2, got {power}")
        self.margin, self.variant, self.power = margin, variant, power

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        scores, label = full_float(scores), target[:, None]
        others = scores.scatter(1, label, -math.inf)  # [B, K]; the label's own hinge is 0
        if self.variant == "crammer_singer":
            others = others.max(dim=-1, keepdim=True).values  # [B, 1]
        return (F.relu(self.margin + others - scores.gather(1, label)) ** self.power).sum(dim=-1)
