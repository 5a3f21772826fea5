"""Sums over the classes with their gradients written out: fewer passes over [B, K] than autograd's own.

On the CPU a pass over [B, K] takes a tenth to a half of torch's cross entropy, and autograd makes one or two of them
for every elementwise step. Second derivatives work: a gradient that is itself to be differentiated is computed anew, by
torch's own operations. Under torch.compile and torch.func the plain formula runs, which the one fuses by itself and the
other can transform. Losses of which nothing else is asked come as the batch's mean: with few classes each further step,
however small, takes a tenth of cross entropy.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

FOLDS, FOLDED_FROM = 2, 64
"""How often a row of factors is folded into half its length, and from what length on that pays."""
WRITTEN_FROM = 256
"""Classes from which the written-out gradients of cross entropy, smoothed or not, pay."""


def cross_entropies(scores: Tensor, label: Tensor) -> Tensor:
    """Return each sample's F.cross_entropy. Shapes: scores [B, K], label [B] int64 -> [B]."""
    if _transformed() or scores.shape[-1] < WRITTEN_FROM:
        return F.cross_entropy(scores, label, reduction="none")
    return _CrossEntropies.apply(scores, label)  # type: ignore


def smoothed_cross_entropy(scores: Tensor, label: Tensor, smoothing: float) -> Tensor:
    """Return F.cross_entropy with label smoothing. Shapes: scores [B, K], label [B] int64 -> scalar, mean over B."""
    if _transformed():
        return F.cross_entropy(scores, label, label_smoothing=smoothing)
    function = _SmoothedCrossEntropy if scores.shape[-1] >= WRITTEN_FROM else _SmoothedCrossEntropyOfFewClasses
    return function.apply(scores, label, smoothing)  # type: ignore


def one_sided_margin(
    scores: Tensor, label: Tensor, lambda_min: float, lambda_max: float, alpha: float, weight: float
) -> Tensor:
    """Return h(s_y - lambda_min) + alpha h(-s_y) + weight sum_{j != y} h(lambda_max - s_j) with h = softplus.

    At most 4e-18 a class is lost. Shapes: scores [B, K], label [B] int64 -> scalar, mean over B.
    """
    function = _one_sided_margin if _transformed() else _OneSidedMargin.apply
    return function(scores, label, lambda_min, lambda_max, alpha, weight)  # type: ignore


def log_odds_against(scores: Tensor, label: Tensor) -> Tensor:
    """Return log((1 - p) / p) of the label, exact for every p. Shapes: scores [B, K], label [B] int64 -> [B]."""
    label = label[:, None]
    if _transformed():
        return _without(scores, label).logsumexp(dim=-1) - scores.gather(1, label).squeeze(1)
    return _LogOddsAgainst.apply(scores, label)  # type: ignore


def entropy(scores: Tensor) -> Tensor:
    """Return the entropy of the softmax; a score of -inf takes its class out. Shapes: [B, K] -> [B]."""
    if _transformed():
        log_p = scores.log_softmax(dim=-1)
        return -(log_p.exp() * log_p.clamp_min(torch.finfo(log_p.dtype).min)).sum(dim=-1)
    return _Entropy.apply(scores)  # type: ignore


class _CrossEntropies(Function):
    """-log p_y; its slope is p, less 1 at the label."""

    @staticmethod
    def forward(ctx, scores: Tensor, label: Tensor) -> Tensor:
        log_p = scores.log_softmax(dim=-1)
        ctx.save_for_backward(scores, label, log_p)
        return F.nll_loss(log_p, label, reduction="none")

    @staticmethod
    def backward(ctx, slope: Tensor):
        scores, label, log_p = ctx.saved_tensors
        if torch.is_grad_enabled():
            return _differentiable(F.cross_entropy(scores, label, reduction="none"), scores, slope), None
        slope = slope[:, None]
        return log_p.exp().mul_(slope).scatter_add_(1, label[:, None], -slope), None


