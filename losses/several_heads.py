"""One loss for each head of a network that gives several scores per class."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from . import build_loss
from .base import ClassificationLoss
from .contract import Batch, Outputs, ParameterError, Task
from .wrapping import WrappingLoss

Terms = Callable[[Outputs, Batch], dict[str, Tensor]]
DESTROYED = "destroyed"
"""Key of `Batch.extra`: 1 for views whose patches were shuffled, 0 for others, int64."""


class Head(NamedTuple):
    """One of the score vectors that a network gives side by side while it trains.

    Args:
        name: of its terms.
        weight: factor of its loss, and of its scores in the prediction.
        doubled: it has 2K scores: those of each class in whole images, then those in destroyed ones.
        replaced: it is trained by the run's loss, else by cross entropy.
    """

    name: str
    weight: float = 1.0
    doubled: bool = False
    replaced: bool = True

    def width(self, num_classes: int) -> int:
        """Return how many scores the head has."""
        return num_classes * (2 if self.doubled else 1)

    def target(self, batch: Batch, num_classes: int) -> Tensor:
        """Return what the head is to predict. Shapes: [B*V] or [B*V, K] -> the same, in 2K classes if doubled."""
        target: Any = batch.target
        return target + num_classes * batch.extra[DESTROYED] if self.doubled else target


def split_scores(scores: Tensor, heads: Sequence[Head], num_classes: int) -> list[Tensor]:
    """Return each head's scores. Shapes: [B, sum of widths] -> [B, width] for each head."""
    return list(scores.split([head.width(num_classes) for head in heads], dim=-1))


def combine_scores(scores: Tensor, heads: Sequence[Head], num_classes: int) -> Tensor:
    """Return the weighted sum of all heads' scores, from which the network predicts; one that is summed stays.

    A doubled head counts with both of a class's scores. Shapes: [B, sum of widths] or [B, K] -> [B, K].
    """
    if scores.shape[-1] == num_classes:
        return scores
    parts = zip(heads, split_scores(scores, heads, num_classes), strict=True)
    return torch.stack([head.weight * part.unflatten(-1, (-1, num_classes)).sum(-2) for head, part in parts]).sum(0)


class SeveralHeads(WrappingLoss):
    """The loss of a network with several heads: each has one of its own, and their weighted sum predicts.

    A head that is replaced is trained by a copy of the run's loss with a state of its own; the first copy judges and
    decodes the sum of scores.

    Args:
        task: of the K classes.
        heads: in the order of their scores; at least one must be replaced.
        build: builds the run's loss for a task.
        own_terms: what the network adds to the loss.
        views: views of a training image that the network asks for.

    Shapes: scores [B, sum of widths] while the network trains, else [B, K].
    Raises: ParameterError for a loss that has a last layer of its own, or that asks for views where the network does.
    """

    def __init__(
        self,
        task: Task | None,
        heads: Sequence[Head],
        build: Callable[[Task | None], ClassificationLoss],
        own_terms: Terms | None = None,
        views: int = 1,
    ) -> None:
        ClassificationLoss.__init__(self, task)
        self.heads, self.own_terms = tuple(heads), own_terms
        self.bases: Any = nn.ModuleList(self._build(head, build) for head in heads)
        self.take_contract(self.base)
        if views > 1:
            if self.base.views > 1:
                text = (
                    f"{type(self.base).__name__} asks for {self.base.views} views of an image, the network for its own"
                )
                raise ParameterError("task.classifier", text)
            self.views, self.soft_targets = views, False

    @property
    def base(self) -> Any:
        """The loss that judges: that of the first head that is replaced."""
        return next(base for base, head in zip(self.bases, self.heads, strict=True) if head.replaced)

    def _build(self, head: Head, build: Callable[[Task | None], ClassificationLoss]) -> ClassificationLoss:
        task = self.task
        if task is not None and head.doubled:
            counts = task.class_counts
            doubled = None if counts is None else counts + counts
            task = dataclasses.replace(task, num_classes=2 * task.num_classes, class_counts=doubled)
        if not head.replaced:
            return build_loss("CrossEntropyLoss", task)
        names = ", ".join(each.name for each in self.heads)
        try:
            loss = build(task)
            brings_layer = task is not None and loss.make_head(task) is not task.classifier
        except ParameterError as error:
            if error.key != "task.classifier":
                raise
            raise ParameterError(error.key, f"{error.text}; this one has several heads: {names}") from None
        if brings_layer:
            text = f"{type(loss).__name__} has a last layer of its own; this network has several heads: {names}"
            raise ParameterError("task.classifier", text)
        return loss

    def with_options(self, **options: Any) -> Self:
        super().with_options(**options)
        for head, base in zip(self.heads, self.bases, strict=True):
            for part in base.modules() if head.doubled else ():
                if isinstance(part, ClassificationLoss) and part.class_weights is not None:
                    part.class_weights = part.class_weights.repeat(2)
        return self

    def start_head(self, head: nn.Module) -> None:
        for layer in head.modules():
            if isinstance(layer, nn.Linear):
                self.base.start_head(layer)

    def combined(self, scores: Tensor) -> Tensor:
        """Return the scores that predict. Shapes: as `combine_scores`."""
        assert self.task is not None
        return combine_scores(scores, self.heads, self.task.num_classes)

    def sample_losses(self, scores: Tensor, target: Any) -> Tensor:
        return self.base.sample_losses(self.combined(scores), target)

    def mean_loss(self, scores: Tensor, target: Any) -> Tensor:
        return self.base.mean_loss(self.combined(scores), target)

    def forward(self, scores: Tensor, target: Any, *args: Any, **options: Any) -> Tensor:
        return self.base(self.combined(scores), target, *args, **options)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        assert self.task is not None
        parts = split_scores(outputs.scores, self.heads, self.task.num_classes)
        terms = {}
        for head, part, base in zip(self.heads, parts, self.bases, strict=True):
            target = head.target(batch, self.task.num_classes)
            of_head = base.terms(outputs._replace(scores=part), batch._replace(target=target))
            terms |= {f"{head.name}_{name}": head.weight * term for name, term in of_head.items()}
        return terms | (self.own_terms(outputs, batch) if self.own_terms is not None else {})

    def log_probabilities(self, scores: Tensor) -> Tensor:
        return self.base.log_probabilities(self.combined(scores))

    def predict(self, scores: Tensor) -> Tensor:
        return self.base.predict(self.combined(scores))

    def confidence(self, scores: Tensor) -> Tensor:
        return self.base.confidence(self.combined(scores))

    def impossible(self, scores: Tensor, target: Any) -> dict[int, str]:
        return self.base.impossible(self.combined(scores), target)

    def begin_epoch(self, epoch: int) -> None:
        ClassificationLoss.begin_epoch(self, epoch)
        for base in self.bases:
            base.begin_epoch(epoch)

    def on_epoch_end(self) -> None:
        for base in self.bases:
            base.on_epoch_end()
