"""The benchmark of the training step."""

from __future__ import annotations

import pytest

from benchmarks.step import CASES, LOOPS, measure, quartiles


@pytest.mark.parametrize("loop", LOOPS)
def test_every_loop_is_timed_beside_the_bare_one_in_each_round(loop):
    seconds = measure(CASES["tiny"]._replace(warm_up=1, steps=2, rounds=2), loop)
    assert [len(pair) for pair in seconds] == [2, 2]


def test_quartiles_are_of_the_rounds():
    assert quartiles([500.0, 200.0, 1000.0], "+.0f") == "+500 [+200, +1000]"
