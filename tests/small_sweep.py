"""The base of a sweep whose runs take a second each, and how tests read one."""

from __future__ import annotations

from pathlib import Path

from configuration.reading import read_configuration
from evaluation.catalogue import NAME_CHECKS
from sweeps.cells import Sweep, load_sweep
from sweeps.mistakes import find_mistakes

BASE = """\
dataset: digits
convert_to_grayscale: true
image_size: null
architecture: test_resnet
num_epochs: 1
batch_size: 128
optimizer_params: {lr: 0.01}
trackers: []
accelerator: cpu
"""
HERE = ("--shard", "1/1")
"""All runs, one after the other in this process."""


def read_sweep(file: Path | str | None, *changes: str) -> Sweep:
    return load_sweep(read_configuration(None if file is None else str(file), changes, NAME_CHECKS, find_mistakes))


def ended(capsys) -> list[str]:
    """Return the lines of runs that have ended."""
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("run ") and " of " in line]