class _SmoothedCrossEntropy(Function):
    """-(1 - smoothing) log p_y - smoothing mean_k log p_k; its slope is p minus the smoothed label."""

    @staticmethod
    def forward(ctx, scores: Tensor, label: Tensor, smoothing: float) -> Tensor:
        log_p = scores.log_softmax(dim=-1)
        ctx.save_for_backward(scores, label, log_p)
        ctx.smoothing = smoothing
        return F.nll_loss(log_p, label).mul_(1 - smoothing).sub_(log_p.mean(), alpha=smoothing)

    @staticmethod
    def backward(ctx, slope: Tensor):
        scores, label, log_p = ctx.saved_tensors
        if torch.is_grad_enabled():
            value = F.cross_entropy(scores, label, label_smoothing=ctx.smoothing)
            return _differentiable(value, scores, slope), None, None
        size, classes = log_p.shape
        gradient = log_p.exp().sub_(ctx.smoothing / classes)
        gradient.scatter_add_(1, label[:, None], slope.new_full((size, 1), ctx.smoothing - 1))
        return gradient.mul_(slope / size), None, None


class _SmoothedCrossEntropyOfFewClasses(Function):
    """The same in the fewest steps, which are what costs here, at the price of a [K, K] table.

    The gradient is done in the forward pass, in memory that is at hand, and taken as it is where the slope is 1: where
    this loss itself is minimised.
    """

    @staticmethod
    def forward(ctx, scores: Tensor, label: Tensor, smoothing: float) -> Tensor:
        table = _smoothed_labels(*scores.shape, smoothing, scores.dtype, scores.device)
        labels = table.index_select(0, label)  # [B, K], times -1 / B
        log_p = scores.log_softmax(dim=-1)
        value = torch.dot(labels.view(-1), log_p.view(-1))
        ctx.save_for_backward(scores, label, labels.add_(log_p.exp_(), alpha=1 / len(label)))
        ctx.smoothing = smoothing
        return value

    @staticmethod
    def backward(ctx, slope: Tensor):
        scores, label, gradient = ctx.saved_tensors
        if torch.is_grad_enabled():
            value = F.cross_entropy(scores, label, label_smoothing=ctx.smoothing)
            return _differentiable(value, scores, slope), None, None
        is_one = slope.is_cpu and slope.item() == 1  # an accelerator would have to be waited for
        return gradient if is_one else gradient * slope, None, None


class _OneSidedMargin(Function):
    """Softplus of every margin; its slopes are the sigmoids."""

    @staticmethod
    def forward(
        ctx, scores: Tensor, label: Tensor, lambda_min: float, lambda_max: float, alpha: float, weight: float
    ) -> Tensor:
        own = scores.gather(1, label[:, None])  # [B, 1]
        missing = (lambda_max - scores).scatter_(1, label[:, None], -math.inf)
        ctx.save_for_backward(scores, label, own, missing)
        ctx.parameters = lambda_min, lambda_max, alpha, weight
        negatives = F.relu(missing).sum(dim=-1).add_(_sum_log1p(_limited(missing).abs_().neg_().exp_()))
        own_cost = F.softplus(own - lambda_min).add_(F.softplus(-own), alpha=alpha).squeeze(1)
        return own_cost.add_(negatives, alpha=weight).mean()

    @staticmethod
    def backward(ctx, slope: Tensor):
        scores, label, own, missing = ctx.saved_tensors
        lambda_min, _, alpha, weight = ctx.parameters
        if torch.is_grad_enabled():
            value = _one_sided_margin(scores, label, *ctx.parameters)
            return _differentiable(value, scores, slope), None, None, None, None, None
        slope = slope / len(label)
        gradient = _limited(missing).sigmoid_().mul_(slope * -weight)
        own_gradient = (own - lambda_min).sigmoid_().sub_((-own).sigmoid_(), alpha=alpha).mul_(slope)
        return gradient.scatter_(1, label[:, None], own_gradient), None, None, None, None, None


def _one_sided_margin(
    scores: Tensor, label: Tensor, lambda_min: float, lambda_max: float, alpha: float, weight: float
) -> Tensor:
    own = scores.gather(1, label[:, None]).squeeze(1)
    negatives = F.softplus(_without(lambda_max - scores, label[:, None])).sum(dim=-1)
    return (F.softplus(own - lambda_min) + alpha * F.softplus(-own) + weight * negatives).mean()


