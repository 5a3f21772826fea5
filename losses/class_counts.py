"""The number of training images of each class, as losses for long-tailed data need them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .base import ClassificationLoss
from .contract import ParameterError, Task


def class_counts_of(task: Task | None, class_counts: Sequence[int] | None) -> Tensor:
    """Return the counts that a loss is built with; none if neither argument has them.

    Args:
        task: has those of the training part in a run.
        class_counts: those of a loss that is used alone; they come before the task's.

    Shapes: [K], or [0].
    Raises: ParameterError if they do not fit the task's classes or a class has no image.
    """
    of_task = None if task is None else task.class_counts
    counts = (of_task or ()) if class_counts is None else class_counts
    if counts and task is not None and len(counts) != task.num_classes:
        raise ParameterError(
            "class_counts", f"must have a number for each of {task.num_classes} classes, got {len(counts)}"
        )
    if empty := [str(label) for label, count in enumerate(counts) if not count >= 1]:
        more = f" and {len(empty) - 5} more" if len(empty) > 5 else ""
        text = f"must be at least 1, but no training image has class {', '.join(empty[:5])}{more}"
        raise ParameterError("class_counts", f"{text}; leave out such classes by `classes`, or choose another loss")
    return torch.tensor([float(count) for count in counts])


def require_counts(values: Tensor, loss: ClassificationLoss) -> Tensor:
    """Return what was computed from the counts. Raises: ValueError if there were none. Shapes: [K] -> [K]."""
    if not len(values):
        raise ValueError(f"class_counts: {type(loss).__name__} needs the number of training images of each class")
    return values


def effective_number_weights(counts: Tensor, beta: float) -> Tensor:
    """Return (1 - beta) / (1 - beta^n) of each class, scaled to a sum of K. Shapes: [K] -> [K].

    Source: Cui et al. 2019, arXiv:1901.05555.
    """
    exact = counts.double()
    weights = 1 / exact if beta == 1 else (1 - beta) / (1 - beta**exact)
    return (weights / weights.sum() * len(counts)).to(counts.dtype) if len(counts) else counts
