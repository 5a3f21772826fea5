"""Rescaled square loss: the squared distance of the scores to a stretched one-hot label."""

from __future__ import annotations

from torch import Tensor

from .base import ClassificationLoss, full_float, require
from .contract import Task
from .label_probability import of_label


class RescaledSquareLoss(ClassificationLoss):
    """Squared distance of the scores to M for the label, which counts k times, and to 0 for the others.

        L = (k (s_y - M)^2 + sum_{j != y} s_j^2) / K

    Prediction is the argmax of the scores; their softmax is no posterior. k = M = 1 is torch's MSELoss against the
    one-hot label.

    Args:
        k: weight of the label's score, > 0. Paper: 1; 15 for ImageNet, whose 1,000 classes outweigh the label.
        M: score that the label must reach, > 0. Paper: 1; 30 for ImageNet.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities (sum_k q_k L(k)) -> [N].
    Use: as a rival of cross entropy; from some 40 classes on raise k and M.
    Raises: ValueError if k or M is not positive.
    Source: Hui and Belkin 2021, "Evaluation of Neural Architectures Trained with Square Loss vs Cross-Entropy in
        Classification Tasks", arXiv:2006.07322.
    Deviations: none. Soft labels, on which the paper is silent, weigh the labels' losses: k = M = 1 then exceeds
        MSELoss by what the labels alone decide.
    """

    calibrated = False

    def __init__(self, task: Task | None = None, *, k: float = 1.0, M: float = 1.0) -> None:
        super().__init__(task)
        require("k", k, k > 0, "> 0")
        require("M", M, M > 0, "> 0")
        self.k, self.M = k, M

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        scores = full_float(scores)
        more = of_label(
            scores, target, lambda s: self.k * (s - self.M).square() - s.square()
        )  # than other classes, [N]
        return (more + scores.square().sum(dim=-1)) / scores.shape[-1]
