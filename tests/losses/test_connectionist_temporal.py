"""CTC of softmax scores and of one-sided margins: torch's own loss, the limits, the initial scores, bad parameters."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from losses.base import ClassificationLoss
from losses.contract import Sequences, Task
from losses.one_sided_margin import OneSidedMarginLoss
from training.losses import build_loss
from utils.types import ConfigError

B, T, K = 4, 18, 67
NAMES = ["ConnectionistTemporalLoss", "OneSidedMarginCTCLoss"]
TEXTS = [[1] * 7, [1, 2, 3, 4, 5, 6, 7], [0, 0, 1, 1, 2, 2, 3], [66] * 7]
REPEATED = Sequences(torch.tensor(TEXTS), torch.full((B,), 7))


def task(classes: int = K) -> Task:
    return Task(classes, 100, nn.Linear(8, classes))


def scores_of(loss: ClassificationLoss, features: float = 1.0, dtype=torch.float32) -> torch.Tensor:
    torch.manual_seed(0)
    head = loss.make_head(task()).to(dtype)
    loss.start_head(head)
    return head(features * torch.randn(B, T, 8, dtype=dtype)).detach()


def torch_s(log_p: torch.Tensor, target: Sequences) -> torch.Tensor:
    """Return torch's loss, which averages over the characters first, made the mean over the texts."""
    criterion = nn.CTCLoss(blank=K, reduction="sum")
    return criterion(log_p.transpose(0, 1), target.labels, torch.full((B,), T), target.lengths) / B


def test_plain_ctc_is_torch_s_of_the_softmax():
    loss = build_loss("ConnectionistTemporalLoss", task())
    scores = scores_of(loss)
    assert scores.shape == (B, T, K + 1)
    torch.testing.assert_close(loss(scores, REPEATED), torch_s(scores.log_softmax(dim=-1), REPEATED))


@pytest.mark.parametrize("params", [{}, {"alpha": 0.3, "lambda_": 0.5, "lambda_max": 9.0, "lambda_min": 2.0}])
@pytest.mark.parametrize("offset", [0.0, 350.0])
def test_osm_ctc_is_torch_s_of_probabilities_computed_by_hand(params, offset):
    loss = build_loss("OneSidedMarginCTCLoss", task(), **params)
    alpha, weight = params.get("alpha", 1.0), params.get("lambda_", 1.0)
    most, least = params.get("lambda_max", 600.0), params.get("lambda_min", 100.0)
    torch.manual_seed(2)
    s = (offset + 40 * torch.randn(B, T, K, dtype=torch.float64)).requires_grad_()

    def softplus(x):
        return x.clamp_min(0) + torch.log1p(torch.exp(-x.abs()))

    costs = softplus(s - least) + alpha * softplus(-s) - weight * softplus(most - s)
    weights = torch.cat([-costs, torch.zeros(B, T, 1)], dim=-1)  # rejection costs nothing more
    log_p = weights - weights.logsumexp(dim=-1, keepdim=True)
    expected = torch_s(log_p, REPEATED)
    torch.testing.assert_close(loss(s, REPEATED), expected)
    ours, theirs = (torch.autograd.grad(value, s)[0] for value in (loss(s, REPEATED), expected))
    torch.testing.assert_close(ours, theirs)


def test_a_step_is_the_margin_loss_s_with_rejection():
    loss, margins = build_loss("OneSidedMarginCTCLoss", alpha=0.1), OneSidedMarginLoss(alpha=0.1)
    scores = 300 + 100 * torch.randn(5, 3, K, generator=torch.Generator().manual_seed(0))
    steps = torch.stack([margins.log_probabilities_with_rejection(scores[:, step]) for step in range(3)], dim=1)
    assert torch.equal(loss.log_probabilities(scores), steps)


