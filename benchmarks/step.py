"""The cost of a training step over a bare PyTorch loop: python benchmarks/step.py [CASE ...] [--json FILE]

All loops see the same ready batches, so that loading is no part of it. Each is timed in rounds, beside a bare loop of
its own in the same process. What an epoch does at its end (validation, trackers, checkpoints) is no part of a step.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import logging
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the project's root, whose `losses` is meant below

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from benchmarks.measuring import environment, prepare, table
from configuration.reading import read_configuration
from datasets.base import DataSet, ImageTable
from datasets.data_module import DataModule
from datasets.stream.image_stream import Loaded
from evaluation.catalogue import NAME_CHECKS
from losses.contract import Batch, Task
from models import build_model
from models.classifier import Classifier
from runs.folder import RunFolder
from tracking import build_trackers
from tracking.base import TrackedRun
from training.losses import build_loss
from training.runner import build_trainer

CLASSES = 10


class TinyNetwork(nn.Module):
    """Two linear layers in timm's contract: next to nothing to compute, so that a step is what the loop adds."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.classifier = nn.Linear(64, 64), nn.Linear(64, CLASSES)

    def forward_features(self, image: Tensor) -> Tensor:
        """Shapes: image [B, 1, 8, 8] -> [B, 64]."""
        return self.hidden(image.flatten(1)).relu()

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        return features if pre_logits else self.classifier(features)

    def forward(self, image: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(image))

    def get_classifier(self) -> nn.Module:
        return self.classifier


class Case(NamedTuple):
    """A network and its batches; `warm_up` steps of a round are not timed, `steps` are."""

    build: Callable[[], Any]
    image: tuple[int, int, int]
    batch: int
    warm_up: int
    steps: int
    rounds: int


CASES = {
    "tiny": Case(TinyNetwork, (1, 8, 8), batch=16, warm_up=20, steps=300, rounds=9),
    "resnet18": Case(lambda: build_model("resnet18_cifar", CLASSES), (3, 32, 32), 128, warm_up=1, steps=1, rounds=5),
}


def build_optimizer(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=1e-3, momentum=0.9)


class Rounds:
    """The training batches of a Trainer, one round an epoch, each after a turn of the bare loop.

    Attributes:
        seconds: of a step of the bare loop and of the Trainer's, for each round; those of the processor, which other
            processes do not lengthen.
        seconds_waited: as of the project's loader; nothing is.
    """

    seconds_waited = 0.0

    def __init__(self, case: Case) -> None:
        self.case, self.network = case, case.build().train()
        self.optimizer = build_optimizer(self.network.parameters())
        self.seconds: list[tuple[float, float]] = []
        generator = torch.Generator().manual_seed(0)
        batches = [
            Loaded(
                torch.randn(case.batch, 1, *case.image, generator=generator),
                torch.randint(CLASSES, (case.batch,), generator=generator),
                torch.arange(case.batch),
            )
            for _ in range(4)
        ]
        self.batches = [*itertools.islice(itertools.cycle(batches), case.warm_up + case.steps)]

    def __len__(self) -> int:
        return len(self.batches) + 1  # the request for the last one ends the step before it

    def __iter__(self) -> Iterator[Loaded]:
        warm_up, timed = self.batches[: self.case.warm_up], self.batches[self.case.warm_up :]
        self._train_bare(warm_up)
        start = time.process_time()
        self._train_bare(timed)
        bare = time.process_time() - start
        self.optimizer.zero_grad()
        yield from warm_up
        start = time.process_time()
        yield from timed
        self.seconds.append((bare / len(timed), (time.process_time() - start) / len(timed)))
        yield self.batches[0]

    def _train_bare(self, batches: Sequence[Loaded]) -> None:
        for batch in batches:
            assert batch.image is not None
            self.optimizer.zero_grad()
            F.cross_entropy(self.network(batch.image[:, 0]), batch.target).backward()  # type: ignore[arg-type]
            self.optimizer.step()


