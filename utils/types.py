"""What losses, data sets and models hand to one another, and the errors a user can mend."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor, nn

REJECTED = -1
"""What `predict` gives for a sample that belongs to none of the classes."""


def printable(text: str) -> str:
    """Return a text of one line in which control characters, and what no file can hold, stand as escapes."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


class UserError(Exception):
    """A mistake of the user's: the scripts print it without a traceback and leave with status 2.

    Names from files and archives stand in it, and a terminal obeys control characters.
    """

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(printable, message.split("\n"))))


class ConfigError(UserError):
    """A configuration that cannot be run; the message names every mistake with its place."""


class DataError(UserError):
    """Data that is missing, damaged or inconsistent; the message names the files."""


DAMAGED_TENSORS = (
    *(TypeError, ValueError, RuntimeError, ArithmeticError, LookupError, AttributeError),
    pickle.UnpicklingError,
    EOFError,
    MemoryError,
    struct.error,
    SyntaxError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What torch.load and numpy.load raise on files that are damaged, or that hold more than tensors."""


def first_line(error: BaseException) -> str:
    """Return the first line of what a library's error says, its kind where it says nothing.

    Of a pickle that is refused the first sentence: in the second torch advises to switch that check off.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = (lines or [type(error).__name__])[0][:200]
    return line.partition(". ")[0] if isinstance(error, pickle.UnpicklingError) else line


class TrainingError(Exception):
    """A run that must not go on, such as one whose loss is no longer finite; the scripts leave with status 1."""


class Sequences(NamedTuple):
    """Label sequences of different lengths.

    Shapes: labels [B, L] int64, padded; lengths [B] int64.
    """

    labels: Tensor
    lengths: Tensor

    @classmethod
    def of(cls, padded: Tensor) -> Sequences:
        """Return rows of labels, negative behind each, with 0 there. Shapes: [..., L] int64."""
        return cls(padded.clamp_min(0), (padded >= 0).sum(dim=-1))

    def padded(self) -> Tensor:
        """Return the labels with REJECTED behind each. Shapes: [B, L] int64."""
        places = self.labels.new_ones(self.labels.shape).cumsum(-1)
        return self.labels.masked_fill(places > self.lengths[:, None], REJECTED)


class Batch(NamedTuple):
    """What a step sees.

    Shapes: image [B, V, C, H, W], V the number of views (1 unless the loss asks for more); target [B] int64 classes,
    [B, K] probabilities or `Sequences`; index [B] int64, the sample's row in its data set.
    """

    image: Tensor
    target: Tensor | Sequences
    index: Tensor


class Outputs(NamedTuple):
    """What a network gives for B * V images, the views of a sample next to each other.

    Shapes: scores [B*V, K]; features [B*V, D], the input of the head; stages, the feature maps a loss asked for.
    """

    scores: Tensor
    features: Tensor
    stages: tuple[Tensor, ...] = ()


@dataclass(frozen=True)
class Task:
    """What a loss may know before training.

    Args:
        num_classes: K.
        num_samples: rows of the training part.
        classifier: the network's own last layer, features -> K scores.
        stage_channels: positions of the network's feature maps -> their channels; None where there are none.
        load_network: file of weights -> the run's network with them, images to scores; None outside a run.
        ordered: the classes stand in an order that means something, such as ages.
        trained_classifier: the last layer came with pretrained weights.
    """

    num_classes: int
    num_samples: int
    classifier: nn.Module
    stage_channels: Callable[[tuple[int, ...]], tuple[int, ...]] | None = None
    load_network: Callable[[str], nn.Module] | None = None
    ordered: bool = False
    trained_classifier: bool = False
