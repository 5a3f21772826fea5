"""The benchmark of the losses times every entry."""

from __future__ import annotations

from benchmarks.losses import measure
from losses import LOSSES


def test_every_loss_gets_a_ratio_a_round():
    seconds, ratios = measure(classes=10, rounds=2, steps=1)
    assert seconds > 0
    assert ratios.keys() == LOSSES.keys()
    assert all(len(taken) == 2 and min(taken) > 0 for taken in ratios.values())
