"""Squentropy: cross entropy, and the mean square of the wrong classes' scores."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float
from .label_probability import of_label


class SquentropyLoss(ClassificationLoss):
    """Adds to cross entropy the mean square of the wrong classes' scores.

        L = -log p_y + 1 / (K - 1) sum_{j != y} s_j^2,        p = softmax(s)

    Scores are logits whose wrong classes gather at 0; prediction is their argmax.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities (sum_k q_k L(k)) -> [N].
    Use: in place of cross entropy, with its learning rate; nothing to tune.
    Raises: nothing.
    Source: Hui et al. 2023, "Cut your Losses with Squentropy", arXiv:2302.03952.
    Deviations: none. Soft labels, on which the paper is silent, weigh the labels' losses.
    """

    calibrated = False

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        scores = full_float(scores)
        wrong = scores.square().sum(dim=-1) - of_label(scores, target, torch.square)  # [N]
        return F.cross_entropy(scores, target, reduction="none") + wrong / (scores.shape[-1] - 1)
