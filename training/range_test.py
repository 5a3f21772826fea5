"""Learning-rate range test: `python train.py FILE --find-lr` raises the rate step by step and watches the loss."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
from msgspec import structs
from pytorch_lightning.callbacks import Callback

from configuration.schema import Configuration
from runs.figures import MARK, TRAIN, VALID, new_figure, style_axes, write_figure
from runs.folder import run_folder
from runs.records import write_csv
from training.building import prepare
from training.callbacks import StepSeed
from training.freezing import Freezing, needs_freezing
from training.trainer import build_lightning
from utils.types import ConfigError, TrainingError

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 120
"""Learning rates of the first and the last step, and how many steps there are."""
SMOOTHING = 0.9
"""Share of the mean so far in the smoothed loss."""
BLOWN_UP = 4.0
"""The test ends where the smoothed loss is so many times its lowest value."""
FEWEST = 10
"""Steps without which nothing can be said."""


class RangeTest(NamedTuple):
    """Learning rates, each with the smoothed loss after its step. Shapes: [N], [N]."""

    rates: np.ndarray
    losses: np.ndarray

    @property
    def lowest(self) -> float:
        """The rate of the lowest loss: training with it would be at the edge of diverging."""
        return float(self.rates[self.losses.argmin()])

    @property
    def steepest(self) -> float:
        """The rate before that at which the loss falls fastest, by the logarithm of the rate."""
        end = max(int(self.losses.argmin()) + 1, 3)
        slopes = np.gradient(self.losses[:end], np.log(self.rates[:end]))
        return float(self.rates[slopes.argmin()])


def find_learning_rate(config: Configuration) -> str:
    """Test learning rates on a run that is not kept, and return what they show; the figure and the numbers are kept.

    The rates of groups and layers rise in the proportion that they have in the configuration. The schedule is left out.

    Raises: ConfigError, DataError for whatever a run would be refused; TrainingError if the loss is soon not finite.
    Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186, sec. 3.3.
    """
    folder = run_folder(config, prepare(config).data.fingerprint)
    plain = structs.replace(config, lr_scheduler=None, lr_scheduler_params={}, devices=1, num_nodes=1, strategy="auto")
    test = measure(plain)
    path = Path(config.output_path) / "find-lr" / f"{folder.path.name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_csv(
        path.with_suffix(".csv"), [{"lr": r, "loss": x} for r, x in zip(*map(np.ndarray.tolist, test), strict=True)]
    )
    plot(test, path)
    peak = {"OneCycleLR": "max_lr", "CyclicLR": "max_lr"}.get(config.lr_scheduler or "", "")
    key = f"lr_scheduler_params.{peak}" if peak in config.lr_scheduler_params else "optimizer_params.lr"
    lines = [
        f"the loss falls fastest at a learning rate of {test.steepest:.2g}: try {key}={test.steepest:.2g}",
        f"it is lowest at {test.lowest:.2g}, and rises beyond; {len(test.rates)} steps from {LOWEST:g} on, batches of "
        f"{config.batch_size}",
        f"figure  {path}",
    ]
    return "\n".join(lines)


def measure(config: Configuration) -> RangeTest:
    """Train with rising learning rates until the loss blows up. Raises: as `find_learning_rate`."""
    prepared = prepare(config)
    prepared.data.keep_images()
    meter = RisingRate()
    callbacks = [StepSeed(config.seed), *([Freezing(config)] if needs_freezing(config) else []), meter]
    trainer = build_lightning(
        config,
        max_steps=STEPS,
        max_epochs=STEPS * config.accumulate_batches,
        gradient_clip_val=config.gradient_clip_norm,
        accumulate_grad_batches=config.accumulate_batches,
        callbacks=callbacks,
        limit_val_batches=0,
        enable_progress_bar=False,
        enable_checkpointing=False,
        use_distributed_sampler=False,
    )
    try:
        trainer.fit(prepared.classifier, prepared.data)
    except ConfigError as error:
        raise config.located(error) from None
    if len(meter.smoothed) < FEWEST:
        raise TrainingError(
            f"the loss blows up within {FEWEST} steps, at a learning rate of {rate_at(len(meter.smoothed)):.2g}: "
            "--find-lr can say nothing; look at the loss and its inputs (python train.py FILE --check)"
        )
    return RangeTest(np.array([rate_at(step) for step in range(len(meter.smoothed))]), np.array(meter.smoothed))


def rate_at(step: int) -> float:
    return LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))


class RisingRate(Callback):
    """Sets the learning rate of each step, and smooths the losses.

    Attributes:
        smoothed: the mean of the losses so far, later ones weighing more; one for each step.
    """

    def __init__(self) -> None:
        self.smoothed: list[float] = []
        self._shares: list[float] = []
        self._mean = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        rates = [float(group["lr"]) for group in trainer.optimizers[0].param_groups]
        self._shares = [rate / (rates[0] or 1.0) for rate in rates]

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, _: int) -> None:
        for group, share in zip(trainer.optimizers[0].param_groups, self._shares, strict=True):
            group["lr"] = share * rate_at(trainer.global_step)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == len(self.smoothed):  # gradients are still accumulated
            return
        loss = float(outputs["loss"] if isinstance(outputs, dict) else outputs)
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        value = self._mean / (1 - SMOOTHING ** (len(self.smoothed) + 1))
        lowest = min(self.smoothed, default=value)
        if not math.isfinite(value) or value > lowest + (BLOWN_UP - 1) * abs(lowest):
            trainer.should_stop = True
            return
        self.smoothed.append(value)


def plot(test: RangeTest, path: Path) -> None:
    """Draw the loss against the learning rate, and the two rates that are reported."""
    figure = new_figure(6, 3.8)
    axes = figure.add_subplot()
    axes.plot(test.rates, test.losses, color=TRAIN, linewidth=1.4)
    marks = {"falls fastest": (test.steepest, VALID), "lowest": (test.lowest, MARK)}
    for label, (rate, colour) in marks.items():
        axes.axvline(rate, color=colour, linewidth=1, linestyle=":", label=f"{label}: {rate:.2g}")
    axes.set_xscale("log")
    axes.set(xlabel="learning rate", ylabel="training loss, smoothed")
    style_axes(axes)
    axes.legend(frameon=False)
    write_figure(figure, path)
