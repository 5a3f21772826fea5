"""Bootstrapping: its limit, its equations, the gradient through its own belief."""

from __future__ import annotations

import math

import pytest
import torch
from by_loops import batch, mean_by_loops
from torch.nn import functional as F

from losses.bootstrap import BootstrapLoss


@pytest.mark.parametrize(("mode", "beta"), [("soft", 0.95), ("soft", 0.3), ("hard", 0.8), ("hard", 0.0)])
def test_equals_its_equation(mode, beta):
    def loss_of(p, y):
        belief = p if mode == "soft" else [float(k == p.index(max(p))) for k in range(len(p))]
        label = [beta * (k == y) + (1 - beta) * belief[k] for k in range(len(p))]
        return -sum(q * math.log(p_k) for q, p_k in zip(label, p, strict=True))

    scores, target = batch()
    value = BootstrapLoss(mode=mode, beta=beta)(scores, target)
    assert value.item() == pytest.approx(mean_by_loops(scores, target, loss_of), rel=1e-12)


@pytest.mark.parametrize(("mode", "beta"), [("soft", 0.95), ("hard", 0.8)])
def test_default_beta_is_the_papers_for_the_mode(mode, beta):
    assert BootstrapLoss(mode=mode).beta == beta


def test_the_gradient_runs_through_the_belief():
    scores, target = batch()
    scores.requires_grad_()
    (BootstrapLoss(beta=0.6)(scores, target) * len(target)).backward()
    p = scores.detach().softmax(dim=-1)
    entropy = -(p * p.log()).sum(dim=-1, keepdim=True)
    detached = 0.6 * (p - F.one_hot(target, 4))
    torch.testing.assert_close(scores.grad, detached - 0.4 * p * (p.log() + entropy))
