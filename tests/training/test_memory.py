"""What a step frees is there for the next step."""

from __future__ import annotations

import subprocess
import sys

import pytest

from training.memory import keep_freed_memory

PAGES_ARE_COUNTED = """
import resource
import numpy as np
from training.memory import keep_freed_memory

def step():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [np.ones(2**18) for _ in range(30)] + [np.ones(2**23)]  # 2 MiB each, and one of 64
    del held
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

step(), step()
before = step()
keep_freed_memory()
step()
print(before, step())
"""


@pytest.mark.skipif(not keep_freed_memory(), reason="the C library has no such setting")
def test_memory_of_one_step_serves_the_next():
    done = subprocess.run([sys.executable, "-c", PAGES_ARE_COUNTED], capture_output=True, text=True, check=True)
    before, kept = map(int, done.stdout.split())
    assert before > 1000
    assert kept < 100


def test_other_systems_are_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not keep_freed_memory()
