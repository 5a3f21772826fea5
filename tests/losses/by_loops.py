"""What the tests of single losses share: a batch in float64 and a softmax in Python's numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from losses.base import ClassificationLoss
from utils.types import Batch, Outputs


def batch(size: int = 7, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Return scores [B, K] in float64 and labels [B] of which some repeat."""
    torch.manual_seed(0)
    return 3 * torch.randn(size, classes, dtype=torch.float64), torch.randint(classes, (size,))


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(s) for s in row)
    return [math.exp(s) / total for s in row]


def mean_by_loops(scores: Tensor, target: Tensor, loss_of: Callable[[list[float], int], float]) -> float:
    """Return the mean of a loss given as a function of a sample's probabilities and label."""
    values = [loss_of(softmax(row), y) for row, y in zip(scores.tolist(), target.tolist(), strict=True)]
    return sum(values) / len(values)


def trained(loss: ClassificationLoss, scores: Tensor, target: Tensor) -> Tensor:
    """Return what training minimises."""
    terms = loss.terms(Outputs(scores, scores), Batch(scores, target, torch.arange(len(scores))))
    return torch.stack(list(terms.values())).sum()
