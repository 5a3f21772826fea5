"""Values that data sets, models and losses exchange, and the errors that a user can correct."""

from __future__ import annotations

import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor, nn

REJECTED = -1
"""Prediction for a sample that belongs to none of the classes."""


def printable(text: str) -> str:
    """Return a one-line text with control characters, and whatever no file can hold, escaped."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def shorten(text: str, limit: int) -> str:
    """Cut a text to at most `limit` characters, the last three of them "..." when something was cut."""
    return text if len(text) <= limit else f"{text[: limit - 3].rstrip()}..."


class UserError(Exception):
    """A user's mistake: the scripts print it without a traceback and exit with status 2.

    Control characters are escaped, as a message may hold names from files and archives.
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
"""Errors of torch.load and numpy.load for files that are damaged or hold more than tensors."""


def first_few(texts: Iterable[str], most: int, separator: str = ", ") -> str:
    """Return the first texts and how many more there are."""
    all_texts = list(texts)
    more = [f"and {len(all_texts) - most:,} more"] if len(all_texts) > most else []
    return separator.join([*all_texts[:most], *more])


def first_line(error: BaseException) -> str:
    """Return the first line of a library's error, or its kind if it has no message.

    Of a refused pickle only the first sentence: in the second torch advises to disable that check.
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = (lines or [type(error).__name__])[0][:200]
    return line.partition(". ")[0] if isinstance(error, pickle.UnpicklingError) else line


class TrainingError(Exception):
    """A run that cannot continue, such as one whose loss is not finite; the scripts exit with status 1."""


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
    [B, K] probabilities or `Sequences`; index [B] int64, the sample's row in its data set.
    """

    image: Tensor
    target: Tensor | Sequences
    index: Tensor


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
