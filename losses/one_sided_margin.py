"""One-sided margin loss: scores are costs that must leave a margin on one side only."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from .base import ClassificationLoss, full_float, require
from .contract import REJECTED, Task


class OneSidedMarginLoss(ClassificationLoss):
    """Asks the right class's score to lie in [0, lambda_min] and every other one to reach lambda_max.

        L = h(s_y - lambda_min) + alpha h(-s_y) + lambda_ sum_{j != y} h(lambda_max - s_j),   h = softplus or max(., 0)

    Scores are costs: prediction is their ARGMIN. With g(s) = softplus(s - lambda_min) + alpha softplus(-s)
    - lambda_ softplus(lambda_max - s) the loss of label k is g(s_k) plus a term common to all labels, so
    log p = log_softmax(-g(s)) over the classes. "None of them" has g = 0: it is likelier than every class, and the
    sample REJECTED, when all scores exceed about (lambda_min + lambda_ lambda_max) / (1 + lambda_), 350 by default.

    The probabilities are nearly 0 or 1, since g spans hundreds; fit a temperature before reading them as confidence.

    Args:
        alpha: weight of negative scores of the right class, >= 0. Paper: 0.1 (its table 4 studies 0.01 to 10).
        lambda_: weight of the wrong classes, > 0. Paper: 1.
        lambda_max: score that wrong classes must reach, > lambda_min. Paper: 600.
        lambda_min: score that the right class must not exceed, >= 0. Paper: 100.
        soft: softplus (eq. 4) instead of the hard hinge (eq. 3).
        normalize_negatives: divide lambda_ by K - 1, so that the loss does not grow with the number of classes. Ours.
        reject: let `predict` give REJECTED; off, the best class is always given, as in the paper's classification. From
            the default start all samples are rejected until their class's score has fallen below that threshold.
        start: score near which a fresh last layer starts: "lambda_max", a number, or null for the architecture's own,
            near 0. Ours.

    Shapes: scores [B, K] float, target [B] int64 or [B, K] probabilities -> scalar, mean over B.
    Use: where "none of them" should be recognisable by high costs, or to reproduce the paper. Its scores have
        hundreds to go, so a higher learning rate than cross entropy's may suit it.
    Raises: ValueError if a parameter is out of range. Warns when alpha >= lambda_: then g is not increasing, and the
        lowest score is not everywhere the likeliest class.
    Source: Karimi et al. 2022, arXiv:2206.01002, eq. 3 and 4, sec. 3.
    Deviations: eq. 5 (rejection) lacks a minus sign as printed; it would reject every image, so the sign is restored.
        Soft labels, on which the paper is silent, weigh the labels' losses: sum_k q_k L(k). It is silent on where
        scores start, too. From 0 all must first rise by hundreds; from lambda_max only the right class's must move.
    """

    calibrated = False
    score_scale = 100.0

    def __init__(
        self,
        task: Task | None = None,
        *,
        alpha: float = 0.1,
        lambda_: float = 1.0,
        lambda_max: float = 600.0,
        lambda_min: float = 100.0,
        soft: bool = True,
        normalize_negatives: bool = False,
        reject: bool = False,
        start: float | Literal["lambda_max"] | None = "lambda_max",
    ) -> None:
        super().__init__(task)
        check_margins(alpha, lambda_, lambda_max, lambda_min)
        warn_of_ties(type(self).__name__, alpha, lambda_)
        self.alpha, self.lambda_, self.lambda_max, self.lambda_min = alpha, lambda_, lambda_max, lambda_min
        self.soft, self.normalize_negatives, self.reject = soft, normalize_negatives, reject
        self.start = starting_score(start, lambda_max=lambda_max)

    def _negative_weight(self, num_classes: int) -> float:
        return self.lambda_ / (num_classes - 1) if self.normalize_negatives else self.lambda_

    def _own_cost(self, scores: Tensor, hinge: Callable[[Tensor], Tensor]) -> Tensor:
        return hinge(scores - self.lambda_min).add(hinge(-scores), alpha=self.alpha)

    def label_costs(self, scores: Tensor) -> Tensor:
        """Return g, by which label k costs more than "none of them". Shapes: [B, K] -> [B, K]."""
        weight = self._negative_weight(scores.shape[-1])
        return label_costs(full_float(scores), self.lambda_min, self.lambda_max, self.alpha, weight)

    def sample_losses(self, scores: Tensor, target: Tensor) -> Tensor:
        # bfloat16 has a resolution of 4 near lambda_max, and float16 overflows in the sum over 111 classes.
        scores = full_float(scores)
        weight = self._negative_weight(scores.shape[-1])
        hinge = F.softplus if self.soft else F.relu
        missing = self.lambda_max - scores
        if target.ndim == 1:
            own_cost = self._own_cost(scores.gather(1, target[:, None]), hinge).squeeze(1)  # [B]
            negatives = hinge(missing.scatter(1, target[:, None], -math.inf)).sum(dim=-1)  # [B]
        else:
            q = target.to(scores.dtype)
            own_cost = (q * self._own_cost(scores, hinge)).sum(dim=-1)
            negatives = ((1 - q) * hinge(missing)).sum(dim=-1)
        return own_cost.add(negatives, alpha=weight)

    def log_probabilities(self, scores: Tensor) -> Tensor:
        """Return log p over the K classes, "none of them" left out. Shapes: [B, K] -> [B, K]."""
        return (-self.label_costs(scores)).log_softmax(dim=-1)

    def log_probabilities_with_rejection(self, scores: Tensor) -> Tensor:
        """Return log p over the K classes and, last, "none of them". Shapes: [B, K] -> [B, K + 1]."""
        return log_probabilities_with_rejection(self.label_costs(scores))

    def confidence(self, scores: Tensor) -> Tensor:
        """Return log p(best class) - log p("none of them"); an image is rejected below 0. Shapes: [B, K] -> [B]."""
        return -self.label_costs(scores).amin(dim=-1)

    def predict(self, scores: Tensor) -> Tensor:
        best = scores.argmin(dim=-1)
        if not self.reject:
            return best
        return torch.where(self.confidence(scores) < 0, REJECTED, best)


def label_costs(scores: Tensor, lambda_min: float, lambda_max: float, alpha: float, weight: float) -> Tensor:
    """Return g(s) of each score, `weight` being that of wrong classes. Shapes: any -> the same."""
    own_cost = F.softplus(scores - lambda_min).add(F.softplus(-scores), alpha=alpha)
    return own_cost - weight * F.softplus(lambda_max - scores)


def log_probabilities_with_rejection(costs: Tensor) -> Tensor:
    """Return log p of classes that cost g and, last, of "none of them". Shapes: [..., K] -> [..., K + 1]."""
    return F.pad(-costs, (0, 1)).log_softmax(dim=-1)


def check_margins(alpha: float, lambda_: float, lambda_max: float, lambda_min: float) -> None:
    """Check the parameters of a one-sided margin. Raises: ValueError if one is out of range."""
    require("alpha", alpha, alpha >= 0, ">= 0")
    require("lambda_", lambda_, lambda_ > 0, "> 0")
    require("lambda_min", lambda_min, lambda_min >= 0, ">= 0")
    require("lambda_max", lambda_max, lambda_max > lambda_min, f"> lambda_min = {lambda_min}")


def threshold(lambda_: float, lambda_max: float, lambda_min: float) -> float:
    """Return about the score at which a label costs as much as "none of them"."""
    return (lambda_min + lambda_ * lambda_max) / (1 + lambda_)


def starting_score(start: float | str | None, **named: float) -> float | None:
    """Return the score that `start` is or names. Raises: ValueError for another name and for a number like inf."""
    if isinstance(start, str):
        if start not in named:
            raise ValueError(f"start must be a number, {', '.join(named)} or null, got {start!r}")
        return named[start]
    if start is not None:
        require("start", start, True, "a number")
    return start


def warn_of_ties(loss: str, alpha: float, lambda_: float) -> None:
    """Warn if the lowest score is not everywhere the likeliest class."""
    if alpha >= lambda_:
        warnings.warn(
            f"{loss}: alpha = {alpha} >= lambda_ = {lambda_}: among negative scores the lowest one is "
            "not the likeliest class; choose lambda_ > alpha",
            stacklevel=3,
        )
