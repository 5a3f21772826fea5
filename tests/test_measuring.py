"""What the benchmarks share."""

from __future__ import annotations

import torch

from benchmarks.measuring import peak_bytes, table


def test_memory_is_what_is_held_at_once():
    def step() -> None:
        for _ in range(3):
            torch.empty(1000, dtype=torch.uint8)
        first, second = torch.empty(2000, dtype=torch.uint8), torch.empty(3000, dtype=torch.uint8)
        del first, second

    assert peak_bytes(step) == 5000


def test_table_is_aligned_markdown():
    lines = table(("time", "K = 10", "K = 100"), {"Loss": ["1", "5.55"], "Another": ["2", "30"]}).splitlines()
    assert lines[0] == "| time    | K = 10 | K = 100 |"
    assert lines[1] == "|---------|--------|---------|"
    assert lines[2] == "| Loss    | 1      | 5.55    |"
    assert len({len(line) for line in lines}) == 1
