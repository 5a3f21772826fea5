"""Circle loss: each class's cosine is pulled by how far it is from its optimum."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from .base import require
from .contract import Task
from .cosine import CosineLoss


class CircleLoss(CosineLoss):
    """Cross entropy of cosines, in training each weighted by its distance from its optimum and set off by a margin.

        L = cross entropy of gamma relu(1 + m - c_y) (c_y - (1 - m)) for the label
            and gamma relu(c_j + m) (c_j - m) for the others,         c = cos(theta)

    The weights, the factors before the last bracket, are held constant. The last layer is linear without bias, its
    input and its rows scaled to length 1 and its scores to gamma. Prediction is the argmax; judging takes the cross
    entropy of the scores gamma c.

    Args:
        margin: m, 0 to 1. Paper, faces: 0.25.
        scale: gamma, > 0. Paper, faces: 256.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: for features that are compared by cosine later.
    Raises: ValueError if a parameter is out of range; ParameterError if the architecture's last layer is not linear.
    Source: Sun et al. 2020, "Circle Loss: A Unified Perspective of Pair Similarity Optimization", arXiv:2002.10857,
        with class-level labels, the similarities to the classes' weights.
    Deviations: none. Soft labels, on which the paper is silent, weigh the labels' losses: sum_k q_k L(k).
    """

    score_scale = 20.0

    def __init__(self, task: Task | None = None, *, margin: float = 0.25, scale: float = 256.0) -> None:
        super().__init__(task, scale)
        require("margin", margin, 0 <= margin <= 1, "0 to 1")
        self.margin = margin

    def label_cosines(self, cosine: Tensor, label: Tensor) -> Tensor:
        return F.relu(1 + self.margin - cosine.detach()) * (cosine - (1 - self.margin))

    def other_scores(self, scores: Tensor) -> Tensor:
        cosine = scores / self.scale
        return self.scale * F.relu(cosine.detach() + self.margin) * (cosine - self.margin)
