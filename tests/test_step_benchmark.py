"""The benchmark of the training step: what it times, and that all loops train alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.step import CASES, LOOPS, Cost, Result, measure, report

TINY = replace(CASES["tiny"], warm_up=1, steps=2)


@pytest.mark.parametrize("loop", LOOPS)
def test_every_loop_gets_its_numbers(loop):
    costs = measure(TINY, loop, rounds=2)
    assert len(costs) == 2
    for bare, timed in costs:
        assert bare.seconds > 0 < timed.seconds
        assert bare.faults >= 0 <= timed.faults


def test_a_loop_is_told_beside_the_bare_loop_of_its_round():
    costs = [(Cost(1.0, 10), Cost(1.5, 20)), (Cost(2.0, 10), Cost(2.2, 40)), (Cost(4.0, 10), Cost(5.0, 60))]
    result = Result.of(costs)
    assert result.extra[1] == pytest.approx(500)  # ms: of 500, 200 and 1000
    assert result.ratio[1] == pytest.approx(1.25)
    assert result.loop.faults == 40
    assert "+500.000 [+200.000, +1000.000]" in report({"ours": result})
