"""The frame of losses that depend on the scores through the probability of the label alone."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float


class LabelProbabilityLoss(ClassificationLoss):
    """The frame of losses that are a function of the label's probability alone; a member overrides `cost`.

    Soft labels weigh the labels' losses: sum_k q_k L(k), the mean over labels drawn from q.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities -> scalar, mean over B.
    """

    def cost(self, cross_entropy: Tensor) -> Tensor:
        """Return the loss of a label, elementwise, from its -log p."""
        raise NotImplementedError

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        scores = full_float(scores)
        if target.ndim == 1:
            return self.cost(F.cross_entropy(scores, target, reduction="none"))
        return over_labels(self.cost(-scores.log_softmax(dim=-1)), target)


def over_labels(values: Tensor, target: Tensor) -> Tensor:
    """Return what each row costs, of soft labels the mean of its labels' costs.

    Shapes: values [N] for labels, [N, K] for soft ones -> [N].
    """
    return values if target.ndim == 1 else (target.to(values.dtype) * values).sum(dim=-1)


def of_label(values: Tensor, target: Tensor, cost: Callable[[Tensor], Tensor] = lambda value: value) -> Tensor:
    """Return what each row's label costs, of soft labels the mean of its labels' costs.

    Args:
        values: of each class, such as scores.
        cost: elementwise; it is applied to labels alone where that suffices.

    Shapes: values [N, K], target [N] int64 or [N, K] probabilities -> [N].
    """
    if target.ndim == 1:
        return cost(values.gather(1, target[:, None])).squeeze(1)
    return (target.to(values.dtype) * cost(values)).sum(dim=-1)


def fade(missing: Tensor, gamma: float) -> Tensor:
    """Return a missing probability to the power of gamma, with a finite slope at 0. Shapes: any -> the same."""
    if gamma < 1:  # the power has an infinite slope at 0, which times a cross entropy of 0 is not a number
        missing = missing.clamp_min(torch.finfo(missing.dtype).tiny)
    return missing**gamma


def log_odds_against(scores: Tensor, target: Tensor) -> Tensor:
    """Return log((1 - p) / p), the log odds against a label, exact where 1 - p rounds to 0.

    With a for the result, -log p = softplus(a) and log(1 - p) = -softplus(-a).

    Shapes: scores [B, K], target [B] int64 -> [B], of that label; target [B, K] -> [B, K], of every label.
    """
    if target.ndim == 1:
        return logsumexp_without(scores, target) - scores.gather(1, target[:, None]).squeeze(1)
    log_p = scores.log_softmax(dim=-1)
    return log_complements(log_p) - log_p


def log_complements(log_p: Tensor) -> Tensor:
    """Return log(1 - p) of every class from its log p. Shapes: [B, K] -> [B, K].

    Only the likeliest class can have p > 1/2, where 1 - p loses its digits: its complement is summed over the others.
    """
    best = log_p.argmax(dim=-1, keepdim=True)  # [B, 1]
    of_best = logsumexp_without(log_p, best.squeeze(1))[:, None]  # [B, 1]
    harmless = log_p.scatter(1, best, -1.0)  # any value whose complement is finite
    return torch.log1p(-harmless.exp()).scatter(1, best, of_best)


def logsumexp_without(scores: Tensor, label: Tensor) -> Tensor:
    """Return the log-sum-exp over all classes but one. Shapes: scores [B, K], label [B] int64 -> [B]."""
    return scores.scatter(1, label[:, None], -math.inf).logsumexp(dim=-1)
