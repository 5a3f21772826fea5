"""The frame of losses whose one score separates two classes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .base import ClassificationLoss, full_float, num_features
from .contract import ParameterError, Task


class BinaryLoss(ClassificationLoss):
    """The frame of losses of one score [B, 1] for two classes; a member overrides `costs` and `log_odds`.

    Shapes: scores [B, 1] or [B] float, target [B] int64 (0 or 1) or [B, 2] probabilities -> scalar, mean over B.
    Raises: ValueError if the data has not two classes.
    """

    num_classes = 2

    def __init__(self, task: Task | None = None) -> None:
        super().__init__(task)
        if task is not None and task.num_classes != self.num_classes:
            text = f"{type(self).__name__} tells two classes apart, the data has {task.num_classes}; choose two by "
            raise ParameterError("task.num_classes", f"{text}`classes: [one, other]`")

    def make_head(self, task: Task) -> nn.Module:
        return nn.Linear(num_features(task, type(self).__name__), 1)

    def costs(self, score: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a score costs as the second class and as the first. Shapes: [B] -> [B], [B]."""
        raise NotImplementedError

    def log_odds(self, score: Tensor) -> Tensor:
        """Return log p(second class) - log p(first class). Shapes: [B] -> [B]."""
        raise NotImplementedError

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        positive, negative = self.costs(_single(scores))
        if target.ndim == 1:
            return torch.where(target == 1, positive, negative)
        weight = target.to(positive.dtype)
        return weight[:, 1] * positive + weight[:, 0] * negative

    def log_probabilities(self, scores: Tensor) -> Tensor:
        """Return log p of both classes. Shapes: [B, 1] -> [B, 2]."""
        odds = self.log_odds(_single(scores))
        return nn.functional.logsigmoid(torch.stack([-odds, odds], dim=-1))

    def predict(self, scores: Tensor) -> Tensor:
        """Return 1 for the second class. Shapes: [B, 1] -> [B] int64."""
        return (self.log_odds(_single(scores)) > 0).long()


def _single(scores: Tensor) -> Tensor:
    return full_float(scores.squeeze(1) if scores.ndim == 2 else scores)
