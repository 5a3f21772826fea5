"""Label smoothing by one image: the soft label of a class is the last right prediction for an image of it."""

from __future__ import annotations

import torch
from torch import Tensor, distributed

from .base import sum_over_ranks
from .contract import Task
from .learnt_labels import LearntLabelsLoss


class SingleLabelSmoothingLoss(LearntLabelsLoss):
    """Trains on labels mixed with the prediction for one other image of the same class.

        L = -alpha log p_y - (1 - alpha) sum_k S_yk log p_k,        p = softmax(scores)

    S_y, the soft label of class y, is p of the newest image of class y that was predicted right in a step before this
    one; of several in one step, the last of the batch. It is uniform until there is one. Scores are logits; prediction
    is their argmax; it judges by cross entropy. alpha = 1 is cross entropy. S is kept with the checkpoint and is
    the same on all devices.

    Args:
        alpha: weight of the label as it is, 0 to 1. Paper, for the mean over a class: 0.5.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities -> scalar, mean over B.
    Use: to see what OnlineLabelSmoothingLoss owes to the mean over a class, and what to any other image of it.
    Raises: ValueError if alpha is out of range.
    Source: Zhang et al. 2021, "Delving Deep Into Label Smoothing", arXiv:2011.12562, section V-E, there "OLS-Single".
    Deviations: a reconstruction: the paper says that the soft label is of one other image of the class, and neither how
        it is drawn nor what a class without a right image gets. Here it is remembered from an earlier step, so batches
        are drawn as for any other loss; over the turn of an epoch it can be the same image. Soft labels (MixUp) mix the
        soft labels of their classes and are not remembered, since they have no one class.
    """

    limits = {"compile": "a compiled backward pass would read the soft labels that the step has replaced"}

    def __init__(self, task: Task | None = None, *, alpha: float = 0.5) -> None:
        super().__init__(task, alpha)

    def learn(self, p: Tensor, target: Tensor, right: Tensor) -> None:
        in_run = distributed.is_available() and distributed.is_initialized()
        rank, ranks = (distributed.get_rank(), distributed.get_world_size()) if in_run else (0, 1)
        place = 1 + rank + ranks * torch.arange(len(p), device=p.device)  # in the batch of all devices, from 1
        own = place.new_zeros(len(self.soft)).scatter_reduce(0, target, place * right, "amax")  # [K], 0 for none
        places = place.new_zeros(ranks, len(own))
        places[rank] = own
        sum_over_ranks(places)
        last = places.amax(dim=0)
        mine = (own == last) & (last > 0)
        fresh = torch.where(mine[:, None], p[((own - 1) // ranks).clamp_min(0)], 0)  # [K, K]
        sum_over_ranks(fresh)
        self.soft.copy_(torch.where((last > 0)[:, None], fresh, self.soft))
