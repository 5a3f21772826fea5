"""Supervised contrastive loss: images of a class lie near each other, views of the same image among them."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import full_float, num_features, require
from .contract import Batch, Outputs, Task
from .wrapping import WrappingLoss

MODES = ("joint", "two_stage")


class SupervisedContrastiveLoss(WrappingLoss):
    """Draws the views of a class together, by the cosines between them, and trains a base that decodes.

        L = base + weight mean_i -1 / |P_i| sum_{j in P_i} log(e^(z_i z_j / tau) / sum_{k != i} e^(z_i z_k / tau))

    The mean runs over all views of the batch, P_i are the others of the same class, and z is a projection of the
    features, two layers that training alone uses, scaled to length 1. Joint training sums the two. In two stages the
    network learns from the second term alone, for the first `first_stage` of the epochs, and then stands still; the
    base trains the last layer on the features as they are, in both stages. Scores, judging, probabilities and
    prediction are the base's. weight = 0 with joint training is the base.

    Args:
        base: the loss that decodes.
        base_params: its hyperparameters.
        mode: "joint", or "two_stage" as in the paper.
        weight: of the contrast, >= 0.
        temperature: tau, > 0. Paper: 0.1; authors' code: 0.07.
        projection: width of z, >= 1. Paper: 128.
        first_stage: share of the run's epochs in which the network learns, in two stages, 0 to 1.
        views: augmented replicas of each image, >= 2. Paper: 2.

    Shapes: features [N, D], scores as the base's, target [N] int64 -> scalar.
    Use: for features that are used again, with large batches and strong augmentation.
    Raises: ValueError if a parameter is out of range; ParameterError for a base that cannot be built, or if the
        architecture's last layer is not linear.
    Source: Khosla et al. 2020, "Supervised Contrastive Learning", arXiv:2004.11362, eq. 2 (the sum outside).
    Deviations: joint training is not the paper's. The last layer learns from the start and not only in the second
        stage, so that the first can be judged; batch statistics go on being gathered in the second. No factor of the
        temperature. On several devices each contrasts its own part of the batch. Soft labels are refused.
    """

    soft_targets = False

    def __init__(
        self,
        task: Task | None = None,
        *,
        base: str = "CrossEntropyLoss",
        base_params: dict[str, Any] | None = None,
        mode: Literal["joint", "two_stage"] = "joint",
        weight: float = 1.0,
        temperature: float = 0.1,
        projection: int = 128,
        first_stage: float = 0.8,
        views: int = 2,
    ) -> None:
        super().__init__(task, base, base_params)
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
        require("weight", weight, weight >= 0, ">= 0")
        require("temperature", temperature, temperature > 0, "> 0")
        require("projection", projection, projection >= 1, ">= 1")
        require("first_stage", first_stage, 0 <= first_stage <= 1, "0 to 1")
        require("views", views, views >= 2, ">= 2")
        self.mode, self.weight, self.temperature, self.first_stage = mode, weight, temperature, first_stage
        self.ask_for_views(views)
        self.learning = True
        self._head: tuple[nn.Module, ...] = ()  # in a tuple, unregistered: whoever asks for the head owns its weights
        self.project = nn.Sequential()
        if task is not None:
            width = num_features(task, type(self).__name__)
            self.project = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, projection))

    def make_head(self, task: Task) -> nn.Module:
        self._head = (super().make_head(task),)
        return self._head[0]

    def begin_epoch(self, epoch: int) -> None:
        super().begin_epoch(epoch)
        epochs = None if self.task is None else self.task.num_epochs
        self.learning = epochs is None or epoch < math.ceil(self.first_stage * epochs)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        if self.mode == "joint":
            return super().terms(outputs, batch)
        features = outputs.features.detach()
        apart = Outputs(self._head[0](features), features, tuple(each.detach() for each in outputs.stages))
        terms = self.base.terms(apart, batch)
        return terms | self.added_terms(outputs, batch) if self.learning else terms

    def added_terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        z = F.normalize(self.project(full_float(outputs.features)), dim=1)
        return {"contrast": self.weight * contrast(full_float(z), batch.target, self.temperature)}  # type: ignore


def contrast(z: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Return the mean contrastive loss of a batch; a row without another of its class counts 0.

    Shapes: z [N, D] of length 1, target [N] int64 -> scalar.
    """
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    log_p = (z @ z.T / temperature).masked_fill(itself, torch.finfo(z.dtype).min).log_softmax(dim=-1)  # [N, N]
    positive = (target[:, None] == target) & ~itself
    return -(torch.where(positive, log_p, 0).sum(dim=-1) / positive.sum(dim=-1).clamp(min=1)).mean()