def test_near_the_threshold_osm_ctc_is_plain_ctc_at_half_the_temperature():
    # there g(s) = 2 (s - 350), up to e^-250, and the blank's score is 0
    osm, plain = build_loss("OneSidedMarginCTCLoss"), build_loss("ConnectionistTemporalLoss")
    logits = torch.randn(B, T, K, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = plain(F.pad(2 * logits, (0, 1)), REPEATED)
    torch.testing.assert_close(osm(350 - logits, REPEATED), expected)


@pytest.mark.parametrize("name", NAMES)
def test_repeated_characters_are_finite_at_the_initial_scores(name):
    for params in ({}, *([{"start": None}] if name == NAMES[1] else [])):
        loss = build_loss(name, task(), **params)
        scores = scores_of(loss).requires_grad_()
        each = [loss(scores[i : i + 1], Sequences(*(part[i : i + 1] for part in REPEATED))) for i in range(B)]
        torch.stack(each).mean().backward()
        assert all(value.isfinite() for value in each)
        assert scores.grad is not None
        assert scores.grad.isfinite().all()
        assert scores.grad.abs().sum(dim=(1, 2)).gt(0).all()


def test_scores_near_zero_start_where_repeated_characters_cost_thousands():
    loss = build_loss("OneSidedMarginCTCLoss", task())
    zeros = torch.zeros(B, T, K)
    assert loss.log_probabilities(zeros)[0, 0, -1].item() == pytest.approx(-603.5, abs=0.1)
    assert loss.log_probabilities(zeros)[0, 0, 0].item() == pytest.approx(-math.log(K), abs=0.01)
    repeated, plain = (loss(zeros[:1], Sequences(*(part[i : i + 1] for part in REPEATED))).item() for i in (0, 1))
    assert repeated == pytest.approx(3665, abs=5)
    assert plain == pytest.approx(66, abs=1)


@pytest.mark.parametrize(
    ("params", "bias"),
    [({}, 350.0), ({"lambda_": 0.5, "lambda_max": 11.0, "lambda_min": 2.0, "alpha": 0.1}, 5.0)],
)
def test_the_last_layer_starts_where_nothing_is_favoured(params, bias):
    loss = build_loss("OneSidedMarginCTCLoss", task(), **params)
    head = loss.make_head(task())
    loss.start_head(head)
    assert isinstance(head, nn.Linear)
    assert (head.in_features, head.out_features) == (8, K)
    assert torch.equal(head.bias, torch.full((K,), bias))
    if not params:
        log_p = loss.log_probabilities(torch.full((1, 1, K), bias))
        torch.testing.assert_close(log_p, torch.full((1, 1, K + 1), -math.log(K + 1)))


def test_low_scores_are_read_and_high_ones_are_blanks():
    scores = torch.full((1, 4, 3), 600.0)
    scores[0, 0, 2] = scores[0, 1, 2] = scores[0, 3, 1] = 50.0
    assert build_loss("OneSidedMarginCTCLoss").predict(scores).tolist() == [[2, 1, -1, -1]]


@pytest.mark.parametrize("beam_width", [1, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_of_scores_that_are_equally_likely_the_lowest_is_read(dtype, beam_width):
    # alpha = lambda: in floating point g is flat below 0, up to rounding
    loss = build_loss("OneSidedMarginCTCLoss", beam_width=beam_width)
    scores = torch.tensor([[[-50.0, -200.0, 900.0], [900.0, -0.7, -0.7001], [900.0, 900.0, 900.0]]], dtype=dtype)
    assert loss.predict(scores).tolist() == [[1, 2, -1]]
    torch.manual_seed(0)
    step = (350 + 250 * torch.randn(1000, 1, K)).to(dtype)
    lowest = step.amin(dim=(1, 2))
    read = loss.predict(step)[:, 0]
    assert torch.equal(read[lowest < 349], step[:, 0].argmin(dim=-1)[lowest < 349])
    assert (lowest < 349).sum() > 900
    assert read[lowest > 351].eq(-1).all()


def test_with_alpha_above_lambda_the_likeliest_character_is_read_not_the_lowest():
    scores = torch.tensor([[[-50.0, -200.0, 900.0]]])
    assert build_loss("OneSidedMarginCTCLoss", alpha=2.0).predict(scores).tolist() == [[0]]


@pytest.mark.parametrize(("before", "start"), [(True, 350.0), (False, None)])
def test_the_former_name_of_the_start_is_read(before, start):
    assert build_loss("OneSidedMarginCTCLoss", start_at_threshold=before).start == start


@pytest.mark.parametrize("name", NAMES)
def test_a_beam_reads_as_its_name_says(name):
    loss = build_loss(name, None, beam_width=5)
    log_p = torch.tensor([[[0.4, 0.6]] * 2]).log()
    scores = log_p if name == NAMES[0] else 350 - (log_p[..., :1] - log_p[..., 1:]) / 2
    assert loss.predict(scores).tolist() == [[0, -1]]
    assert build_loss(name).predict(scores).tolist() == [[-1, -1]]


@pytest.mark.parametrize("name", NAMES)
def test_texts_that_no_scores_can_spell_are_told(name):
    loss, scores = build_loss(name), torch.zeros(12, 5)
    assert loss.impossible(scores, REPEATED) == {
        0: "needs 13 steps, there are 12",
        3: "needs 13 steps, there are 12",
    }
    assert loss.impossible(torch.zeros(13, 5), REPEATED) == {}


def test_losses_of_images_find_every_class_possible():
    assert build_loss("CrossEntropyLoss").impossible(torch.zeros(5), torch.tensor([0, 4])) == {}


def test_torch_s_name_leads_to_ours():
    with pytest.raises(ConfigError, match=r"torch\.nn\.CTCLoss cannot train a classifier: .*ConnectionistTemporalLoss"):
        build_loss("CTCLoss")
