"""The benchmark of the losses: what it times, and that its memory is the true one."""

from __future__ import annotations

import pytest

from benchmarks.losses import BATCH, MEASURED, REFERENCE, measure, step_of
from benchmarks.measuring import peak_bytes
from losses import LOSSES


def test_every_loss_gets_its_numbers():
    _, held, results = measure(MEASURED, classes=10, rounds=2, seconds=0.0)
    assert held > 0
    of_one_score = {"BinaryCrossEntropyLoss", "BinaryOneSidedMarginLoss"}
    assert set(LOSSES) - results.keys() == of_one_score | {"ConnectionistTemporalLoss", "OneSidedMarginCTCLoss"}
    for result in results.values():
        assert result.low <= result.middle <= result.high
        assert result.memory == result.bytes / held


def test_memory_of_cross_entropy_is_three_score_tables():
    # log p, the gradient in it and the gradient in the scores, besides a few numbers a sample.
    step = step_of(REFERENCE, 1000)
    step()
    assert peak_bytes(step) == pytest.approx(3 * BATCH * 1000 * 4, rel=0.01)
