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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the project's root, whose `models` is meant below

import timm
import torch

from benchmarks.measuring import environment, peak_bytes, prepare, seconds_per_step, table
from models import ARCHITECTURES, build_model, check_architecture_name, resolve_architecture
from utils.lookup import timm_architectures
from utils.types import ConfigError

CLASSES = 1000
BATCH = {"cpu": 8, "cuda": 64}
KINDS = {"training": "train", "inference": "infer", "latency": "infer_one"}
TOLERATED = 1.03
"""Times the twin's seconds."""

DEFAULT = (
    "ghostnet",
    "hardnet39ds",
    "squeezenext23_1_0",
    "torchvision/efficientnet_b0",
    "torchvision/mnasnet1_0",
    "torchvision/mobilenet_v2",
    "torchvision/mobilenet_v3_small",
    "torchvision/regnet_y_400mf",
    "torchvision/resnet18",
    "torchvision/shufflenet_v2_x0_5",
    "torchvision/squeezenet1_1",
    "ghostnet_100",
    "resnet18",
)
"""Small ones of every source: minutes on one slow core."""

TWINS = {
    "ghostnet": "ghostnet_100",
    "torchvision/convnext_large": "convnext_large",
    "torchvision/efficientnet_v2_l": "tf_efficientnetv2_l",
    "torchvision/efficientnet_v2_m": "tf_efficientnetv2_m",
    "torchvision/efficientnet_v2_s": "tf_efficientnetv2_s",
    "torchvision/mnasnet1_0": "mnasnet_100",
    "torchvision/mobilenet_v2": "mobilenetv2_100",
    "torchvision/mobilenet_v3_large": "mobilenetv3_large_100",
    "torchvision/mobilenet_v3_small": "mobilenetv3_small_100",
    "torchvision/regnet_y_400mf": "regnety_004",
    "torchvision/swin_t": "swin_tiny_patch4_window7_224",
    "torchvision/vit_b_16": "vit_base_patch16_224",
}
"""timm's networks of the same layers under other names; GhostNet's head and squeeze-and-excitation differ a little."""


@dataclass(frozen=True)
class Ratio:
    """Quartiles of the ratio of a network's seconds to its twin's, each pair timed one after the other."""

    low: float
    middle: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.2f} [{self.low:.2f}, {self.high:.2f}]"


@dataclass(frozen=True)
class Result:
    """One network.

    Attributes:
        image_size: height and width, px.
        seconds: "training" and "inference" of a batch, "latency" of one image, median.
        peak_bytes: of a training step beyond the weights, the gradients included.
        ratios: the seconds' ratios to the twin's; empty without a twin.
        memory_ratio: the peak's ratio to the twin's, or None.
    """

    image_size: tuple[int, int]
    seconds: Mapping[str, float]
    peak_bytes: int
    ratios: Mapping[str, Ratio]
    memory_ratio: float | None


def twin_of(name: str) -> str | None:
    """Return timm's name of the same network, or None; timm's own networks, built by us, are their own twins."""
    name = resolve_architecture(name)
    same = name.removeprefix("torchvision/")
    twin = TWINS.get(name, same if name not in ARCHITECTURES else None)
    return twin if twin in timm_architectures() or "." in same else None


class Subject:
    """A network with random weights on a device, and images that it was made for."""

    def __init__(self, network: Any, image_size: tuple[int, int], batch: int, device: str) -> None:
        self.network, self.device = network.to(device), device
        self.images = torch.randn(batch, 3, *image_size, generator=torch.Generator().manual_seed(0)).to(device)

    def train(self) -> None:
        """Run forward and backward, in the gradient of the scores' mean square: it takes scores of any shape."""
        self.network(self.images).square().mean().backward()
        self.network.zero_grad()

    @torch.inference_mode()
    def infer(self) -> None:
        self.network(self.images)

    @torch.inference_mode()
    def infer_one(self) -> None:
        self.network(self.images[:1])

    def seconds(self, kind: str, steps: int = 1) -> float:
        """Return the seconds of a step of this kind, a key of `KINDS`."""
        self.network.train(kind == "training")
        return seconds_per_step(getattr(self, KINDS[kind]), steps, self.device)

    def peak_bytes(self) -> int:
        """Return what a training step holds at most beyond the weights."""
        self.network.train()
        return peak_bytes(self.train, self.device)


def measure(name: str, rounds: int, seconds: float, device: str = "cpu", batch: int | None = None) -> Result:
    """Time a network and its twin in turns.

    Args:
        rounds: how often each is timed, at least 2.
        seconds: what the network may take in a round, rounded to whole steps.
        batch: images in a step; `BATCH` of the device by default.
    """
    batch = batch or BATCH[device]
    network = build_model(name, CLASSES)
    subjects = [Subject(network, network.image_size, batch, device)]
    if twin := twin_of(name):
        subjects.append(Subject(timm.create_model(twin, num_classes=CLASSES), network.image_size, batch, device))
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
            ratios[kind] = Ratio(*statistics.quantiles([ours / theirs for ours, theirs in taken], n=4))
    peaks = [subject.peak_bytes() for subject in subjects]
    return Result(network.image_size, medians, peaks[0], ratios, peaks[0] / peaks[1] if twin else None)


def report(results: Mapping[str, Result], batch: int) -> str:
    """Return the tables: what each network does, and what it takes beside its twin."""
    rows = {
        name: [
            "x".join(map(str, result.image_size)),
            f"{batch / result.seconds['training']:.1f}",
            f"{batch / result.seconds['inference']:.1f}",
            f"{1e3 * result.seconds['latency']:.2f}",
            f"{result.peak_bytes / 2**20:.0f}",
        ]
        for name, result in results.items()
    }
    headings = ("network", "image, px", "training, images/s", "inference, images/s", "latency, ms", "peak, MiB")
    twins = {
        name: [str(twin_of(name)), *map(str, result.ratios.values()), f"{result.memory_ratio:.2f}"]
        for name, result in results.items()
        if result.ratios
    }
    parts = [table(headings, rows)]
    if twins:
        slow = [
            f"{name} ({kind})"
            for name, result in results.items()
            for kind, ratio in result.ratios.items()
            if ratio.middle > TOLERATED
        ]
        parts += [
            "Ratio of seconds to timm's twin's, median [quartiles]; ratio of peak memory.",
            table(("network", "timm's twin", "training", "inference", "latency", "memory"), twins),
            f"Slower than the twin by more than {TOLERATED - 1:.0%}: {', '.join(slow) or 'none'}.",
        ]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="networks to measure; a dozen small ones by default")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: about a minute")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write network/what -> median ratio to its twin")
    arguments = parser.parse_args()
    names = arguments.names or DEFAULT
    if problems := [problem for name in names if (problem := check_architecture_name(name))]:
        parser.error("; ".join(problems))
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: torch sees no GPU")
    prepare()
    rounds, seconds = (3, 0.05) if arguments.quick else (15, 0.2)
    batch = BATCH[arguments.device]
    print(f"Float32, {CLASSES} classes, {rounds} rounds, timm {timm.__version__}.", environment(arguments.device) + ".")
    print(f"Training (forward and backward) and inference of batches of {batch}; latency of one image; peak memory of")
    print("a training step beyond the weights, gradients included.\n")
    try:
        results = {name: measure(name, rounds, seconds, arguments.device) for name in names}
    except ConfigError as error:
        parser.error(str(error))
    print(report(results, batch))
    if arguments.json:
        numbers = {f"{name}/{kind}": r.middle for name, result in results.items() for kind, r in result.ratios.items()}
        arguments.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
