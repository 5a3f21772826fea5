"""NormFace: cross entropy of scaled cosines."""

from __future__ import annotations

from .contract import Task
from .cosine import CosineLoss


class NormFaceLoss(CosineLoss):
    """Cross entropy of the cosines between features and weights, times a scale.

        L = -log softmax(s cos(theta))_y

    The last layer is linear without bias, its input and its rows scaled to length 1. Scores are logits; prediction is
    their argmax. It is CosFace or ArcFace without a margin.

    Args:
        scale: s, > 0. The paper learns it or sets it, and asks for more with more classes; 20 is that of
            pytorch-metric-learning's NormalizedSoftmaxLoss, whose temperature 0.05 is 1/s.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: as the baseline of the losses with a margin, or for features that are compared by cosine later.
    Raises: ValueError if the scale is not positive; ParameterError if the architecture's last layer is not linear.
    Source: Wang et al. 2017, "NormFace: L2 Hypersphere Embedding for Face Verification", arXiv:1704.06369.
    Deviations: the scale is a setting; the paper can learn it, too.
    """

    calibrated = True
    score_scale = 1.0

    def __init__(self, task: Task | None = None, *, scale: float = 20.0) -> None:
        super().__init__(task, scale)
