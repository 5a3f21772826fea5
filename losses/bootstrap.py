"""Bootstrapping: labels mixed with what the network itself believes."""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from .base import ClassificationLoss, full_float, require
from .contract import Task
from .label_probability import over_labels

DEFAULT_BETA = {"soft": 0.95, "hard": 0.8}


class BootstrapLoss(ClassificationLoss):
    """Cross entropy against a label that is partly the network's own prediction, so that wrong labels weigh less.

        L = -sum_k (beta q_k + (1 - beta) z_k) log p_k,   z = p (soft) or onehot(argmax p) (hard),   p = softmax(scores)

    Scores are logits; prediction is their argmax. beta = 1 is cross entropy. In soft mode the gradient runs through z
    as well, which adds entropy minimisation: held constant, z would only scale the gradient of cross entropy by beta.

    Args:
        mode: "soft" or "hard".
        beta: weight of the label, 0 to 1; None is the paper's, 0.95 for soft and 0.8 for hard.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities (q) -> scalar, mean over B.
    Use: where some labels are wrong and how many is not known.
    Raises: ValueError if mode is unknown or beta is outside 0 to 1.
    Source: Reed et al. 2014, "Training Deep Neural Networks on Noisy Labels with Bootstrapping", arXiv:1412.6596.
    Deviations: none; log p is computed from the scores, not from clamped probabilities.
    """

    calibrated = False

    def __init__(
        self, task: Task | None = None, *, mode: Literal["soft", "hard"] = "soft", beta: float | None = None
    ) -> None:
        super().__init__(task)
        if mode not in DEFAULT_BETA:
            raise ValueError(f"mode must be soft or hard, got {mode!r}")
        beta = DEFAULT_BETA[mode] if beta is None else beta
        require("beta", beta, 0 <= beta <= 1, "0 to 1")
        self.mode, self.beta = mode, beta

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        label, own = self._parts(scores, target)
        return -self.beta * over_labels(label, target) - (1 - self.beta) * own

    def mean_loss(self, scores: Tensor, target: Tensor) -> Tensor:
        label, own = self._parts(scores, target)
        return -self.beta * over_labels(label, target).mean() - (1 - self.beta) * own.mean()

    def _parts(self, scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return log p of the label, or of every class, and what z makes of it. Shapes: [N] or [N, K], and [N]."""
        log_p = full_float(scores).log_softmax(dim=-1)
        label = log_p.gather(1, target[:, None]).squeeze(1) if target.ndim == 1 else log_p
        own = (log_p.exp() * log_p).sum(dim=-1) if self.mode == "soft" else log_p.max(dim=-1).values  # [B]
        return label, own
