"""The tempered logarithm and exponential, and the softmax that they give: light or heavy tails instead of e's.

    log_t(x) = (x^(1 - t) - 1) / (1 - t),   exp_t(u) = max(0, 1 + (1 - t) u)^(1 / (1 - t)),   t = 1: log and exp

The tempered softmax is p_k = exp_t(s_k - c), with the c that makes the sum 1. For t < 1 classes that score far below
the best have p = 0; for t > 1 the tails are heavier than the softmax's.

Source: Naudts 2002, doi 10.1016/S0378-4371(02)01018-X; Amid et al. 2019, arXiv:1906.03361.
"""

from __future__ import annotations

import torch
from torch import Tensor

ITERATIONS = 10
"""Steps of Newton's method, see `normalized`: enough for 21,841 classes in float64."""


def log_t(x: Tensor, t: float) -> Tensor:
    """Return the tempered logarithm. Shapes: any -> the same."""
    return x.log() if t == 1 else (x ** (1 - t) - 1) / (1 - t)


def exp_t(u: Tensor, t: float) -> Tensor:
    """Return the tempered exponential. Shapes: any -> the same."""
    return exp_t_and_slope(u, t)[0]


def exp_t_and_slope(u: Tensor, t: float) -> tuple[Tensor, Tensor]:
    """Return the tempered exponential and its derivative, exp_t(u)^t, by one power. Shapes: any -> the same, twice."""
    if t == 1:
        return u.exp(), u.exp()
    base = (1 + (1 - t) * u).clamp(min=0)
    slope = (base > 0).to(u.dtype) if t == 0 else base ** (t / (1 - t))
    return base * slope, slope


def normalized(scores: Tensor, t: float) -> Tensor:
    """Return s_k - c, with the c of sum_k exp_t(s_k - c) = 1; differentiable once. Shapes: [..., K] -> [..., K].

    Newton's method on S^(1 - t) = 1, S the sum: in c this is concave for t > 1 and convex for t < 1, so that from the
    largest score, where S >= 1, the steps rise to c and never pass it. The gradient of c, p^t / sum_k p_k^t, is that of
    the last step.
    """
    if t == 1:
        return scores.log_softmax(dim=-1)
    scores = scores - scores.detach().amax(dim=-1, keepdim=True)
    constant, c = scores.detach(), torch.zeros_like(scores[..., :1])
    for _ in range(ITERATIONS):
        p, slope = exp_t_and_slope(constant - c, t)
        total = p.sum(dim=-1, keepdim=True)
        c = c - log_t(1 / total, t) * total / slope.sum(dim=-1, keepdim=True)
    p, slope = exp_t_and_slope(scores - c, t)
    return scores - c - (p.sum(dim=-1, keepdim=True) - 1) / slope.detach().sum(dim=-1, keepdim=True)
