"""Soft-margin softmax: cross entropy in which the right class must win by a margin."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from losses.base import ClassificationLoss, full_float, require
from losses.label_probability import log_odds_against, mean_over_labels
from utils.types import Batch, Outputs, Task


class SoftMarginSoftmaxLoss(ClassificationLoss):
    """Trains with the right score lowered by a margin, judges without.

        L = -log(e^(s_y - m) / (e^(s_y - m) + sum_{j != y} e^s_j)) in training, cross entropy in judging

    Scores are logits; prediction is their argmax. margin = 0 is cross entropy. The trained loss exceeds the judged one
    by at most the margin.

    Args:
        margin: m, >= 0.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities (sum_k q_k L(k)) -> scalar, mean over B.
    Use: as the simplest margin: no own layer, no annealing.
    Raises: ValueError if margin is negative.
    Source: Liang et al. 2017, "Soft-Margin Softmax for Deep Classification", ICONIP, doi 10.1007/978-3-319-70096-0_43.
    Deviations: the paper was read in a summary only, which gives no default margin; 0.5 is ours.
    """

    calibrated = False

    def __init__(self, task: Task | None = None, *, margin: float = 0.5) -> None:
        super().__init__(task)
        require("margin", margin, margin >= 0, ">= 0")
        self.margin = margin

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(full_float(scores), target)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"main": with_margin(full_float(outputs.scores), batch.target, self.margin)}  # type: ignore


def with_margin(scores: Tensor, target: Tensor, margin: float) -> Tensor:
    """Return the cross entropy of scores of which the label's is lowered. Shapes: [B, K], [B] or [B, K] -> scalar."""
    if target.ndim == 2:
        return mean_over_labels(F.softplus(margin + log_odds_against(scores, target)), target)
    lowering = torch.full_like(target, -margin, dtype=scores.dtype)[:, None]  # [B, 1]
    return F.cross_entropy(scores.scatter_add(1, target[:, None], lowering), target)
