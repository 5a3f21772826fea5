"""The time of a fast recipe, by the bench and by a bare script of the same parts: python benchmarks/fast.py [--quick]

Both read the same files, train the same network with the same optimizers on as many images, and test once. They take
turns, seed by seed, in one process. The bare script draws random numbers of its own: accuracies agree within their
noise.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the project's root

import numpy as np
import torch
from timm.optim.muon import Muon
from torch import Tensor
from torch.nn import functional as F

from benchmarks.measuring import environment, table
from configuration.reading import read_configuration
from configuration.schema import Configuration
from datasets import load_data_set
from datasets.base import ImageTable
from datasets.stream.sampling import stratified_split
from evaluation.catalogue import NAME_CHECKS
from models import build_model
from training import runner
from utils.types import UserError

RECIPE = Path(__file__).resolve().parents[1] / "experiments" / "cifar10_fast.yml"
QUICK = ("dataset=made_up", "data_params={like: cifar10, num_classes: 10}", "num_epochs=2", "batch_size=16")
QUICK += ("architecture_params={widths: [8, 8]}", "valid_fraction=0.2", "monitor=train/loss", "num_workers=0")
PADDING = 2


def train_bare(config: Configuration) -> float:
    """Train and test the recipe's parts without the bench; return the test accuracy."""
    torch.manual_seed(config.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    data = load_data_set(config)
    rows, _ = stratified_split(data.train.labels, config.valid_fraction, config.seed)
    images, labels = on(device, data.train, rows)
    mean, std = (
        torch.tensor(each, device=device).view(1, 3, 1, 1) * 255
        for each in (config.normalization_params_rgb.mean, config.normalization_params_rgb.std)
    )

    def numbers(pixels: Tensor) -> Tensor:
        return ((pixels.float() - mean) / std).contiguous(memory_format=torch.channels_last)

    network: Any = build_model(config.architecture, len(data.classes), **config.architecture_params)
    network.to(device, memory_format=torch.channels_last)
    chosen = torch.randperm(len(images), device=device)[: network.start_images]
    network.cpu().start_from(numbers(images[part]).cpu() for part in chosen.split(100))
    network.to(device)
    optimizers, freeze = build_optimizers(config, network)
    rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    padded = F.pad(images.float(), (PADDING,) * 4, mode="reflect").to(torch.uint8)
    first = torch.rand(len(images), device=device) < 0.5
    steps, done = -(-len(images) // config.batch_size) * config.num_epochs, 0
    epsilon, side = config.loss_params["epsilon"], images.shape[-1]
    for epoch in range(config.num_epochs):
        if epoch == freeze.epochs:
            freeze.parameter.requires_grad_(False)
        for batch in torch.randperm(len(images), device=device).split(config.batch_size):
            for optimizer, peaks in zip(optimizers, rates, strict=True):
                for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                    group["lr"] = peak * (1 - done / steps)
            crops = crop(padded[batch], side)
            crops = torch.where((first[batch] ^ (epoch % 2 == 1)).view(-1, 1, 1, 1), crops.flip(-1), crops)
            with torch.autocast(device.type, torch.bfloat16):
                scores = network(numbers(crops))
            F.cross_entropy(scores.float(), labels[batch], label_smoothing=epsilon).backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad()
            done += 1
    images, labels = on(device, data.test, np.arange(len(data.test)))
    network.eval()
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
        parts = zip(images.split(config.batch_size), labels.split(config.batch_size), strict=True)
        right = sum(int((network(numbers(part)).argmax(dim=1) == target).sum()) for part, target in parts)
    return right / len(images)


def on(device: torch.device, part: ImageTable, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return images and labels where they are trained on. Shapes: [N, C, H, W] uint8, [N]."""
    pixels = np.stack([part.pixels(row) for row in rows.tolist()])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).to(device), torch.from_numpy(part.labels[rows]).to(device)


def crop(padded: Tensor, side: int) -> Tensor:
    """Return a random square of each image. Shapes: [B, C, h, w] -> [B, C, side, side]."""
    out = padded.new_empty(*padded.shape[:2], side, side)
    moves = torch.randint(2 * PADDING + 1, (2, len(padded)), device=padded.device)
    for down in range(2 * PADDING + 1):
        for right in range(2 * PADDING + 1):
            chosen = (moves[0] == down) & (moves[1] == right)
            out[chosen] = padded[chosen, :, down : down + side, right : right + side]
    return out


def build_optimizers(config: Configuration, network: Any) -> tuple[list[torch.optim.Optimizer], Any]:
    """Return Muon for the filters with SGD for the rest, and which parameter is frozen after how many epochs."""
    named, groups = dict(network.named_parameters()), config.optimizer_groups
    filters = [weight for weight in named.values() if weight.ndim == 4]
    biases = [weight for name, weight in named.items() if name.endswith("bias")]
    of_groups = {"biases": biases, "head": [*network.get_classifier().parameters()]}
    muon = Muon(filters, **config.optimizer_params)
    params = [{"params": weights, **groups[name].optimizer_params} for name, weights in of_groups.items()]
    freeze = argparse.Namespace(parameter=named["stages.0.0.bias"], epochs=groups["whitening"].epochs)
    return [muon, torch.optim.SGD(params, lr=0.1)], freeze


def train_by_the_bench(config: Configuration) -> float:
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return runner.train(config)[1]["test/accuracy"]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("changes", nargs="*", metavar="KEY=VALUE", help="of the recipe, such as data_path=FOLDER")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="of each; default 3")
    parser.add_argument("--quick", action="store_true", help="a small network on made-up images: only that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write seconds and accuracies")
    options = parser.parse_args(arguments)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    ways = {"bare": train_bare, "the bench": train_by_the_bench}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    accuracies: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(options.seeds):
            places = (f"output_path={folder}/output", f"logging_dir={folder}/logs", f"seed={seed}")
            changes = [*(QUICK if options.quick else ()), *options.changes, *places]
            try:
                config = read_configuration(str(RECIPE), changes, NAME_CHECKS)
                for name in [*ways] if seed % 2 == 0 else reversed([*ways]):
                    start = time.perf_counter()
                    accuracies[name].append(ways[name](config))
                    seconds[name].append(time.perf_counter() - start)
            except UserError as error:
                parser.error(str(error))
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    described = environment(kind, torch.get_num_threads())
    print(f"A whole run of {RECIPE.name}, {options.seeds} seeds. {described}.\n")
    ratios = [ours / bare for bare, ours in zip(seconds["bare"], seconds["the bench"], strict=True)]
    rows = {
        name: [", ".join(f"{each:.1f}" for each in seconds[name]), spread(accuracies[name], 100, " %")] for name in ways
    }
    print(table(("", "seconds", "test accuracy"), rows))
    print(f"\nThe bench takes {spread(ratios, 1, '')} times as long as the bare script, seed by seed.")
    if options.json:
        content = {"seconds": seconds, "accuracy": accuracies, "ratio": statistics.median(ratios)}
        options.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def spread(values: Sequence[float], factor: float, unit: str) -> str:
    values = [factor * value for value in values]
    if len(values) < 2:
        return f"{values[0]:.3g}{unit} (n = 1)"
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}{unit} (n = {len(values)})"


if __name__ == "__main__":
    main()
