"""The contract between a loss and the rest of the project."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, distributed, nn

from .contract import Batch, Outputs, ParameterError, Task
from .labels import as_class_weights, check_labels

Reduction = Literal["mean", "sum", "none"]
REDUCTIONS = ("mean", "sum", "none")


class ClassificationLoss(nn.Module):
    """The meaning of a score: its cost and its decoding. Nothing outside asks which loss it is.

    A subclass overrides `sample_losses`; the rest has defaults for scores that are logits. What depends on whether it
    trains asks `self.training`: in training mode a loss is what is minimised, in evaluation mode it judges. State is a
    buffer, advanced in `sample_losses` or `terms` while training, in `on_epoch_end` or in `end_validation`.
    Hyperparameters are keyword-only, annotated, with the paper's defaults: the signature is the configuration schema.

    Args:
        task: sizes and the network's last layer; needed only by losses with a head, a state or weights of their own.

    Attributes:
        views: augmented replicas wanted per training image.
        sampling: how training indices are drawn: "shuffle", "repeated" or "class_balanced".
        repeats: with "repeated": times that each image of a batch is drawn into it, each time augmented anew.
        samples_per_class: with "class_balanced": samples of each class that a batch holds.
        stages: positions of the feature maps wanted among the network's own, shallow to deep; negative from the end.
        soft_targets: accepts [N, K] probabilities as the target.
        kind: "image" or "sequence"; must match the data set.
        num_classes: how many classes the data must have; None for any number.
        num_blanks: outcomes that stand behind the classes in `log_probabilities`: 1 for a sequence's blank.
        calibrated: the probabilities are a posterior, not a convention.
        score_scale: the order of differences between scores, for pictures.
        decoding: names of hyperparameters on which predictions alone depend.
        start: score near which a fresh last layer starts; None: near 0, as the architecture has it.
        epoch: the training epoch, counted from 0, as `begin_epoch` had it last.
        limits: what the loss cannot be put through, of "compile", "export", "vmap", "autocast", "float64" -> why.
        ignore_index: label of rows that do not count; None: all count. Set by `with_options`.
    """

    views: int = 1
    sampling: str = "shuffle"
    repeats: int = 3
    samples_per_class: int = 4
    stages: tuple[int, ...] = ()
    soft_targets: bool = True
    kind: ClassVar[str] = "image"
    num_classes: ClassVar[int | None] = None
    num_blanks: ClassVar[int] = 0
    calibrated: bool = True
    score_scale: ClassVar[float] = 1.0
    decoding: ClassVar[tuple[str, ...]] = ()
    start: float | None = None
    limits: Mapping[str, str] = {}
    epoch: int = 0
    ignore_index: int | None = None

    def __init__(self, task: Task | None = None) -> None:
        super().__init__()
        self.task = task
        self.class_weights: Tensor | None
        self.register_buffer("class_weights", None, persistent=False)

    def with_options(
        self,
        *,
        class_weights: Tensor | Sequence[float] | Literal["balanced"] | None = None,
        ignore_index: int | None = None,
    ) -> Self:
        """Set what every loss takes, also of the losses within this one; return the loss.

        Args:
            class_weights: factor of the samples of each class, [K], >= 0; "balanced": N / (K n_k) for the n_k of N
                samples in `task.class_counts`. The mean is weighted: sum_i w_i L_i / sum_i w_i. Soft labels have
                the weight sum_k q_k w_k.
            ignore_index: label of rows that are left out, as if they were not there; torch's is -100.

        Raises: ValueError for weights that do not fit, and for losses that they cannot reach.
        """
        weights = None if class_weights is None else self._weights(class_weights)
        for part in self.modules():
            if isinstance(part, ClassificationLoss):
                part.ignore_index = ignore_index
                part.register_buffer("class_weights", weights, persistent=False)
        return self

    def _weights(self, weights: Tensor | Sequence[float] | str) -> Tensor:
        """Return class weights as a tensor. Raises: ParameterError."""
        if self.kind != "image":
            raise ParameterError("class_weights", f"{type(self).__name__} judges {self.kind}s, which have no one class")
        if type(self).forward is not ClassificationLoss.forward and len(parts_of(self)) == 1:
            text = f"{type(self).__name__} overrides forward; it must override sample_losses to be weighted"
            raise ParameterError("class_weights", text)
        classes = self.num_classes if self.task is None else self.task.num_classes
        counts = None if self.task is None else self.task.class_counts
        return as_class_weights(weights, classes, counts)

    def make_head(self, task: Task) -> nn.Module:
        """Return the layer from features [N, D] to scores; by default the architecture's own, untouched."""
        return task.classifier

    def start_head(self, head: nn.Module) -> None:
        """Start a fresh last layer near the score `start`, by its bias; one without a bias gets one.

        Raises: ParameterError if `start` is set and no linear layer or convolution gives the scores.
        """
        if self.start is None:
            return
        layers = [layer for layer in head.modules() if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d))]
        if not layers:
            text = f"the architecture's last layer, {type(head).__name__}, has no bias that could start there; null "
            raise ParameterError("start", f"{text}leaves it as it is")
        layers[-1].bias = nn.Parameter(layers[-1].weight.new_full((len(layers[-1].weight),), self.start))

    def sample_losses(self, scores: Tensor, target: Any) -> Tensor:
        """Return the loss of each row by itself: while training what is minimised, else what judges.

        Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities -> [N]; N is any number of rows: images,
        pixels, boxes. Of sequences, here and below, with T steps behind N, and `Sequences`.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no sample_losses")

    def mean_loss(self, scores: Tensor, target: Any) -> Tensor:
        """Return the mean of `sample_losses`; overridden where torch has it in one step. Shapes: as there -> scalar."""
        return self.sample_losses(scores, target).mean()

    def forward(
        self,
        scores: Tensor,
        target: Any,
        reduction: Reduction = "mean",
        *,
        sample_weight: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of a batch: while training what is minimised as far as it follows from scores, else judged.

        Weights and `ignore_index` are applied here, once for every loss. Weights that are all 0 give 0.

        Args: sample_weight: factor of each row, >= 0.
        Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities, sample_weight [N] -> scalar, or [N] for
            the reduction "none", 0 where ignored.
        Raises: ValueError for labels that do not fit the scores, and where no row counts.
        """
        kept = self._kept(scores, target, reduction)
        if kept is not None:
            scores, target = scores[kept], target[kept]
            sample_weight = None if sample_weight is None else sample_weight[kept]
        if not len(scores):
            raise ValueError(f"no row counts: all {0 if kept is None else len(kept)} have the label to be ignored")
        weight = self._row_weights(target, sample_weight)
        if weight is None and reduction == "mean":
            return self.mean_loss(scores, target)
        values = self.sample_losses(scores, target)
        values = values if weight is None else weight * values
        if reduction == "none":
            return values if kept is None else values.new_zeros(len(kept)).masked_scatter(kept, values)
        if reduction == "sum":
            return values.sum()
        return values.mean() if weight is None else values.sum() / weight.sum().clamp_min(TINY)

    def _kept(self, scores: Tensor, target: Any, reduction: str) -> Tensor | None:
        """Return which rows count; None for all. Raises: ValueError."""
        if reduction not in REDUCTIONS:
            raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, got {reduction!r}")
        if self.kind != "image":
            return None
        if len(scores) != len(target) or target.ndim > 2:
            raise ValueError(f"target must be [N] or [N, K] for scores [N, K]: {[*scores.shape]}, {[*target.shape]}")
        if target.ndim == 2:
            if not self.soft_targets:
                raise ValueError(f"{type(self).__name__} takes no soft labels, got a target {[*target.shape]}")
            return None
        kept = None if self.ignore_index is None else target != self.ignore_index
        check_labels(target if kept is None else target[kept], self.num_classes or scores.shape[-1])
        return kept

    def _row_weights(self, target: Any, sample_weight: Tensor | None) -> Tensor | None:
        """Return the weight of each row, of its sample and its class; None for 1."""
        if self.class_weights is None:
            return sample_weight
        weights = self.class_weights
        of_class = weights[target] if target.ndim == 1 else target.to(weights.dtype) @ weights
        return of_class if sample_weight is None else of_class * sample_weight

    def terms(self, outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Train: what is minimised is the sum of the terms.

        Shapes: outputs as `Outputs`; batch.target [B*V, ...], each sample's repeated for its V views.
        """
        return {"main": self(outputs.scores, batch.target)}

    def log_probabilities(self, scores: Tensor) -> Tensor:
        """Return log p(class | image). Shapes: scores [B, K] -> [B, K], or [B, T, K + 1] with the blank behind."""
        return scores.log_softmax(dim=-1)

    def predict(self, scores: Tensor) -> Tensor:
        """Return the class, or REJECTED.

        Shapes: scores [B, K] -> [B] int64; of sequences [B, T], the text's characters, then REJECTED.
        """
        return scores.argmax(dim=-1)

    def confidence(self, scores: Tensor) -> Tensor:
        """Return how sure a prediction is: who may reject images, rejects those of the least.

        Shapes: scores [B, K] -> [B], by default log p of the likeliest class; of sequences of the likeliest path.
        """
        likeliest = self.log_probabilities(scores).amax(dim=-1)
        return likeliest if likeliest.ndim == 1 else likeliest.sum(dim=-1)

    def untraceable(self) -> str | None:
        """Return why no graph can hold this decoding and what helps; None where one can, which is the rule.

        An exported model holds `log_probabilities`, `predict` and `confidence`, traced for any number of samples.
        """
        return None

    def impossible(self, scores: Tensor, target: Any) -> dict[int, str]:
        """Return which samples cost infinitely much whatever the scores, and why: position in the target -> reason.

        Args:
            scores: any sample's, for their shape.
            target: of B samples.
        """
        return {}

    def begin_epoch(self, epoch: int) -> None:
        """Take note that a training epoch begins or, after a resume, goes on; the same one can be named twice.

        What follows from the epoch is a plain attribute, set here: `task.num_epochs` says how many there are.

        Args: epoch: counted from 0.
        """
        self.epoch = epoch

    def on_epoch_end(self) -> None:
        """Advance state that changes once per training epoch."""

    def end_validation(self, scores: Tensor, target: Any) -> None:
        """Learn from the validation part, after each training epoch; only of losses that override it, wherever within.

        On several devices each sees its own share: `sum_over_ranks` adds up what is counted.

        Shapes: scores [N, K] float32, target [N] int64 of all N validation samples.
        """


TINY = torch.finfo(torch.float32).tiny


def parts_of(loss: nn.Module) -> list[ClassificationLoss]:
    """Return a loss and the losses within it."""
    return [part for part in loss.modules() if isinstance(part, ClassificationLoss)]


def as_probabilities(target: Tensor, num_classes: int, dtype: torch.dtype) -> Tensor:
    """Return the target as probabilities. Shapes: [B] int64 or [B, K] -> [B, K]."""
    if target.ndim == 2:
        return target.to(dtype)
    one_hot = torch.zeros(len(target), num_classes, dtype=dtype, device=target.device)
    return one_hot.scatter(1, target[:, None], 1)  # not in place, for torch.func.vmap


def full_float(scores: Tensor) -> Tensor:
    """Return scores in float32 or better: a loss computed in half precision loses its small and its large values."""
    return scores.float() if scores.dtype in (torch.float16, torch.bfloat16) else scores


def sum_over_ranks(*tensors: Tensor) -> None:
    """Replace each tensor by its sum over the processes of a run, in place; nothing to do for one process alone."""
    if distributed.is_available() and distributed.is_initialized():
        for tensor in tensors:
            distributed.all_reduce(tensor)


def num_features(task: Task, loss: str) -> int:
    """Return D, the width of the features that the last layer reads.

    Raises: ParameterError if the architecture's last layer is not linear: then an image has no one vector.
    """
    if not isinstance(task.classifier, nn.Linear):
        text = f"{loss} needs a network whose last layer is linear, so that an image has one vector of features; "
        raise ParameterError("task.classifier", f"{text}SqueezeNet's, for one, is a convolution")
    return task.classifier.in_features


def require(name: str, value: float, fits: bool, allowed: str) -> None:
    """Raise ValueError unless a hyperparameter fits and is finite; the message gives its name, range and value."""
    if not (fits and math.isfinite(value)):
        raise ValueError(f"{name} must be finite and {allowed}, got {value}")
