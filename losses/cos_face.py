"""CosFace: the label's cosine must win by a margin."""

from __future__ import annotations

from torch import Tensor

from .base import require
from .contract import Task
from .cosine import CosineLoss


class CosFaceLoss(CosineLoss):
    """Cross entropy of scaled cosines in which, in training, the label's is lowered by a margin.

        L = -log(e^(s (cos(theta_y) - m)) / (e^(s (cos(theta_y) - m)) + sum_{j != y} e^(s cos(theta_j))))

    The last layer is linear without bias, its input and its rows scaled to length 1. Scores are logits; prediction is
    their argmax, judged without margin. margin = 0 is NormFace.

    Args:
        margin: m, >= 0. Paper: 0.35.
        scale: s, > 0. Paper: 64.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: for features that are compared by cosine later, as of faces; where ArcFace does not start to learn.
    Raises: ValueError if a parameter is out of range; ParameterError if the architecture's last layer is not linear.
    Source: Wang et al. 2018, "CosFace: Large Margin Cosine Loss for Deep Face Recognition", arXiv:1801.09414, eq. 4.
    Deviations: none. Soft labels, on which the paper is silent, weigh the labels' losses: sum_k q_k L(k).
    """

    def __init__(self, task: Task | None = None, *, margin: float = 0.35, scale: float = 64.0) -> None:
        super().__init__(task, scale)
        require("margin", margin, margin >= 0, ">= 0")
        self.margin = margin

    def label_cosines(self, cosine: Tensor, label: Tensor) -> Tensor:
        return cosine - self.margin