class ReadyData(DataModule):
    """The project's data module with batches that are ready."""

    def __init__(self, config: Any, rounds: Rounds) -> None:
        channels, height, width = rounds.case.image
        shape = (2 * CLASSES, height, width) if channels == 1 else (2 * CLASSES, height, width, channels)
        part = ImageTable(np.zeros(shape, dtype=np.uint8), np.arange(2 * CLASSES) % CLASSES)
        super().__init__(config, DataSet(tuple(map(str, range(CLASSES))), part, part), (height, width))
        self.rounds = rounds

    def train_dataloader(self) -> Any:
        return self.rounds

    def val_dataloader(self) -> Any:
        return DataLoader(self.rounds.batches[:1], batch_size=None)  # type: ignore[arg-type]


class Plain(pl.LightningModule):
    """The least that Lightning trains."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return F.cross_entropy(self.network(batch.image[:, 0]), batch.target)  # type: ignore[arg-type]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.parameters())


def fit_plain(rounds: Rounds, epochs: int, folder: Path) -> None:
    shown = dict.fromkeys(("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary"), False)
    pl.Trainer(max_epochs=epochs, accelerator="cpu", **shown).fit(Plain(rounds.case.build()), rounds)


def fit_ours(rounds: Rounds, epochs: int, folder: Path) -> None:
    """Train as `training.runner` does: its Trainer and callbacks, all metrics, metrics.csv and MLflow."""
    batch = rounds.case.batch
    changes = [f"output_path={folder}", f"num_epochs={epochs}", f"batch_size={batch}", "accelerator=cpu"]
    config = read_configuration(None, changes, NAME_CHECKS)
    network = rounds.case.build()
    task = Task(CLASSES, batch, network.get_classifier())
    loss = build_loss("CrossEntropyLoss", task)
    classifier = Classifier(network, loss, task, lambda weights: build_optimizer(weights.values()))
    run = RunFolder(folder / "run")
    run.path.mkdir()
    trackers = build_trackers(["mlflow"], TrackedRun(run.path, "run", {}, {}), config)
    trainer, _, _ = build_trainer(config, run, trackers)
    trainer.fit(classifier, ReadyData(config, rounds))
    for tracker in trackers:
        tracker.finalize("success")


LOOPS = {"ours": fit_ours, "Lightning, nothing logged": fit_plain}


def measure(case: Case, loop: str) -> list[tuple[float, float]]:
    """Return the seconds of a step of the bare loop and of one in `LOOPS`, in each round but the first."""
    rounds = Rounds(case)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")  # Lightning's advice on loaders
        LOOPS[loop](rounds, case.rounds + 1, Path(folder))
    return rounds.seconds[1:]


def quartiles(values: Sequence[float], form: str) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:{form}} [{low:{form}}, {high:{form}}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="the tiny network alone, 3 rounds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write case/loop -> median ratio")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.cases if name not in CASES]:
        parser.error(f"unknown case {', '.join(unknown)}; choose from {', '.join(CASES)}")
    prepare()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    lightning = f"pytorch-lightning {version('pytorch-lightning')}"
    print(f"A training step, SGD with momentum. {environment('cpu')}, {lightning}.")
    ratios: dict[str, float] = {}
    for name in ["tiny"] if arguments.quick else arguments.cases or CASES:
        case = CASES[name]._replace(rounds=3) if arguments.quick else CASES[name]
        rows = {}
        for loop in LOOPS:
            seconds = measure(case, loop)
            bare, ours = (1e3 * statistics.median(column) for column in zip(*seconds, strict=True))
            extra = quartiles([1e3 * (ours - bare) for bare, ours in seconds], "+.3f")
            ratio = [ours / bare for bare, ours in seconds]
            rows[loop] = [f"{bare:.3f}", f"{ours:.3f}", extra, quartiles(ratio, ".3f")]
            ratios[f"{name}/{loop}"] = statistics.median(ratio)
        print(f"\n{name}: batch {case.batch}, {case.rounds} rounds of {case.steps} steps, median [quartiles].\n")
        print(table(("loop", "bare, ms", "ms", "over bare, ms", "ratio"), rows), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(ratios, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
