"""The benchmark of the losses: what it times, and that its memory is the true one."""

from __future__ import annotations

import pytest
import torch

from benchmarks.losses import BATCH, MEASURED, REFERENCE, measure, peak_bytes, step_of, table
from losses import LOSSES


def test_every_loss_gets_its_numbers():
    seconds, held, results = measure(MEASURED, classes=10, rounds=2, seconds=0.0)
    assert seconds > 0
    assert held > 0
    assert set(LOSSES) - results.keys() == {"BinaryCrossEntropyLoss", "BinaryOneSidedMarginLoss"}
    for result in results.values():
        assert 0 < result.low <= result.middle <= result.high
        assert result.memory == result.bytes / held


def test_memory_of_cross_entropy_is_three_score_tables():
    # log p, the gradient in it and the gradient in the scores, besides a few numbers a sample.
    step = step_of(REFERENCE, 1000)
    step()
    assert peak_bytes(step) == pytest.approx(3 * BATCH * 1000 * 4, rel=0.01)


def test_memory_is_what_is_held_at_once():
    def step() -> None:
        for _ in range(3):
            torch.empty(1000, dtype=torch.uint8)
        first, second = torch.empty(2000, dtype=torch.uint8), torch.empty(3000, dtype=torch.uint8)
        del first, second

    assert peak_bytes(step) == 5000


def test_table_is_aligned_markdown():
    lines = table("time", {"Loss": ["1", "2", "3", "4", "5.55"]}).splitlines()
    assert lines[0].startswith("| time | K = 10 |")
    assert lines[1].startswith("|------|--------|")
    assert len({len(line) for line in lines}) == 1
