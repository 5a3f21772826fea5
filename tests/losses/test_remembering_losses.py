"""Losses that look at whole batches or remember: their equations by loops, and what they keep."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from by_loops import mean, softmax
from cases import D, K, feature_batch, make, terms_of
from pytorch_metric_learning import losses as others
from torch import nn
from torch.nn import functional as F

from losses.ada_focal import AdaFocalLoss, equal_number_edges
from losses.contract import Task
from losses.focal import FocalLoss
from losses.supervised_contrastive import contrast
from training.losses import build_loss
from utils.types import ConfigError


def added(loss: Any, scores: torch.Tensor, target: torch.Tensor, name: str, **given: Any) -> float:
    return terms_of(loss, scores, target, **given)[name].item()


@pytest.mark.parametrize("beta", [1.0, 5.0])
def test_calibration_of_classes_equals_its_equation(beta):
    scores, _, target = feature_batch()
    p = [softmax(row) for row in scores.tolist()]
    gaps = [abs(mean([row[k] for row in p]) - mean([float(y == k) for y in target.tolist()])) for k in range(K)]
    loss = make("MDCALoss", beta=beta)
    assert added(loss, scores, target, "calibration") == pytest.approx(beta * mean(gaps), rel=1e-9)
    one_hot = F.one_hot(target, K).double()
    assert added(loss, scores, one_hot, "calibration") == pytest.approx(beta * mean(gaps), rel=1e-9)


@pytest.mark.parametrize("name", ["MDCALoss", "AdaFaceLoss"])
def test_ignored_rows_are_left_out_of_what_is_learnt_from_a_batch(name):
    scores, features, target = feature_batch()
    loss, alone = make(name).double().with_options(ignore_index=-100), make(name).double()
    value = terms_of(loss, scores, torch.where(torch.arange(9) < 6, target, -100), features=features)
    expected = terms_of(alone, scores[:6], target[:6], features=features[:6])
    torch.testing.assert_close(value, expected)
    assert all(torch.equal(each, alone.state_dict()[key]) for key, each in loss.state_dict().items())


def test_calibration_reads_the_base_s_probabilities():
    scores, _, target = feature_batch()
    scores = 50 + 100 * scores
    loss = make("MDCALoss", base="OneSidedMarginLoss")
    p = make("OneSidedMarginLoss").log_probabilities(scores).exp()
    expected = (p.mean(dim=0) - F.one_hot(target, K).double().mean(dim=0)).abs().mean()
    assert added(loss, scores, target, "calibration") == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize(("lambda_", "beta"), [(3.0, 0.7), (7.0, 0.9), (1.0, 0.0)])
def test_early_learning_equals_its_equation(lambda_, beta):
    scores, _, target = feature_batch()
    loss: Any = make("EarlyLearningRegularizationLoss", lambda_=lambda_, beta=beta).double()
    memory: dict[int, list[float]] = {}
    for step in range(3):
        index = (torch.arange(9) * (step + 1)) % 11
        values = []
        for i, row in zip(index.tolist(), scores.roll(step, 0).tolist(), strict=True):
            p = [min(max(each, 1e-4), 1 - 1e-4) for each in softmax(row)]
            old = memory.get(i, [0.0] * K)
            memory[i] = [beta * t + (1 - beta) * each / sum(p) for t, each in zip(old, p, strict=True)]
            values.append(math.log(1 - sum(a * b for a, b in zip(p, memory[i], strict=True))))
        found = added(loss, scores.roll(step, 0), target, "early_learning", index=index)
        assert found == pytest.approx(lambda_ * mean(values), rel=1e-9)
    assert loss.memory[7].tolist() == pytest.approx(memory.get(7, [0.0] * K))


def test_memory_learns_the_mean_of_an_image_s_views_and_no_gradient_runs_through_it():
    scores, _, target = feature_batch(4)
    loss: Any = make("EarlyLearningRegularizationLoss", beta=0.0).double()
    scores.requires_grad_()
    terms_of(loss, scores, target, index=torch.tensor([2, 2, 5, 2]))["early_learning"].backward()
    p = scores.detach().softmax(dim=-1)
    torch.testing.assert_close(loss.memory[2], p[[0, 1, 3]].mean(dim=0))
    torch.testing.assert_close(loss.memory[5], p[2])
    t = torch.stack([loss.memory[i] for i in (2, 2, 5, 2)])
    again = scores.detach().requires_grad_()
    (3 * (1 - (again.softmax(dim=-1) * t).sum(dim=-1)).log().mean()).backward()
    torch.testing.assert_close(scores.grad, again.grad)


def test_memory_survives_the_end_of_an_epoch_and_a_checkpoint(tmp_path):
    scores, _, target = feature_batch()
    loss: Any = make("EarlyLearningRegularizationLoss")
    terms_of(loss, scores.float(), target)
    before = loss.memory.clone()
    loss.on_epoch_end()
    assert torch.equal(loss.memory, before)
    assert loss.seen.sum() == 0
    torch.save(loss.state_dict(), tmp_path / "state")
    again: Any = make("EarlyLearningRegularizationLoss")
    again.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    assert torch.equal(again.memory, before)
    assert before[:9].sum() > 0


def test_data_whose_samples_have_no_numbers_are_refused():
    with pytest.raises(ConfigError) as error:
        build_loss("EarlyLearningRegularizationLoss", Task(K, 0, nn.Linear(D, K)))
    assert str(error.value) == (
        "loss_function: EarlyLearningRegularizationLoss remembers samples by their numbers, and what these data "
        "classify has none"
    )


def test_devices_put_their_memories_together(monkeypatch):
    """The other device has seen the images 3 to 5, with another prediction; both have seen image 3."""
    loss: Any = make("EarlyLearningRegularizationLoss")
    loss.memory[:4], loss.seen[:4] = 0.25, 1
    other_memory, other_seen = torch.zeros_like(loss.memory), torch.zeros_like(loss.seen)
    other_memory[3:6], other_seen[3:6] = 0.75, 1

    def summed(memory, seen):
        memory += other_memory
        seen += other_seen

    monkeypatch.setattr("losses.early_learning_regularization.sum_over_ranks", summed)
    loss.on_epoch_end()
    assert loss.memory[:7, 0].tolist() == [0.25, 0.25, 0.25, 0.5, 0.75, 0.75, 0.0]


def test_ada_focal_is_focal_loss_at_first_and_judges_by_cross_entropy():
    scores, _, target = feature_batch()
    loss = AdaFocalLoss(gamma=2.0)
    torch.testing.assert_close(loss(scores, target), FocalLoss()(scores, target))
    torch.testing.assert_close(loss.eval()(scores, target), F.cross_entropy(scores, target))


def test_powers_belong_to_bins_and_change_their_sign():
    loss = AdaFocalLoss(num_bins=2, gamma=1.0, lambda_=4.0)
    p = torch.tensor([0.3, 0.6])
    scores = torch.stack([p, 1 - p], dim=1).log()
    loss.gammas.copy_(torch.tensor([2.0, -1.0]))
    values = loss.sample_losses(scores, torch.zeros(2, dtype=torch.int64)).tolist()
    assert values == pytest.approx([-(0.7**2) * math.log(0.3), -1.6 * math.log(0.6)], rel=1e-5)
    # the network is always right and not sure: underconfident, so every power shrinks until it becomes inverse focal
    sure = torch.tensor([0.6, 0.7, 0.8, 0.9])
    validation = torch.stack([sure, 1 - sure], dim=1).log()
    gammas = [loss.gammas.tolist()]
    for _ in range(4):
        loss.end_validation(validation, torch.zeros(4, dtype=torch.int64))
        gammas.append(loss.gammas.tolist())
    first, last = [row[0] for row in gammas], [row[1] for row in gammas]
    excess = 0.75 - 1  # of the first bin, 0.7 and 0.8: 0.6 lies on its lower edge and belongs to none
    assert first[1:3] == pytest.approx([2 * math.exp(4 * excess), 2 * math.exp(8 * excess)], rel=1e-5)
    assert first[3] == pytest.approx(-0.2)  # 0.1 would be below the switch
    assert first[4] == pytest.approx(-0.2 * math.exp(-4 * excess), rel=1e-5)
    assert last[1] == pytest.approx(-math.exp(4 * 0.1), rel=1e-5)
    assert last[-1] == -2


@pytest.mark.parametrize(("size", "bins"), [(6, 3), (7, 3), (100, 15), (4, 9), (1, 2)])
def test_edges_are_those_of_numpy(size, bins):
    numpy = pytest.importorskip("numpy")
    values = torch.rand(size, dtype=torch.float64, generator=torch.Generator().manual_seed(size))
    expected = numpy.interp(numpy.linspace(0, size, bins + 1), numpy.arange(size), numpy.sort(values.numpy()))
    torch.testing.assert_close(equal_number_edges(values, bins), torch.from_numpy(expected))


def test_adapted_powers_are_kept_with_the_checkpoint():
    loss, again = AdaFocalLoss(), AdaFocalLoss()
    torch.manual_seed(0)
    loss.end_validation(torch.randn(50, K), torch.arange(50) % K)
    again.load_state_dict(loss.state_dict())
    scores, _, target = feature_batch()
    assert not torch.equal(loss(scores, target), AdaFocalLoss()(scores, target))
    assert torch.equal(loss(scores, target), again(scores, target))


def contrast_by_loops(z: list[list[float]], target: list[int], tau: float) -> float:
    values = []
    for i, a in enumerate(z):
        similar = [math.exp(sum(x * y for x, y in zip(a, b, strict=True)) / tau) for b in z]
        total = sum(similar) - similar[i]
        logs = [math.log(similar[j] / total) for j in range(len(z)) if j != i and target[j] == target[i]]
        values.append(-mean(logs) if logs else 0.0)
    return mean(values)


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_contrast_equals_its_equation(temperature):
    _, features, target = feature_batch()
    target[0] = K - 1  # alone in its class
    z = F.normalize(features)
    expected = contrast_by_loops(z.tolist(), target.tolist(), temperature)
    assert contrast(z, target, temperature).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # the other's use of NumPy
def test_contrast_is_another_implementation_s():
    _, features, _ = feature_batch(8)
    target = torch.arange(8) % 3
    expected = others.SupConLoss(temperature=0.1)(features, target)
    torch.testing.assert_close(contrast(F.normalize(features), target, 0.1), expected)


def in_two_stages(first_stage: float = 0.5) -> tuple[Any, Any]:
    loss: Any = make("SupervisedContrastiveLoss", mode="two_stage", first_stage=first_stage)
    head = loss.make_head(loss.task)
    return loss, head


@pytest.mark.parametrize(("epoch", "network_learns"), [(0, True), (4, True), (5, False), (9, False)])
def test_in_two_stages_the_network_learns_from_the_contrast_and_then_stands_still(epoch, network_learns):
    loss, head = in_two_stages()
    _, features, target = feature_batch(8)
    features = features.float().requires_grad_()
    loss.begin_epoch(epoch)
    terms = terms_of(loss, head(features), target, features=features)
    sum(terms.values()).backward()  # type: ignore[union-attr]
    assert ("contrast" in terms) == network_learns
    assert (features.grad is not None) == network_learns
    weight = head.weight.grad
    F.cross_entropy(head(features.detach()), target).backward()  # adds the same again
    torch.testing.assert_close(head.weight.grad, 2 * weight.clone() if weight is not head.weight.grad else weight)


def test_joint_training_adds_the_contrast_of_a_projection():
    loss: Any = make("SupervisedContrastiveLoss", weight=0.5, projection=3)
    scores, features, target = feature_batch(8)
    terms = terms_of(loss, scores.float(), target, features=features.float())
    z = F.normalize(loss.project(features.float()))
    assert z.shape == (8, 3)
    assert terms["contrast"].item() == pytest.approx(0.5 * contrast(z, target, 0.1).item(), rel=1e-6)
    torch.testing.assert_close(terms["main"], F.cross_entropy(scores.float(), target))
    assert loss.views == 2
    assert loss.project[0].in_features == D
