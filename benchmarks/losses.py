"""Speed of every loss beside torch's cross entropy: python benchmarks/losses.py [--quick] [--json FILE]"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # else this file is what `import losses` finds

from losses import LOSSES, build_loss
from utils.types import Batch, Outputs, Task

BATCH, CLASSES = 256, (10, 100, 196, 1000)
REFERENCE = "F.cross_entropy"


def step_of(name: str, classes: int):
    """Return a function that trains one step: what the loss minimises, and its gradient in the scores."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(BATCH, classes, generator=generator).requires_grad_()
    target = torch.randint(classes, (BATCH,), generator=generator)
    batch = Batch(torch.zeros(BATCH, 1), target, torch.arange(BATCH))
    loss = None if name == REFERENCE else build_loss(name, Task(classes, BATCH, nn.Linear(1, classes)))

    def step() -> None:
        scores.grad = None
        if loss is None:
            value = F.cross_entropy(scores, target)
        else:
            value = torch.stack(list(loss.terms(Outputs(scores, scores), batch).values())).sum()
        value.backward()

    return step


def seconds_per_step(step, steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) / steps


def measure(classes: int, rounds: int, steps: int) -> tuple[float, dict[str, list[float]]]:
    """Return cross entropy's median seconds and each loss's ratios to the cross entropy timed just before it."""
    reference, *ours = (step_of(name, classes) for name in (REFERENCE, *LOSSES))
    for step in (reference, *ours):
        seconds_per_step(step, 3)
    seconds: list[float] = []
    ratios: dict[str, list[float]] = {name: [] for name in LOSSES}
    for _ in range(rounds):
        for name, step in zip(LOSSES, ours, strict=True):
            seconds.append(seconds_per_step(reference, steps))
            ratios[name].append(seconds_per_step(step, steps) / seconds[-1])
    return statistics.median(seconds), ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: within a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write name -> median ratio")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rounds, steps = (11, 10) if arguments.quick else (41, 30)
    print(f"batch {BATCH}, float32, forward + backward; ratio to {REFERENCE}: median [quartiles], n = {rounds} rounds")
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}, 1 thread")
    cells: dict[str, list[str]] = {name: [] for name in (REFERENCE, *LOSSES)}
    medians: dict[str, float] = {}
    for classes in CLASSES:
        seconds, ratios = measure(classes, rounds, steps)
        cells[REFERENCE].append(f"{seconds * 1e6:.0f} us")
        for name in LOSSES:
            low, middle, high = statistics.quantiles(ratios[name], n=4)
            medians[f"{name}/{classes}"] = middle
            cells[name].append(f"{middle:.2f} [{low:.2f}, {high:.2f}]")
    width = max(map(len, cells))
    print(f"{'K':<{width}}" + "".join(f"{classes:>22}" for classes in CLASSES))
    for name, row in cells.items():
        print(f"{name:<{width}}" + "".join(f"{cell:>22}" for cell in row))
    if arguments.json:
        arguments.json.write_text(json.dumps(medians, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
