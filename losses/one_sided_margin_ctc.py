"""One-sided margin loss for texts: its probabilities at each step, with rejection as the blank of CTC."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from .base import full_float, num_features
from .connectionist_temporal import ConnectionistTemporalLoss
from .contract import Task
from .one_sided_margin import (
    check_margins,
    label_costs,
    log_probabilities_with_rejection,
    starting_score,
    threshold,
)

STEP = 2**-12
"""Least difference of log p between two characters when a text is read: above the rounding of float32 at 600."""


class OneSidedMarginCTCLoss(ConnectionistTemporalLoss):
    """Connectionist temporal classification of one-sided margins: "none of the characters" is the blank.

        L = -log sum_{a spells the text} prod_t p_t(a_t),   log p_t = log_softmax(-g(s_t1), ..., -g(s_tK), 0)
        g(s) = softplus(s - lambda_min) + alpha softplus(-s) - lambda_ softplus(lambda_max - s)

    Scores are costs: a low one makes its character likely, and the blank is likeliest where all exceed about
    (lambda_min + lambda_ lambda_max) / (1 + lambda_), 350 by default; so K scores a step do. The text that is read is
    that of each step's likeliest outcome or, with `beam_width`, the likeliest found.

    From scores near 0, where a blank has log p = -603.5 and a text in which a character repeats costs thousands, they
    take long to get there. So scores start there, where nothing is favoured.

    Args:
        alpha: weight of negative scores, >= 0. Paper: 1.
        lambda_: weight of the wrong characters, > 0. Paper: 1.
        lambda_max: score that wrong characters must reach, > lambda_min. Paper: 600.
        lambda_min: score that the right character must not exceed, >= 0. Paper: 100.
        start: score near which the last layer starts: "threshold" for the one above, where blank and characters are
            equally likely, a number, or null for near 0. Ours.
        start_at_threshold: the parameter's former name: true is threshold, false null.
        beam_width: beginnings of texts that a prefix beam search keeps, which takes milliseconds a text, in training
            too; 1 reads greedily, as the paper does.

    Shapes: scores [B, T, K] float, target `Sequences` of [B, L] labels -> scalar, mean over B, not divided by L.
    Use: as plain CTC, or to reproduce the paper. With alpha = lambda_, the paper's setting, g is flat below 0: negative
        scores are equally likely, up to rounding, and have no slope that tells them apart. The lowest one is read.
    Raises: ValueError if a parameter is out of range.
    Source: Karimi et al. 2022, arXiv:2206.01002, eq. 4 and sec. 4.2, table 6.
    Deviations: eq. 5 (rejection) lacks a minus sign as printed; the blank would be certain at every step, so the sign
        is restored. On where the scores start it is silent.
    """

    calibrated = False
    score_scale = 100.0

    def __init__(
        self,
        task: Task | None = None,
        *,
        alpha: float = 1.0,
        lambda_: float = 1.0,
        lambda_max: float = 600.0,
        lambda_min: float = 100.0,
        start: float | Literal["threshold"] | None = "threshold",
        start_at_threshold: bool | None = None,
        beam_width: int = 1,
    ) -> None:
        super().__init__(task, beam_width=beam_width)
        check_margins(alpha, lambda_, lambda_max, lambda_min)
        self.alpha, self.lambda_, self.lambda_max, self.lambda_min = alpha, lambda_, lambda_max, lambda_min
        if start_at_threshold is not None:
            start = "threshold" if start_at_threshold else None
        self.start = starting_score(start, threshold=threshold(lambda_, lambda_max, lambda_min))

    def make_head(self, task: Task) -> nn.Module:
        return nn.Linear(num_features(task, type(self).__name__), task.num_classes)

    def predict(self, scores: Tensor) -> Tensor:
        log_p = self.log_probabilities(scores)
        if self.alpha > self.lambda_:
            return self.read(log_p)
        if self.beam_width > 1:
            return self.read(self._tell_apart(log_p, scores))
        lowest = scores.argmin(dim=-1, keepdim=True)  # the likeliest; no exported graph holds a stable sort
        alone = torch.full_like(log_p[..., :-1], -torch.inf).scatter(-1, lowest, log_p.gather(-1, lowest))
        return self.read(torch.cat([alone, log_p[..., -1:]], dim=-1))

    def _tell_apart(self, log_p: Tensor, scores: Tensor) -> Tensor:
        """Return log p in which a lower score is the likelier character even where rounding leaves them alike.

        Shapes: log_p [B, T, K + 1], scores [B, T, K] -> [B, T, K + 1].
        """
        order = scores.argsort(dim=-1, stable=True)
        ranked = log_p.gather(-1, order).cummin(dim=-1).values
        ranked -= STEP * torch.arange(scores.shape[-1], device=scores.device)
        return log_p.scatter(-1, order, ranked)

    def log_probabilities(self, scores: Tensor) -> Tensor:
        """Return log p of the K characters and, last, the blank at each step. Shapes: [B, T, K] -> [B, T, K + 1]."""
        costs = label_costs(full_float(scores), self.lambda_min, self.lambda_max, self.alpha, self.lambda_)
        return log_probabilities_with_rejection(costs)
