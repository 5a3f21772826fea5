"""Pairwise confusion: images of different classes are asked to be predicted alike."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .base import full_float, require
from .contract import Batch, Outputs, Task
from .wrapping import WrappingLoss


class PairwiseConfusionLoss(WrappingLoss):
    """Adds to another loss the distance between the predictions of pairs of images of different classes.

        L = base + weight / B sum_{i < B/2, y_i != y_{i + B/2}} |p_i - p_{i + B/2}|^2

    p are the base's probabilities; the first half of the batch is paired with the second, an odd last image is left
    out. Scores, probabilities and prediction are the base's. weight = 0 is the base.

    Args:
        base: the loss that decodes.
        base_params: its hyperparameters.
        weight: of the pairs, >= 0. OLS's code: 10.
        start_epoch: epoch, counted from 0, from which pairs count. OLS's code for CIFAR: 200.

    Shapes: scores and target as the base's -> scalar.
    Use: for fine-grained sets with few images, on pretrained networks.
    Raises: ValueError if weight or start_epoch is negative, and for a base that cannot be built.
    Source: Dubey et al. 2018, "Pairwise Confusion for Fine-Grained Visual Classification", ECCV, arXiv:1705.08016.
    Deviations: follows the paper (probabilities, squared distance, only pairs of different classes); its code takes
        logits, the distance itself and every pair, OLS's port the norm along the batch. Soft labels count as their
        likeliest class.
    """

    epochs: Tensor

    def __init__(
        self,
        task: Task | None = None,
        *,
        base: str = "CrossEntropyLoss",
        base_params: dict[str, Any] | None = None,
        weight: float = 10.0,
        start_epoch: int = 0,
    ) -> None:
        super().__init__(task, base, base_params)
        require("weight", weight, weight >= 0, ">= 0")
        require("start_epoch", start_epoch, start_epoch >= 0, ">= 0")
        self.weight, self.start_epoch = weight, start_epoch
        self.register_buffer("epochs", torch.zeros((), dtype=torch.int64))

    def added_terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        target: Any = batch.target
        label = target if target.ndim == 1 else target.argmax(dim=-1)
        half = len(label) // 2
        p = self.base.log_probabilities(full_float(outputs.scores)).exp()
        distance = (p[:half] - p[half : 2 * half]).square().sum(dim=-1)  # [B / 2]
        counted = (label[:half] != label[half : 2 * half]) & (self.epochs >= self.start_epoch)
        return {"confusion": self.weight / len(label) * torch.where(counted, distance, 0).sum()}

    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        self.epochs += 1
