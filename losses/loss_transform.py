"""LossTransform: augmented replicas of an image are pulled to their mean prediction, whatever the loss."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from .base import full_float, require
from .contract import Batch, Outputs, Task
from .wrapping import WrappingLoss


class LossTransform(WrappingLoss):
    """Adds to any loss the divergence between each replica's prediction and the mean over its image's replicas.

        L = base + lambda_ mean_i KL(pm_i || p_i)   or, in the direction prediction_to_mean,   KL(p_i || pm_i)

    p_i are the base's probabilities of replica i, pm_i their mean over the replicas of the same image in the batch. An
    image that is alone adds nothing, so views = 1 is the base. Scores, probabilities and prediction are the base's.

    The replicas are `views` of each of the batch's images, or (`repeated_sampling`, version 1) a batch of the usual
    size in which each image stands `views` times, so that a step costs no more than the base's.

    Args:
        base: any other loss of images.
        base_params: its hyperparameters.
        lambda_: weight of the divergence, >= 0.
        views: replicas of an image, >= 1. Paper: up to 4.
        direction: of the divergence. prediction_to_mean is bounded by log views and has no slope where confident
            replicas disagree; mean_to_prediction is unbounded and pulls hardest there.
        detach_mean: treat the mean as constant: then mean_to_prediction has the gradient (p_i - pm_i) lambda_ / N.
            prediction_to_mean has the same gradient either way.
        repeated_sampling: draw images repeatedly instead of multiplying the batch.

    Shapes: scores and target as the base's, index [N] -> scalar.
    Use: with strong augmentation; `repeated_sampling` where views times the cost is too much.
    Raises: ValueError if a parameter is out of range, and for a base that cannot be built or that asks for
        other batches.
    Source: "LossTransform: Reformulating the Loss Function for Contrastive Learning", preprints 202506.1208, 2025.
    Deviations: a reconstruction. The paper's formulas are not readable in the text at hand, which says that a
        regularisation is added to the base, that it is a KL divergence to the average prediction over an image's
        positives, and that there are no negatives. Direction, stopped gradient and the default of lambda_ are not
        stated; they are parameters.
    """

    def __init__(
        self,
        task: Task | None = None,
        *,
        base: str = "CrossEntropyLoss",
        base_params: dict[str, Any] | None = None,
        lambda_: float = 1.0,
        views: int = 2,
        direction: Literal["mean_to_prediction", "prediction_to_mean"] = "mean_to_prediction",
        detach_mean: bool = True,
        repeated_sampling: bool = False,
    ) -> None:
        super().__init__(task, base, base_params)
        require("lambda_", lambda_, lambda_ >= 0, ">= 0")
        require("views", views, views >= 1, ">= 1")
        if direction not in ("mean_to_prediction", "prediction_to_mean"):
            raise ValueError(f"direction must be mean_to_prediction or prediction_to_mean, got {direction!r}")
        self.lambda_, self.direction, self.detach_mean = lambda_, direction, detach_mean
        if repeated_sampling:
            self.ask_for_sampling("repeated")
            self.repeats = views
        else:
            self.ask_for_views(views)

    def added_terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        log_p = self.base.log_probabilities(full_float(outputs.scores))  # [N, K]
        log_mean = log_group_means(log_p, batch.index)
        if self.detach_mean:
            log_mean = log_mean.detach()
        from_, to = (log_mean, log_p) if self.direction == "mean_to_prediction" else (log_p, log_mean)
        divergence = (from_.exp() * (from_ - to)).sum(dim=-1).mean()
        return {"consistency": self.lambda_ * divergence}


def log_group_means(log_p: Tensor, index: Tensor) -> Tensor:
    """Return, for each row, the log of the mean of p over the rows with the same index.

    Shapes: log_p [N, K], index [N] int64 -> [N, K].
    """
    _, group, size = index.unique(return_inverse=True, return_counts=True)  # [N], [G]
    groups = log_p.new_empty(len(size), log_p.shape[1])
    rows = group[:, None].expand_as(log_p)
    top = torch.full_like(groups, -torch.inf).scatter_reduce(0, rows, log_p.detach(), "amax")[group]
    sums = torch.zeros_like(groups).index_add(0, group, (log_p - top).exp())[group]
    return top + sums.log() - size.to(log_p.dtype).log()[group, None]
