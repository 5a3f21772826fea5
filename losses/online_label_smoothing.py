"""Online label smoothing: each class's soft label is what the network gave its right predictions an epoch ago."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from losses.base import ClassificationLoss, full_float, require, sum_over_ranks
from utils.types import Batch, Outputs, Task


class OnlineLabelSmoothingLoss(ClassificationLoss):
    """Trains on labels mixed with soft ones that are learnt from the network's own right predictions.

        L = -alpha log p_y - (1 - alpha) sum_k S_yk log p_k,        p = softmax(scores)

    S_y, the soft label of class y, is the mean p over the images of class y that were predicted right in the epoch
    before, in training. A class without any has the uniform label. Scores are logits; prediction is their argmax;
    `forward` judges by cross entropy. alpha = 1 is cross entropy. S and what it is gathered from are kept with the
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

    soft: Tensor
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
        super().__init__(task)
        require("alpha", alpha, 0 <= alpha <= 1, "0 to 1")
        if first_epoch not in ("uniform", "zeros"):
            raise ValueError(f"first_epoch must be uniform or zeros, got {first_epoch!r}")
        if update_every is not None:
            require("update_every", update_every, update_every >= 1, ">= 1, or null")
        if freeze_above is not None:
            require("freeze_above", freeze_above, 0 < freeze_above <= 1, "above 0 and at most 1, or null")
        self.alpha, self.update_every, self.freeze_above = alpha, update_every, freeze_above
        classes = 0 if task is None else task.num_classes
        first = 1 / max(classes, 1) if first_epoch == "uniform" else 0.0
        self.register_buffer("soft", torch.full((classes, classes), first))
        self.register_buffer("sums", torch.zeros(classes, classes))
        self.register_buffer("counts", torch.zeros(classes))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, scores: Tensor, target: Any) -> Tensor:
        return F.cross_entropy(full_float(scores), target)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        log_p = full_float(outputs.scores).log_softmax(dim=-1)
        target: Any = batch.target
        soft = self.soft.to(log_p.dtype)
        if target.ndim == 1:
            hard_part = F.nll_loss(log_p, target)
            soft_part = -(soft[target] * log_p).sum(dim=-1).mean()
            self._gather(log_p.detach(), target)
        else:
            hard_part = F.cross_entropy(log_p, target)
            soft_part = -(target.to(soft.dtype) @ soft * log_p).sum(dim=-1).mean()
        if self.update_every is not None:
            self.steps += 1
            if int(self.steps) % self.update_every == 0:
                self.update()
        return {"main": self.alpha * hard_part + (1 - self.alpha) * soft_part}

    @torch.no_grad()
    def _gather(self, log_p: Tensor, target: Tensor) -> None:
        """Add the probabilities of right predictions to their classes' sums. Shapes: [B, K], [B]."""
        right = (log_p.argmax(dim=-1) == target).to(self.sums.dtype)  # [B]
        self.sums.index_add_(0, target, log_p.exp().to(self.sums.dtype) * right[:, None])
        self.counts.index_add_(0, target, right)

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
