"""The frame of losses that multiply the angle between an image's features and its class's weights by a margin."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .base import ClassificationLoss, full_float, num_features
from .contract import Batch, Outputs, Task

MARGINS = (1, 2, 3, 4)
SHORTEST = 1e-12
"""Length below which features have no direction."""


class AngularMarginLoss(ClassificationLoss):
    """The frame of losses with an angular margin; a member overrides `build_head`, `radius` and `plain_share`.

    Training lowers the label's score from r cos(theta) to r psi(theta), psi(theta) = (-1)^k cos(m theta) - 2k on
    [k pi/m, (k+1) pi/m], and averages the two by `plain_share`, which falls while training goes on. Judging uses the
    scores as they are.

    Args:
        margin: m, 1 to 4.

    Raises: ValueError for another margin.
    """

    soft_targets = False
    steps: Tensor

    def __init__(self, task: Task | None, margin: int) -> None:
        super().__init__(task)
        if margin not in MARGINS:
            raise ValueError(f"margin must be one of {', '.join(map(str, MARGINS))}, got {margin}")
        self.margin = margin
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        head = None if task is None else self.build_head(num_features(task, type(self).__name__), task.num_classes)
        self._head = (head,)  # in a tuple, unregistered: whoever asks for the head owns its weights

    @property
    def head(self) -> nn.Linear | None:
        """The layer that `make_head` hands over; None without a task."""
        return self._head[0]

    def build_head(self, num_features: int, num_classes: int) -> nn.Linear:
        """Return the last layer, whose weights the margin needs."""
        raise NotImplementedError

    def radius(self, features: Tensor, target: Tensor) -> Tensor:
        """Return the score of the label at angle 0. Shapes: features [B, D], target [B] int64 -> [B]."""
        raise NotImplementedError

    def plain_share(self) -> Tensor:
        """Return how much of the label's score is without margin, 0 to 1, at this step. Shapes: scalar."""
        raise NotImplementedError

    def make_head(self, task: Task) -> nn.Module:
        assert self.head is not None
        return self.head

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(full_float(scores), target, reduction="none")

    def mean_loss(self, scores: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(full_float(scores), target)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        scores, label = full_float(outputs.scores), batch.target[:, None]  # type: ignore
        self.steps += 1
        if self.margin == 1:
            return {"main": self(scores, batch.target)}
        own = scores.gather(1, label).squeeze(1)  # [B]
        radius = self.radius(full_float(outputs.features), batch.target)  # type: ignore
        cosine = own / radius.clamp(min=SHORTEST)
        share = self.plain_share()
        harder = share * own + (1 - share) * radius * psi(cosine, self.margin)
        return {"main": self(scores.scatter(1, label, harder[:, None]), batch.target)}


def psi(cosine: Tensor, margin: int) -> Tensor:
    """Return (-1)^k cos(m theta) - 2k from cos(theta), by the polynomial of cos(m theta): acos has no slope at 1.

    It falls from 1 to 1 - 2m as theta goes from 0 to pi and never exceeds cos(theta).

    Shapes: any -> the same.
    """
    multiple = {1: cosine, 2: 2 * cosine**2 - 1, 3: 4 * cosine**3 - 3 * cosine, 4: 8 * cosine**4 - 8 * cosine**2 + 1}
    k = torch.zeros_like(cosine)
    for number in range(1, margin):
        k += (cosine <= math.cos(number * math.pi / margin)).to(cosine.dtype)
    return (1 - 2 * (k % 2)) * multiple[margin] - 2 * k
