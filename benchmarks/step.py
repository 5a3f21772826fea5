"""What training by this project costs over a bare PyTorch loop: python benchmarks/step.py [CASE ...] [--quick]

All loops see the same ready batches, so that loading is no part of it. Each is timed in rounds, beside a bare loop
of its own in the same process; what is told is the difference between the two and their ratio. What an epoch does at
its end (validation, trackers, checkpoints) is no part of a step.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import logging
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # the project's root, whose `losses` is meant below

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.loggers import CSVLogger
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassAccuracy

from benchmarks.measuring import environment, prepare, table
from configuration.reading import read_configuration
from datasets.base import DataSet, ImageTable
from datasets.data_module import DataModule
from datasets.stream.image_stream import Loaded
from evaluation.catalogue import NAME_CHECKS
from losses import build_loss
from models import build_model
from models.classifier import Classifier
from runs.folder import RunFolder
from tracking import build_trackers
from tracking.base import TrackedRun
from training.runner import build_trainer
from utils.types import Batch, Task

CLASSES = 10


@dataclass(frozen=True)
class Case:
    """A network and its batches.

    Args:
        build: returns the network, fresh.
        image: channels, height and width.
        warm_up, steps: of a round, not timed and timed.
        quick: whether a round is of seconds.
    """

    build: Callable[[], Any]
    image: tuple[int, int, int]
    batch: int
    warm_up: int
    steps: int
    rounds: int
    quick: bool = True


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


def resnet18() -> Any:
    return build_model("resnet18_cifar", CLASSES)


CASES = {
    "tiny": Case(TinyNetwork, (1, 8, 8), batch=16, warm_up=20, steps=300, rounds=15),
    "resnet18_batch4": Case(resnet18, (3, 32, 32), batch=4, warm_up=2, steps=4, rounds=15),
    "resnet18_batch128": Case(resnet18, (3, 32, 32), batch=128, warm_up=1, steps=1, rounds=5, quick=False),
}


@dataclass(frozen=True)
class Cost:
    """What a step takes.

    Args:
        seconds: of the processor, which other processes do not lengthen.
        faults: pages of memory that the system had to hand out.
    """

    seconds: float
    faults: float


class Watch:
    """Measures the processor's seconds and the page faults since it was made."""

    def __init__(self) -> None:
        self._faults, self._seconds = _faults(), time.process_time()

    def per_step(self, steps: int) -> Cost:
        seconds = time.process_time() - self._seconds
        return Cost(seconds / steps, (_faults() - self._faults) / steps)


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def cross_entropy(scores: Tensor, batch: Loaded | Batch) -> Tensor:
    return F.cross_entropy(scores, batch.target)  # type: ignore[arg-type]


class BareLoop:
    """What one writes by hand: no metrics, no checks, no record."""

    def __init__(self, case: Case) -> None:
        self.network = case.build().train()
        self.optimizer = build_optimizer(self.network.parameters())

    def run(self, batches: Sequence[Loaded]) -> None:
        for batch in batches:
            assert batch.image is not None
            self.optimizer.zero_grad()
            cross_entropy(self.network(batch.image[:, 0]), batch).backward()
            self.optimizer.step()


class Rounds:
    """Gives a Trainer its batches and times its steps, from one request for a batch to another.

    An epoch is a round; before it, the bare loop has its turn.

    Attributes:
        costs: of a step of the bare loop and of the Trainer's, for each round.
        seconds_waited: as of the project's loader; nothing is.
    """

    seconds_waited = 0.0

    def __init__(self, case: Case, batches: Sequence[Loaded]) -> None:
        self.case, self.bare = case, BareLoop(case)
        self.batches = [*itertools.islice(itertools.cycle(batches), case.warm_up + case.steps)]
        self.costs: list[tuple[Cost, Cost]] = []

    def __len__(self) -> int:
        return len(self.batches) + 1  # the request for the last one ends the step before it

    def __iter__(self) -> Iterator[Loaded]:
        self.bare.run(self.batches[: self.case.warm_up])
        watch = Watch()
        self.bare.run(self.batches[self.case.warm_up :])
        bare = watch.per_step(self.case.steps)
        self.bare.optimizer.zero_grad()
        yield from self.batches[: self.case.warm_up]
        watch = Watch()
        yield from self.batches[self.case.warm_up :]
        self.costs.append((bare, watch.per_step(self.case.steps)))
        yield self.batches[0]


