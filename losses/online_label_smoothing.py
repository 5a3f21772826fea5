"""Online label smoothing: each class's soft label is what the network gave its right predictions an epoch ago."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from .base import require, sum_over_ranks
from .contract import Task
from .learnt_labels import LearntLabelsLoss


class OnlineLabelSmoothingLoss(LearntLabelsLoss):
    """Trains on labels mixed with soft ones that are learnt from the network's own right predictions.

        L = -alpha log p_y - (1 - alpha) sum_k S_yk log p_k,        p = softmax(scores)

    S_y, the soft label of class y, is the mean p over the images of class y that were predicted right in the epoch
    before, in training. A class without any has the uniform label. Scores are logits; prediction is their argmax;
    it judges by cross entropy. alpha = 1 is cross entropy. S and what it is gathered from are kept with the
    checkpoint and see the images of all devices.

    Args:
        alpha: weight of the label as it is, 0 to 1. Paper: 0.5.
        first_epoch: "uniform" soft labels before the first update, as in the paper, or "zeros", as in its code for
            CIFAR, where the first epoch's loss is alpha times cross entropy.
        update_every: steps between updates of S; null for one epoch. Paper: one epoch; its figure 7b studies others.
        freeze_above: a class whose soft label holds a probability of at least this is not updated any more; null for
            never. The code for fine-grained sets: 0.88; the paper has no such rule.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities -> scalar, mean over B.
    Use: where classes resemble one another, as in fine-grained sets, and training is long enough for soft labels to
        settle.
    Raises: ValueError if a parameter is out of range.
    Source: Zhang et al. 2021, "Delving Deep Into Label Smoothing", arXiv:2011.12562, eq. 3 to 8, algorithm 1.
    Deviations: what a class without right predictions gets is the code's rule, the paper has none. The code for
        fine-grained sets weighs both parts by 1; a rescaling of the learning rate does the same. Soft labels (MixUp)
        mix the soft labels of their classes and are left out of the update, since they have no one class.
    """

    sums: Tensor
    counts: Tensor
    steps: Tensor

    def __init__(
        self,
        task: Task | None = None,
        *,
        alpha: float = 0.5,
        first_epoch: Literal["uniform", "zeros"] = "uniform",
        update_every: int | None = None,
        freeze_above: float | None = None,
    ) -> None:
        if first_epoch not in ("uniform", "zeros"):
            raise ValueError(f"first_epoch must be uniform or zeros, got {first_epoch!r}")
        if update_every is not None:
            require("update_every", update_every, update_every >= 1, ">= 1, or null")
        if freeze_above is not None:
            require("freeze_above", freeze_above, 0 < freeze_above <= 1, "above 0 and at most 1, or null")
        super().__init__(task, alpha)
        self.update_every, self.freeze_above = update_every, freeze_above
        if first_epoch == "zeros":
            self.soft.zero_()
        self.register_buffer("sums", torch.zeros_like(self.soft))
        self.register_buffer("counts", torch.zeros(len(self.soft)))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def _soft_part(self, scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        parts = super()._soft_part(scores, target)
        if self.update_every is not None:
            self.steps += 1
            if int(self.steps) % self.update_every == 0:
                self.update()
        return parts

    def learn(self, p: Tensor, target: Tensor, right: Tensor) -> None:
        self.sums.index_add_(0, target, p * right[:, None])
        self.counts.index_add_(0, target, right.to(self.counts.dtype))

    def on_epoch_end(self) -> None:
        if self.update_every is None:
            self.update()

    @torch.no_grad()
    def update(self) -> None:
        """Replace the soft labels by the means gathered since the last update."""
        sum_over_ranks(self.sums, self.counts)
        means = self.sums / self.counts[:, None]
        fresh = torch.where(self.counts[:, None] > 0, means, 1 / len(self.counts))
        if self.freeze_above is not None:
            fresh = torch.where(self.soft.amax(dim=-1, keepdim=True) >= self.freeze_above, self.soft, fresh)
        self.soft.copy_(fresh)
        self.sums.zero_()
        self.counts.zero_()
