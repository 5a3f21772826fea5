"""Speed and memory of the losses beside torch's cross entropy: python benchmarks/losses.py [NAME ...] [--quick]"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # else this file is what `import losses` finds

from benchmarks.measuring import Step, environment, main_options, peak_bytes, prepare, seconds_per_step, table
from losses import LOSSES, build_loss
from losses.base import ClassificationLoss
from losses.contract import Batch, Outputs, Task
from models import build_model
from utils.lookup import load_entry

ROOT = Path(__file__).resolve().parents[1]
BATCH, CLASSES, FEATURES = 256, (10, 100, 196, 1000, 21841), 64
REFERENCE = "F.cross_entropy"

MEASURED = [
    name
    for name, entry in LOSSES.items()
    if load_entry(entry).num_classes is None and load_entry(entry).kind == "image"
]
"""Losses of images for any number of classes; those of one score for two, and those of texts, have no cross entropy of
K classes beside them."""


class Result(NamedTuple):
    """One loss at one number of classes; ratios are to the cross entropy timed just before it.

    Attributes:
        low, middle, high: quartiles of the time's ratio.
        bytes: peak of forward and backward beyond the scores, the target and what the loss holds.
        memory: its ratio to cross entropy's.
    """

    low: float
    middle: float
    high: float
    bytes: int
    memory: float


def build(name: str, classes: int) -> ClassificationLoss:
    """Build a loss for features of `FEATURES` numbers; feature maps, where it asks for some, have one pixel."""
    task = Task(
        classes,
        BATCH,
        nn.Linear(FEATURES, classes),
        stage_channels=lambda stages: (1,) * len(stages),
        class_counts=tuple(range(classes, 0, -1)),
    )
    return build_loss(name, task)


def step_of(name: str, classes: int, device: str = "cpu", compiled: bool = False) -> Step:
    """Return a function that trains one step: what the loss minimises, and its gradient in the scores."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(BATCH, classes, generator=generator).to(device).requires_grad_()
    target = torch.randint(classes, (BATCH,), generator=generator).to(device)
    loss = None if name == REFERENCE else build(name, classes).to(device)
    views, stages = (loss.views, len(loss.stages)) if loss is not None else (1, 0)
    target = target[: BATCH // views].repeat_interleave(views)  # the batch is of 256 rows, views of an image included
    features = torch.randn(BATCH, FEATURES, generator=generator).to(device).requires_grad_()
    maps = tuple(torch.zeros(BATCH, 1, 1, 1, device=device) for _ in range(stages))
    batch = Batch(torch.zeros(BATCH, 1, device=device), target, torch.arange(BATCH, device=device) // views)

    outputs = Outputs(scores, features, maps)  # the network's, so not part of a loss's time

    def value_of(scores: torch.Tensor) -> torch.Tensor:
        if loss is None:
            return F.cross_entropy(scores, target)
        return functools.reduce(torch.add, loss.terms(outputs, batch).values())

    if compiled:  # code of its own, else all of them share one cache, which is searched in order and overflows
        value_of.__code__ = value_of.__code__.replace(co_name=f"{name}_{classes}")
    trained = torch.compile(value_of, dynamic=False) if compiled else value_of

    def step() -> None:
        trained(scores).backward()
        scores.grad = features.grad = None

    return step


def measure(
    names: Sequence[str], classes: int, rounds: int, seconds: float, device: str = "cpu", compiled: bool = False
) -> tuple[float, int, dict[str, Result]]:
    """Return cross entropy's median seconds and peak bytes, and each loss beside it.

    Args:
        rounds: how often every loss is timed, each time right after cross entropy.
        seconds: what cross entropy may take in a round, rounded to whole steps.
    """
    reference, *ours = (step_of(name, classes, device, compiled) for name in (REFERENCE, *names))
    for step in (reference, *ours):
        seconds_per_step(step, 3, device)
    steps = max(1, round(seconds / seconds_per_step(reference, 3, device)))
    taken: list[float] = []
    ratios: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name, step in zip(names, ours, strict=True):
            taken.append(seconds_per_step(reference, steps, device))
            ratios[name].append(seconds_per_step(step, steps, device) / taken[-1])
    of_reference = peak_bytes(reference, device)
    results = {}
    for name, step in zip(names, ours, strict=True):
        held = peak_bytes(step, device)
        low, middle, high = statistics.quantiles(ratios[name], n=4)
        results[name] = Result(low, middle, high, held, held / of_reference)
    return statistics.median(taken), of_reference, results


def network_seconds(device: str) -> float:
    """Return the median seconds of a step of ResNet-18 for CIFAR with cross entropy, on half of a batch."""
    network = build_model("resnet18_cifar", CLASSES[0], 3).to(device)
    image, target = torch.randn(BATCH // 2, 3, 32, 32, device=device), torch.zeros(BATCH // 2, dtype=torch.int64)

    def step() -> None:
        scores = network.forward_head(network.forward_features(image))
        F.cross_entropy(scores, target.to(device)).backward()

    step()
    return statistics.median(seconds_per_step(step, 1, device) for _ in range(3))


def import_seconds() -> float:
    """Return how long all losses take to import once torch is, in a process of their own."""
    code = "import sys, time, torch; sys.path.insert(0, '.'); start = time.process_time(); import losses; "
    code += "[losses.loss_class(name) for name in losses.LOSSES]; print(time.process_time() - start)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="losses to measure; all by default")
    parser.add_argument("--compile", action="store_true", help="compile the losses and cross entropy")
    arguments = main_options(parser)
    if unknown := [name for name in arguments.names if name not in MEASURED]:
        parser.error(f"unknown loss {', '.join(unknown)}; choose from {', '.join(MEASURED)}")
    names, headings = arguments.names or MEASURED, [f"K = {classes}" for classes in CLASSES]
    prepare()
    rounds, seconds = (5, 0.005) if arguments.quick else (21, 0.02)
    measured = [measure(names, classes, rounds, seconds, arguments.device, arguments.compile) for classes in CLASSES]
    print(f"Forward and backward, batch {BATCH}, float32{', compiled' if arguments.compile else ''}.")
    print(environment(arguments.device) + ".")
    print(f"Time: ratio to {REFERENCE}, median [quartiles] of {rounds} rounds, each beside cross entropy.\n")
    reference = {REFERENCE: [f"{seconds * 1e6:.0f} us" for seconds, _, _ in measured]}
    rows = {
        name: [f"{r.middle:.2f} [{r.low:.2f}, {r.high:.2f}]" for r in (results[name] for _, _, results in measured)]
        for name in names
    }
    print(table(("time", *headings), reference | rows))
    print(f"\nPeak memory beyond the scores, the gradient included: ratio to {REFERENCE}.\n")
    reference = {REFERENCE: [f"{held / 2**20:.2f} MiB" for _, held, _ in measured]}
    rows = {name: [f"{results[name].memory:.2f}" for _, _, results in measured] for name in names}
    print(table(("memory", *headings), reference | rows))
    whole = network_seconds(arguments.device)
    print(
        f"\nPart of a ResNet-18 step (CIFAR, batch {BATCH // 2}, {whole:.2f} s) that {BATCH} rows of a loss add, %.\n"
    )
    few = list(zip(headings, measured, strict=True))[:2]
    rows = {
        name: [f"{100 * (results[name].middle - 1) * seconds / whole:.3f}" for _, (seconds, _, results) in few]
        for name in names
    }
    print(table(("added", *(heading for heading, _ in few)), rows))
    print(f"\nImport of all losses beyond torch's: {min(import_seconds() for _ in range(3)):.3f} s.")
    if arguments.json:
        numbers = {
            f"{name}/{classes}": results[name].middle
            for classes, (_, _, results) in zip(CLASSES, measured, strict=True)
            for name in names
        }
        arguments.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
