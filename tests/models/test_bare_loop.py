"""A loss in a bare loop trains what it trains in the bench, to the bit."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from test_classifier import batch, make, text_batch

from losses import LOSSES, TORCH_LOSSES
from losses.base import ClassificationLoss
from losses.contract import Batch, Outputs
from models.classifier import repeat_views


@pytest.mark.parametrize("name", [*LOSSES, *TORCH_LOSSES])
def test_a_bare_loop_equals_the_bench(name):
    bench = make(name).train()
    bare = copy.deepcopy(bench)
    loss, network, head = bare.loss, bare.network, bare.head
    steps = text_batch() if loss.kind == "sequence" else batch(loss.views, classes=bare.train_tally.num_classes)
    optimizers = [torch.optim.SGD(each.named_weights().values(), lr=0.1) for each in (bench, bare)]
    for step in range(2):
        torch.manual_seed(step)
        value = bench.training_step(steps, step)
        torch.manual_seed(step)
        image, target = steps.image.flatten(0, 1), repeat_views(steps.target, loss.views)
        index = steps.index.repeat_interleave(loss.views)
        if loss.stages:
            maps, stages = network.forward_intermediates(image, indices=list(loss.stages))
        else:
            maps, stages = network.forward_features(image), ()
        features = network.forward_head(maps, pre_logits=True)
        scores = head(features)
        if type(loss).terms is ClassificationLoss.terms:
            own = loss(scores, target)
        else:
            terms = loss.terms(Outputs(scores, features, tuple(stages)), Batch(image, target, index))
            own = functools.reduce(torch.add, terms.values())
        for total, optimizer in zip((value, own), optimizers, strict=True):
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
        assert torch.equal(value, own)
    ours, theirs = bench.state_dict(), bare.state_dict()
    assert [key for key in ours if not key.startswith("train_tally") and not torch.equal(ours[key], theirs[key])] == []
