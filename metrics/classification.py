"""Metrics of classes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from losses.contract import REJECTED
from metrics.tally import BaseTally

TOP = 5


class Tally(BaseTally):
    """Counts of class predictions; judging adds cross entropy, top-5 and counts of each class."""

    kind = "image"
    near: Tensor
    in_top: Tensor
    hits: Tensor
    predicted: Tensor
    actual: Tensor

    def __init__(self, num_classes: int, judge: bool = True, ordered: bool = False) -> None:
        super().__init__(num_classes, judge, ordered)
        self.count("near", "in_top")
        for name in ("hits", "predicted", "actual"):  # the last place is for what was rejected
            self.register_buffer(name, torch.zeros(num_classes + 1 if judge else 0, dtype=torch.int64))

    @torch.no_grad()
    def update(self, loss: Tensor, prediction: Tensor, target: Any, log_probabilities: Tensor | None = None) -> None:
        """Count a batch.

        Shapes: loss [] (the batch's mean), prediction [B], target [B] int64 or [B, K] probabilities,
        log_probabilities [B, K] where the tally judges.

        A soft label counts as its most likely class: under MixUp or CutMix the image with the larger share, of equal
        shares the first class.
        """
        label = target.argmax(dim=-1) if target.ndim == 2 else target
        right = prediction == label
        self.count_samples(loss, right)
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


def top5_accuracy(tally: Tally) -> Tensor:
    """Share of samples whose label is among the five most likely classes."""
    return tally.in_top.double() / tally.samples


def one_off_accuracy(tally: Tally) -> Tensor:
    """Share of samples predicted as their label or a neighbouring class, of ordered classes.

    Source: Eidinger et al. 2014, "Age and Gender Estimation of Unfiltered Faces", where it is "1-off".
    """
    return tally.near.double() / tally.samples


def precision(tally: Tally) -> Tensor:
    """Mean over the classes, of those that occur as label or prediction, of hits / predictions; 0 if there is none."""
    return _mean_over_classes(tally, tally.hits, tally.predicted)


def recall(tally: Tally) -> Tensor:
    """Mean over the classes, of those that occur as label or prediction, of hits / labels; 0 if there is none."""
    return _mean_over_classes(tally, tally.hits, tally.actual)


def balanced_accuracy(tally: Tally) -> Tensor:
    """Mean over the classes that occur as label of hits / labels: every class weighs alike, however rare.

    Unlike `recall` it leaves out classes that are only predicted.
    """
    occurs = tally.actual[:-1] > 0
    return (tally.hits[:-1].double() / tally.actual[:-1].clamp(min=1))[occurs].mean()


def f1(tally: Tally) -> Tensor:
    """Mean over the classes, of those that occur as label or prediction, of 2 hits / (predictions + labels)."""
    return _mean_over_classes(tally, 2 * tally.hits, tally.predicted + tally.actual)


def _mean_over_classes(tally: Tally, part: Tensor, whole: Tensor) -> Tensor:
    occurs = (tally.predicted + tally.actual)[:-1] > 0
    return (part[:-1].double() / whole[:-1].clamp(min=1))[occurs].mean()
