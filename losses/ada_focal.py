"""AdaFocal: focal loss whose powers follow from how calibrated the network is on the validation images."""

from __future__ import annotations

import torch
from torch import Tensor

from .base import require
from .contract import Task
from .label_probability import LabelProbabilityLoss

LEAST = 1e-20
"""What is added to a missing probability, whose power would have an infinite slope at 0; the authors'."""


class AdaFocalLoss(LabelProbabilityLoss):
    """Focal loss in training, with a power for each bin of probability, adapted after each epoch.

        L = -(1 - p_y)^g log p_y where g > 0, -(1 + p_y)^|g| log p_y where g < 0,        p = softmax(scores)

    g is that of p_y's bin. After an epoch the validation images are sorted by confidence into bins of equal number; in
    each g grows with the excess of mean confidence over accuracy, g <- g e^(+-lambda (confidence - accuracy)), + for
    g > 0, changes its sign where |g| falls below `switch`, and stays within gamma_min and gamma_max. Judging takes the
    cross entropy. Bins and powers are kept with the checkpoint. Scores are logits; prediction is their argmax.

    Args:
        num_bins: number of bins, >= 1. Paper: 15.
        gamma: g of every bin at first, > 0. Authors' code: 1, within bins of equal width.
        lambda_: how fast g adapts, >= 0. Paper: 1.
        gamma_min: smallest g, < 0. Paper: -2.
        gamma_max: largest g, > 0. Paper: 20.
        switch: |g| below which the sign changes, > 0. Paper: 0.2.

    Shapes: scores [N, K] float, target [N] int64 or [N, K] probabilities (sum_k q_k L(k)) -> [N].
    Use: for calibrated networks, where validation images are held out.
    Raises: ValueError if a parameter is out of range.
    Source: Ghosh et al. 2022, "AdaFocal: Calibration-aware Adaptive Focal Loss", arXiv:2211.11838,
        and its authors' code.
    Deviations: none.
    """

    calibrated = False
    gammas: Tensor
    edges: Tensor

    def __init__(
        self,
        task: Task | None = None,
        *,
        num_bins: int = 15,
        gamma: float = 1.0,
        lambda_: float = 1.0,
        gamma_min: float = -2.0,
        gamma_max: float = 20.0,
        switch: float = 0.2,
    ) -> None:
        super().__init__(task)
        require("num_bins", num_bins, num_bins >= 1, ">= 1")
        require("gamma", gamma, gamma > 0, "> 0")
        require("lambda_", lambda_, lambda_ >= 0, ">= 0")
        require("gamma_min", gamma_min, gamma_min < 0, "< 0")
        require("gamma_max", gamma_max, gamma_max > 0, "> 0")
        require("switch", switch, switch > 0, "> 0")
        self.lambda_, self.gamma_min, self.gamma_max, self.switch = lambda_, gamma_min, gamma_max, switch
        self.register_buffer("gammas", torch.full((num_bins,), gamma))
        self.register_buffer("edges", torch.linspace(0, 1, num_bins + 1))

    def cost(self, cross_entropy: Tensor) -> Tensor:
        if not self.training:
            return cross_entropy
        p = (-cross_entropy).exp()
        gamma = self.gammas.to(p.dtype)[torch.bucketize(p.detach(), self.edges[1:-1].to(p.dtype), right=True)]
        return torch.where(gamma > 0, LEAST - torch.expm1(-cross_entropy), 1 + p) ** gamma.abs() * cross_entropy

    @torch.no_grad()
    def end_validation(self, scores: Tensor, target: Tensor) -> None:
        super().end_validation(scores, target)
        confidence, prediction = scores.float().softmax(dim=-1).max(dim=-1)
        label = target if target.ndim == 1 else target.argmax(dim=-1)
        gap = confidence - (prediction == label).float()
        edges = equal_number_edges(confidence, len(self.gammas))
        bins = torch.searchsorted(edges, confidence)  # edges[bin - 1] < confidence <= edges[bin]
        total = confidence.new_zeros(2, len(edges)).index_add_(1, bins, torch.stack([gap, torch.ones_like(gap)]))
        excess = (total[0] / total[1].clamp(min=1))[1:]  # the least confidence is above no edge and belongs to no bin
        gammas = self.gammas * (self.gammas.sign() * self.lambda_ * excess).exp()
        gammas = torch.where(gammas.abs() < self.switch, -gammas.sign() * self.switch, gammas)
        self.gammas.copy_(gammas.clamp(self.gamma_min, self.gamma_max))
        self.edges.copy_(edges)


def equal_number_edges(values: Tensor, bins: int) -> Tensor:
    """Return the edges of bins that hold as many values each, between values by interpolation. Shapes: [N] -> [bins+1].

    As numpy.interp gives them for positions from 0 to N, of which the last value stands for all beyond N - 1.
    """
    place = torch.linspace(0, len(values), bins + 1, dtype=torch.float64, device=values.device)
    ordered, place = values.sort().values, place.clamp(max=len(values) - 1)
    return ordered[place.floor().long()].lerp(ordered[place.ceil().long()], place.frac().to(values.dtype))
