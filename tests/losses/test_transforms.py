"""Losses under torch.func and as one compiled graph."""

from __future__ import annotations

import pytest
import torch
from cases import make, samples
from torch.func import grad, vmap

from losses import LOSSES
from utils.lookup import load_entry

PLAIN = [name for name, entry in LOSSES.items() if load_entry(entry).kind == "image"]
LEARNING = {"DisturbLabelLoss", "OnlineLabelSmoothingLoss", "SingleLabelSmoothingLoss"}
"""What draws or learns from a batch while training is judged here instead."""


@pytest.mark.parametrize("name", PLAIN)
def test_gradients_of_single_samples_are_those_of_the_batch(name):
    loss, (scores, target) = make(name).train(name not in LEARNING), samples(name)
    found = vmap(grad(lambda row, label: loss.sample_losses(row[None], label[None])[0]))(scores, target)
    scores.requires_grad_()
    loss.sample_losses(scores, target).sum().backward()
    torch.testing.assert_close(found, scores.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", PLAIN)
def test_a_loss_is_one_graph(name):
    loss, (scores, target) = make(name).train(name not in LEARNING), samples(name)
    torch.compiler.reset()
    compiled = torch.compile(lambda row, label: loss(row, label), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(scores, target), loss(scores, target))
