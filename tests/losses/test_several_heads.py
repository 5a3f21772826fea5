"""A loss for each head of a network, and the sum of scores that predicts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from losses import LOSSES, build_loss
from losses.base import ClassificationLoss
from losses.contract import Batch, Outputs, ParameterError, Task
from losses.several_heads import Head, SeveralHeads, combine_scores

K = 4
THREE = (Head("whole"), Head("patches"), Head("side", 0.1))
ADVERSARY = (Head("class"), Head("adversarial", doubled=True, replaced=False))


class Layer(nn.Module):
    """A last layer that is not linear, as of a network with several heads."""


TASK = Task(K, 20, Layer(), stage_channels=lambda stages: len(stages) * (8,), class_counts=(5, 5, 6, 4))


def heads_of(name: str, heads=THREE, views: int = 1, **params) -> SeveralHeads:
    return SeveralHeads(TASK, heads, lambda task: build_loss(name, task, **params), views=views)


def random_batch(width: int, number: int = 8) -> tuple[torch.Tensor, Any]:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(number, width, generator=generator).requires_grad_()
    target = torch.arange(number) % K
    extra = {"destroyed": torch.arange(number) % 2}
    return scores, Batch(torch.zeros(number, 1), target, torch.arange(number), extra)


def test_each_head_costs_what_the_loss_says_by_itself_times_its_weight():
    scores, batch = random_batch(3 * K)
    plain = build_loss("CompetingRatioLoss", TASK)
    terms = heads_of("CompetingRatioLoss").terms(Outputs(scores, scores), batch)
    for number, (head, (name, term)) in enumerate(zip(THREE, terms.items(), strict=True)):
        own = scores[:, number * K : (number + 1) * K]
        assert name == f"{head.name}_main"
        torch.testing.assert_close(term, head.weight * plain(own, batch.target))


def test_prediction_and_judgement_are_those_of_the_weighted_sum():
    scores, batch = random_batch(3 * K)
    loss = heads_of("CrossEntropyLoss").eval()
    whole, patches, side = scores.split(K, dim=1)
    total = whole + patches + 0.1 * side
    torch.testing.assert_close(loss.log_probabilities(scores), total.log_softmax(1))
    assert torch.equal(loss.predict(scores), total.argmax(1))
    torch.testing.assert_close(loss(scores, batch.target), F.cross_entropy(total, batch.target))
    torch.testing.assert_close(loss(total, batch.target), F.cross_entropy(total, batch.target))


def test_a_doubled_head_votes_twice_and_learns_whole_from_destroyed():
    scores, batch = random_batch(3 * K)
    loss = heads_of("CompetingRatioLoss", ADVERSARY, views=2)
    classes, adversarial = scores.split([K, 2 * K], dim=1)
    torch.testing.assert_close(combine_scores(scores, ADVERSARY, K), classes + adversarial[:, :K] + adversarial[:, K:])
    terms = loss.terms(Outputs(scores, scores), batch)
    label = batch.target + K * (torch.arange(8) % 2)
    torch.testing.assert_close(terms["adversarial_main"], F.cross_entropy(adversarial, label))
    replaced = heads_of("CompetingRatioLoss", [head._replace(replaced=True) for head in ADVERSARY])
    expected = build_loss("CompetingRatioLoss")(adversarial, label)
    torch.testing.assert_close(replaced.terms(Outputs(scores, scores), batch)["adversarial_main"], expected)


def test_every_loss_serves_several_heads_or_says_why_not():
    refused = {}
    for name in [*LOSSES, "BCEWithLogitsLoss", "CrossEntropyLoss"]:
        try:
            loss = heads_of(name)
        except ParameterError as error:
            refused[name] = str(error)
            continue
        if loss.kind == "image":
            scores, batch = random_batch(3 * K, 12)
            torch.stack(list(loss.train().terms(Outputs(scores, scores[:, :5]), batch).values())).sum().backward()
            assert scores.grad is not None
            gradient = scores.grad.unflatten(1, (3, K)).abs().sum((0, 2))
            assert gradient.isfinite().all(), name
            assert (gradient > 0).all(), name
            assert loss.log_probabilities(scores.detach()).shape == (12, K)
    assert {"AngularSoftmaxLoss", "BinaryOneSidedMarginLoss", "CenterLoss", "BeYourOwnTeacherLoss"} <= {*refused}
    assert {"CompetingRatioLoss", "OneSidedMarginLoss", "OnlineLabelSmoothingLoss", "FocalLoss"}.isdisjoint(refused)
    of_layers = [text for text in refused.values() if not text.startswith("task.num_classes: ")]  # K is 4
    assert [text for text in of_layers if "several heads: whole, patches, side" not in text] == []


def test_each_copy_has_a_state_of_its_own():
    scores, batch = random_batch(3 * K)
    loss = heads_of("OnlineLabelSmoothingLoss").train()
    loss.begin_epoch(3)
    loss.terms(Outputs(scores, scores), batch)
    loss.on_epoch_end()
    assert {part.epoch for part in loss.bases} == {3}
    first, second = (loss.bases[number].soft for number in (0, 1))
    assert not torch.equal(first, second)
    assert {name.partition(".soft")[0] for name in loss.state_dict() if name.endswith(".soft")} == {
        f"bases.{number}" for number in range(3)
    }


def test_class_weights_reach_each_head_and_both_halves_of_a_doubled_one():
    loss = heads_of("CompetingRatioLoss", ADVERSARY).with_options(class_weights=[1.0, 2.0, 3.0, 4.0])
    assert [part.class_weights.tolist() for part in loss.bases] == [[1, 2, 3, 4], [1, 2, 3, 4, 1, 2, 3, 4]]
    scores, batch = random_batch(3 * K)
    terms = loss.terms(Outputs(scores, scores), batch)
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0])
    expected = F.cross_entropy(scores[:, K:], batch.target + K * batch.extra["destroyed"], weight.repeat(2))
    torch.testing.assert_close(terms["adversarial_main"], expected)


def test_views_of_the_network_and_of_the_loss_do_not_go_together():
    with pytest.raises(ParameterError, match="DataDistortionDistillationLoss asks for 2 views"):
        heads_of("DataDistortionDistillationLoss", ADVERSARY, views=2)
    loss = heads_of("CrossEntropyLoss", ADVERSARY, views=2)
    assert (loss.views, loss.soft_targets, loss.kind) == (2, False, "image")


def test_fresh_layers_of_all_heads_start_at_the_loss_s_score():
    layers: Any = nn.Sequential(nn.Linear(3, K), nn.Linear(3, K))
    heads_of("OneSidedMarginLoss", THREE[:2], start=7.0).start_head(layers)
    assert [layer.bias.tolist() for layer in layers] == [K * [7.0], K * [7.0]]
    assert isinstance(heads_of("CrossEntropyLoss").base, ClassificationLoss)
