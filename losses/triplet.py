"""Triplet loss: an image lies nearer to its class than to any other, by a margin."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import full_float, require
from .contract import Batch, Outputs, Task
from .wrapping import WrappingLoss


class TripletLoss(WrappingLoss):
    """Adds to another loss, which decodes, the triplet loss of the features scaled to length 1.

        L = base + weight mean max(0, |a - p|^2 - |a - n|^2 + margin)

    over triplets of an anchor a, a positive p of its class and a negative n of another, all in one batch, which holds
    samples_per_class images of each of its classes. The mining says which triplets:

    - semi_hard: for every anchor and positive, the nearest negative that is farther than the positive; the farthest
      negative where none is;
    - hard: for every anchor, its farthest positive and its nearest negative (batch hard);
    - all: every triplet whose value is not 0. Memory grows with the cube of the batch, else with its square.

    Scores, probabilities and prediction are the base's. weight = 0 is the base.

    Args:
        margin: in squared distance, >= 0. Paper: 0.2.
        mining: which triplets count. Paper: semi_hard.
        base: the loss that decodes.
        base_params: its hyperparameters.
        weight: of the triplets, >= 0.
        samples_per_class: images of each class in a batch, >= 2.

    Shapes: features [B, D], scores as the base's, target [B] int64 -> scalar.
    Use: where features are compared later; batches must hold several images of each class.
    Raises: ValueError if a parameter is out of range, and for a base that cannot be built or draws other
        batches.
    Source: Schroff et al. 2015, "FaceNet", arXiv:1503.03832, eq. 1 to 3; batch hard: Hermans et al. 2017,
        arXiv:1703.07737, eq. 5.
    Deviations: a base, by default cross entropy, trains the scores by which the network classifies; FaceNet has none.
        The paper does not say what stands for a semi-hard negative that does not exist, nor whether the nearest is
        taken. On several devices triplets are formed within each device's part of the batch.
    """

    soft_targets = False

    def __init__(
        self,
        task: Task | None = None,
        *,
        margin: float = 0.2,
        mining: Literal["semi_hard", "hard", "all"] = "semi_hard",
        base: str = "CrossEntropyLoss",
        base_params: dict[str, Any] | None = None,
        weight: float = 1.0,
        samples_per_class: int = 4,
    ) -> None:
        super().__init__(task, base, base_params)
        require("margin", margin, margin >= 0, ">= 0")
        require("weight", weight, weight >= 0, ">= 0")
        require("samples_per_class", samples_per_class, samples_per_class >= 2, ">= 2")
        if mining not in MINING:
            raise ValueError(f"mining must be one of {', '.join(MINING)}, got {mining!r}")
        self.margin, self.mining, self.weight = margin, mining, weight
        self.samples_per_class = samples_per_class
        self.ask_for_sampling("class_balanced")

    def added_terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        value = triplet_loss(full_float(outputs.features), batch.target, self.margin, self.mining)  # type: ignore
        return {"triplet": self.weight * value}


def triplet_loss(features: Tensor, target: Tensor, margin: float, mining: str) -> Tensor:
    """Return the mean over the triplets, 0 if a batch has none. Shapes: features [B, D], target [B] int64 -> scalar."""
    distance = squared_distances(F.normalize(features, dim=1))
    same = target[:, None] == target
    positive = same & ~torch.eye(len(target), dtype=torch.bool, device=target.device)
    return MINING[mining](distance, positive, ~same, margin)


def squared_distances(points: Tensor) -> Tensor:
    """Return the squared distances of points to one another. Shapes: [B, D] -> [B, B].

    From the differences themselves: |a|^2 + |b|^2 - 2ab loses the digits of small distances.
    """
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").square()


def _semi_hard(distance: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    negatives = torch.where(negative, distance, torch.inf).sort(dim=-1).values  # [anchor, nearest first]
    nearer = torch.searchsorted(negatives.detach(), distance.detach(), right=True)  # [anchor, positive], how many
    last = negative.sum(dim=-1, keepdim=True) - 1
    apart = negatives.gather(1, torch.minimum(nearer, last).clamp(min=0))  # [anchor, positive]
    return _mean(F.relu(distance - apart + margin), positive & negative.any(dim=-1, keepdim=True))


def _hard(distance: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    farthest = torch.where(positive, distance, -torch.inf).amax(dim=-1)
    nearest = torch.where(negative, distance, torch.inf).amin(dim=-1)
    return _mean(F.relu(farthest - nearest + margin), positive.any(dim=-1) & negative.any(dim=-1))


def _all(distance: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    value = F.relu(distance[:, :, None] - distance[:, None, :] + margin)  # [anchor, positive, negative]
    return _mean(value, positive[:, :, None] & negative[:, None, :] & (value > 0))


MINING = {"semi_hard": _semi_hard, "hard": _hard, "all": _all}


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Return the mean of the values that count, 0 if none does; the others may be infinite."""
    return torch.where(counted, values, 0).sum() / counted.sum().clamp(min=1)
