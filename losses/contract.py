"""Values that data sets, models and losses exchange, and the error of a loss that cannot be built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor, nn

REJECTED = -1
"""Prediction for a sample that belongs to none of the classes."""


class ParameterError(ValueError):
    """A loss that cannot be built or used so.

    Args:
        key: what is wrong: a parameter of the loss, such as "base" or "base_params.gamma", or a fact of its `Task`,
            such as "task.num_classes".
        text: why, and what is allowed.
    """

    def __init__(self, key: str, text: str) -> None:
        super().__init__(f"{key}: {text}")
        self.key, self.text = key, text


class Sequences(NamedTuple):
    """Label sequences of different lengths.

    Shapes: labels [B, L] int64, padded; lengths [B] int64.
    """

    labels: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, padded: Tensor) -> Sequences:
        """Build from rows of labels padded with negative numbers. Shapes: [..., L] int64."""
        return cls(padded.clamp_min(0), (padded >= 0).sum(dim=-1))

    def padded(self) -> Tensor:
        """Return the labels padded with REJECTED. Shapes: [B, L] int64."""
        places = self.labels.new_ones(self.labels.shape).cumsum(-1)
        return self.labels.masked_fill(places > self.lengths[:, None], REJECTED)


class Batch(NamedTuple):
    """The input of a step.

    Shapes: image [B, V, C, H, W], V the number of views (1 unless the loss asks for more); target [B] int64 classes,
    [B, K] probabilities or `Sequences`; index [B] int64, the sample's row in its data set; extra, what a network's own
    terms need besides, by name, [B, V, ...]; losses see [B*V, ...].
    """

    image: Tensor
    target: Tensor | Sequences
    index: Tensor
    extra: Mapping[str, Tensor] = {}


class Outputs(NamedTuple):
    """The output of a network for B * V images, with the views of a sample next to each other.

    Shapes: scores [B*V, K]; features [B*V, D], the input of the head; stages, the feature maps a loss asked for.
    """

    scores: Tensor
    features: Tensor
    stages: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Task:
    """Facts about a run that a loss may use before training.

    Args:
        num_classes: K.
        num_samples: rows of the training part; 0 where what is classified is not numbered, as pixels are not.
        classifier: the network's own last layer, features -> K scores.
        stage_channels: positions of the network's feature maps -> their channels; None where there are none.
        load_network: file of weights -> the run's network with them, images to scores; raises ValueError; None outside
            a run.
        ordered: the classes stand in an order that means something, such as ages.
        trained_classifier: the last layer came with pretrained weights.
        class_counts: samples of each class in the training part, with the labels that are trained on; None where a
            sample has no one class, as in sequences.
        num_epochs: epochs of the run; None outside a run.
        steps_per_epoch: steps of the optimizer in an epoch; None outside a run.
    """

    num_classes: int
    num_samples: int
    classifier: nn.Module
    stage_channels: Callable[[tuple[int, ...]], tuple[int, ...]] | None = None
    load_network: Callable[[str], nn.Module] | None = None
    ordered: bool = False
    trained_classifier: bool = False
    class_counts: tuple[int, ...] | None = None
    num_epochs: int | None = None
    steps_per_epoch: int | None = None
