"""The contract between a loss and the rest of the project."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, distributed, nn

from utils.types import Batch, ConfigError, Outputs, Sequences, Task


class ClassificationLoss(nn.Module):
    """The meaning of a score: its cost and its decoding. Nothing outside asks which loss it is.

    A subclass overrides `forward`; the rest has defaults for scores that are logits. State is a buffer, advanced in
    `terms` or `on_epoch_end`. Hyperparameters are keyword-only, annotated, with the paper's defaults: the signature is
    the configuration schema.

    Args:
        task: sizes and the network's last layer; needed only by losses with a head or state of their own.

    Attributes:
        views: augmented replicas wanted per training image.
        sampling: how training indices are drawn: "shuffle", "repeated" or "class_balanced".
        repeats: with "repeated": times that each image of a batch is drawn into it, each time augmented anew.
        samples_per_class: with "class_balanced": samples of each class that a batch holds.
        stages: positions of the feature maps wanted among the network's own, shallow to deep; negative from the end.
        soft_targets: accepts [B, K] probabilities as the target.
        kind: "image" or "sequence"; must match the data set.
        num_classes: how many classes the data must have; None for any number.
        num_blanks: outcomes that stand behind the classes in `log_probabilities`: 1 for a sequence's blank.
        calibrated: the probabilities are a posterior, not a convention.
        score_scale: the order of differences between scores, for pictures.
        decoding: names of hyperparameters on which predictions alone depend.
        start: score near which a fresh last layer starts; None: near 0, as the architecture has it.
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

    def __init__(self, task: Task | None = None) -> None:
        super().__init__()
        self.task = task

    def make_head(self, task: Task) -> nn.Module:
        """Return the layer from features [N, D] to scores; by default the architecture's own, untouched."""
        return task.classifier

    def start_head(self, head: nn.Module) -> None:
        """Start a fresh last layer near the score `start`, by its bias; one without a bias gets one.

        Raises: ConfigError if `start` is set and no linear layer or convolution gives the scores.
        """
        if self.start is None:
            return
        layers = [layer for layer in head.modules() if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d))]
        if not layers:
            raise ConfigError(
                f"loss_params.start: the architecture's last layer, {type(head).__name__}, has no bias that could "
                "start there; null leaves it as it is"
            )
        layers[-1].bias = nn.Parameter(layers[-1].weight.new_full((len(layers[-1].weight),), self.start))

    def forward(self, scores: Tensor, target: Tensor | Sequences) -> Tensor:
        """Judge: the mean loss of a batch, without margin tricks or state.

        Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities -> scalar; of sequences, here and below,
        with T steps behind B, and `Sequences`.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no forward")

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

    def on_epoch_end(self) -> None:
        """Advance state that changes once per training epoch."""


KINDS, SAMPLINGS = ("image", "sequence"), ("shuffle", "repeated", "class_balanced")
METHODS = (
    *("make_head", "terms", "log_probabilities", "predict", "confidence"),
    *("untraceable", "impossible", "on_epoch_end"),
)


def contract_problems(loss: ClassificationLoss) -> dict[str, str]:
    """Return attribute of the contract -> what it must be, for those that a loss uses for something else."""
    counts = ("views", "repeats", "samples_per_class")
    stages = loss.stages
    fits = {
        "kind": (isinstance(loss.kind, str) and loss.kind in KINDS, " or ".join(KINDS)),
        "sampling": (isinstance(loss.sampling, str) and loss.sampling in SAMPLINGS, " or ".join(SAMPLINGS)),
        "stages": (
            isinstance(stages, tuple) and all(type(stage) is int for stage in stages),
            "a tuple of whole numbers",
        ),
        "num_classes": (loss.num_classes is None or type(loss.num_classes) is int, "a whole number or None"),
        **{name: (_is_count(getattr(loss, name)), "a whole number >= 1") for name in counts},
        **{name: (isinstance(getattr(loss, name), bool), "true or false") for name in ("soft_targets", "calibrated")},
        **{name: (callable(getattr(loss, name)), "a method") for name in METHODS},
    }
    return {name: allowed for name, (does_fit, allowed) in fits.items() if not does_fit}


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 1


def as_probabilities(target: Tensor, num_classes: int, dtype: torch.dtype) -> Tensor:
    """Return the target as probabilities. Shapes: [B] int64 or [B, K] -> [B, K]."""
    if target.ndim == 2:
        return target.to(dtype)
    one_hot = torch.zeros(len(target), num_classes, dtype=dtype, device=target.device)
    return one_hot.scatter_(1, target[:, None], 1)


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

    Raises: ConfigError if the architecture's last layer is not linear, so that there is no one vector for an image.
    """
    if not isinstance(task.classifier, nn.Linear):
        raise ConfigError(
            f"architecture: {loss} needs a network whose last layer is linear, so that an image has one vector of "
            "features; SqueezeNet's, for one, is a convolution"
        )
    return task.classifier.in_features


def require(name: str, value: float, fits: bool, allowed: str) -> None:
    """Raise ValueError unless a hyperparameter fits and is finite; the message gives its name, range and value."""
    if not (fits and math.isfinite(value)):
        raise ValueError(f"{name} must be finite and {allowed}, got {value}")
