"""Early-learning regularisation: predictions stay near what the network believed before it learnt wrong labels."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .base import full_float, require, sum_over_ranks
from .contract import Batch, Outputs, ParameterError, Task
from .wrapping import WrappingLoss

LEAST_PROBABILITY = 1e-4
"""Probabilities are held this far from 0 and 1, the authors'."""


class EarlyLearningRegularizationLoss(WrappingLoss):
    """Adds to another loss a pull of each image's prediction towards a moving average of its earlier ones.

        L = base + lambda mean_i log(1 - <p_i, t_i>),        t_i <- beta t_i + (1 - beta) p_i before each step

    t_i is the memory of training image i, [K] numbers that start at 0, held constant in the step and kept with the
    checkpoint; the memory takes N K numbers. Scores, judging, probabilities and prediction are the base's.
    lambda_ = 0 is the base.

    Args:
        base: the loss that decodes. Paper: cross entropy.
        base_params: its hyperparameters.
        lambda_: weight of the pull, >= 0. Paper: 3 for CIFAR-10, 7 for CIFAR-100, 1 for asymmetric noise.
        beta: share of the memory that stays, 0 to 1. Paper: 0.7 for CIFAR-10, 0.9 for CIFAR-100 and asymmetric noise.

    Shapes: scores and target as the base's, batch.index [N] -> scalar.
    Use: where many labels are wrong and training is long enough to learn them by heart.
    Raises: ValueError if a parameter is out of range; ParameterError for a base that cannot be built, and for
        data whose samples have no numbers, such as pixels.
    Source: Liu et al. 2020, "Early-Learning Regularization Prevents Memorization of Noisy Labels", arXiv:2007.00151.
    Deviations: none. The memory learns from the mean of an image's views. On several devices it is put together at an
        epoch's end from the images that each has seen.
    """

    memory: Tensor
    seen: Tensor

    def __init__(
        self,
        task: Task | None = None,
        *,
        base: str = "CrossEntropyLoss",
        base_params: dict[str, Any] | None = None,
        lambda_: float = 3.0,
        beta: float = 0.7,
    ) -> None:
        super().__init__(task, base, base_params)
        require("lambda_", lambda_, lambda_ >= 0, ">= 0")
        require("beta", beta, 0 <= beta <= 1, "0 to 1")
        self.lambda_, self.beta = lambda_, beta
        if task is not None and not task.num_samples:
            text = f"{type(self).__name__} remembers samples by their numbers, and what these data classify has none"
            raise ParameterError("task.num_samples", text)
        rows, classes = (0, 0) if task is None else (task.num_samples, task.num_classes)
        self.register_buffer("memory", torch.zeros(rows, classes))
        self.register_buffer("seen", torch.zeros(rows))

    def added_terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        p = self.base.log_probabilities(full_float(outputs.scores)).exp()
        p = p.clamp(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
        self.remember(p.detach(), batch.index)
        agreement = (self.memory[batch.index].to(p.dtype) * p).sum(dim=-1)  # <p, t>
        return {"early_learning": self.lambda_ * torch.log1p(-agreement).mean()}

    @torch.no_grad()
    def remember(self, p: Tensor, index: Tensor) -> None:
        """Move the memory of images towards their predictions. Shapes: p [N, K], index [N] int64, some repeated."""
        rows, place = index.unique(return_inverse=True)
        total = p.new_zeros(len(rows), p.shape[1]).index_add_(0, place, p)
        mean = (total / total.sum(dim=-1, keepdim=True)).to(self.memory.dtype)
        self.memory[rows] = self.memory[rows].lerp(mean, 1 - self.beta)
        self.seen[rows] = 1

    @torch.no_grad()
    def on_epoch_end(self) -> None:
        super().on_epoch_end()
        fresh = self.memory * self.seen[:, None]
        sum_over_ranks(fresh, self.seen)
        self.memory.copy_(torch.where(self.seen[:, None] > 0, fresh / self.seen[:, None].clamp(min=1), self.memory))
        self.seen.zero_()