class ReadyData(DataModule):
    """The project's data module, whose training batches are ready."""

    def __init__(self, config: Any, case: Case, rounds: Rounds) -> None:
        channels, height, width = case.image
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
        return cross_entropy(self.network(batch.image[:, 0]), batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return build_optimizer(self.parameters())


class Usual(Plain):
    """Lightning as its examples use it: loss and accuracy logged by step and by epoch, in the bar and a file."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self.accuracy = MulticlassAccuracy(CLASSES, average="micro")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        scores = self.network(batch.image[:, 0])
        loss = cross_entropy(scores, batch)
        self.accuracy(scores, batch.target)
        self.log("train/loss", loss, on_step=True, on_epoch=True, prog_bar=True)
        self.log("train/accuracy", self.accuracy, on_step=True, on_epoch=True, prog_bar=True)
        return loss


def fit_plain(case: Case, rounds: Rounds, number: int, folder: Path) -> None:
    trainer = pl.Trainer(
        max_epochs=number,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(Plain(case.build()), rounds)


def fit_usual(case: Case, rounds: Rounds, number: int, folder: Path) -> None:
    logger = CSVLogger(folder)
    trainer = pl.Trainer(
        max_epochs=number, accelerator="cpu", logger=logger, log_every_n_steps=1, enable_model_summary=False
    )
    trainer.fit(Usual(case.build()), rounds)


def fit_ours(case: Case, rounds: Rounds, number: int, folder: Path) -> None:
    """Train as `training.runner` does: its Trainer and callbacks, all metrics, metrics.csv and MLflow."""
    changes = [f"output_path={folder}", f"num_epochs={number}", f"batch_size={case.batch}", "accelerator=cpu"]
    config = read_configuration(None, changes, NAME_CHECKS)
    network = case.build()
    task = Task(CLASSES, case.batch, network.get_classifier())
    classifier = Classifier(network, build_loss("CrossEntropyLoss", task), task, build_optimizer)
    run = RunFolder(folder / "run")
    run.path.mkdir()
    trackers = build_trackers(["mlflow"], TrackedRun(run.path, "run", {}, {}), config)
    trainer, _, _ = build_trainer(config, run, trackers)
    trainer.fit(classifier, ReadyData(config, case, rounds))
    for tracker in trackers:
        tracker.finalize("success")


LOOPS = {"ours": fit_ours, "Lightning, nothing logged": fit_plain, "Lightning, usual logging": fit_usual}
SUFFIXES = {"ours": (), "Lightning, nothing logged": ("floor",), "Lightning, usual logging": ("usual",)}
"""What tells the loops apart in the file of --json."""


def build_optimizer(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=1e-3, momentum=0.9)


def measure(case: Case, loop: str, rounds: int | None = None) -> list[tuple[Cost, Cost]]:
    """Return what a step of the bare loop and of the one named in `LOOPS` costs, in each round but the first."""
    generator = torch.Generator().manual_seed(0)
    batches = [
        Loaded(
            torch.randn(case.batch, 1, *case.image, generator=generator),
            torch.randint(CLASSES, (case.batch,), generator=generator),
            torch.arange(case.batch),
        )
        for _ in range(4)
    ]
    timed, number = Rounds(case, batches), (rounds or case.rounds) + 1
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")  # Lightning's advice on loaders
        LOOPS[loop](case, timed, number, Path(folder))
    return timed.costs[1:]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep what loops show from the screen; they show it all the same."""
    log = logging.getLogger("pytorch_lightning")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        log.setLevel(level)


@dataclass(frozen=True)
class Result:
    """A loop beside the bare one: quartiles over the rounds.

    Args:
        bare, loop: what a step costs, median.
        extra: ms a step over the bare loop. ratio: of the seconds.
    """

    bare: Cost
    loop: Cost
    extra: tuple[float, float, float]
    ratio: tuple[float, float, float]

    @classmethod
    def of(cls, costs: Sequence[tuple[Cost, Cost]]) -> Result:
        bare, loop = (
            Cost(statistics.median(each.seconds for each in costs), statistics.median(each.faults for each in costs))
            for costs in zip(*costs, strict=True)
        )
        extra = statistics.quantiles([1e3 * (ours.seconds - bare.seconds) for bare, ours in costs], n=4)
        ratio = statistics.quantiles([ours.seconds / bare.seconds for bare, ours in costs], n=4)
        return cls(bare, loop, tuple(extra), tuple(ratio))  # type: ignore[arg-type]


def report(results: Mapping[str, Result]) -> str:
    """Return the table of one case."""
    rows = {
        loop: [
            f"{1e3 * result.bare.seconds:.3f}",
            f"{1e3 * result.loop.seconds:.3f}",
            "{1:+.3f} [{0:+.3f}, {2:+.3f}]".format(*result.extra),
            "{1:.3f} [{0:.3f}, {2:.3f}]".format(*result.ratio),
            f"{result.bare.faults:.0f}",
            f"{result.loop.faults:.0f}",
        ]
        for loop, result in results.items()
    }
    return table(("loop", "bare, ms", "ms", "over bare, ms", "ratio", "faults, bare", "faults"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, without batches of 128: within a minute")
    parser.add_argument("--default-memory", action="store_true", help="leave freed memory to the C library's defaults")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write case/loop -> ms over bare and ratio")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.cases if name not in CASES]:
        parser.error(f"unknown case {', '.join(unknown)}; choose from {', '.join(CASES)}")
    torch.set_num_threads(1) if arguments.default_memory else prepare()
    names = arguments.cases or [name for name, case in CASES.items() if case.quick or not arguments.quick]
    print(
        f"A training step, SGD with momentum. {environment('cpu')}, pytorch-lightning {version('pytorch-lightning')}."
    )
    numbers: dict[str, float] = {}
    for name in names:
        case = CASES[name]
        rounds = 3 if arguments.quick else case.rounds
        loops = LOOPS if name == "tiny" else ["ours"]
        results = {loop: Result.of(measure(case, loop, rounds)) for loop in loops}
        print(f"\n{name}: batch {case.batch}, {rounds} rounds of {case.steps} steps, median [quartiles].\n")
        print(report(results), flush=True)
        for loop, result in results.items():
            key = "_".join([name, *SUFFIXES[loop]])
            numbers |= {f"{key}_ms_over_bare": result.extra[1], f"{key}_ratio": result.ratio[1]}
            numbers |= {f"{key}_faults": result.loop.faults, f"{key}_faults_bare": result.bare.faults}
    if arguments.json:
        arguments.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