def _differentiable(value: Tensor, scores: Tensor, slope: Tensor) -> Tensor:
    """Return the gradient of a plain formula in a form that can itself be differentiated."""
    return torch.autograd.grad(value, scores, slope, create_graph=True)[0]


class _LogOddsAgainst(Function):
    """log sum_{j != y} e^s_j - s_y; its slope is the softmax over the wrong classes, and -1 on the label."""

    @staticmethod
    def forward(ctx, scores: Tensor, label: Tensor) -> Tensor:
        others = _without(scores, label)
        p = others.softmax(dim=-1)
        ctx.save_for_backward(scores, label, p)
        margin = others.amax(dim=-1, keepdim=True) - scores.gather(1, label)  # [B, 1]
        return (margin - p.amax(dim=-1, keepdim=True).log_()).squeeze(1)

    @staticmethod
    def backward(ctx, slope: Tensor):
        scores, label, p = ctx.saved_tensors
        if torch.is_grad_enabled():
            p = _without(scores, label).softmax(dim=-1)
        slope = slope[:, None]
        return (p * slope).scatter_(1, label, -slope), None


class _Entropy(Function):
    """-sum_k p_k log p_k; its slope is -p_k (log p_k + entropy)."""

    @staticmethod
    def forward(ctx, scores: Tensor) -> Tensor:
        p = scores.softmax(dim=-1)
        below = scores - scores.amax(dim=-1, keepdim=True)
        moment = below.clamp_min_(torch.finfo(below.dtype).min).mul_(p)  # 0 where p is 0, at -inf too
        mean = moment.sum(dim=-1)  # [B], log p_k = below_k + log max p
        ctx.save_for_backward(scores, p, moment, mean)
        return -mean - p.amax(dim=-1).log_()

    @staticmethod
    def backward(ctx, slope: Tensor):
        scores, p, moment, mean = ctx.saved_tensors
        if torch.is_grad_enabled():
            p = scores.softmax(dim=-1)
            below = scores - scores.amax(dim=-1, keepdim=True)
            moment = below.clamp_min(torch.finfo(below.dtype).min) * p
            mean = moment.sum(dim=-1)
        slope = slope[:, None]
        return (p * (mean[:, None] * slope)).addcmul_(moment, slope, value=-1)


def _limited(x: Tensor) -> Tensor:
    """Return x cut to where e^-|x| and its square are normal numbers, 4e-18 and more in float32.

    Where they underflow, exp and log1p take up to fifty times as long, and one-sided margins live there.
    """
    limit = -0.45 * math.log(torch.finfo(x.dtype).tiny)
    return x.clamp(-limit, limit)


def _sum_log1p(x: Tensor) -> Tensor:
    """Return sum_k log(1 + x_k) of values 0 to 1, which are overwritten. Shapes: [B, K] -> [B].

    The logarithm is the dear part, so that factors are multiplied first: (1 + a) (1 + b) = 1 + (a + b + a b).
    """
    for _ in range(FOLDS if x.shape[-1] >= FOLDED_FROM else 0):
        half = (x.shape[-1] + 1) // 2
        x, other = x[:, :half], x[:, half:]
        paired = x[:, : other.shape[-1]]
        paired.add_(other.addcmul_(other, paired))
    return x.log1p().sum(dim=-1)


@functools.lru_cache(maxsize=8)
def _smoothed_labels(size: int, classes: int, smoothing: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the smoothed label of every class, times -1 / size. Shapes: [K, K]."""
    each = -smoothing / (size * classes)
    with torch.inference_mode(False):  # what is kept must serve training too
        return torch.full((classes, classes), each, dtype=dtype, device=device).fill_diagonal_(
            each - (1 - smoothing) / size
        )


def _without(scores: Tensor, label: Tensor) -> Tensor:
    return scores.scatter(1, label, -math.inf)


def _transformed() -> bool:
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
