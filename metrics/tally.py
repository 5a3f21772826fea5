"""Base of the counts of an epoch, whatever is predicted; kept on the device, read once at the end."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from metrics import metric_entries
from utils.lookup import load_entry


class BaseTally(nn.Module):
    """Counts that an epoch's metrics are computed from, as buffers.

    Args:
        num_classes: K.
        judge: also count for metrics that only evaluation reports.
        ordered: the classes are ordered, so that being one class off means something.

    Attributes:
        kind: of the data, such as "image"; decides which metrics there are.
        further: metrics of the user's own, by name.
    """

    kind: str
    further: Mapping[str, Callable[[Any], Any]] = {}
    samples: Tensor
    loss: Tensor
    correct: Tensor
    rejected: Tensor
    cross_entropy: Tensor

    def __init__(self, num_classes: int, judge: bool = True, ordered: bool = False) -> None:
        super().__init__()
        self.num_classes, self.judge, self.ordered = num_classes, judge, ordered
        self.count("samples", "correct", "rejected")
        exact = torch.float32 if torch.backends.mps.is_available() else torch.float64  # Apple's GPUs have no float64
        for name in ("loss", "cross_entropy"):
            self.register_buffer(name, torch.zeros((), dtype=exact))

    def count(self, *names: str) -> None:
        """Register buffers of whole numbers."""
        for name in names:
            self.register_buffer(name, torch.zeros((), dtype=torch.int64))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> BaseTally:
        """Move with the module, but keep the sums exact when a run's precision turns modules to half."""
        sums = {name: getattr(self, name) for name in ("loss", "cross_entropy")}
        super()._apply(fn, recurse)
        for name, exact in sums.items():
            setattr(self, name, exact.to(getattr(self, name).device))
        return self

    def reset(self) -> None:
        for buffer in self.buffers():
            buffer.zero_()

    def update(self, loss: Tensor, prediction: Tensor, target: Any, log_probabilities: Tensor | None = None) -> None:
        """Count a batch.

        Shapes: loss [], the batch's mean; prediction and target as the loss's; log_probabilities as the loss's, where
        the tally judges.
        """
        raise NotImplementedError

    def count_samples(self, loss: Tensor, right: Tensor) -> None:
        """Count for metrics that training and judging report. Shapes: loss [], right [B] bool."""
        self.samples.add_(len(right))  # in place, since `+=` would also assign, which a module does slowly
        self.loss.add_(loss, alpha=len(right))
        self.correct.add_(right.sum())

    def reduce(self, over_ranks: Callable[[Tensor], Tensor]) -> None:
        """Replace each count by its sum over the ranks."""
        for buffer in self.buffers():
            if buffer.numel():
                buffer.copy_(over_ranks(buffer.clone()))

    def compute(self) -> dict[str, float]:
        """Return every metric of this tally, over all samples since the reset."""
        here = copy.deepcopy(self).cpu()  # one transfer each, then plain numbers
        entries = metric_entries(self.kind, self.judge, self.ordered)
        metrics = {name: load_entry(entry) for name, entry in entries.items()} | dict(self.further)
        return {name: float(metric(here)) for name, metric in metrics.items()}


def loss(tally: BaseTally) -> Tensor:
    """Mean loss per sample, in the loss's own unit: not comparable between losses."""
    return tally.loss.double() / tally.samples


def cross_entropy(tally: BaseTally) -> Tensor:
    """Mean -log p(label) in nats by the loss's own probabilities: comparable between losses. A text is one label."""
    return tally.cross_entropy.double() / tally.samples


def accuracy(tally: BaseTally) -> Tensor:
    """Share of samples predicted correctly; a rejected sample is wrong, and so is a text with a single error."""
    return tally.correct.double() / tally.samples


def rejected(tally: BaseTally) -> Tensor:
    """Share of samples predicted as none of the classes; of texts, those in which no character is read."""
    return tally.rejected.double() / tally.samples
