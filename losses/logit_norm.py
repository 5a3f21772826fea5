"""LogitNorm: cross entropy that does not see how long the vector of scores is."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float, require
from .contract import Task

SHORTEST = 1e-7
"""Length below which scores have no direction; the authors'."""


class LogitNormLoss(ClassificationLoss):
    """Cross entropy of the scores scaled to one length, so that training cannot gain by longer ones.

        L = -log softmax(s / (tau |s|))_y

    The probabilities are this softmax's; prediction is the argmax. `confidence` is log p of the likeliest class under
    the softmax of s itself, as the paper tells unknown images: their scores are short.

    Args:
        tau: length 1 / tau of the scores, > 0. Paper: 0.04 for CIFAR-10; authors' commands: 0.01.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N].
    Use: where unknown images must be told by their confidence.
    Raises: ValueError if tau is not positive.
    Source: Wei et al. 2022, "Mitigating Neural Network Overconfidence with Logit Normalization", arXiv:2205.09310.
    Deviations: none.
    """

    def __init__(self, task: Task | None = None, *, tau: float = 0.04) -> None:
        super().__init__(task)
        require("tau", tau, tau > 0, "> 0")
        self.tau = tau

    def scaled(self, scores: Tensor) -> Tensor:
        """Return the scores at length 1 / tau. Shapes: [N, K] -> [N, K]."""
        return F.normalize(full_float(scores), dim=-1, eps=SHORTEST) / self.tau

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(self.scaled(scores), target, reduction="none")

    def log_probabilities(self, scores: Tensor) -> Tensor:
        return self.scaled(scores).log_softmax(dim=-1)

    def confidence(self, scores: Tensor) -> Tensor:
        """Return log p of the likeliest class under the softmax of the scores as they are. Shapes: [N, K] -> [N]."""
        return full_float(scores).log_softmax(dim=-1).amax(dim=-1)
