"""Data-distortion guided self-distillation: its equation against loops, its limits."""

from __future__ import annotations

import pytest
import torch
from by_loops import kl, mean, softmax, squared_distance
from cases import D, feature_batch, make, terms_of
from torch.nn import functional as F

from training.losses import build_loss

NAME = "DataDistortionDistillationLoss"


def by_loops(log_p: list[list[float]], temperature: float) -> float:
    softened = [softmax([value / temperature for value in row]) for row in log_p]
    return temperature**2 * mean(
        [kl(one, other) + kl(other, one) for one, other in zip(softened[::2], softened[1::2], strict=True)]
    )


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_equals_loops_over_the_two_views(temperature):
    scores, features, target = feature_batch(8)
    target = target[:4].repeat_interleave(2)
    loss = make(NAME, temperature=temperature, weight=0.7, mmd_weight=0.3)
    found = terms_of(loss, scores, target, features=features)
    assert found["distillation"].item() == pytest.approx(0.7 * by_loops(scores.tolist(), temperature), rel=1e-9)
    rows = features.tolist()
    middles = [[mean([row[d] for row in view]) for d in range(D)] for view in (rows[::2], rows[1::2])]
    assert found["discrepancy"].item() == pytest.approx(0.3 * squared_distance(*middles), rel=1e-9)
    torch.testing.assert_close(found["main"], F.cross_entropy(scores, target))


def test_probabilities_are_the_base_s():
    scores, features, target = feature_batch(8)
    margins = {"lambda_max": 2.0, "lambda_min": 1.0}
    found = terms_of(make(NAME, base="OneSidedMarginLoss", base_params=margins), scores, target, features=features)[
        "distillation"
    ]
    log_p = build_loss("OneSidedMarginLoss", None, **margins).log_probabilities(scores)
    assert found.item() == pytest.approx(by_loops(log_p.tolist(), 3.0), rel=1e-9)


def test_views_that_agree_add_nothing():
    scores, features, target = (each.repeat_interleave(2, dim=0) for each in feature_batch(4))
    found = terms_of(make(NAME), scores, target, features=features)
    assert found["distillation"].item() == pytest.approx(0, abs=1e-12)
    assert found["discrepancy"].item() == 0


def test_order_of_the_views_does_not_matter():
    scores, features, target = feature_batch(8)
    swapped = torch.tensor([1, 0, 3, 2, 5, 4, 7, 6])
    found = terms_of(make(NAME), scores, target, features=features)
    other = terms_of(make(NAME), scores[swapped], target[swapped], features=features[swapped])
    for term, value in found.items():
        torch.testing.assert_close(other[term], value)
