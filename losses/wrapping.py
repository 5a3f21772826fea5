"""The frame of losses that add terms to another loss, their base, and leave the rest to it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from . import build_loss
from .base import ClassificationLoss
from .contract import Batch, Outputs, ParameterError, Task


class WrappingLoss(ClassificationLoss):
    """The frame of losses that add terms to a base; a member overrides `added_terms`.

    Head, judgement, probabilities, prediction, state and every attribute of the contract are the base's. What both ask
    of the data must agree.

    Args:
        base: name of any other loss of images.
        base_params: its hyperparameters.

    Raises: ParameterError for a base that is unknown, refuses its parameters or asks for other batches.
    """

    def __init__(self, task: Task | None, base: str, base_params: dict[str, Any] | None) -> None:
        super().__init__(task)
        name = type(self).__name__
        self.base = build_inner_loss("base", base, task, base_params)
        if self.base.kind != self.kind:
            raise ParameterError("base", f"{base} judges {self.base.kind}s, {name} judges {self.kind}s")
        if any(type(inner) is type(self) for inner in self.base.modules()):
            raise ParameterError("base", f"{name} cannot wrap {name}")
        self.take_contract(self.base)

    def take_contract(self, base: ClassificationLoss) -> None:
        """Make every attribute of the contract the base's."""
        for attribute in ClassificationLoss.__annotations__:
            setattr(self, attribute, getattr(base, attribute))
        self.soft_targets = type(self).soft_targets and base.soft_targets

    def ask_for_views(self, views: int) -> None:
        """Ask for replicas of each training image. Raises: ParameterError if the base asks for another number."""
        if self.base.views not in (1, views):
            ours, theirs = type(self).__name__, type(self.base).__name__
            raise ParameterError("base", f"{ours} takes {views} views of an image, {theirs} {self.base.views}")
        self.views = views

    def ask_for_sampling(self, sampling: str) -> None:
        """Ask for a way to draw training images. Raises: ParameterError if the base asks for another."""
        if self.base.sampling not in ("shuffle", sampling):
            ours, theirs = type(self).__name__, type(self.base).__name__
            raise ParameterError("base", f"{ours} draws {sampling} batches, {theirs} {self.base.sampling} ones")
        self.sampling = sampling

    def make_head(self, task: Task) -> nn.Module:
        return self.base.make_head(task)

    def start_head(self, head: nn.Module) -> None:
        self.base.start_head(head)

    def sample_losses(self, scores: Tensor, target: Any) -> Tensor:
        return self.base.sample_losses(scores, target)

    def mean_loss(self, scores: Tensor, target: Any) -> Tensor:
        return self.base.mean_loss(scores, target)

    def forward(self, scores: Tensor, target: Any, *args: Any, **options: Any) -> Tensor:
        return self.base(scores, target, *args, **options)

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        return self.base.terms(outputs, batch) | self.added_terms(outputs, batch)

    def added_terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Return what is minimised beside the base's terms. Shapes: as `terms`."""
        raise NotImplementedError

    def log_probabilities(self, scores: Tensor) -> Tensor:
        return self.base.log_probabilities(scores)

    def predict(self, scores: Tensor) -> Tensor:
        return self.base.predict(scores)

    def confidence(self, scores: Tensor) -> Tensor:
        return self.base.confidence(scores)

    def untraceable(self) -> str | None:
        return self.base.untraceable()

    def impossible(self, scores: Tensor, target: Any) -> dict[int, str]:
        return self.base.impossible(scores, target)

    def begin_epoch(self, epoch: int) -> None:
        super().begin_epoch(epoch)
        self.base.begin_epoch(epoch)

    def on_epoch_end(self) -> None:
        self.base.on_epoch_end()


def build_inner_loss(key: str, name: str, task: Task | None, params: dict[str, Any] | None) -> ClassificationLoss:
    """Build a loss that is a parameter of another, as `key` and `key`_params.

    Raises: ParameterError with its place among the parameters of the outer one.
    """
    if not isinstance(params, (dict, type(None))):
        raise ParameterError(f"{key}_params", f"must be a mapping of parameters, got {params!r}")
    try:
        return build_loss(name, task, **(params or {}))
    except ParameterError as error:
        inner = {"task.num_classes": key, "task.classifier": error.key}.get(error.key, f"{key}_params.{error.key}")
        raise ParameterError(inner, error.text) from None
    except ValueError as error:
        raise ParameterError(f"{key}_params", f"{name} refuses them: {error}") from None
