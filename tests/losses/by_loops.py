"""What the tests of single losses share: a batch in float64, and the equations' parts in Python's numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def batch(size: int = 7, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Return scores [B, K] in float64 and labels [B] of which some repeat."""
    torch.manual_seed(0)
    return 3 * torch.randn(size, classes, dtype=torch.float64), torch.randint(classes, (size,))


def softmax(row: Sequence[float]) -> list[float]:
    total = sum(math.exp(s) for s in row)
    return [math.exp(s) / total for s in row]


def cross_entropy(row: Sequence[float], label: int | Sequence[float]) -> float:
    """Return -sum_k q_k log p_k of a row of scores, for a class or its probabilities q."""
    q = [float(k == label) for k in range(len(row))] if isinstance(label, int) else label
    return -sum(share * math.log(p) for share, p in zip(q, softmax(row), strict=True))


def kl(p: Sequence[float], q: Sequence[float]) -> float:
    """Return KL(p || q)."""
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def squared_distance(a: Sequence[float], b: Sequence[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def unit(row: Sequence[float]) -> list[float]:
    """Return the row scaled to length 1."""
    return [x / math.hypot(*row) for x in row]


def psi(theta: float, margin: int) -> float:
    """Return (-1)^k cos(m theta) - 2k, where k pi / m <= theta <= (k + 1) pi / m."""
    k = min(int(theta * margin / math.pi), margin - 1)
    return (-1) ** k * math.cos(margin * theta) - 2 * k


def angular_margin(
    features: Tensor, weights: Tensor, target: Tensor, margin: int, beta: float, unit_weights: bool
) -> float:
    """Return the mean cross entropy whose label's score is (beta r cos(theta) + r psi(theta)) / (1 + beta)."""
    values = []
    for x, y in zip(features.tolist(), target.tolist(), strict=True):
        row = []
        for j, w in enumerate(weights.tolist()):
            cosine = sum(a * b for a, b in zip(unit(x), unit(w), strict=True))
            radius = math.hypot(*x) * (1 if unit_weights else math.hypot(*w))
            harder = (beta * cosine + psi(math.acos(cosine), margin)) / (1 + beta)
            row.append(radius * (harder if j == y else cosine))
        values.append(cross_entropy(row, y))
    return mean(values)


def mean_by_loops(scores: Tensor, target: Tensor, loss_of: Callable[[list[float], int], float]) -> float:
    """Return the mean of a loss given as a function of a sample's probabilities and label."""
    values = [loss_of(softmax(row), y) for row, y in zip(scores.tolist(), target.tolist(), strict=True)]
    return sum(values) / len(values)
