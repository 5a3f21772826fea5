"""Cross entropy against labels mixed with the uniform distribution."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float
from .contract import Task


class LabelSmoothingCrossEntropy(ClassificationLoss):
    """Cross entropy against labels of which a share is spread over all classes, the right one included.

        L = -sum_k q_k log p_k,        q = (1 - epsilon) onehot(y) + epsilon / K,   p = softmax(scores)

    Scores are logits; prediction is their argmax. epsilon = 0 is cross entropy. The smallest value is the entropy of q,
    not 0: it is not comparable with a cross entropy, `cross_entropy` among the metrics is.

    Args:
        epsilon: share of the label that is spread, 0 to 1. Thesis: 0.1.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities -> scalar, mean over B.
    Use: nearly always worth a try; do not distil from a network trained so.
    Raises: ValueError if epsilon is outside 0 to 1.
    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer Vision", arXiv:1512.00567, sec. 7.
    Deviations: none. The thesis's prose gives each wrong class epsilon; its code, the paper and this give epsilon / K.
    """

    def __init__(self, task: Task | None = None, *, epsilon: float = 0.1) -> None:
        super().__init__(task)
        if not 0 <= epsilon <= 1:
            raise ValueError(f"epsilon must be 0 to 1, got {epsilon}")
        self.epsilon = epsilon

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(full_float(scores), target, reduction="none", label_smoothing=self.epsilon)

    def mean_loss(self, scores: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(full_float(scores), target, label_smoothing=self.epsilon)
