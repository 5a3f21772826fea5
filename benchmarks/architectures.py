"""Speed and memory of the networks beside timm's: python benchmarks/architectures.py [NAME ...] [--quick]

timm's own benchmark.py is no part of its package, so timm's twin of a network is timed by the same loop, in turns with
it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the project's root, whose `models` is meant below

import timm
import torch

from benchmarks.measuring import environment, main_options, peak_bytes, prepare, seconds_per_step, table
from models import build_model, check_architecture_name, resolve_architecture
from utils.lookup import timm_architectures

CLASSES = 1000
BATCH = {"cpu": 8, "cuda": 64}
KINDS: tuple[str, ...] = ("training", "inference", "latency")
"""Forward and backward of a batch; forward of a batch; forward of one image."""
DEFAULT = (
    *("ghostnet", "hardnet39ds", "squeezenext23_1_0", "torchvision/efficientnet_b0", "torchvision/resnet18"),
    *("ghostnet_100", "resnet18"),
)
"""Small ones of every source: minutes on one slow core."""
TWINS = {"ghostnet": "ghostnet_100"}
"""timm's network under another name; its head and squeeze-and-excitation differ a little."""


class Result(NamedTuple):
    """One network.

    Attributes:
        image_size: height and width, px.
        seconds: of each of `KINDS`, median.
        peak_bytes: of a training step beyond the weights, the gradients included.
        ratios: quartiles of the seconds' ratios to the twin's, each pair timed in turn; empty without a twin.
        memory_ratio: the peak's ratio to the twin's, None without one.
    """

    image_size: tuple[int, int]
    seconds: Mapping[str, float]
    peak_bytes: int
    ratios: Mapping[str, list[float]]
    memory_ratio: float | None


def twin_of(name: str) -> str | None:
    """Return timm's name of the same network, None if it has none; timm's own, built by us, are their own twins."""
    name = resolve_architecture(name)
    twin = TWINS.get(name, name.removeprefix("torchvision/"))
    return twin if twin in timm_architectures() or "." in twin else None


class Subject:
    """A network with random weights on a device, and images that it was made for."""

    def __init__(self, network: Any, image_size: tuple[int, int], batch: int, device: str) -> None:
        self.network, self.device = network.to(device), device
        self.images = torch.randn(batch, 3, *image_size, generator=torch.Generator().manual_seed(0)).to(device)

    def step(self, kind: str) -> None:
        if kind == "training":  # in the gradient of the scores' mean square: it takes scores of any shape
            self.network(self.images).square().mean().backward()
            self.network.zero_grad()
        else:
            with torch.inference_mode():
                self.network(self.images if kind == "inference" else self.images[:1])

    def seconds(self, kind: str, steps: int = 1) -> float:
        self.network.train(kind == "training")
        return seconds_per_step(lambda: self.step(kind), steps, self.device)

    def peak_bytes(self) -> int:
        self.network.train()
        return peak_bytes(lambda: self.step("training"), self.device)


def measure(name: str, rounds: int, seconds: float, device: str = "cpu", batch: int | None = None) -> Result:
    """Time a network and its twin in turns.

    Args:
        rounds: how often each is timed, at least 2.
        seconds: what the network may take in a round, rounded to whole steps.
        batch: images in a step; `BATCH` of the device by default.
    """
    networks, twin = [build_model(name, CLASSES)], twin_of(name)
    networks += [timm.create_model(twin, num_classes=CLASSES)] if twin else []
    size = networks[0].image_size
    subjects = [Subject(network, size, batch or BATCH[device], device) for network in networks]
    medians, ratios = {}, {}
    for kind in KINDS:
        steps = max(1, round(seconds / max(subject.seconds(kind) for subject in subjects)))
        taken = []
        for i in range(rounds):
            order = subjects if i % 2 else subjects[::-1]  # none is always the first
            seconds_of = {subject: subject.seconds(kind, steps) for subject in order}
            taken.append([seconds_of[subject] for subject in subjects])
        medians[kind] = statistics.median(ours for ours, *_ in taken)
        if twin:
            ratios[kind] = statistics.quantiles([ours / theirs for ours, theirs in taken], n=4)
    peaks = [subject.peak_bytes() for subject in subjects]
    return Result(size, medians, peaks[0], ratios, peaks[0] / peaks[1] if twin else None)


def report(results: Mapping[str, Result], batch: int) -> str:
    """Return the tables: what each network does, and what it takes beside its twin."""
    rows = {
        name: [
            "x".join(map(str, result.image_size)),
            *(f"{batch / result.seconds[kind]:.1f}" for kind in KINDS[:2]),
            f"{1e3 * result.seconds['latency']:.2f}",
            f"{result.peak_bytes / 2**20:.0f}",
        ]
        for name, result in results.items()
    }
    headings = ("network", "image, px", "training, images/s", "inference, images/s", "latency, ms", "peak, MiB")
    twins = {
        name: [
            str(twin_of(name)),
            *(f"{middle:.2f} [{low:.2f}, {high:.2f}]" for low, middle, high in result.ratios.values()),
            f"{result.memory_ratio:.2f}",
        ]
        for name, result in results.items()
        if result.ratios
    }
    beside = "Ratio of seconds to timm's twin's, median [quartiles]; ratio of peak memory."
    with_twins = [beside, table(("network", "timm's twin", *KINDS, "memory"), twins)] if twins else []
    return "\n\n".join([table(headings, rows), *with_twins])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks to measure; a few small ones by default")
    arguments = main_options(parser)
    names = arguments.names or DEFAULT
    if problems := [problem for name in names if (problem := check_architecture_name(name))]:
        parser.error("; ".join(problems))
    prepare()
    rounds, seconds = (3, 0.05) if arguments.quick else (15, 0.2)
    batch = BATCH[arguments.device]
    print(f"Float32, {CLASSES} classes, {rounds} rounds, timm {timm.__version__}.", environment(arguments.device) + ".")
    print(f"Training (forward and backward) and inference of batches of {batch}; latency of one image; peak memory of")
    print("a training step beyond the weights, gradients included.\n")
    results = {name: measure(name, rounds, seconds, arguments.device) for name in names}
    print(report(results, batch))
    if arguments.json:
        numbers = {f"{name}/{kind}": r[1] for name, result in results.items() for kind, r in result.ratios.items()}
        arguments.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
