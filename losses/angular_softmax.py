"""Angular softmax (SphereFace): unit weights, and a multiplied angle for the label."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from .angular_margin import AngularMarginLoss
from .base import require
from .contract import Task


class AngularLinear(nn.Linear):
    """A linear layer whose rows of weights count as of length 1: scores are |x| cos(theta).

    Shapes: [..., D] -> [..., K].
    """

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes, bias=False)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, F.normalize(self.weight, dim=1))


class AngularSoftmaxLoss(AngularMarginLoss):
    """Cross entropy over angles in which, in training, the label's angle counts several times.

        L = cross entropy of scores |x| cos(theta_j), the label's being |x| psi(theta_y),
        psi(theta) = (-1)^k cos(m theta) - 2k on [k pi/m, (k+1) pi/m]

    The last layer is linear without bias, its rows scaled to length 1. Scores are logits; prediction is their argmax,
    judged without margin. margin = 1 is cross entropy over angles. The plain score has the weight
    beta = max(beta_min, beta / (1 + beta_decay t)) at step t and psi's 1; t is kept with the checkpoint.

    Args:
        margin: m, 1 to 4. Paper: 4.
        beta: weight of the plain score at the start, >= 0. A public PyTorch implementation: 1500; authors' code: 1000.
        beta_decay: how fast it falls, >= 0, per step. The same: 0.1; authors' code: 0.12.
        beta_min: smallest weight, >= 0. Both: 5.

    Shapes: scores [B, K] float, target [B] int64, features [B, D] -> scalar, mean over B.
    Use: to learn features whose angles tell classes apart, as for faces or retrieval. It needs more epochs than cross
        entropy, and the margin only grows as beta falls.
    Raises: ValueError if a parameter is out of range, or if the architecture's last layer is not linear.
    Source: Liu et al. 2017, "SphereFace: Deep Hypersphere Embedding for Face Recognition", arXiv:1704.08063, eq. 7.
    Deviations: none. No soft labels: the margin belongs to one label.
    """

    def __init__(
        self,
        task: Task | None = None,
        *,
        margin: int = 4,
        beta: float = 1500.0,
        beta_decay: float = 0.1,
        beta_min: float = 5.0,
    ) -> None:
        super().__init__(task, margin)
        require("beta", beta, beta >= 0, ">= 0")
        require("beta_decay", beta_decay, beta_decay >= 0, ">= 0")
        require("beta_min", beta_min, beta_min >= 0, ">= 0")
        self.beta, self.beta_decay, self.beta_min = beta, beta_decay, beta_min

    def build_head(self, num_features: int, num_classes: int) -> nn.Linear:
        return AngularLinear(num_features, num_classes)

    def radius(self, features: Tensor, target: Tensor) -> Tensor:
        return features.norm(dim=1)

    def plain_share(self) -> Tensor:
        beta = (self.beta / (1 + self.beta_decay * self.steps.float())).clamp(min=self.beta_min)
        return beta / (1 + beta)
