"""Brier loss: squared distance of the probabilities to the label."""

from torch import Tensor

from .base import ClassificationLoss, as_probabilities, require
from .contract import Task


class BrierLoss(ClassificationLoss):
    """Penalises the squared distance of the predicted probabilities to the label.

        L = scale * sum_k (p_k - y_k)^2,        p = softmax(scores)

    Args:
        scale: factor of the loss, > 0.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: loss_function: BrierLoss.
    Raises: ValueError if scale is not positive.
    Source: Brier 1950, "Verification of forecasts expressed in terms of probability".
    Deviations: none.
    """

    def __init__(self, task: Task | None = None, *, scale: float = 1.0) -> None:
        super().__init__(task)
        require("scale", scale, scale > 0, "> 0")
        self.scale = scale

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        label = as_probabilities(target, scores.shape[-1], scores.dtype)  # [N, K]
        return self.scale * (scores.softmax(dim=-1) - label).square().sum(dim=-1)
