"""Counts kept on the device while an epoch runs, read once at its end; metrics are functions of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from utils.lookup import load_entry
from utils.metrics import METRICS, ORDERED_METRICS, TRAINING_METRICS
from utils.types import REJECTED

TOP = 5


class Tally(nn.Module):
    """What an epoch's metrics are computed from, as buffers.

    Args:
        num_classes: K.
        judge: also count what only evaluation reports: cross entropy, top-5 and the counts of each class.
        ordered: the classes are ordered, so that being one class off means something.
    """

    samples: Tensor
    loss: Tensor
    correct: Tensor
    near: Tensor
    rejected: Tensor
    cross_entropy: Tensor
    in_top: Tensor
    hits: Tensor
    predicted: Tensor
    actual: Tensor

    def __init__(self, num_classes: int, judge: bool = True, ordered: bool = False) -> None:
        super().__init__()
        self.num_classes, self.judge, self.ordered = num_classes, judge, ordered
        for name in ("samples", "correct", "near", "rejected", "in_top"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64))
        exact = torch.float32 if torch.backends.mps.is_available() else torch.float64  # Apple's GPUs have no float64
        for name in ("loss", "cross_entropy"):
            self.register_buffer(name, torch.zeros((), dtype=exact))
        for name in ("hits", "predicted", "actual"):  # the last place is for what was rejected
            self.register_buffer(name, torch.zeros(num_classes + 1 if judge else 0, dtype=torch.int64))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Tally:
        """Move with the module, but keep the sums exact when a run's precision turns modules to half."""
        exact = self.loss.dtype
        super()._apply(fn, recurse)
        self.loss, self.cross_entropy = self.loss.to(exact), self.cross_entropy.to(exact)
        return self

    def reset(self) -> None:
        for buffer in self.buffers():
            buffer.zero_()

    @torch.no_grad()
    def update(self, loss: Tensor, prediction: Tensor, target: Any, log_probabilities: Tensor | None = None) -> None:
        """Count a batch.

        Shapes: loss [] (the batch's mean), prediction [B], target [B] int64 or [B, K] probabilities,
        log_probabilities [B, K] where the tally judges.

        A soft label counts as its likeliest class: under MixUp or CutMix the image with the larger share, of equal
        shares the first class.
        """
        label = target.argmax(dim=-1) if target.ndim == 2 else target
        right = prediction == label
        self.samples.add_(len(label))  # in place, since `+=` would also assign, which a module does slowly
        self.loss.add_(loss, alpha=len(label))
        self.correct.add_(right.sum())
        if not self.judge or log_probabilities is None:
            return
        self.rejected += (prediction == REJECTED).sum()
        self.near += (((prediction - label).abs() <= 1) & (prediction != REJECTED)).sum()
        if target.ndim == 2:
            each = -(target * log_probabilities).sum(dim=-1)
        else:
            each = -log_probabilities.gather(1, target[:, None]).squeeze(1)
        self.cross_entropy += each.to(self.loss.dtype).sum()
        top = log_probabilities.topk(min(TOP, self.num_classes), dim=-1).indices
        self.in_top += (top == label[:, None]).sum()
        self.hits.index_add_(0, label, right.to(torch.int64))
        self.actual.index_add_(0, label, torch.ones_like(label))
        place = torch.where(prediction == REJECTED, self.num_classes, prediction)
        self.predicted.index_add_(0, place, torch.ones_like(place))

    def reduce(self, over_ranks: Callable[[Tensor], Tensor]) -> None:
        """Replace each count by its sum over the ranks."""
        for buffer in self.buffers():
            if buffer.numel():
                buffer.copy_(over_ranks(buffer.clone()))

    def compute(self) -> dict[str, float]:
        """Return every metric that this tally counts for, over all samples since the reset."""
        here = Tally(self.num_classes, self.judge, self.ordered)  # one transfer each, then plain numbers
        here.load_state_dict({name: buffer.cpu() for name, buffer in self.state_dict().items()})
        names = METRICS if self.judge else TRAINING_METRICS
        left_out = () if self.ordered else ORDERED_METRICS
        return {name: float(load_entry(METRICS[name])(here)) for name in names if name not in left_out}


def loss(tally: Tally) -> Tensor:
    """Mean loss per sample, in the loss's own unit: not comparable between losses."""
    return tally.loss.double() / tally.samples


def cross_entropy(tally: Tally) -> Tensor:
    """Mean -log p(label) in nats by the loss's own probabilities: comparable between losses."""
    return tally.cross_entropy.double() / tally.samples


def accuracy(tally: Tally) -> Tensor:
    """Share of samples predicted right; a rejected sample is not right."""
    return tally.correct.double() / tally.samples


def top5_accuracy(tally: Tally) -> Tensor:
    """Share of samples whose label is among the five likeliest classes."""
    return tally.in_top.double() / tally.samples


def one_off_accuracy(tally: Tally) -> Tensor:
    """Share of samples predicted as their label or the class next to it, which only ordered classes have.

    Source: Eidinger et al. 2014, "Age and Gender Estimation of Unfiltered Faces", where it is "1-off".
    """
    return tally.near.double() / tally.samples


def rejected(tally: Tally) -> Tensor:
    """Share of samples predicted to be none of the classes."""
    return tally.rejected.double() / tally.samples


def precision(tally: Tally) -> Tensor:
    """Mean over the classes, of those that occur as label or prediction, of hits / predictions; 0 if there is none."""
    return _mean_over_classes(tally, tally.hits, tally.predicted)


def recall(tally: Tally) -> Tensor:
    """Mean over the classes, of those that occur as label or prediction, of hits / labels; 0 if there is none."""
    return _mean_over_classes(tally, tally.hits, tally.actual)


def f1(tally: Tally) -> Tensor:
    """Mean over the classes, of those that occur as label or prediction, of 2 hits / (predictions + labels)."""
    return _mean_over_classes(tally, 2 * tally.hits, tally.predicted + tally.actual)


def _mean_over_classes(tally: Tally, part: Tensor, whole: Tensor) -> Tensor:
    occurs = (tally.predicted + tally.actual)[:-1] > 0
    return (part[:-1].double() / whole[:-1].clamp(min=1))[occurs].mean()
