"""Large-margin softmax: the label must win although its angle is multiplied."""

from __future__ import annotations

from torch import Tensor, nn

from .angular_margin import AngularMarginLoss
from .base import require
from .contract import Task


class LargeMarginSoftmaxLoss(AngularMarginLoss):
    """Cross entropy in which, in training, the label's angle to its weights counts several times.

        L = cross entropy of scores |W_j| |x| cos(theta_j), the label's being |W_y| |x| psi(theta_y),
        psi(theta) = (-1)^k cos(m theta) - 2k on [k pi/m, (k+1) pi/m]

    The last layer is linear without bias. Its scores are logits; prediction is their argmax, judged without margin.
    margin = 1 is cross entropy. At first the plain score has the weight beta and psi's 1; beta falls at every step to
    beta_decay of itself, not below beta_min, and is kept with the checkpoint.

    Args:
        margin: m, 1 to 4. Paper: 2 to 4, 4 hardest.
        beta: weight of the plain score at the first step, >= 0.
        beta_decay: factor of beta at each step, 0 to 1.
        beta_min: smallest beta, >= 0.

    Shapes: scores [B, K] float, target [B] int64, features [B, D] -> scalar, mean over B.
    Use: to ask for more than a right decision on data that cross entropy learns by heart. Hard to train with margin 4
        and many classes: lower beta slowly.
    Raises: ValueError if a parameter is out of range, or if the architecture's last layer is not linear.
    Source: Liu et al. 2016, "Large-Margin Softmax Loss for Convolutional Neural Networks", arXiv:1612.02295,
        eq. 4 to 6.
    Deviations: the paper anneals without saying how fast; beta 100, factor 0.99 and minimum 0 are those of a public
        PyTorch implementation. No soft labels: the margin belongs to one label.
    """

    def __init__(
        self,
        task: Task | None = None,
        *,
        margin: int = 4,
        beta: float = 100.0,
        beta_decay: float = 0.99,
        beta_min: float = 0.0,
    ) -> None:
        super().__init__(task, margin)
        require("beta", beta, beta >= 0, ">= 0")
        require("beta_decay", beta_decay, 0 <= beta_decay <= 1, "0 to 1")
        require("beta_min", beta_min, beta_min >= 0, ">= 0")
        self.beta, self.beta_decay, self.beta_min = beta, beta_decay, beta_min

    def build_head(self, num_features: int, num_classes: int) -> nn.Linear:
        return nn.Linear(num_features, num_classes, bias=False)

    def radius(self, features: Tensor, target: Tensor) -> Tensor:
        assert self.head is not None
        return self.head.weight[target].to(features.dtype).norm(dim=1) * features.norm(dim=1)

    def plain_share(self) -> Tensor:
        before = (self.steps - 1).float()  # this step is counted already
        beta = (self.beta * self.beta_decay**before).clamp(min=self.beta_min)
        return beta / (1 + beta)
